package node

import (
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

func TestARenewalWithoutAnAnswerIsNotTheLastForLong(t *testing.T) {
	k := Keeper{Settings: cluster.Settings{Lease: 800 * time.Millisecond, Renew: 200 * time.Millisecond, Call: 100 * time.Millisecond}, Self: "db1"}
	start := cluster.Instant(time.Hour)
	due := func(after time.Duration) time.Duration { return k.Due(start.Add(after)) }
	k.Want(1, 7)
	r := k.Next(start)
	k.Renewed(r.Epoch, start, start.Add(time.Millisecond), 8)
	if got := due(10 * time.Millisecond); got != 90*time.Millisecond {
		t.Errorf("after one that was accepted the next can wait %s, want half of Renew in all", got)
	}
	k.Next(start.Add(100 * time.Millisecond))
	if got := due(150 * time.Millisecond); got > 0 {
		t.Errorf("after one without an answer the next can wait %s", got)
	}
	k.Next(start.Add(1700 * time.Millisecond))
	if got := due(1700 * time.Millisecond); got != 200*time.Millisecond {
		t.Errorf("once two leases are over the next can wait %s, want Renew", got)
	}
}
