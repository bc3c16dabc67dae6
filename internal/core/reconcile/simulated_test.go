package reconcile

import (
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
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
