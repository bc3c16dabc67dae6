package node

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/core/lease"
)

// The keys of the record and of the lease, as Board.Unreadable names them.
const (
	RecordKey = "record"
	LeaseKey  = "lease"
)

// Board is what this node has seen of the store, with when it saw it.
type Board struct {
	Record    cluster.Record
	RecordRev cluster.Revision
	PhaseAt   cluster.Instant
	Newest    cluster.Epoch // the highest epoch ever seen, over restarts too

	Lease    lease.Watch
	Facts    map[cluster.NodeName]decide.Seen[cluster.Fact]
	Views    map[cluster.NodeName]decide.Seen[cluster.View]
	Requests map[string]decide.Seen[cluster.Request]
	// Word is the newest reign of which its primary told this node directly that
	// clients can pass its gate.
	Word decide.Word
	// Pace is how many transactions a second a server was last seen to apply. It
	// is for people; nothing is decided on it.
	Pace map[cluster.NodeName]float64

	// Walls are the other nodes' wall clocks, in Unix seconds as they would be when
	// this node's own clock of instants was at its start: by facts that were
	// written while this node watched.
	Walls map[cluster.NodeName]int64

	// WentBack says that the store's record is of an older epoch than Newest.
	WentBack string

	// Unreadable are keys whose value this build cannot read, with why. While
	// the record is among them, or a newer version's lease, nothing is decided.
	Unreadable map[string]error
}

// NewBoard returns a board on which nothing has been seen.
func NewBoard() Board {
	return Board{
		Facts:      map[cluster.NodeName]decide.Seen[cluster.Fact]{},
		Views:      map[cluster.NodeName]decide.Seen[cluster.View]{},
		Requests:   map[string]decide.Seen[cluster.Request]{},
		Unreadable: map[string]error{},
		Pace:       map[cluster.NodeName]float64{},
		Walls:      map[cluster.NodeName]int64{},
	}
}

// Told takes in what a primary says directly. An older reign's word is no news.
func (b *Board) Told(w decide.Word) {
	if w.Epoch > b.Word.Epoch {
		b.Word = w
	}
}

// SawRecord takes in a version of the record. It reports whether it is news;
// one of an older epoch than has been seen before never is.
func (b *Board) SawRecord(r cluster.Record, rev cluster.Revision, now cluster.Instant) bool {
	if rev <= b.RecordRev || r.Epoch < b.Newest {
		return false
	}
	if r.Epoch != b.Record.Epoch || r.Phase != b.Record.Phase {
		b.PhaseAt = now
	}
	b.Record, b.RecordRev, b.Newest = r, rev, r.Epoch
	delete(b.Unreadable, RecordKey)
	b.WentBack = ""
	return true
}

// SawLease takes in a version of the lease key. It reports whether it is news.
func (b *Board) SawLease(l cluster.Lease, rev cluster.Revision, now cluster.Instant) bool {
	if rev <= b.Lease.Rev {
		return false
	}
	heard := b.Lease.HeardAt
	b.Lease = lease.Watch{Rev: rev, Holder: l.Holder, Epoch: l.Epoch, Agent: l.Agent, Length: l.Length, SeenAt: now, HeardAt: heard}
	return true
}

// CannotRead takes in a value that this build cannot read, and keeps what it has
// read of that key before. A lease that is damaged was written all the same: its
// end is counted from now, and whoever acts upon it names this version of it.
func (b *Board) CannotRead(key string, why error, rev cluster.Revision, now cluster.Instant) {
	b.Unreadable[key] = why
	if key == LeaseKey && !errors.Is(why, cluster.ErrNewer) && rev > b.Lease.Rev {
		b.Lease.Rev, b.Lease.SeenAt = rev, now
	}
}

// newerLease is why the lease cannot be read, if a newer version wrote it.
func (b *Board) newerLease() error {
	if why := b.Unreadable[LeaseKey]; errors.Is(why, cluster.ErrNewer) {
		return why
	}
	return nil
}

// SawFact takes in a version of n's fact.
func (b *Board) SawFact(n cluster.NodeName, f cluster.Fact, rev cluster.Revision, now cluster.Instant) {
	before, known := b.Facts[n]
	if rev <= before.Rev || known && f.Agent == before.Value.Agent && f.Seq < before.Value.Seq {
		return // an older one that was under way for longer
	}
	seen := decide.Seen[cluster.Fact]{Value: f, Rev: rev, At: now, MovedAt: before.MovedAt}
	if !known || before.Value.Progress != f.Progress || before.Value.Epoch != f.Epoch || before.Value.Agent != f.Agent {
		seen.MovedAt = now
	}
	b.Facts[n] = seen
	if known && f.Wall != 0 {
		b.Walls[n] = f.Wall - seconds(now)
	}
	applied, gap := f.Server.Executed.Subtract(before.Value.Server.Executed).Count(), now.Sub(before.At)
	switch was := before.Value.Server; {
	case !known || gap <= 0:
	case applied > 0:
		b.Pace[n] = float64(applied) / gap.Seconds()
	case gap >= standstill && !was.Executed.Contains(was.Replica.Received):
		delete(b.Pace, n) // it had something to apply, and applied nothing
	}
}

// standstill is how long a server must have applied nothing of what it had received
// before the pace that it had is no word on the one to come.
const standstill = 500 * time.Millisecond

// SawView takes in a version of n's view.
func (b *Board) SawView(n cluster.NodeName, v cluster.View, rev cluster.Revision, now cluster.Instant) {
	if rev > b.Views[n].Rev {
		b.Views[n] = decide.Seen[cluster.View]{Value: v, Rev: rev, At: now}
	}
}

// SawRequest takes in a version of a request.
func (b *Board) SawRequest(q cluster.Request, rev cluster.Revision, now cluster.Instant) {
	if rev > b.Requests[q.ID].Rev {
		b.Requests[q.ID] = decide.Seen[cluster.Request]{Value: q, Rev: rev, At: now}
	}
}

// Asked returns the requests, oldest first.
func (b *Board) Asked() []decide.Seen[cluster.Request] {
	var all []decide.Seen[cluster.Request]
	for _, q := range b.Requests {
		all = append(all, q)
	}
	slices.SortFunc(all, func(x, y decide.Seen[cluster.Request]) int {
		return cmp.Or(cmp.Compare(x.Rev, y.Rev), cmp.Compare(x.Value.ID, y.Value.ID))
	})
	return all
}

// Peers returns the newest fact of every node.
func (b *Board) Peers() map[cluster.NodeName]cluster.Fact {
	facts := make(map[cluster.NodeName]cluster.Fact, len(b.Facts))
	for n, seen := range b.Facts {
		facts[n] = seen.Value
	}
	return facts
}
