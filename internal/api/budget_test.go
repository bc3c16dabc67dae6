package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/api/apitest"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/timeline"
)

func millis(n int) timeline.Millis { return timeline.Millis(time.Duration(n) * time.Millisecond) }

// reached are milestones with the milliseconds that each came after the one before.
func reached(names ...any) (all []timeline.Milestone, at timeline.Millis) {
	for i := 0; i < len(names); i += 2 {
		after := millis(names[i+1].(int))
		at += after
		all = append(all, timeline.Milestone{Name: names[i].(string), At: at, After: after})
	}
	return all, at
}

func failover(why cluster.Reason, names ...any) timeline.Switch {
	ms, at := reached(names...)
	s := timeline.Switch{Kind: timeline.Failover, Epoch: 9, Ended: true, To: "db2", Reason: why, Milestones: ms, Serving: &at, Took: at}
	for _, m := range ms {
		if m.Name == timeline.Fenced {
			s.Changes = []timeline.Change{{RecordSight: timeline.RecordSight{Phase: cluster.PhaseElecting}, At: m.At}}
		}
	}
	return s
}

func find(t *testing.T, b api.Budget, name string) api.Way {
	t.Helper()
	for _, w := range b.Ways {
		if w.Name == name {
			return w
		}
	}
	t.Fatalf("there is no way %q in %+v", name, b.Ways)
	return api.Way{}
}

// TestABudgetAddsUpWhatIsKnown: of settings, of failovers, and of planned switches for
// what is alike in both.
func TestABudgetAddsUpWhatIsKnown(t *testing.T) {
	ms, at := reached(timeline.Accepted, 3, timeline.Drained, 10, timeline.Applied, 5, timeline.Chosen, 10, timeline.Promoted, 30, timeline.GateOpen, 4, timeline.Addressed, 6)
	planned := timeline.Switch{Kind: timeline.Switchover, Epoch: 8, Ended: true, To: "db2", Milestones: ms, Serving: &at, Took: at,
		Spans: []timeline.Span{{Node: "db2", Step: "endpoint dns", Took: millis(700), Outcome: timeline.OK}}}
	past := []timeline.Switch{
		planned,
		failover(cluster.PrimaryResigned, timeline.Confirmed, 5, timeline.Fenced, 15, timeline.Promised, 20, timeline.Chosen, 10, timeline.GateOpen, 40),
		failover(cluster.PrimaryHung, timeline.Confirmed, 1005, timeline.Fenced, 45, timeline.Promised, 20, timeline.Chosen, 10, timeline.GateOpen, 40),
	}
	s := apitest.Shop()
	s.Roads = []api.RoadSetting{{Name: "dns", Kind: "dns", Cached: time.Minute}}
	b := api.BudgetOf(s, past, api.Surroundings{})
	for name, want := range map[string]timeline.Millis{
		"the host is gone, or cut off":            millis(778) + millis(30+30+40), // the promotion is known from the planned switch
		"the server dies, and its agent does not": millis(20 + 30 + 30 + 40),
		"the server hangs":                        millis(1000 + 50 + 30 + 30 + 40),
		api.Planned:                               millis(3 + 10 + 15 + 30 + 10),
	} {
		w := find(t, b, name)
		if w.Total == nil || w.Total.D().Round(time.Millisecond) != want.D() {
			t.Errorf("%s: %+v, want %s in all", name, w, want.D())
		}
	}
	if w := find(t, b, "the server hangs"); w.Real.Runs != 1 || w.Real.Median != millis(1120) {
		t.Errorf("a hang really took %+v", w.Real)
	}
	if w := find(t, b, "the host is gone, or cut off"); w.Real.Runs != 0 {
		t.Errorf("no host was lost, and it took %+v", w.Real)
	}
	if len(b.Roads) != 1 || b.Roads[0].Led.Median != millis(700) || b.Roads[0].Cached == nil {
		t.Errorf("the roads are %+v", b.Roads)
	}
	if len(b.Last) != 3 || b.Last[0].Reason != cluster.PrimaryHung {
		t.Errorf("the last switches are %+v", b.Last)
	}
	if len(b.Advice) != 3 || !strings.HasSuffix(b.Advice[2].Text, "most of it is: until its lease has surely run out, 778 ms of 878 ms") || !strings.Contains(b.Advice[0].Text, "kept by clients for 1m0s") || b.Advice[0].Saves.D() != 55*time.Second || !strings.Contains(b.Advice[1].Text, "leading dns took up to 700ms") {
		t.Errorf("the advice is %+v", b.Advice)
	}
}

// TestABudgetGuessesNothing: what neither a setting nor the history tells of is not
// known, and so is the sum.
func TestABudgetGuessesNothing(t *testing.T) {
	s := apitest.Shop()
	s.Settings.Lease, s.Settings.Hang = 2*time.Second, 3*time.Second
	b := api.BudgetOf(s, nil, api.Surroundings{})
	for _, w := range b.Ways {
		if w.Total != nil {
			t.Errorf("%s takes %s: how is that known?", w.Name, w.Total.D())
		}
	}
	var texts []string
	for _, a := range b.Advice {
		texts = append(texts, a.Text)
	}
	if said := strings.Join(texts, "\n"); len(b.Advice) != 3 || !strings.Contains(texts[0], "timing.hang is 3s") || !strings.Contains(texts[1], "timing.lease is 2s") || !strings.Contains(texts[2], "baton switchover") {
		t.Errorf("the advice is\n%s", said)
	}
}
