package agent

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/candidate"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
)

// snapshot is what this node knows, for people.
func (l *loop) snapshot(w decide.World, now cluster.Instant) api.Snapshot {
	s := api.Snapshot{
		Node: l.self, Build: l.build, Mode: l.mode, Wall: time.Now(), Settings: l.settings,
		Record: l.board.record, Rev: l.board.recordRev,
		Lease: api.Aged[cluster.Lease]{Value: cluster.Lease{Epoch: l.board.lease.Epoch, Holder: l.board.lease.Holder, Agent: l.board.lease.Agent}, Age: now.Sub(l.board.lease.SeenAt)},
		Facts: map[cluster.NodeName]api.Aged[cluster.Fact]{}, Views: map[cluster.NodeName]api.Aged[cluster.View]{},
		Verdict: api.Verdict{Reason: l.outcome.Why, Detail: l.outcome.Detail},
		Preview: l.preview(w, now), LastSwitch: l.lastSwitch,
	}
	s.Store = l.storeLooks
	s.Store.Silent = w.StoreSilent
	for n, seen := range l.board.facts {
		s.Facts[n] = api.Aged[cluster.Fact]{Value: seen.Value, Age: now.Sub(seen.At)}
	}
	for n, seen := range l.board.views {
		s.Views[n] = api.Aged[cluster.View]{Value: seen.Value, Age: now.Sub(seen.At)}
	}
	for _, q := range l.board.asked() {
		s.Requests = append(s.Requests, q.Value)
	}
	if l.outcome.Next == nil && waits(l.outcome.Why) {
		s.Waiting = append(s.Waiting, api.Waiting{For: l.outcome.Why, Node: l.board.record.Primary, Detail: l.outcome.Detail})
	}
	if l.plan.Waits != "" {
		s.Waiting = append(s.Waiting, api.Waiting{Node: l.self, Detail: l.plan.Waits})
	}
	for _, key := range slices.Sorted(maps.Keys(l.board.unreadable)) {
		s.Waiting = append(s.Waiting, api.Waiting{For: cluster.NewerSchema, Detail: fmt.Sprintf("%s: %s", key, l.board.unreadable[key])})
	}
	return s
}

// waits reports whether a reason says that something is awaited.
func waits(why cluster.Reason) bool {
	switch why {
	case cluster.AwaitingFence, cluster.AwaitingPromises, cluster.AwaitingCatchUp, cluster.AwaitingDrain, cluster.AwaitingMarker,
		cluster.AwaitingEndpoints, cluster.AwaitingNodes, cluster.NobodyToPromote:
		return true
	}
	return false
}

// preview thinks through what a switch asked for now would do.
func (l *loop) preview(w decide.World, now cluster.Instant) *api.Preview {
	if l.board.recordRev == 0 {
		return nil
	}
	p := &api.Preview{}
	ask := func(kind cluster.RequestKind) api.Plan {
		asked := w
		asked.Requests = []decide.Seen[cluster.Request]{{Value: cluster.Request{Schema: cluster.Schema, ID: "preview", Kind: kind, By: string(l.self)}}}
		out := decide.Next(asked, now)
		if len(out.Refused) > 0 {
			return api.Plan{Refused: out.Refused[0].Refused}
		}
		choice, _ := decide.Preview(w, "", now)
		return planOf(choice)
	}
	p.Switchover = ask(cluster.RequestSwitchover)
	p.Switchover.Waits = []api.Waiting{
		{For: cluster.AwaitingDrain, Node: l.board.record.Primary, Detail: fmt.Sprintf("open transactions, for at most %s", l.settings.Drain)},
		{For: cluster.AwaitingCatchUp, Node: p.Switchover.Candidate, Detail: "it has applied the final position"},
	}
	p.Failover = ask(cluster.RequestFailover)
	p.Failover.Waits = []api.Waiting{
		{For: cluster.AwaitingFence, Node: l.board.record.Primary, Detail: fmt.Sprintf("it says that it is fenced, or its lease of %s runs out", l.settings.Lease)},
		{For: cluster.AwaitingPromises, Detail: fmt.Sprintf("of %v", l.board.record.Acks().Members)},
	}
	return p
}

func planOf(c candidate.Choice) api.Plan {
	plan := api.Plan{Candidate: c.Winner, By: c.Decided}
	for _, p := range c.Passed {
		plan.Passed = append(plan.Passed, api.Alternative{Node: p.Node, Reason: p.Reason, Detail: p.Detail, Possible: possible(p.Reason)})
	}
	return plan
}

// possible reports whether a node passed over for that reason could be asked
// for by name.
func possible(why cluster.Reason) bool {
	switch why {
	case cluster.PassedSite, cluster.PassedPreference, cluster.PassedBehind, cluster.PassedName, cluster.PassedFailed, cluster.PassedNetwork:
		return true
	}
	return false
}
