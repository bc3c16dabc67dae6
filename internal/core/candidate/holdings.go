package candidate

import (
	"fmt"
	"slices"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

func (r Replica) up() bool { return r.Server.State == cluster.ServerUp && !r.Unheard }

// restarted reports whether the server is another process than the one that
// the promise speaks of.
func (r Replica) restarted() bool { return r.Promise != nil && r.Promise.Start != r.Server.Start }

// holds returns what may be counted on at a node. What was received but not
// applied is gone once the server has stopped: MariaDB purges it, MySQL fetches
// it anew (relay_log_recovery), from a source that may be dead.
func (r Replica) holds(planned bool) gtid.Set {
	switch {
	case planned:
		return r.Server.Held()
	case r.Promise == nil:
		return gtid.Set{}
	case !r.up():
		// The applier went on after the promise: what it has applied since is not gone,
		// and may be the reason for which the promise still counts.
		return r.Promise.Executed.Union(r.Server.Executed)
	case r.restarted():
		return r.Server.Executed
	}
	// The applier goes on after the promise, within what was received. What it
	// applied names transactions that a position of MariaDB only covers.
	return r.Promise.Held().Union(r.Server.Executed)
}

// marker returns the newest reign that the node's applied data knows of.
func (r Replica) marker() cluster.Epoch {
	if r.Promise == nil {
		return 0
	}
	if r.up() && r.restarted() {
		return r.Server.Marker
	}
	return max(r.Promise.Marker, r.Server.Marker)
}

// sound reports whether everything that the node holds may be asked of the
// next primary: its promise stands, its server lives, it is not diverged and
// does not wait for a person.
func (r *runner) sound() bool {
	return r.Promise != nil && r.up() && !r.restarted() && r.Errant.IsZero() && r.Held == ""
}

// passOldEpochs passes over nodes whose data is of an earlier reign than
// another's. What only they have was never acknowledged in the newest one: it
// is the tail of a primary that was replaced.
//
// The marker is read from applied data, so a node may hold a newer one that it
// has received only. It does if it holds everything that a node with the newest
// marker has applied; conversely, a node that left the common history before
// that marker can hold no such thing.
func (f *field) passOldEpochs() {
	var newest cluster.Epoch
	for _, r := range f.runners {
		if r.sound() {
			newest = max(newest, r.marker())
		}
	}
	marked := slices.DeleteFunc(slices.Clone(f.runners), func(r *runner) bool { return !r.sound() || r.marker() < newest })
	reaches := (*runner).reaches
	if members, epoch := f.acknowledged(); epoch > newest && len(members) > 0 {
		newest, marked = epoch, members
		reaches = func(r, m *runner) bool { return r.holds.Contains(m.holds.Named()) }
	}
	for _, r := range f.runners {
		if r.Promise == nil || r.marker() >= newest || slices.Contains(marked, r) {
			continue
		}
		if slices.ContainsFunc(marked, func(m *runner) bool { return reaches(r, m) }) {
			continue
		}
		var known gtid.Set
		for _, m := range marked {
			known = known.Union(m.holds.Named()) // what they merely cover may be the tail's own
		}
		r.holds = r.holds.Subtract(r.holds.Subtract(known))
		if r.passed == "" {
			r.pass(cluster.PassedOldEpoch, fmt.Sprintf("its data is of epoch %d, the newest is %d", r.marker(), newest))
		}
	}
}

// acknowledged returns the newest reign whose marker is known to have been
// acknowledged, and the sound nodes that this election rests on: they acknowledged in
// it, or in one that was begun since. They have received that marker, if not all of
// them; that nobody has applied it yet does not make the tail of a primary before it
// the newest data.
func (f *field) acknowledged() (members []*runner, epoch cluster.Epoch) {
	if len(f.election.Quorums) == 0 || f.election.Quorums[0].K == 0 {
		return nil, 0
	}
	for _, r := range f.runners {
		if r.sound() && slices.ContainsFunc(f.election.Quorums, func(q cluster.AckQuorum) bool {
			return q.Primary == r.Node.Name || slices.Contains(q.Members, r.Node.Name)
		}) {
			members = append(members, r)
		}
	}
	return members, f.election.Quorums[0].Epoch
}

// reaches reports whether r has received everything that m has applied, and
// notes that it holds it.
//
// MariaDB's positions have gaps: a server that wrote up to 189, and again from
// 200 on, seems to have written 190 to 199 to whoever has the later ones, and
// seems not to have to one who has applied another server's 190 to 199 and only
// received the rest. Whoever received more than it applied was let in by its
// source at what it had applied, so that is a part of the common history: if m
// has all of it, r lacks nothing below.
func (r *runner) reaches(m *runner) bool {
	if r.holds.Contains(m.applied()) {
		return true
	}
	own := r.applied()
	if own.Contains(r.holds) || !m.applied().Contains(own) {
		return false
	}
	filled := r.holds.Covering(own)
	if !filled.Contains(m.applied()) {
		return false
	}
	r.holds = filled
	return true
}

// applied returns what a sound node's marker was read from, or more.
func (r *runner) applied() gtid.Set { return r.Promise.Executed.Union(r.Server.Executed) }

// require returns what the next primary must hold: everything that a client may
// have seen acknowledged, and whatever else the sound nodes have.
//
// A quorum's promises show everything acknowledged in its reign. Where those of
// the sound nodes suffice, a server that died after its promise holds nobody
// up. Where they do not, what the others certainly had must be had.
func (f *field) require() gtid.Set {
	var names []cluster.NodeName
	var sound, all gtid.Set
	for _, r := range f.runners {
		if r.sound() {
			names = append(names, r.Node.Name)
			sound = sound.Union(r.holds)
		}
		all = all.Union(r.holds.Subtract(r.Errant))
	}
	unsatisfied := func(q cluster.AckQuorum) bool { return !q.Satisfied(names) }
	enough := len(f.election.Quorums) > 0 && !slices.ContainsFunc(f.election.Quorums, unsatisfied)
	if enough || f.election.Force {
		return sound
	}
	return sound.Union(all)
}

// sourceFor returns the node from which r can fetch what it lacks: one that
// holds all that is required, and can be replicated from by r. It is empty if r
// lacks nothing, or nobody can give it.
func (f *field) sourceFor(r *runner) cluster.NodeName {
	if r.lacks.IsZero() {
		return ""
	}
	var best *runner
	for _, s := range f.runners {
		if s == r || !s.sound() || !s.lacks.IsZero() || !s.Server.BinLog || !s.Server.LogUpdates || s.release.newerThan(r.release) {
			continue
		}
		if best == nil || f.compareAsSource(s, best) < 0 {
			best = s
		}
	}
	if best == nil {
		return ""
	}
	return best.Node.Name
}

// compareAsSource puts first what serves soonest and most surely.
func (f *field) compareAsSource(a, b *runner) int {
	if a.Failed != b.Failed {
		if a.Failed {
			return 1
		}
		return -1
	}
	if order, _ := f.compareByLeftToApply(a, b); order != 0 {
		return order
	}
	order, _ := f.compareByName(a, b)
	return order
}
