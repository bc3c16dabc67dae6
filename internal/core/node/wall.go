package node

import (
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// wall is the time of day, in Unix seconds, that most nodes agree on: the limits on
// automatic failovers rest on it, over restarts of agents too, and a node whose
// clock is wrong must neither break them nor hold the others up. It is the median of
// all clocks that this node knows of. Where there is no middle one, as of two, it
// goes by its own.
func (n *Node) wall(own time.Time, now cluster.Instant) int64 {
	self := own.Unix()
	all := []int64{self}
	for node, wall := range n.Board.Walls {
		if _, member := n.Settings.Node(node); member && node != n.Self {
			all = append(all, wall+seconds(now))
		}
	}
	slices.Sort(all)
	low, high := all[(len(all)-1)/2], all[len(all)/2]
	return min(max(self, low), high)
}

// seconds is an instant in whole seconds, as wall clocks are told here.
func seconds(t cluster.Instant) int64 { return int64(t / cluster.Instant(time.Second)) }
