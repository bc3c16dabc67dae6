package reconcile

import (
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
)

// TestACutThatInterruptsAReturnIsNoDeadlock: db2 crashed as primary, lost the end
// of its log, and follows acknowledging to get it back. Before it had it, it was cut
// off and taken out of the ack set. The primary lets in only who says that it does
// not acknowledge.
func TestACutThatInterruptsAReturnIsNoDeadlock(t *testing.T) {
	left := func(in *Input) {
		in.Record.Quorums[0].Members = []cluster.NodeName{"db3"}
		in.Peers["db1"] = cluster.Fact{Node: "db1", Epoch: 5, Serving: 5, Server: cluster.ServerFact{Executed: position("0-1-100,0-2-90")}}
		in.Own.Server.ID = 2
	}
	for name, tt := range map[string]struct {
		in   Input
		want []Kind
	}{
		"it receives still: it goes on":            {replicaOf(left), nil},
		"cut off: it stops, so as not to skip":     {replicaOf(left, server(func(s *cluster.ServerFact) { s.Replica.Receiver = false })), []Kind{StopReplication}},
		"stopped: it says that it acknowledges no": {replicaOf(left, server(func(s *cluster.ServerFact) { s.Replica.Receiver, s.Replica.Started = false, false })), []Kind{SemiReplica}},
		"then it waits to be let in": {replicaOf(left, server(func(s *cluster.ServerFact) {
			s.Replica.Receiver, s.Replica.Started, s.Replica.SemiSync = false, false, false
		})), nil},
		"in the ack set: it follows, acknowledging": {replicaOf(left, server(func(s *cluster.ServerFact) {
			s.Replica.Receiver, s.Replica.Started, s.Replica.SemiSync = false, false, false
		}), func(in *Input) { in.Record.Quorums[0].Members = []cluster.NodeName{"db2", "db3"} }), []Kind{Follow}},
	} {
		t.Run(name, func(t *testing.T) {
			plan := Next(tt.in)
			var got []Kind
			for _, s := range plan.Steps {
				got = append(got, s.Kind)
				if s.On != (s.Kind == Follow) {
					t.Errorf("%s", s)
				}
			}
			if len(got) != len(tt.want) || len(got) > 0 && got[0] != tt.want[0] {
				t.Errorf("got %v (%s), want %v", plan.Steps, plan.Waits, tt.want)
			}
		})
	}
}

// TestNoReaderIsLetInWhileAnEarlierRecordsStepIsOnItsWay: db2 was about to take
// writes when its agent stood still. The lease is over, another has the role, and
// the reading that says read-only is from before. A gate that opened for readers,
// without a time limit, would let writers in.
func TestNoReaderIsLetInWhileAnEarlierRecordsStepIsOnItsWay(t *testing.T) {
	stoodStill := own(func(f *cluster.Fact) { f.RecordRev = 49 })
	shut := host(func(h *Host) { h.Gate = GateClosed })
	for name, tt := range map[string]struct {
		in   Input
		want string
	}{
		"a step of an earlier record is on its way: shut":           {replicaOf(shut, stoodStill), ""},
		"the lease's gate has run off, as the kernel does it: shut": {replicaOf(host(func(h *Host) { h.Gate = GateClosed }), stoodStill, closedAt(6)), ""},
		"none is on its way any more: readers are let in":           {replicaOf(shut), "gate-read-only"},
		"readers are in already, and stay":                          {replicaOf(stoodStill), ""},
		"its server is gone, whatever is on its way: shut":          {replicaOf(stoodStill, server(func(s *cluster.ServerFact) { s.State = cluster.ServerStopped })), "gate-close"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			for _, s := range Next(tt.in).Steps {
				if s.Lane == LaneGate {
					got = s.String()
				}
			}
			if got != tt.want {
				t.Errorf("gate step %q, want %q", got, tt.want)
			}
		})
	}
}

// closedAt is a host that was fenced at an epoch of its own.
func closedAt(epoch cluster.Epoch) change {
	return func(in *Input) { in.Lease, in.Own.Fenced = in.Lease.Latch(epoch), epoch }
}

