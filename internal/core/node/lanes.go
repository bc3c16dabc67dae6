package node

import (
	"maps"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reconcile"
)

// Failed steps are tried again after retryFirst, then less and less often.
const (
	retryFirst = 20 * time.Millisecond
	retryMost  = 2 * time.Second
)

// Lanes says which steps run: one at a time in each lane. Again and again it is
// told what is wanted: a running step that still is goes on, another is
// cancelled. The zero value runs nothing.
type Lanes struct {
	running map[reconcile.Lane]reconcile.Step
	retries map[string]retry
}

// retry says when a step that failed may be tried again.
type retry struct {
	after cluster.Instant
	wait  time.Duration
}

// Turn is what is to change in what runs.
type Turn struct {
	Cancel []reconcile.Lane // whose running step is not wanted any more
	Start  []reconcile.Step
	// WakeAt is when to ask again because of a step that has to wait; 0 if
	// there is none.
	WakeAt cluster.Instant
}

// Want starts the first wanted step of every lane that is free, and cancels
// what is not wanted any more.
func (l *Lanes) Want(steps []reconcile.Step, now cluster.Instant) Turn {
	var turn Turn
	var first []reconcile.Step
	wanted := map[string]bool{}
	urgent := false
	for _, s := range steps {
		wanted[s.Key()] = true
		urgent = urgent || s.Urgent
		if !slices.ContainsFunc(first, func(f reconcile.Step) bool { return f.Lane == s.Lane }) {
			first = append(first, s)
		}
	}
	for lane, s := range l.running {
		if !wanted[s.Key()] || urgent && lane == reconcile.LaneServer {
			turn.Cancel = append(turn.Cancel, lane)
		}
	}
	slices.Sort(turn.Cancel)
	for _, s := range first {
		if _, runs := l.running[s.Lane]; runs {
			continue
		}
		if r, failed := l.retries[s.Key()]; failed && now < r.after {
			if turn.WakeAt == 0 || r.after < turn.WakeAt {
				turn.WakeAt = r.after
			}
			continue
		}
		l.Begun(s)
		turn.Start = append(turn.Start, s)
	}
	return turn
}

// Begun notes that a step runs.
func (l *Lanes) Begun(s reconcile.Step) {
	if l.running == nil {
		l.running = map[reconcile.Lane]reconcile.Step{}
	}
	l.running[s.Lane] = s
}

// Ended frees the lane of a step.
func (l *Lanes) Ended(s reconcile.Step, failed bool, now cluster.Instant) {
	delete(l.running, s.Lane)
	key := s.Key()
	if !failed {
		delete(l.retries, key)
		return
	}
	if l.retries == nil {
		l.retries = map[string]retry{}
	}
	wait := min(max(retryFirst, 2*l.retries[key].wait), retryMost)
	l.retries[key] = retry{after: now.Add(wait), wait: wait}
}

// Settled reports that every running step is still wanted: none that an earlier
// record asked for is on its way.
func (l *Lanes) Settled(steps []reconcile.Step) bool {
	for _, r := range l.running {
		if !slices.ContainsFunc(steps, func(s reconcile.Step) bool { return s.Key() == r.Key() }) {
			return false
		}
	}
	return true
}

// Running are the steps under way, at most one of each lane, in no order.
func (l *Lanes) Running() []reconcile.Step { return slices.Collect(maps.Values(l.running)) }

// Busy reports whether anything is running.
func (l *Lanes) Busy() bool { return len(l.running) > 0 }
