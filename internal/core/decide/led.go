package decide

import "github.com/baton-db/baton/internal/core/cluster"

// Led returns the primary to which a node leads what its host has for itself, such as
// the file of a proxy; empty: that stays as it is. It is the record's primary from the
// moment in which that one serves, and until there is another.
//
// A node that may not know the newest record changes nothing: its clients are led
// where they were, and whoever is not primary any more refuses them.
func Led(w World) cluster.NodeName {
	r := w.Record
	switch {
	case w.StoreSilent, w.WentBack != "", w.Unreadable != "", w.RecordRev == 0, r.Schema > cluster.Schema:
		return ""
	case r.Phase == cluster.PhasePromoting && w.fact(r.Primary).Serving != r.Epoch:
		return ""
	}
	return r.Primary
}
