package reconcile

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
)

// handingOver is db1's reign at epoch 6, which it hands over to db2 while db3
// still follows db1. All three have everything.
func handingOver(in Input, changes ...change) Input {
	phase(cluster.PhaseHandoff, 6, "db1", "")(&in)
	in.Settings.Handoff = 10 * time.Second
	in.Record.Candidate = "db2"
	in.Record.Quorums = []cluster.AckQuorum{{Epoch: 6, Primary: "db1", Members: []cluster.NodeName{"db2", "db3"}, K: 1}}
	in.Peers["db1"] = cluster.Fact{Node: "db1", Epoch: 6, Serving: 6, Server: cluster.ServerFact{State: cluster.ServerUp, Executed: position("0-1-100")}}
	for _, n := range []cluster.NodeName{"db2", "db3"} {
		in.Peers[n] = cluster.Fact{Node: n, Server: cluster.ServerFact{State: cluster.ServerUp, ReadOnly: true, Executed: position("0-1-100"), Replica: following("db1")}}
	}
	delete(in.Peers, in.Self)
	if in.Self == "db1" {
		in.Lease = lease.Held{Epoch: 6, Until: noon.Add(500 * time.Millisecond)}
	}
	return with(in, changes)
}

func following(n cluster.NodeName) cluster.ReplicaFact {
	return cluster.ReplicaFact{Source: n, Started: true, Receiver: true, Applier: true, SemiSync: true, Received: position("0-1-100")}
}

// lostItsOwn says that n, once primary with server id 3, has lost what it wrote
// then, and that the present primary has it.
func lostItsOwn(n cluster.NodeName) change {
	return func(in *Input) {
		if in.Self == "db1" {
			in.Own.Server.Executed = position("0-1-100,0-3-90")
		}
		for _, name := range []cluster.NodeName{"db1", n} {
			f, known := in.Peers[name]
			if !known {
				continue
			}
			if name == "db1" {
				f.Server.Executed = position("0-1-100,0-3-90")
			} else {
				f.Server.ID = 3
			}
			in.Peers[name] = f
		}
	}
}

func peer(n cluster.NodeName, edit func(*cluster.Fact)) change {
	return func(in *Input) { f := in.Peers[n]; edit(&f); in.Peers[n] = f }
}

