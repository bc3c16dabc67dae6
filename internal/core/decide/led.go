package decide

import "github.com/baton-db/baton/internal/core/cluster"

// Led returns the primary to which a node leads what its host has for itself, such as
// the file of a proxy; empty: that stays as it is. It is the record's primary from the
// moment in which that one lets clients in, and until there is another.
//
// A node that may not know the newest record changes nothing: its clients are led
// where they were, and whoever is not primary any more refuses them.
func Led(w World) cluster.NodeName {
	r := w.Record
	switch {
	case w.StoreSilent, w.WentBack != "", w.Unreadable != "", w.RecordRev == 0, r.Schema > cluster.Schema:
		return ""
	case r.Phase == cluster.PhasePromoting && w.fact(r.Primary).Serving != r.Epoch && !w.Word.Is(r):
		return ""
	}
	return r.Primary
}

// Word is what a new primary tells the other nodes itself, past the store: clients can
// pass its gate. It is there sooner than the fact that says so, and for as long as its
// reign is the record's it stays said. It leads clients and decides nothing: whoever may
// not serve refuses them.
type Word struct {
	Of    cluster.NodeName
	Epoch cluster.Epoch
}

// Is reports whether it is the word of the record's primary for this reign.
func (w Word) Is(r cluster.Record) bool {
	return w.Of != "" && w.Of == r.Primary && w.Epoch == r.Epoch
}
