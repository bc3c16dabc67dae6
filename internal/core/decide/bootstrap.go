package decide

import (
	"fmt"
	"slices"

	"github.com/baton-db/baton/internal/core/cluster"
)

// bootstrap writes the first record of a cluster. It waits until every node's
// agent has reported, for a node that is missing could be the one that clients
// write to. One writable server is adopted as it is; if none is writable, the
// one that the others replicate from, else the one that holds everything, is
// elected like after a failure.
func bootstrap(w World, now cluster.Instant) Outcome {
	var missing, observing, writable, sources []cluster.NodeName
	for _, n := range w.Settings.Nodes {
		f := w.fact(n.Name)
		switch {
		case !w.fresh(n.Name, now, w.staleAfter()):
			missing = append(missing, n.Name)
		case n.Role == cluster.Witness:
		case f.Server.State != cluster.ServerUp:
			missing = append(missing, n.Name)
		case f.Mode == cluster.Observe:
			observing = append(observing, n.Name)
		default:
			if !f.Server.ReadOnly {
				writable = append(writable, n.Name)
			}
			if s := f.Server.Replica.Source; s != "" && !slices.Contains(sources, s) {
				sources = append(sources, s)
			}
		}
	}
	switch {
	case len(missing) > 0:
		return stay(cluster.AwaitingNodes, fmt.Sprintf("not heard of, or without an answering server: %s", list(missing)))
	case len(observing) > 0:
		return stay(cluster.ObserveOnly, fmt.Sprintf("%s only observe: nothing could fence or promote their servers (mode: active)", list(observing)))
	case len(w.differing(now)) > 0:
		return stay(cluster.ConfigDiffers, fmt.Sprintf("%s runs with other settings than %s", list(w.differing(now)), w.Self))
	case len(writable) > 1:
		return stay(cluster.TwoWritable, fmt.Sprintf("%s are writable: set read_only on all but the one that clients use", list(writable)))
	case len(writable) == 1:
		return adopt(w, writable[0])
	}
	first := cluster.Record{Schema: cluster.Schema, Epoch: firstEpoch(w), Phase: cluster.PhaseElecting, Forced: unknownBefore(w),
		// Nothing was promised to anybody yet, so every data node is asked.
		Quorums: []cluster.AckQuorum{{Members: w.Settings.DataNodes(), K: 1}}}
	if len(sources) == 1 && w.fact(sources[0]).Server.Replica.Source == "" {
		first.Candidate = sources[0]
	}
	return swap(first, cluster.Bootstrapped, "no server is writable: all are asked what they hold")
}

// firstEpoch is 1, unless the nodes remember reigns of a store that is gone: then
// it is greater than all of them, or agents would refuse the record as an old one
// and servers take its marker for an older reign's.
func firstEpoch(w World) cluster.Epoch {
	newest := cluster.Epoch(0)
	for _, n := range w.Settings.Nodes {
		f := w.fact(n.Name)
		newest = max(newest, f.Seen, f.Server.Marker)
	}
	return newest + 1
}

// unknownBefore is the first epoch of a store that is founded anew: what its
// predecessor had decided by force nobody knows.
func unknownBefore(w World) cluster.Epoch {
	if first := firstEpoch(w); first > 1 {
		return first
	}
	return 0
}

// adopt begins the first reign with the server that clients write to already.
// Until its marker is acknowledged, only its own data may be elected.
func adopt(w World, p cluster.NodeName) Outcome {
	for _, n := range w.Settings.DataNodes() {
		f := w.fact(n).Server
		if n == p {
			continue
		}
		if f.Replica.Source != p {
			return stay(cluster.NoOneHoldsAll, fmt.Sprintf("%s is writable, but %s does not replicate from it: point it there, or set %s read-only to let baton elect", p, n, p))
		}
	}
	var members []cluster.NodeName
	for _, n := range w.Settings.DataNodes() {
		if n != p {
			members = append(members, n)
		}
	}
	first := cluster.Record{Schema: cluster.Schema, Epoch: firstEpoch(w), Phase: cluster.PhasePromoting, Primary: p, Forced: unknownBefore(w)}
	w.Record = first
	if w.Settings.Durability == cluster.Lossless {
		w.Record.Quorums = []cluster.AckQuorum{{Primary: p, K: w.Settings.Acks}}
	}
	first.Quorums = reign(w, first.Epoch, p, members)
	return swap(first, cluster.Bootstrapped, fmt.Sprintf("%s is writable and the others replicate from it", p))
}
