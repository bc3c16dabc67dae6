package e2e_test

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/lab"
	"github.com/baton-db/baton/internal/lab/load"
)

// TestAClockThatJumpsMovesNothing: the wall clock of one node's agent is an hour
// off, the primary's or a replica's.
func TestAClockThatJumpsMovesNothing(t *testing.T) {
	rare(t)
	for _, name := range []string{"clock-ahead", "clock-behind"} {
		for _, who := range []string{"primary", "replica"} {
			t.Run(name+"/"+who, func(t *testing.T) {
				l := shared(t, config.MariaDB)
				before := primaryOf(t, l)
				target := before
				if who == "replica" {
					target = replicas(l, before)[0]
				}
				v := drill(t, l, name, target)
				stayed(t, before, v)
				t.Logf("longest time without an acknowledgement: %.0f ms", v.OutageMS)
			})
		}
	}
}

// TestASwitchoverWhileAClockJumps: the clock of one of those who take part jumps
// there and back all the time.
func TestASwitchoverWhileAClockJumps(t *testing.T) {
	rare(t)
	for _, who := range []string{"primary", "replica"} {
		t.Run(who, func(t *testing.T) {
			l := shared(t, config.MariaDB)
			before := primaryOf(t, l)
			target := before
			if who == "replica" {
				target = replicas(l, before)[0] // of equal ones the first is chosen
			}
			ctx, stop := context.WithCancel(inTime(t))
			stopped := make(chan error, 1)
			go func() { stopped <- jump(ctx, l, target) }()
			v := drill(t, l, "switchover", "")
			stop()
			if err := <-stopped; err != nil {
				t.Fatal(err)
			}
			if v.Primary == before || len(v.Servers) != 2 {
				t.Errorf("the role went from %s to %s, and writes to %v", before, v.Primary, v.Servers)
			}
			t.Logf("outage %.0f ms, connects %+v", v.OutageMS, v.Connects)
		})
	}
}

// jump has a node's clock jump by an hour, there and back, until ctx ends.
func jump(ctx context.Context, l *lab.Lab, node string) error {
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for ahead := time.Hour; ; ahead = -ahead {
		select {
		case <-ctx.Done():
			return l.JumpClock(node, 0)
		case <-tick.C:
		}
		if err := l.JumpClock(node, ahead); err != nil {
			return err
		}
	}
}

// TestAClockThatJumpsBreaksNoLimit: after one failover no more is allowed within
// the hour. Then a replica's clock jumps by an hour, and the primary's host is gone:
// all hold back, also the one to which that hour has passed, or has not begun.
func TestAClockThatJumpsBreaksNoLimit(t *testing.T) {
	rare(t)
	for _, name := range []string{"clock-ahead", "clock-behind"} {
		t.Run(name, func(t *testing.T) {
			l, ctx := up(t, lab.Options{}), inTime(t)
			drill(t, l, "crash", "")
			if err := l.Reconfigure(func(text string) string { return strings.Replace(text, "max_per_hour: 0", "max_per_hour: 1", 1) }); err != nil {
				t.Fatal(err)
			}
			primary := primaryOf(t, l)
			wrong, right := replicas(l, primary)[0], replicas(l, primary)[1]
			inject(t, l, name, wrong)
			inject(t, l, "power", primary)
			err := l.WaitStatus(ctx, "both replicas hold back", []string{wrong, right}, func(st api.Status) error {
				if st.Verdict == nil || st.Verdict.Reason != cluster.TooManyFailovers {
					return fmt.Errorf("%+v", st.Verdict)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if now := primaryOf(t, l); now != primary {
				t.Errorf("%s is primary, although no failover was allowed any more", now)
			}
			args := []string{"failover", "--socket", l.ControlSocket(wrong), "--yes"}
			if out, err := exec.CommandContext(ctx, rig.binary, args...).CombinedOutput(); err != nil {
				t.Fatalf("baton %v: %v: %s", args, err, out)
			}
			if err := l.WaitStatus(ctx, "another is primary", []string{wrong, right}, func(st api.Status) error {
				if st.Phase != cluster.PhaseSteady || string(st.Primary) == primary {
					return fmt.Errorf("%s, with %s as primary", st.Phase, st.Primary)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if _, err := l.Heal(ctx); err != nil {
				t.Fatal(err)
			}
			v, err := l.Watch(ctx, load.Options{}, time.Second, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			sound(t, v)
		})
	}
}
