package node

import (
	"fmt"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

func TestHowFarAServerIsBehind(t *testing.T) {
	at := func(s int) cluster.Instant { return cluster.Instant(s) * cluster.Instant(time.Second) }
	var l Lag
	if _, ok := l.AppliedAt(gtid.MustParse("0-1-100")); ok {
		t.Error("one who knows nothing knows how far it is behind")
	}
	l.Saw(at(1), gtid.Set{})
	l.Saw(at(10), gtid.MustParse("0-1-100"))
	l.Saw(at(20), gtid.MustParse("0-1-200"))
	l.Saw(at(30), gtid.MustParse("0-1-200")) // nothing was written
	l.Saw(at(40), gtid.MustParse("0-1-300"))
	l.Saw(at(39), gtid.MustParse("0-1-290")) // older than what is known
	for has, want := range map[string]int{"0-1-99": 0, "0-1-100": 10, "0-1-199": 10, "0-1-200": 30, "0-1-300": 40, "0-1-999": 40} {
		got, ok := l.AppliedAt(gtid.MustParse(has))
		if ok != (want != 0) || ok && got != at(want) {
			t.Errorf("%s: everything up to %s (%t), want %ds", has, time.Duration(got), ok, want)
		}
	}
}

// TestTheLagIsRememberedForLong: an hour of a primary that writes all the time.
func TestTheLagIsRememberedForLong(t *testing.T) {
	var l Lag
	for s := range 3600 {
		l.Saw(cluster.Instant(s+1)*cluster.Instant(time.Second), gtid.MustParse(fmt.Sprintf("0-1-%d", s+1)))
	}
	if n := len(l.seen); n > lagSamples {
		t.Errorf("%d positions are kept", n)
	}
	for _, c := range []struct{ ago, atMost int }{{1, 1}, {10, 10}, {40, 40}, {60, 90}, {120, 240}} {
		at, ok := l.AppliedAt(gtid.MustParse(fmt.Sprintf("0-1-%d", 3600-c.ago)))
		behind := 3600 - int(time.Duration(at).Seconds())
		if !ok || behind < c.ago || behind > c.atMost {
			t.Errorf("behind by %ds (%t), want %d to %d", behind, ok, c.ago, c.atMost)
		}
	}
}
