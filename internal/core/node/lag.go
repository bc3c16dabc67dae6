package node

import (
	"slices"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

// lagSamples is how many positions of primaries are remembered. They thin out with
// age: what is long ago need not be known to the second.
const lagSamples = 96

// Lag is how far a replica's server is behind in time, judged by positions: once it
// has applied all that a primary was seen to have at a moment, it is behind by no more
// than what has passed since. It is no finer than the beat at which primaries tell
// theirs. The zero value knows nothing.
type Lag struct {
	seen []positionAt // oldest first
}

type positionAt struct {
	at       cluster.Instant
	executed gtid.Set
}

// Saw takes in what the primary's server had at that instant, or after it.
func (l *Lag) Saw(at cluster.Instant, executed gtid.Set) {
	if executed.IsZero() || len(l.seen) > 0 && l.seen[len(l.seen)-1].at >= at {
		return
	}
	if n := len(l.seen); n > 0 && l.seen[n-1].executed.Equal(executed) {
		l.seen[n-1].at = at // nothing was written meanwhile
		return
	}
	l.seen = append(l.seen, positionAt{at, executed})
	if len(l.seen) <= lagSamples {
		return
	}
	thinner := l.seen[:0]
	for i, s := range l.seen {
		if i >= lagSamples/2 || i%2 == 0 {
			thinner = append(thinner, s)
		}
	}
	clear(l.seen[len(thinner):])
	l.seen = thinner
}

// AppliedAt is the newest instant up to which a server that has this position has
// everything; false if none is known.
func (l *Lag) AppliedAt(executed gtid.Set) (cluster.Instant, bool) {
	for _, s := range slices.Backward(l.seen) {
		if executed.Contains(s.executed) {
			return s.at, true
		}
	}
	return 0, false
}
