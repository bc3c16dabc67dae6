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
