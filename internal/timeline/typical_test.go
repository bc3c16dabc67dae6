package timeline

import (
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

func TestWhatSwitchesTook(t *testing.T) {
	ms := func(n int) Millis { return Millis(time.Duration(n) * time.Millisecond) }
	failover := func(electing, serving int) Switch {
		at := ms(serving)
		return Switch{Kind: Failover, Ended: true, Serving: &at, Took: ms(serving + 700), Changes: []Change{
			{RecordSight: RecordSight{Phase: cluster.PhaseFencing}},
			{RecordSight: RecordSight{Phase: cluster.PhaseElecting}, At: ms(electing)},
			{RecordSight: RecordSight{Phase: cluster.PhaseElecting}, At: ms(electing + 50)}, // a candidate that failed
		}}
	}
	at := ms(60)
	planned := Switch{Kind: Switchover, Ended: true, Serving: &at, Took: ms(80)}
	undone := planned
	undone.Kind = RolledBack
	going := failover(10, 20)
	going.Ended = false
	unknown := failover(10, 20)
	unknown.Serving = nil
	all := []Switch{failover(100, 150), planned, failover(0, 40), undone, failover(300, 900), going, unknown, failover(20, 80), {Kind: Bootstrap, Ended: true, Serving: &at}}

	if got, want := TypicalOf(all, Election), (Typical{Runs: 4, Median: ms(50), Worst: ms(600)}); got != want {
		t.Errorf("elections took %+v, want %+v", got, want)
	}
	if got, want := TypicalOf(all, WholeSwitchover), (Typical{Runs: 1, Median: ms(80), Worst: ms(80)}); got != want {
		t.Errorf("switchovers took %+v, want %+v", got, want)
	}
	if got := TypicalOf(nil, Election); got != (Typical{}) {
		t.Errorf("nothing has happened yet, and it took %+v", got)
	}
}

// TestAPartOfASwitchIsNotCutShortByWhatGoesOnBesideIt: a replica that follows, or a
// reign that is marked, while clients still wait for the addresses.
func TestAPartOfASwitchIsNotCutShortByWhatGoesOnBesideIt(t *testing.T) {
	ms := func(n int) Millis { return Millis(time.Duration(n) * time.Millisecond) }
	at := ms(820)
	s := Switch{Kind: Failover, Ended: true, Began: ms(-20), Serving: &at, Took: ms(840), Milestones: []Milestone{
		{Name: Confirmed}, {Name: Fenced}, {Name: Promised, At: ms(165)}, {Name: Chosen, At: ms(170)}, {Name: Promoted, At: ms(300)},
		{Name: GateOpen, At: ms(320)}, {Name: Marked, At: ms(600)}, {Name: Following, At: ms(700)}, {Name: Addressed, At: ms(820)}, {Name: Verified, At: ms(830)},
	}, Spans: []Span{
		{Node: "db2", Step: SeenFrom("db3"), Start: ms(821), Took: ms(4), Outcome: OK},
		{Node: "db2", Step: SeenFrom("db1"), Start: ms(821), Took: ms(9), Outcome: OK},
		{Node: "db2", Step: SeenFrom("w1"), Start: ms(821), Took: ms(900), Outcome: Failed},
	}}
	var sum Millis
	for _, tt := range []struct {
		names []string
		want  Millis
	}{{[]string{Confirmed, Fenced}, ms(20)}, {[]string{Promised, Chosen}, ms(170)}, {[]string{Promoted, LeaseHeld}, ms(130)}, {[]string{GateOpen, Addressed}, ms(520)}} {
		got, ok := Reaching(Failover, tt.names...)(s)
		if sum += got; !ok || got != tt.want {
			t.Errorf("reaching %v took %s, want %s", tt.names, got.D(), tt.want.D())
		}
	}
	if sum != s.Took {
		t.Errorf("the parts are %s together, the whole %s", sum.D(), s.Took.D())
	}
	if got, ok := Seen(s); !ok || got != ms(10) {
		t.Errorf("it was seen after %s (%v), want 10ms", got.D(), ok)
	}
}
