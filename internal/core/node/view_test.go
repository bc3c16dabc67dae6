package node

import (
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/core/reconcile"
)

// TestAGateIsNoEvidence: what a node sees of one whose server it is shut out of
// is a gate of ours, also for a while after it opened, and whatever its agent
// remembers of it.
func TestAGateIsNoEvidence(t *testing.T) {
	const noon = cluster.Instant(time.Hour)
	down := cluster.LayerView{State: cluster.Down, Evidence: "connection refused"}
	fresh := func() *Node {
		n := &Node{Self: "db2", Settings: cluster.Settings{Lease: time.Second, Beat: time.Second}, Board: NewBoard()}
		n.SawLayer("db1", func(v *cluster.NodeView) { v.Server, v.Host = down, cluster.LayerView{State: cluster.Up} })
		return n
	}
	says := func(n *Node, now cluster.Instant) (cluster.NodeView, bool) {
		n.veil(now)
		v := n.publishView(now)
		if v == nil {
			return cluster.NodeView{}, false
		}
		return v.Of["db1"], true
	}
	if v, told := says(fresh(), noon); !told || v.Server != down {
		t.Errorf("nothing stands between, and it says %+v", v)
	}
	for name, shut := range map[string]func(*Node, bool){
		"its own path is blocked": func(n *Node, shut bool) {
			n.SawGate(reconcile.GateOpenRead, nil, map[bool][]cluster.NodeName{true: {"db1"}}[shut])
		},
		"it was cut off": func(n *Node, shut bool) {
			f := cluster.Fact{Node: "db1", AckCut: map[bool][]cluster.NodeName{true: {"db2"}}[shut]}
			n.Board.Facts["db1"] = decide.Seen[cluster.Fact]{Value: f}
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := fresh()
			shut(n, true)
			if v, told := says(n, noon); !told || v.Server.State != cluster.Unknown || v.Host.State != cluster.Up {
				t.Errorf("while it is shut out it says %+v", v)
			}
			shut(n, false)
			if v, told := says(n, noon.Add(999*time.Millisecond)); told && v.Server.State != cluster.Unknown {
				t.Errorf("let in again just now, it says %+v", v)
			}
			if v, told := says(n, noon.Add(1001*time.Millisecond)); !told || v.Server != down {
				t.Errorf("a lease later it still finds it down, and says %+v (%t)", v, told)
			}
		})
	}
}
