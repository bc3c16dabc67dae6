package decide

import (
	"slices"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Speaker is the node that tells people what happens in the cluster: the holder of
// the lease, and while nobody holds it, the first by name of those heard of lately.
// It is empty if there is none. Two nodes may disagree for a moment; nothing but
// messages depends on it.
func Speaker(w World, now cluster.Instant) cluster.NodeName {
	if h := w.Lease.Holder; h != "" && !w.Lease.Expired(now, w.Settings) && HeardOf(w, h, now) {
		return h
	}
	heard := slices.DeleteFunc(names(w.Settings.Nodes), func(n cluster.NodeName) bool { return !HeardOf(w, n, now) })
	if len(heard) == 0 {
		return ""
	}
	return slices.Min(heard)
}

// HeardOf reports whether a node's agent has said something lately.
func HeardOf(w World, n cluster.NodeName, now cluster.Instant) bool {
	return w.fresh(n, now, w.staleAfter())
}
