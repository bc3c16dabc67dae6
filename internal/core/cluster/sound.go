package cluster

import (
	"fmt"
	"slices"
)

// lastEpoch is greater than any epoch that a cluster could come to. A greater
// one in the store is damage, and adding to it could overflow.
const lastEpoch = Epoch(1) << 62

// sound refuses a record that no decision could have led to. Whoever acted upon
// it would fence a primary that is well.
func (r Record) sound() error {
	named := r.Primary != ""
	switch r.Phase {
	case PhaseSteady, PhaseHandoff, PhasePromoting:
		if !named {
			return fmt.Errorf("phase %s and no primary: it is damaged", r.Phase)
		}
	case PhaseFencing, PhaseElecting:
		if named {
			return fmt.Errorf("phase %s, and %s is primary: it is damaged", r.Phase, r.Primary)
		}
	default:
		return fmt.Errorf("phase %q: %w", r.Phase, ErrNewer)
	}
	switch {
	case r.Epoch < 1 || r.Epoch > lastEpoch:
		return fmt.Errorf("epoch %d is none: it is damaged", r.Epoch)
	case r.Phase == PhaseHandoff && r.Candidate == "":
		return fmt.Errorf("phase %s and no candidate: it is damaged", r.Phase)
	case slices.ContainsFunc(r.Quorums, func(q AckQuorum) bool { return q.K < 0 || slices.Contains(q.Members, "") }):
		return fmt.Errorf("a quorum that cannot be (%+v): it is damaged", r.Quorums)
	}
	return nil
}

// sound refuses a fact of epochs that there cannot be.
func (f Fact) sound() error {
	newest := max(f.Epoch, f.Seen, f.Fenced, f.ClientsReset, f.Muted, f.Serving, f.Marked, f.Endpoints, f.Server.Marker)
	if f.Promise != nil {
		newest = max(newest, f.Promise.Epoch, f.Promise.Marker)
	}
	if f.Drained != nil {
		newest = max(newest, f.Drained.Epoch)
	}
	if newest > lastEpoch {
		return fmt.Errorf("epoch %d is none: it is damaged", newest)
	}
	return nil
}