// TestWhoMustAcknowledgeToComeBackIsLetInWhereNobodyCounts: db2 has lost what it
// wrote itself, which it gets only while it acknowledges. The primary, on its own
// by `alone: continue`, has cut it off.
func TestWhoMustAcknowledgeToComeBackIsLetInWhereNobodyCounts(t *testing.T) {
	alone := func(in *Input) {
		cutOff("db2")(in)
		in.Record.Quorums[0].Members, in.Own.Server.SemiSrc.Enabled = nil, false
		in.Peers["db2"] = cluster.Fact{Node: "db2", Epoch: 5, RecordRev: 50, Server: cluster.ServerFact{State: cluster.ServerUp, Replica: cluster.ReplicaFact{Source: "db1", SemiSync: true}}}
	}
	for name, tt := range map[string]struct {
		in   Input
		want string
	}{
		"commits wait for nobody: it is let in":                            {primaryOf(alone), "uncut-replica db2"},
		"db3 is about to be counted on, so commits wait: it stays cut off": {primaryOf(alone, func(in *Input) { in.Record.Joining = "db3" }), "semi-source on"},
		"it was being let in when db3 was called: it is cut off anew, and commits do not wait before that": {primaryOf(alone, func(in *Input) {
			in.Record.Joining, in.Own.AckCut = "db3", nil
			in.Peers["db3"] = cluster.Fact{Node: "db3", Epoch: 5}
		}), "cut-replica db2"},
	} {
		t.Run(name, func(t *testing.T) {
			var steps []string
			for _, s := range Next(tt.in).Steps {
				steps = append(steps, s.String())
			}
			if got := strings.Join(steps, ", "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestNobodyFollowsBeforeItIsKnownWhatItLost: db2 was primary once and dropped
// 0-2-98 and 0-2-99, which the new primary has received and not applied. From a
// position nobody can tell whose those are.
func TestNobodyFollowsBeforeItIsKnownWhatItLost(t *testing.T) {
	behind := func(in *Input) {
		in.Own.Server.ID, in.Own.Server.Executed = 2, position("0-1-100,0-2-97")
		in.Own.Server.Replica = cluster.ReplicaFact{}
		in.Record.Quorums[0].Members = []cluster.NodeName{"db3"}
		p := in.Peers["db1"]
		p.Server.Executed = position("0-1-97,0-2-97")
		received, err := p.Server.Executed.Through("0-1-100")
		if err != nil {
			t.Fatal(err)
		}
		p.Server.Replica.Received = received
		in.Peers["db1"] = p
	}
	applied := func(at string) change {
		return func(in *Input) {
			p := in.Peers["db1"]
			p.Server.Executed, p.Server.Replica = position(at), cluster.ReplicaFact{}
			in.Peers["db1"] = p
		}
	}
	counted := func(in *Input) { in.Record.Quorums[0].Members = []cluster.NodeName{"db2", "db3"} }
	for name, tt := range map[string]struct {
		in   Input
		want string
	}{
		"the primary has not applied everything: it waits": {replicaOf(behind), ""},
		"it acknowledges, so it skips nothing: it follows": {replicaOf(behind, counted), "follow db1 on"},
		"nothing of it was its own: it follows":            {replicaOf(behind, applied("0-1-100,0-2-97")), "follow db1"},
		"it has lost something: it waits to be counted on": {replicaOf(behind, applied("0-1-100,0-2-99")), ""},
	} {
		t.Run(name, func(t *testing.T) {
			var steps []string
			plan := Next(tt.in)
			for _, s := range plan.Steps {
				steps = append(steps, s.String())
			}
			if got := strings.Join(steps, ", "); got != tt.want {
				t.Errorf("got %q, want %q (%s)", got, tt.want, plan.Waits)
			}
		})
	}
}

// TestAPrimaryThatDiedInAHandoffIsNotGivenTheRoleBack: db1 handed over, died, and
// dropped what its replicas had acknowledged. The handoff is rolled back meanwhile:
// nobody was elected, so Required says nothing of what db1 must hold.
func TestAPrimaryThatDiedInAHandoffIsNotGivenTheRoleBack(t *testing.T) {
	back := func(reason cluster.Reason, start string) Input {
		return primaryOf(phase(cluster.PhasePromoting, 6, "db1", "db1"), func(in *Input) {
			in.Lease, in.Record.Reason = lease.Held{}, reason
			in.Record.Quorums = append(in.Record.Quorums, cluster.AckQuorum{Epoch: 6, Primary: "db1", Members: []cluster.NodeName{"db2", "db3"}, K: 1, Start: start})
			in.Own.Server.ReadOnly, in.Host.Gate = true, GateClosed
		})
	}
	for name, tt := range map[string]struct {
		in     Input
		fenced bool
	}{
		"another life of the server: it is fenced, and an election follows": {back(cluster.HandoffTimedOut, "s0"), true},
		"likewise if the candidate was lost":                                {back(cluster.HandoffAborted, "s0"), true},
		"the same life has everything: it goes on":                          {back(cluster.HandoffTimedOut, "s1"), false},
		"it was elected: it may have served before it restarted":            {back(cluster.LeaseExpired, "s0"), true},
	} {
		t.Run(name, func(t *testing.T) {
			plan := Next(tt.in)
			if plan.Has(Fence) != tt.fenced || (plan.Lease == 0) != tt.fenced {
				t.Errorf("steps %v, lease of epoch %d", plan.Steps, plan.Lease)
			}
		})
	}
}
