package decide

import (
	"fmt"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/core/candidate"
	"github.com/baton-db/baton/internal/core/cluster"
)

// choose decides the election of the present epoch.
func choose(w World, wanted cluster.NodeName, now cluster.Instant) (candidate.Choice, bool) {
	return candidate.Choose(w.election(w.Record.Previous, wanted, false, now))
}

// Preview tells who would be promoted by a planned switch now, and why not the
// others. wanted may be empty.
func Preview(w World, wanted cluster.NodeName, now cluster.Instant) (candidate.Choice, bool) {
	e := w.election(w.Record.Primary, wanted, true, now)
	for i := range e.Replicas {
		if r := &e.Replicas[i]; w.alive(r.Node.Name, now) && !w.follows(r.Node.Name, now) && r.Held == "" {
			r.Held = "it does not replicate from " + string(w.Record.Primary)
		}
	}
	return candidate.Choose(e)
}

func (w World) election(old, wanted cluster.NodeName, planned bool, now cluster.Instant) candidate.Election {
	e := candidate.Election{Sites: w.Sites, Old: old, Wanted: wanted, Planned: planned, Force: w.Record.Force, Quorums: w.quorums()}
	if n, ok := w.Settings.Node(old); ok {
		e.OldSite = n.Site
	}
	for _, n := range w.Settings.Nodes {
		if n.Role != cluster.Data || planned && n.Name == old {
			continue
		}
		r := candidate.Of(n, w.fact(n.Name), w.Record.Epoch)
		if m := w.Record.Maintained(n.Name); m != nil {
			r.Maintenance = strings.TrimSuffix(fmt.Sprintf("%s works on it: %s", m.By, m.Why), ": ")
		}
		for _, check := range w.Settings.FailOverOn {
			if s := w.fact(n.Name).Strained(check); s != nil && r.Strain == "" {
				r.Strain = s.Detail
			}
		}
		r.Unheard = !w.fresh(n.Name, now, w.electing(planned))
		for _, f := range w.Record.Failed {
			r.Failed = r.Failed || f == n.Name
		}
		e.Replicas = append(e.Replicas, r)
	}
	return e
}

// passedOver says in words why nobody was chosen.
func passedOver(c candidate.Choice) string {
	parts := make([]string, len(c.Passed))
	for i, p := range c.Passed {
		parts[i] = fmt.Sprintf("%s: %s", p.Node, p.Reason)
		if p.Detail != "" {
			parts[i] += " (" + p.Detail + ")"
		}
	}
	return "nobody can take over: " + strings.Join(parts, "; ")
}

// electing is how long a node may be silent and still be chosen. During an
// election facts are rewritten with every renewal interval, so silence tells
// sooner than in a steady reign.
func (w World) electing(planned bool) time.Duration {
	if planned {
		return w.staleAfter()
	}
	return w.Settings.Lease
}
