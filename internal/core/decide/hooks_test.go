package decide

import (
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
)

func hooks(said map[string]string) change {
	return func(w *World) { w.Hooks = Hooks{Wanted: true, Said: said} }
}

func TestASwitchoverWaitsForItsHooksAndNothingElseDoes(t *testing.T) {
	wanted := asked(cluster.Request{Kind: cluster.RequestSwitchover, To: "db3"})
	paused := func(w *World) {
		asked(cluster.Request{Kind: cluster.RequestPause})(w)
		w.Requests[len(w.Requests)-1].Value.ID = "r2"
	}
	for name, tt := range map[string]struct {
		world   World
		why     cluster.Reason
		phase   cluster.Phase // of what is swapped in; empty: nothing is
		refused string
		awaits  bool // the primary's agent has to run them
	}{
		"they have not been run":     {newWorld(from("db1"), wanted, hooks(nil)), cluster.Nothing, "", "", true},
		"another node waits, too":    {newWorld(from("db2"), wanted, hooks(nil)), cluster.Nothing, "", "", false},
		"they let it begin":          {newWorld(from("db1"), wanted, hooks(map[string]string{"r1": ""})), cluster.SwitchoverAsked, cluster.PhaseHandoff, "", false},
		"they turn it down":          {newWorld(from("db1"), wanted, hooks(map[string]string{"r1": "not now"})), cluster.RequestRefused, "", "not now", false},
		"they spoke of another one":  {newWorld(from("db1"), wanted, hooks(map[string]string{"q0": "not now"})), cluster.Nothing, "", "", true},
		"a pause goes past it":       {newWorld(from("db2"), wanted, paused, hooks(nil)), cluster.PausedByRequest, cluster.PhaseSteady, "", false},
		"a failover goes past it":    {newWorld(from("db2"), wanted, hooks(nil), sees("db2", cluster.Down, "db1"), sees("db3", cluster.Down, "db1"), receivesNothing("db2", "db3")), cluster.PrimaryUnreachable, cluster.PhaseFencing, "", false},
		"it is impossible anyway":    {newWorld(from("db1"), asked(cluster.Request{Kind: cluster.RequestSwitchover, To: "db9"}), hooks(nil)), cluster.RequestRefused, "", `"db9" is no data node of this cluster; there are db1, db2, db3`, false},
		"a failover by a person":     {newWorld(from("db2"), asked(cluster.Request{Kind: cluster.RequestFailover}), hooks(nil)), cluster.FailoverForced, cluster.PhaseFencing, "", false},
		"there are no such commands": {newWorld(from("db2"), wanted), cluster.SwitchoverAsked, cluster.PhaseHandoff, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			out := Next(tt.world, noon)
			var phase cluster.Phase
			if out.Next != nil {
				phase = out.Next.Phase
			}
			refused := ""
			if len(out.Refused) > 0 {
				refused = out.Refused[0].Refused
			}
			if out.Why != tt.why || phase != tt.phase || refused != tt.refused {
				t.Errorf("%s (%s), swap to %q, refused %q; want %s, %q, %q", out.Why, out.Detail, phase, refused, tt.why, tt.phase, tt.refused)
			}
			q, next, awaits := AwaitsHooks(tt.world, noon)
			if awaits != tt.awaits || awaits && (q.ID != "r1" || next.Candidate != "db3" || next.Epoch != 6) {
				t.Errorf("the primary runs them: %v, for %+v", awaits, q)
			}
		})
	}
}
