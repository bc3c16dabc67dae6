package agent

import (
	"maps"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/store"
	"github.com/baton-db/baton/internal/timeline"
)

// sawBatch takes in what the watch delivered at now.
func (l *loop) sawBatch(b store.Batch, now cluster.Instant) {
	if b.Err != nil {
		l.log.Debug("the watch of the store is interrupted", "err", b.Err)
		return
	}
	l.hearing.heard(now, l.silenceLimit())
	if b.Snapshot != nil {
		l.sawSnapshot(*b.Snapshot, now)
	}
	for _, c := range b.Changes {
		l.sawChange(c, now)
	}
}

// sawSnapshot takes in everything that there is, and drops what is not there
// any more.
func (l *loop) sawSnapshot(s store.Snapshot, now cluster.Instant) {
	l.Board.Unreadable, l.Board.WentBack = map[string]error{}, ""
	for key, err := range s.Unreadable() {
		l.cannotRead(key, err, s.Lease.Rev, now)
	}
	if s.Record.Rev != 0 && s.Record.Err == nil {
		l.sawRecord(s.Record.Value, s.Record.Rev)
	}
	if s.Lease.Rev != 0 && s.Lease.Err == nil {
		l.sawLease(s.Lease.Value, s.Lease.Rev, now)
	}
	for n, e := range s.Facts {
		if e.Err == nil {
			l.Board.SawFact(n, e.Value, e.Rev, now)
		}
	}
	for n, e := range s.Views {
		if e.Err == nil {
			l.Board.SawView(n, e.Value, e.Rev, now)
		}
	}
	for _, e := range s.Requests {
		if e.Err == nil {
			l.Board.SawRequest(e.Value, e.Rev, now)
		}
	}
	maps.DeleteFunc(l.Board.Facts, func(n cluster.NodeName, _ decide.Seen[cluster.Fact]) bool { return s.Facts[n].Rev == 0 })
	maps.DeleteFunc(l.Board.Views, func(n cluster.NodeName, _ decide.Seen[cluster.View]) bool { return s.Views[n].Rev == 0 })
	maps.DeleteFunc(l.Board.Requests, func(id string, _ decide.Seen[cluster.Request]) bool { return s.Requests[id].Rev == 0 })
}

// cannotRead notes a value that this build cannot read. What this node holds it
// keeps; it decides nothing on what it cannot read.
func (l *loop) cannotRead(key string, err error, rev cluster.Revision, now cluster.Instant) {
	if _, known := l.Board.Unreadable[key]; !known {
		l.log.Error("a shared value cannot be read", "key", key, "err", err)
	}
	l.Board.CannotRead(key, err, rev, now)
}

func (l *loop) sawChange(c store.Change, now cluster.Instant) {
	if c.Err != nil {
		l.cannotRead(c.Key, c.Err, c.Rev, now)
		return
	}
	delete(l.Board.Unreadable, c.Key)
	name := cluster.NodeName(c.Name)
	switch {
	case c.Kind == store.KindRecord && c.Deleted:
		l.log.Error("the record was deleted from the store; this node goes by the last one it has seen", "epoch", l.Board.Record.Epoch)
	case c.Kind == store.KindFact && c.Deleted:
		delete(l.Board.Facts, name)
	case c.Kind == store.KindView && c.Deleted:
		delete(l.Board.Views, name)
	case c.Kind == store.KindRequest && c.Deleted:
		delete(l.Board.Requests, c.Name)
	case c.Deleted:
	case c.Kind == store.KindRecord:
		l.sawRecord(c.Record, c.Rev)
	case c.Kind == store.KindLease:
		l.sawLease(c.Lease, c.Rev, now)
	case c.Kind == store.KindFact:
		l.Board.SawFact(name, c.Fact, c.Rev, now)
	case c.Kind == store.KindView:
		l.Board.SawView(name, c.View, c.Rev, now)
	case c.Kind == store.KindRequest:
		l.Board.SawRequest(c.Request, c.Rev, now)
	}
}

// sawLease takes in a version of the lease key.
func (l *loop) sawLease(lease cluster.Lease, rev cluster.Revision, now cluster.Instant) {
	if l.Board.SawLease(lease, rev, now) {
		l.timeline.Beacon(rev, false)
		if l.suspected != nil {
			l.suspected.End(timeline.Cleared, "it renewed")
			l.suspected = nil
		}
	}
}

// suspect notes on the timeline since when the primary's renewals are missing.
func (l *loop) suspect() {
	now := clock.Now()
	r := l.Board.Record
	if r.Primary == "" || r.Primary == l.Self || l.suspected != nil || l.Board.Lease.Rev == 0 {
		return
	}
	if now.Sub(l.Board.Lease.SeenAt) > l.Settings.Renew+2*l.Settings.Call {
		l.suspected = l.timeline.Begin(timeline.StepDetect, string(r.Primary)+" does not renew its lease")
	}
}
