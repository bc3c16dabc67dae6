// Package decide answers what the record should become next.
//
// Every node runs Next over the same shared facts and tries to swap in what it
// returns; exactly one swap wins. Next reads no clock and performs nothing. The
// rule that must not be broken: a record that ends a reign is returned only
// with a guard on the lease key's revision (Outcome.LeaseRev), so that a
// renewal this node has not seen makes the swap fail. design.md, section 6.
package decide

import (
	"maps"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/candidate"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
)

// Seen is a shared value with what this node knows of its arrival.
type Seen[T any] struct {
	Value T
	Rev   cluster.Revision
	At    cluster.Instant // when this node last saw it change
	// MovedAt is, for facts, when this node last saw its Progress change.
	MovedAt cluster.Instant
}

// World is everything that one node's decision rests on.
type World struct {
	Self     cluster.NodeName
	Config   string // hash of this node's settings
	Settings cluster.Settings
	Sites    []string // in order of preference

	Record    cluster.Record
	RecordRev cluster.Revision // 0: there is no record
	// WentBack, if not empty, says that the store holds a record of an older
	// epoch than this node has seen. Record is not that one.
	WentBack string
	// Unreadable, if not empty, says why this build cannot read the record or the
	// lease that the store holds. Record and Lease are what it could read last.
	Unreadable string
	PhaseAt    cluster.Instant // when this node first saw the present epoch and phase
	Lease      lease.Watch

	Facts    map[cluster.NodeName]Seen[cluster.Fact]
	Views    map[cluster.NodeName]Seen[cluster.View]
	Requests []Seen[cluster.Request] // oldest first
	// Word is what a primary told this node directly, ahead of its fact.
	Word Word

	Hooks Hooks

	// StoreSilent says that the store does not answer this node now.
	StoreSilent bool
	// HeardAt is when the store last came back after a silence.
	HeardAt cluster.Instant
	// AckSilentSince is, on the primary, since when a member of the ack set
	// does not acknowledge (TrackAcks).
	AckSilentSince map[cluster.NodeName]cluster.Instant
	// Pace is how many transactions a second each server was last seen to apply.
	Pace map[cluster.NodeName]float64
	// Wall is the time of day that most nodes agree on, in Unix seconds, for the
	// cool-down and the limit per hour alone.
	Wall int64
}

// Outcome is what one look at the world leads to.
type Outcome struct {
	// Next is the record to swap in; nil if it should stay as it is.
	Next *cluster.Record
	// LeaseRev, if not nil, is the revision the lease key must still have.
	LeaseRev *cluster.Revision
	// Done are requests that this swap carries out: deleted with it.
	Done []string
	// Refused are requests to be written back with their refusal.
	Refused []cluster.Request
	// Why is the reason of Next or, without one, for leaving things alone.
	Why    cluster.Reason
	Detail string
	// WakeAt is when to look again although nothing changed; 0: no need.
	WakeAt cluster.Instant
	// Choice is how the candidate was chosen, if one was.
	Choice *candidate.Choice
}

func stay(why cluster.Reason, detail string) Outcome { return Outcome{Why: why, Detail: detail} }

func (o Outcome) wake(at cluster.Instant) Outcome {
	if o.WakeAt == 0 || at < o.WakeAt {
		o.WakeAt = at
	}
	return o
}

// swap returns the outcome that replaces the record.
func swap(next cluster.Record, why cluster.Reason, detail string) Outcome {
	next.Reason, next.Detail = why, detail
	return Outcome{Next: &next, Why: why, Detail: detail}
}

// guarded makes the swap fail if the lease was renewed meanwhile.
func (o Outcome) guarded(w World) Outcome {
	rev := w.Lease.Rev
	o.LeaseRev = &rev
	return o
}

// staleAfter is how long a fact counts without having been rewritten.
func (w World) staleAfter() time.Duration {
	return max(3*w.Settings.Beat, w.Settings.AckLeave)
}

// fresh reports whether n's agent has been heard of lately.
func (w World) fresh(n cluster.NodeName, now cluster.Instant, within time.Duration) bool {
	seen, ok := w.Facts[n]
	return ok && now.Sub(max(seen.At, w.HeardAt)) <= within
}

func (w World) fact(n cluster.NodeName) cluster.Fact { return w.Facts[n].Value }

// alive reports that n's agent was heard of lately and its server answers.
func (w World) alive(n cluster.NodeName, now cluster.Instant) bool {
	return w.fresh(n, now, w.staleAfter()) && w.fact(n).Server.State == cluster.ServerUp
}

// observes reports that n's agent only observes: it sees what others see, and
// carries nothing out.
func (w World) observes(n cluster.NodeName) bool { return w.fact(n).Mode == cluster.Observe }

// differing returns nodes heard of lately whose settings are not ours.
func (w World) differing(now cluster.Instant) []cluster.NodeName {
	var names []cluster.NodeName
	for _, n := range slices.Sorted(maps.Keys(w.Facts)) {
		if w.fresh(n, now, w.staleAfter()) && w.fact(n).Config != w.Config {
			names = append(names, n)
		}
	}
	return names
}

// promised returns the promises for the present epoch, by node.
func (w World) promised() []cluster.NodeName {
	var names []cluster.NodeName
	for _, n := range w.Settings.DataNodes() {
		if p := w.fact(n).Promise; p != nil && p.Epoch == w.Record.Epoch {
			names = append(names, n)
		}
	}
	return names
}
