package api

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/timeline"
)

const (
	keptEvents   = 512
	keptRequests = 128
)

// Live holds the newest snapshot, the latest events, and what has become of
// requests. The agent calls Publish after every change; everything else is for
// readers. The zero value is ready.
type Live struct {
	mu       sync.Mutex
	have     bool
	now      Snapshot
	events   []Event
	seq      uint64
	more     chan struct{} // closed at the next event; nil while nobody waits
	requests map[string]*tracked
	order    []string // ids in order of arrival
}

// tracked is a request with what is needed to tell its fate.
type tracked struct {
	RequestState
	ask     cluster.Request
	seen    bool             // it was in the store, as far as this node knows
	seenRev cluster.Revision // of the record when it last was
}

// Publish makes s the newest snapshot. It never waits for a reader.
func (l *Live) Publish(s Snapshot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, had := l.now, l.have
	l.now, l.have = s, true
	var events []Event
	if had {
		events = changesBetween(before, s)
	}
	l.add(s.Wall, append(events, l.follow(s)...))
}

func (l *Live) add(at time.Time, events []Event) {
	if len(events) == 0 {
		return
	}
	for _, e := range events {
		l.seq++
		e.Seq, e.At = l.seq, at.UTC().Format(time.RFC3339Nano)
		l.events = append(l.events, e)
	}
	if n := len(l.events) - keptEvents; n > 0 {
		l.events = slices.Delete(l.events, 0, n)
	}
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
}

// Snapshot returns the newest snapshot; false before there is any.
func (l *Live) Snapshot() (Snapshot, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now, l.have
}

// Since returns the events after that one and a channel that is closed when
// there are more. A number that this agent never gave out (it restarted) means
// from the beginning; events that were dropped meanwhile show as a gap in Seq.
func (l *Live) Since(after uint64) ([]Event, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if after > l.seq {
		after = 0
	}
	i, _ := slices.BinarySearchFunc(l.events, after+1, func(e Event, seq uint64) int { return cmp.Compare(e.Seq, seq) })
	if l.more == nil {
		l.more = make(chan struct{})
	}
	return slices.Clone(l.events[i:]), l.more
}

// changesBetween returns what is worth telling of the step from a to b.
func changesBetween(a, b Snapshot) []Event {
	var events []Event
	if b.Rev != a.Rev {
		events = append(events, Event{Kind: RecordChanged, Record: recordSight(b.Record), Paused: b.Record.Paused != nil})
	}
	if b.Verdict.Reason != a.Verdict.Reason {
		v := b.Verdict
		events = append(events, Event{Kind: VerdictChanged, Verdict: &v})
	}
	for _, n := range slices.Sorted(maps.Keys(b.Facts)) {
		was, is := conditionsOf(a, n), conditionsOf(b, n)
		events = append(events, conditions(ConditionBegan, n, is, was)...)
		events = append(events, conditions(ConditionEnded, n, was, is)...)
	}
	return events
}

// conditionsOf are those that somebody should be told of: of a node that is in
// maintenance none. One that is out of order still when that is over begins then.
func conditionsOf(s Snapshot, n cluster.NodeName) []cluster.Condition {
	if s.Record.Maintained(n) != nil {
		return nil
	}
	return s.Facts[n].Value.Conditions
}

// conditions returns an event for each of some that is not among others.
func conditions(kind EventKind, n cluster.NodeName, some, others []cluster.Condition) []Event {
	var events []Event
	for _, c := range some {
		if !slices.ContainsFunc(others, func(o cluster.Condition) bool { return o.Reason == c.Reason }) {
			events = append(events, Event{Kind: kind, Node: n, Condition: &c})
		}
	}
	return events
}

func recordSight(r cluster.Record) *timeline.RecordSight {
	s := timeline.SightOf(r)
	return &s
}
