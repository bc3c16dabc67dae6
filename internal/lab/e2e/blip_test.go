package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/lab"
	"github.com/baton-db/baton/internal/lab/load"
)

// TestABlipOfThePrimarysLinkMovesNothing: its link is away for the better part of
// the lease. What is too long because this machine was busy is tried again.
func TestABlipOfThePrimarysLinkMovesNothing(t *testing.T) {
	rare(t)
	t.Run("fast", func(t *testing.T) { blipsMoveNothing(t, shared(t, config.MariaDB)) })
	t.Run("balanced", func(t *testing.T) { blipsMoveNothing(t, up(t, lab.Options{Profile: "balanced"})) })
}

func blipsMoveNothing(t *testing.T, l *lab.Lab) {
	for _, part := range []time.Duration{25, 50, 70} { // in hundredths of the lease
		for i := range runs(t) {
			t.Run(fmt.Sprintf("%d percent/%d", part, i+1), func(t *testing.T) {
				for longest := l.Lease() * (part + 5) / 100; ; {
					if took := blip(t, l, l.Lease()*part/100, longest); took <= longest {
						return
					}
				}
			})
		}
	}
}

// blip takes the primary's link away and judges what came of it, unless it took
// longer than it should have.
func blip(t *testing.T, l *lab.Lab, length, longest time.Duration) (took time.Duration) {
	t.Helper()
	ctx := inTime(t)
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	primary := primaryOf(t, l)
	before, err := l.ClusterStatus(ctx, primary)
	if err != nil {
		t.Fatal(err)
	}
	if took, err = l.TimedBlip(ctx, primary, length); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	v, err := l.Watch(ctx, load.Options{}, time.Second, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	sound(t, v)
	after, err := l.ClusterStatus(ctx, primary)
	if err != nil {
		t.Fatal(err)
	}
	if took <= longest && (after.Epoch != before.Epoch || after.Primary != before.Primary) {
		t.Errorf("a blip of %s, with a lease of %s, ended the reign of %s: %s (%s)", took, l.Lease(), primary, after.Reason, after.Detail)
	}
	return took
}

// TestABlipOfAnotherLinkMovesNothing: for 2 to 10 s a replica's link is away, that
// between it and the primary, or the clients'.
func TestABlipOfAnotherLinkMovesNothing(t *testing.T) {
	rare(t)
	for _, what := range []string{"link", "partition", "partition-in", "partition-out", "partition-pair"} {
		for _, length := range []time.Duration{2 * time.Second, 5 * time.Second, 10 * time.Second} {
			t.Run(fmt.Sprintf("%s/%s", what, length), func(t *testing.T) {
				l, ctx := shared(t, config.MariaDB), inTime(t)
				if err := l.WaitSteady(ctx); err != nil {
					t.Fatal(err)
				}
				primary := primaryOf(t, l)
				before, err := l.ClusterStatus(ctx, primary)
				if err != nil {
					t.Fatal(err)
				}
				node := replicas(l, primary)[1]
				if what == "partition-pair" {
					node = primary
				}
				inject(t, l, what, node)
				v, err := l.Watch(ctx, load.Options{}, length, length/2)
				if err != nil {
					t.Fatal(err)
				}
				sound(t, v)
				if _, err := l.Heal(ctx); err != nil {
					t.Fatal(err)
				}
				if err := l.WaitSteady(ctx); err != nil {
					t.Fatal(err)
				}
				after, err := l.ClusterStatus(ctx, primary)
				if err != nil {
					t.Fatal(err)
				}
				if after.Epoch != before.Epoch || after.Primary != before.Primary || v.Servers[primary] != v.Acknowledged {
					t.Errorf("%s of %s for %s ended the reign of %s: %s (%s); writes went to %v", what, node, length, primary, after.Reason, after.Detail, v.Servers)
				}
			})
		}
	}
}
