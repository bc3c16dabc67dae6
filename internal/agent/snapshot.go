package agent

import (
	"fmt"
	"maps"
	"slices"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
)

// snapshot is what this node knows, for people.
// own is its fact as it is now, which a store that is silent may not have taken.
func (l *loop) snapshot(w decide.World, own cluster.Fact, now cluster.Instant) api.Snapshot {
	s := api.Snapshot{
		Node: l.Self, Agent: l.Agent, Build: l.Build, Mode: l.Mode, Wall: l.wall(), Settings: l.Settings,
		Record: l.Board.Record, Rev: l.Board.RecordRev,
		Lease: api.Aged[cluster.Lease]{Value: cluster.Lease{Epoch: l.Board.Lease.Epoch, Holder: l.Board.Lease.Holder, Agent: l.Board.Lease.Agent}, Age: now.Sub(l.Board.Lease.SeenAt)},
		Facts: map[cluster.NodeName]api.Aged[cluster.Fact]{}, Views: map[cluster.NodeName]api.Aged[cluster.View]{},
		Verdict: api.Verdict{Reason: l.Outcome.Why, Detail: l.Outcome.Detail},
		Preview: l.preview(w, now), LastSwitch: l.lastSwitch, Would: l.explained.would,
		World: &w, WorldAt: now, Pace: maps.Clone(l.Board.Pace),
	}
	// The board goes on changing; what was handed out does not.
	w.Facts, w.Views, w.Pace = maps.Clone(w.Facts), maps.Clone(w.Views), s.Pace
	s.Store = l.storeLooks
	s.Store.Silent = w.StoreSilent
	if l.roads != nil {
		s.Roads, s.Calls = l.roads.set, l.roads.took.all()
	}
	for n, seen := range l.Board.Facts {
		s.Facts[n] = api.Aged[cluster.Fact]{Value: seen.Value, Age: now.Sub(seen.At)}
	}
	if own.Node != "" {
		own.Seq = s.Facts[l.Self].Value.Seq
		s.Facts[l.Self] = api.Aged[cluster.Fact]{Value: own}
	}
	for n, seen := range l.Board.Views {
		s.Views[n] = api.Aged[cluster.View]{Value: seen.Value, Age: now.Sub(seen.At)}
	}
	for _, q := range l.Board.Asked() {
		s.Requests = append(s.Requests, q.Value)
	}
	if l.Outcome.Next == nil && waits(l.Outcome.Why) {
		s.Waiting = append(s.Waiting, api.Waiting{For: l.Outcome.Why, Node: l.Board.Record.Primary, Detail: l.Outcome.Detail})
	}
	if p := l.Pledge; p.Epoch != 0 && now < p.Until {
		s.Waiting = append(s.Waiting, api.Waiting{Node: l.Self, Detail: fmt.Sprintf("the store does not answer the primary of epoch %d, and this node has promised it to take no part in a newer reign", p.Epoch)})
	}
	if l.Plan.Waits != "" {
		s.Waiting = append(s.Waiting, api.Waiting{Node: l.Self, Detail: l.Plan.Waits})
	}
	for _, key := range slices.Sorted(maps.Keys(l.Board.Unreadable)) {
		s.Waiting = append(s.Waiting, api.Waiting{For: cluster.NewerSchema, Detail: fmt.Sprintf("%s: %s", key, l.Board.Unreadable[key])})
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

// withoutLaggards marks those who would be refused although they are only less
// preferred: they are too far behind for a planned switch.
func withoutLaggards(plan api.Plan, w decide.World) api.Plan {
	for i, a := range plan.Passed {
		if why := w.Behind(a.Node); a.Possible && why != "" {
			plan.Passed[i].Possible, plan.Passed[i].Detail = false, why
		}
	}
	return plan
}

// preview thinks through what a switch asked for now would do.
func (l *loop) preview(w decide.World, now cluster.Instant) *api.Preview {
	if l.Board.RecordRev == 0 {
		return nil
	}
	p := &api.Preview{}
	ask := func(kind cluster.RequestKind) api.Plan {
		asked := w
		asked.Requests = []decide.Seen[cluster.Request]{{Value: cluster.Request{Schema: cluster.Schema, ID: "preview", Kind: kind, By: string(l.Self)}}}
		out := decide.Next(asked, now)
		if len(out.Refused) > 0 {
			return api.Plan{Refused: out.Refused[0].Refused}
		}
		choice, _ := decide.Preview(w, "", now)
		return api.PlanOf(choice)
	}
	p.Switchover = withoutLaggards(ask(cluster.RequestSwitchover), w)
	p.Switchover.Waits = []api.Waiting{
		{For: cluster.AwaitingDrain, Node: l.Board.Record.Primary, Detail: fmt.Sprintf("open transactions, for at most %s", l.Settings.Drain)},
		{For: cluster.AwaitingCatchUp, Node: p.Switchover.Candidate, Detail: "it has applied the final position"},
	}
	p.Failover = ask(cluster.RequestFailover)
	p.Failover.Waits = []api.Waiting{
		{For: cluster.AwaitingFence, Node: l.Board.Record.Primary, Detail: fmt.Sprintf("it says that it is fenced, or its lease of %s runs out", l.Settings.Lease)},
		{For: cluster.AwaitingPromises, Detail: fmt.Sprintf("of %v", l.Board.Record.Acks().Members)},
	}
	return p
}
