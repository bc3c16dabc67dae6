package lease

import (
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

func TestAPledgeOutlastsWhatThePrimaryCountsOn(t *testing.T) {
	s := cluster.Settings{Lease: time.Second, Drift: 0.01, Margin: 10 * time.Millisecond}
	// The primary asks at 5 s on its clock and serves until 6 s. The node hears
	// it at once, and its clock is as slow as drift permits.
	p := Pledge{}.Pledged(7, time.Second, 0, s)
	slow := cluster.Instant(float64(time.Second) * (1 - s.Drift))
	for _, c := range []struct {
		name  string
		epoch cluster.Epoch
		now   cluster.Instant
		binds bool
	}{
		{"the next reign waits at once", 8, 0, true},
		{"the next reign waits as long as the primary may serve, by the slowest clock", 8, slow, true},
		{"the primary's own reign goes on", 7, 0, false},
		{"it is over when it is over", 8, p.Until, false},
	} {
		if got := p.Binds(c.epoch, c.now); got != c.binds {
			t.Errorf("%s: binds = %t", c.name, got)
		}
	}
	if want := cluster.Instant(1020 * time.Millisecond); p.Until != want {
		t.Errorf("until %d, want %d", p.Until, want)
	}
}

func TestWhoHasPromisedToWaitConcludesNoEarlierThatTheLeaseIsOver(t *testing.T) {
	s := cluster.Settings{Lease: time.Second}
	w := Watch{Rev: 1, SeenAt: 0, Pledged: cluster.Instant(3 * time.Second)}
	if w.Expired(cluster.Instant(2*time.Second), s) || !w.Expired(cluster.Instant(3*time.Second), s) {
		t.Errorf("it ends at %d", w.ExpiresAt(s))
	}
}

func TestANewPledgeTakesNothingFromAnOlderOne(t *testing.T) {
	s := cluster.Settings{Lease: time.Second}
	older := Pledge{Epoch: 3, Until: cluster.Instant(5 * time.Second)}
	for _, c := range []struct {
		name string
		now  time.Duration
		want Pledge
	}{
		{"while the older one binds, it goes on to", 1 * time.Second, Pledge{Epoch: 3, Until: cluster.Instant(5 * time.Second)}},
		{"it is not cut short by being prolonged", 4500 * time.Millisecond, Pledge{Epoch: 3, Until: cluster.Instant(5500 * time.Millisecond)}},
		{"once it is over it is forgotten", 6 * time.Second, Pledge{Epoch: 7, Until: cluster.Instant(7 * time.Second)}},
	} {
		if got := older.Pledged(7, 0, cluster.Instant(c.now), s); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
