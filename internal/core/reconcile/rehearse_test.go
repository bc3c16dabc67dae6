package reconcile

import (
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
)

// TestRehearse holds all the steps of a host, in order, against a sentence
// about it.
func TestRehearse(t *testing.T) {
	unmanaged := func(in *Input) {
		in.Lease, in.Host.Gate, in.Host.Bound, in.Host.Done = lease.Held{}, GateMissing, 0, nil
		in.Record.Epoch, in.Record.Phase = 1, cluster.PhasePromoting
		in.Record.Quorums = []cluster.AckQuorum{{Epoch: 1, Primary: "db1", Members: []cluster.NodeName{"db2", "db3"}, K: 1}}
		in.Own.Epoch, in.Own.Marked, in.Own.Endpoints, in.Own.Server.SemiSrc, in.Own.Server.Replica.SemiSync = 1, 0, 0, cluster.SemiSyncFact{}, false
		in.Peers = map[cluster.NodeName]cluster.Fact{}
		for _, n := range []cluster.NodeName{"db1", "db2", "db3"} {
			in.Peers[n] = cluster.Fact{Node: n, Epoch: 1, Mode: cluster.Active, Server: cluster.ServerFact{State: cluster.ServerUp, Executed: position("0-1-100")}}
		}
	}
	electing := func(in *Input) {
		in.Record.Epoch, in.Record.Phase, in.Record.Previous, in.Record.Primary = 6, cluster.PhaseElecting, "db1", ""
	}
	chosen := func(in *Input) {
		electing(in)
		in.Record.Phase, in.Record.Primary, in.Record.Required = cluster.PhasePromoting, "db2", position("0-1-105")
		in.Record.Quorums = []cluster.AckQuorum{{Epoch: 6, Primary: "db2", Members: []cluster.NodeName{"db3"}, K: 1}}
		in.Own.Server.Replica.Received = position("0-1-105")
		in.Peers["db3"] = cluster.Fact{Node: "db3", Epoch: 6, Server: cluster.ServerFact{State: cluster.ServerUp}}
	}
	noAddress := host(func(h *Host) { h.Addresses = 0 })
	for name, tt := range map[string]struct {
		in    Input
		steps string
	}{
		"a primary that is well has nothing to do": {primaryOf(), ""},
		"a replica that is well has nothing to do": {replicaOf(), ""},
		"a running primary is adopted": {primaryOf(unmanaged),
			"probe-addresses, promote on, gate, address, verify, marker, events"},
		"without virtual addresses, too":           {primaryOf(unmanaged, noAddress), "promote on, gate, verify, marker, events"},
		"its replica is adopted":                   {replicaOf(unmanaged), "gate-read-only, semi-replica on"},
		"a replica takes part in an election":      {replicaOf(electing), "probe-addresses, promise"},
		"it wins: applies, then promotes":          {replicaOf(chosen), "cut-replica db1, probe-addresses, apply 0-1-105, promote on, gate, writable, address, verify, marker, events"},
		"the primary's server has died: it fences": {primaryOf(server(func(s *cluster.ServerFact) { s.State = cluster.ServerStopped })), "fence"},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(tt.in.Host.Done)
			steps, after := Rehearse(tt.in)
			var texts []string
			for _, s := range steps {
				texts = append(texts, s.String())
				if s.InWords() == s.String() {
					t.Errorf("%s is not said in words", s)
				}
			}
			if got := strings.Join(texts, ", "); got != tt.steps {
				t.Errorf("got  %s\nwant %s", got, tt.steps)
			}
			if again, _ := Rehearse(after); len(again) != 0 && tt.in.Record.Phase != cluster.PhaseElecting {
				t.Errorf("afterwards there is still to do: %v", again)
			}
			if len(tt.in.Host.Done) != before {
				t.Error("a rehearsal has changed what the host has done")
			}
		})
	}
}