// TestHandoff holds what each node of a planned switch does before the role
// moves.
func TestHandoff(t *testing.T) {
	third := func(changes ...change) Input {
		in := replicaOf()
		in.Self, in.Own.Node = "db3", "db3"
		return handingOver(in, changes...)
	}
	moved := peer("db3", func(f *cluster.Fact) { f.Server.Replica = following("db2") })
	drained := peer("db1", func(f *cluster.Fact) { f.Drained = &cluster.Position{Epoch: 6, At: position("0-1-110")} })
	stopped := server(func(s *cluster.ServerFact) { s.Replica.Started, s.Replica.Receiver = false, false })
	for name, tt := range map[string]struct {
		in    Input
		steps string
		waits string
	}{
		// The primary.
		"writes go on until the other replica has moved":             {handingOver(primaryOf()), "", "db3 move to db2 first"},
		"the other replica has moved: it drains":                     {handingOver(primaryOf(), moved), "drain", ""},
		"the other replica does not move: it drains all the same":    {handingOver(primaryOf(), func(in *Input) { in.PhaseAt = noon.Add(-time.Second) }), "drain", ""},
		"it drains already: it does not go back to waiting":          {handingOver(primaryOf(), server(func(s *cluster.ServerFact) { s.ReadOnly = true })), "drain", ""},
		"one that only observes is not waited for":                   {handingOver(primaryOf(), peer("db3", func(f *cluster.Fact) { f.Mode = cluster.Observe })), "drain", ""},
		"one whose server is down is not waited for":                 {handingOver(primaryOf(), peer("db3", func(f *cluster.Fact) { f.Server.State = cluster.ServerStopped })), "drain", ""},
		"one that is held is not waited for":                         {handingOver(primaryOf(), peer("db3", func(f *cluster.Fact) { f.Held = "errant" })), "drain", ""},
		"the candidate does not acknowledge, so the other one stays": {handingOver(primaryOf(), peer("db2", func(f *cluster.Fact) { f.Server.Replica.SemiSync = false })), "drain", ""},
		"one that lost what it wrote itself is not waited for":       {handingOver(primaryOf(), lostItsOwn("db3")), "drain", ""},
		"one that was never heard is not waited for":                 {handingOver(primaryOf(), func(in *Input) { delete(in.Peers, "db3") }), "drain", ""},
		"one that has moved but does not receive yet is waited for":  {handingOver(primaryOf(), moved, peer("db3", func(f *cluster.Fact) { f.Server.Replica.Receiver = false })), "", "db3 move to db2 first"},

		// The other replica.
		"it stops receiving from the old primary":                            {third(), "stop-replication", ""},
		"it applies what it received before it moves":                        {third(stopped, server(func(s *cluster.ServerFact) { s.Replica.Received = position("0-1-103") })), "apply 0-1-103", ""},
		"it has more than the candidate so far, and waits":                   {third(stopped, server(func(s *cluster.ServerFact) { s.Executed = position("0-1-104") })), "", "db2 has not applied 0-1-101..104 yet"},
		"the candidate has all of it: it moves":                              {third(stopped), "follow db2 on", ""},
		"it has moved":                                                       {third(server(func(s *cluster.ServerFact) { s.Replica = following("db2") })), "", ""},
		"two acknowledgements per commit: it stays, for commits wait for it": {third(func(in *Input) { in.Record.Quorums[0].K = 2 }), "", ""},
		"the candidate's acknowledgement does not count: it stays":           {third(func(in *Input) { in.Record.Quorums[0].Members = []cluster.NodeName{"db3"} }), "", ""},
		"the candidate does not acknowledge yet: it stays":                   {third(peer("db2", func(f *cluster.Fact) { f.Server.Replica.SemiSync = false })), "", ""},
		"the candidate is not connected: it stays":                           {third(peer("db2", func(f *cluster.Fact) { f.Server.Replica.Receiver = false })), "", ""},
		"nobody's acknowledgement counts: it moves":                          {third(func(in *Input) { in.Record.Quorums[0].Members = nil }), "stop-replication", ""},
		"it follows somebody else: that is not touched now":                  {third(server(func(s *cluster.ServerFact) { s.Replica.Source = "db9" })), "", ""},

		"it lost what it wrote itself, and gets that back where it is": {third(func(in *Input) {
			lostItsOwn("db3")(in)
			in.Own.Server.ID = 3
		}), "", ""},
		"what it wrote itself is all there: it moves": {third(func(in *Input) {
			lostItsOwn("db3")(in)
			in.Own.Server.ID, in.Own.Server.Executed = 3, position("0-1-100,0-3-90")
		}), "stop-replication", ""},

		// The candidate.
		"the candidate follows on until the position is final": {handingOver(replicaOf()), "probe-addresses", ""},
		"commits wait on the old primary for an acknowledgement that got lost: it is repeated": {handingOver(replicaOf(), peer("db1", func(f *cluster.Fact) {
			f.Server.SemiSrc.Stuck, f.Server.Reading = true, 77
		})), "probe-addresses ack-again", ""},
		"the candidate applies the final position":                 {handingOver(replicaOf(), drained), "probe-addresses apply 0-1-110", ""},
		"it has the final position: it stops receiving":            {handingOver(replicaOf(), drained, server(func(s *cluster.ServerFact) { s.Executed = position("0-1-110") })), "probe-addresses stop-replication db1", ""},
		"it has the final position, and has nothing left to stop":  {handingOver(replicaOf(), drained, stopped, server(func(s *cluster.ServerFact) { s.Executed = position("0-1-110") })), "probe-addresses", ""},
		"a final position of another handoff is not taken for one": {handingOver(replicaOf(), peer("db1", func(f *cluster.Fact) { f.Drained = &cluster.Position{Epoch: 4, At: position("0-1-90")} })), "probe-addresses", ""},
	} {
		t.Run(name, func(t *testing.T) {
			plan := Next(tt.in)
			var steps []string
			for _, s := range plan.Steps {
				steps = append(steps, s.String())
			}
			if got := strings.Join(steps, " "); got != tt.steps {
				t.Errorf("steps %q, want %q (%s)", got, tt.steps, plan.Waits)
			}
			if tt.waits != "" && plan.Waits != tt.waits {
				t.Errorf("waits for %q, want %q", plan.Waits, tt.waits)
			}
		})
	}
}

// TestPlannedPromotionTakesTheLeaseEarly: the candidate of a planned switch was
// shown to hold everything; the one of a failover was not.
func TestPlannedPromotionTakesTheLeaseEarly(t *testing.T) {
	promoting := func(planned bool, changes ...change) Input {
		return replicaOf(append([]change{phase(cluster.PhasePromoting, 7, "db2", "db1"), func(in *Input) {
			in.Record.Planned, in.Record.Required = planned, position("0-1-100")
			in.Host.Done[ProbeAddresses] = 7
			cutOff("db1", "db3")(in)
		}}, changes...)...)
	}
	if plan := Next(promoting(true)); plan.Lease != 7 {
		t.Errorf("planned: lease of epoch %d wanted while it prepares, want 7", plan.Lease)
	}
	if plan := Next(promoting(false)); plan.Lease != 0 {
		t.Errorf("failover: lease of epoch %d wanted while it prepares, want none", plan.Lease)
	}
	still := Next(promoting(true, server(func(s *cluster.ServerFact) { s.Replica.Started = true })))
	if !slices.ContainsFunc(still.Steps, func(s Step) bool { return s.Kind == StopReplication && s.Node == "db1" }) {
		t.Errorf("a stop-replication of the handoff that is under way is not wanted any more: %v", still.Steps)
	}
}
