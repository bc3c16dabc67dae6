package node

import (
	"slices"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// TestConditionsOfANodeThatOnlyObserves: it says what nobody keeps in order on its
// host, keeps saying it since the same moment, and says nothing of a gate and a
// lease that it is not meant to have.
func TestConditionsOfANodeThatOnlyObserves(t *testing.T) {
	n := Node{
		Self: "db2", Mode: cluster.Observe, WantRealtime: true, Conditions: Conditions{},
		Settings: cluster.Settings{Durability: cluster.Lossless, Acks: 1, Nodes: []cluster.Node{{Name: "db1", Role: cluster.Data}, {Name: "db2", Role: cluster.Data}}},
	}
	n.Host.Gate = "missing"
	n.Board.RecordRev = 5
	n.Board.Record = cluster.Record{Epoch: 3, Phase: cluster.PhaseSteady, Primary: "db1", Quorums: []cluster.AckQuorum{{Epoch: 3, Primary: "db1", K: 1}}}
	n.Server = cluster.ServerFact{State: cluster.ServerUp, BinLog: true, LogUpdates: true, Replica: cluster.ReplicaFact{SemiSync: true}}
	look := func(at int64) []cluster.Condition {
		n.Assess(n.Own())
		return n.Conditions.list(time.Unix(at, 0))
	}
	reasons := func(all []cluster.Condition) (names []cluster.Reason) {
		for _, c := range all {
			names = append(names, c.Reason)
		}
		return names
	}
	first := look(1000)
	if got := reasons(first); !slices.Equal(got, []cluster.Reason{cluster.SemiSyncStranger, cluster.TwoWritable}) {
		t.Errorf("got %v", got)
	}
	if again := look(2000); !slices.Equal(again, first) {
		t.Errorf("nothing has changed, and %v became %v", first, again)
	}
	n.Server.ReadOnly, n.Server.Replica.SemiSync = true, false
	if left := look(3000); len(left) > 0 {
		t.Errorf("got %v", left)
	}
}
