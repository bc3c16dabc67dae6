package reconcile

import (
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
)

func TestAServersDataIsReplacedOnlyOnceNobodyCountsOnIt(t *testing.T) {
	reclone := func(in *Input) {
		in.Record.Rejoin = &cluster.Rejoin{ID: "r1", Node: "db2", Method: cluster.Reclone, Donor: "db3"}
	}
	left := func(in *Input) {
		in.Record.Quorums = []cluster.AckQuorum{{Epoch: 5, Primary: "db1", Members: []cluster.NodeName{"db3"}, K: 1}}
	}
	stopped := server(func(s *cluster.ServerFact) { s.State = cluster.ServerStopped })
	held := own(func(f *cluster.Fact) { f.Held = "it has transactions that the primary does not" })
	async := func(in *Input) { in.Settings.Durability = cluster.Async; left(in); in.Record.Quorums[0].K = 0 }
	electing := phase(cluster.PhaseElecting, 6, "", "db1")
	shut := host(func(h *Host) { h.Gate = GateClosed })
	for name, tt := range map[string]struct {
		in    Input
		steps string
	}{
		"a member of the ack set stops receiving first":                    {replicaOf(reclone), "stop-replication"},
		"and waits until it has left the set":                              {replicaOf(reclone, detached), ""},
		"it is counted on as one that joins, too":                          {replicaOf(reclone, left, detached, func(in *Input) { in.Record.Joining = "db2" }), ""},
		"one that still receives stops":                                    {replicaOf(reclone, left), "stop-replication"},
		"one that would acknowledge switches that off":                     {replicaOf(reclone, left, detached, server(func(s *cluster.ServerFact) { s.Replica.SemiSync = true })), "semi-replica off"},
		"then it gets its data":                                            {replicaOf(reclone, left, detached), "reclone db3"},
		"so does a server that does not run, and it is not started before": {replicaOf(reclone, left, stopped, shut, host(func(h *Host) { h.Startable = true })), "reclone db3"},
		"another node's rejoin is none of its business":                    {replicaOf(reclone, func(in *Input) { in.Record.Rejoin.Node = "db3" }), ""},
		"once it has done its part it follows":                             {replicaOf(reclone, left, detached, own(func(f *cluster.Fact) { f.Rejoined = &cluster.RejoinResult{ID: "r1"} })), "follow db1"},
		"one that a primary of before still counts on takes part in the election": {replicaOf(reclone, detached, electing, func(in *Input) {
			in.Peers = nil
		}), "probe-addresses promise"},
		"a copy goes on during an election that does not need it":   {replicaOf(reclone, left, stopped, shut, electing), "reclone db3"},
		"so does that of a diverged server":                         {replicaOf(reclone, left, detached, held, shut, electing), "reclone db3"},
		"in async mode its data may be the best there is: it stops": {replicaOf(reclone, async, detached, electing), "probe-addresses promise"},
		"in async mode one without a server has nothing to lose":    {replicaOf(reclone, async, stopped, shut, electing), "reclone db3"},
		"the primary never":                                          {primaryOf(func(in *Input) { in.Record.Rejoin = &cluster.Rejoin{ID: "r1", Node: "db1", Method: cluster.Reclone} }), ""},
		"a rewind needs a server that runs":                          {replicaOf(reclone, left, stopped, shut, host(func(h *Host) { h.Startable = true }), func(in *Input) { in.Record.Rejoin.Method = cluster.Rewind }), "start-server"},
		"what its server has beyond the primary is undone":           {replicaOf(reclone, left, detached, held, shut, func(in *Input) { in.Record.Rejoin.Method = cluster.Rewind }), "rewind db1"},
		"a way back that a later version knows changes nothing here": {replicaOf(reclone, left, func(in *Input) { in.Record.Rejoin.Method = "time-travel" }, server(func(s *cluster.ServerFact) { s.Replica.SemiSync = false; s.Replica.Started = false })), "follow db1"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, s := range Next(tt.in).Steps {
				got = append(got, s.String())
			}
			if text := strings.Join(got, " "); text != tt.steps {
				t.Errorf("steps %q, want %q (waits: %s)", text, tt.steps, Next(tt.in).Waits)
			}
		})
	}
}

// A copy that is under way is not begun anew because the record changed: only
// another request, or another donor, is another step.
func TestACopyGoesOnOverChangesOfTheRecord(t *testing.T) {
	a := Step{Kind: Reclone, Lane: LaneServer, Node: "db3", Asked: "r1"}
	b := a
	b.Asked = "r2"
	if a.Key() == b.Key() || a.Key() != (Step{Kind: Reclone, Node: "db3", Asked: "r1"}).Key() {
		t.Error("the key of the step")
	}
}
