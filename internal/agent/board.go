package agent

import (
	"cmp"
	"slices"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/core/lease"
)

// board is what this node has seen of the store, with when it saw it. Only the
// loop touches it.
type board struct {
	record    cluster.Record
	recordRev cluster.Revision
	phaseAt   cluster.Instant
	newest    cluster.Epoch // the highest epoch ever seen, over restarts too

	lease    lease.Watch
	facts    map[cluster.NodeName]decide.Seen[cluster.Fact]
	views    map[cluster.NodeName]decide.Seen[cluster.View]
	requests map[string]decide.Seen[cluster.Request]

	// wentBack says that the store's record is of an older epoch than newest.
	wentBack string

	// unreadable are keys whose value this build cannot read, with why. While
	// the record is among them nothing is decided.
	unreadable map[string]string
}

func newBoard() board {
	return board{
		facts:      map[cluster.NodeName]decide.Seen[cluster.Fact]{},
		views:      map[cluster.NodeName]decide.Seen[cluster.View]{},
		requests:   map[string]decide.Seen[cluster.Request]{},
		unreadable: map[string]string{},
	}
}

// sawRecord takes in a version of the record. It reports whether it is news;
// one of an older epoch than has been seen before never is.
func (b *board) sawRecord(r cluster.Record, rev cluster.Revision, now cluster.Instant) bool {
	if rev <= b.recordRev || r.Epoch < b.newest {
		return false
	}
	if r.Epoch != b.record.Epoch || r.Phase != b.record.Phase {
		b.phaseAt = now
	}
	b.record, b.recordRev, b.newest = r, rev, r.Epoch
	return true
}

// sawLease takes in a version of the lease key.
func (b *board) sawLease(l cluster.Lease, rev cluster.Revision, now cluster.Instant) bool {
	if rev <= b.lease.Rev {
		return false
	}
	heard := b.lease.HeardAt
	b.lease = lease.Watch{Rev: rev, Holder: l.Holder, Epoch: l.Epoch, Agent: l.Agent, Length: l.Length, SeenAt: now, HeardAt: heard}
	return true
}

func (b *board) sawFact(n cluster.NodeName, f cluster.Fact, rev cluster.Revision, now cluster.Instant) {
	before, known := b.facts[n]
	if rev <= before.Rev {
		return
	}
	seen := decide.Seen[cluster.Fact]{Value: f, Rev: rev, At: now, MovedAt: before.MovedAt}
	if !known || before.Value.Progress != f.Progress || before.Value.Epoch != f.Epoch || before.Value.Agent != f.Agent {
		seen.MovedAt = now
	}
	b.facts[n] = seen
}

func (b *board) sawView(n cluster.NodeName, v cluster.View, rev cluster.Revision, now cluster.Instant) {
	if rev > b.views[n].Rev {
		b.views[n] = decide.Seen[cluster.View]{Value: v, Rev: rev, At: now}
	}
}

func (b *board) sawRequest(q cluster.Request, rev cluster.Revision, now cluster.Instant) {
	if rev > b.requests[q.ID].Rev {
		b.requests[q.ID] = decide.Seen[cluster.Request]{Value: q, Rev: rev, At: now}
	}
}

// asked returns the requests, oldest first.
func (b *board) asked() []decide.Seen[cluster.Request] {
	var all []decide.Seen[cluster.Request]
	for _, q := range b.requests {
		all = append(all, q)
	}
	slices.SortFunc(all, func(x, y decide.Seen[cluster.Request]) int {
		return cmp.Or(cmp.Compare(x.Rev, y.Rev), cmp.Compare(x.Value.ID, y.Value.ID))
	})
	return all
}

// peers returns the newest fact of every node.
func (b *board) peers() map[cluster.NodeName]cluster.Fact {
	facts := make(map[cluster.NodeName]cluster.Fact, len(b.facts))
	for n, seen := range b.facts {
		facts[n] = seen.Value
	}
	return facts
}
