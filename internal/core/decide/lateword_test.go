package decide

import (
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
)

// TestTheWordOfAnEarlierAgentDoesNotCount: db1's agent fenced itself and was killed;
// its word was under way when the next agent took the lease up again. It is newer
// than the newest renewal, and says nothing of what that agent does.
func TestTheWordOfAnEarlierAgentDoesNotCount(t *testing.T) {
	word := func(agent string) change {
		return func(w *World) {
			fact("db1", func(f *cluster.Fact) { f.Agent, f.Fenced = agent, 5 })(w)
			s := w.Facts["db1"]
			s.Rev = w.Lease.Rev + 1
			w.Facts["db1"] = s
		}
	}
	fencing := func(w *World) {
		electingAfterDb1(w)
		w.Record.Phase = cluster.PhaseFencing
	}
	for name, tt := range map[string]struct {
		w    World
		acts bool
	}{
		"the agent that renewed gives the role up":            {newWorld(word("a-db1")), true},
		"an earlier one had given it up":                      {newWorld(word("earlier")), false},
		"the agent that renewed says that it is fenced":       {newWorld(fencing, word("a-db1")), true},
		"an earlier one had said so":                          {newWorld(fencing, word("earlier")), false},
		"the lease is of a version that does not name agents": {newWorld(word("earlier"), func(w *World) { w.Lease.Agent = "" }), true},
		"it is another's lease":                               {newWorld(fencing, word("earlier"), func(w *World) { w.Lease.Holder = "db3" }), true},
	} {
		t.Run(name, func(t *testing.T) {
			if out := Next(tt.w, noon); (out.Next != nil) != tt.acts {
				t.Errorf("got %+v", out)
			}
		})
	}
}
