package node

import (
	"slices"

	"github.com/baton-db/baton/internal/core/cluster"
)

// SawLayer takes in what a watcher of another node concluded.
func (n *Node) SawLayer(of cluster.NodeName, change func(*cluster.NodeView)) {
	if n.View == nil {
		n.View = map[cluster.NodeName]cluster.NodeView{}
	}
	v := n.View[of]
	change(&v)
	n.View[of] = v
	n.ViewNews = true
}

// veil keeps track of the nodes that this one cannot look at, because a gate of
// ours stands between: it blocked its own path, or was cut off. What it sees of
// their servers is the gate. For a lease after that, which is longer than a
// watcher takes to look twice, it may still be what was seen before.
func (n *Node) veil(now cluster.Instant) {
	for of := range n.View {
		if slices.Contains(n.Host.Blocked, of) || slices.Contains(n.Board.Facts[of].Value.AckCut, n.Self) {
			if n.veiled == nil {
				n.veiled = map[cluster.NodeName]cluster.Instant{}
			}
			if _, veiled := n.veiled[of]; !veiled {
				n.ViewNews = true
			}
			n.veiled[of] = now.Add(n.Settings.Lease)
		}
	}
	for of, until := range n.veiled {
		if now >= until {
			delete(n.veiled, of)
			n.ViewNews = true
		}
	}
}

// publishView returns this node's view to be written if it has changed, or at
// the beat.
func (n *Node) publishView(now cluster.Instant) *cluster.View {
	if !n.ViewNews && now.Sub(n.viewAt) < n.Settings.Beat {
		return nil
	}
	n.ViewNews = false
	n.viewSeq++
	n.viewAt = now
	v := cluster.View{Schema: cluster.Schema, Observer: n.Self, Agent: n.Agent, Seq: n.viewSeq, Of: map[cluster.NodeName]cluster.NodeView{}}
	for of, seen := range n.View {
		if _, veiled := n.veiled[of]; veiled {
			seen = cluster.NodeView{Host: seen.Host}
		}
		v.Of[of] = seen
	}
	return &v
}
