package agent

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/timeline"
)

// Failed steps are tried again after retryFirst, then less and less often.
const (
	retryFirst = 20 * time.Millisecond
	retryMost  = 2 * time.Second
)

// deed is what a finished step changes in the loop's own state.
type deed func(*loop)

// finished is the end of one step, as the loop learns of it.
type finished struct {
	step reconcile.Step
	done deed
	err  error
}

// lanes performs steps, one at a time in each lane. The loop says again and
// again what is wanted: a running step that still is goes on, another is
// cancelled. Only the loop calls its methods.
type lanes struct {
	perform  func(ctx context.Context, s reconcile.Step) (deed, error)
	results  chan finished
	timeline *timeline.Recorder
	log      *slog.Logger

	running map[reconcile.Lane]*run
	retries map[string]retry
	all     sync.WaitGroup
}

type run struct {
	step   reconcile.Step
	cancel context.CancelFunc
}

// retry says when a step that failed may be tried again.
type retry struct {
	after cluster.Instant
	wait  time.Duration
}

// want starts the first wanted step of every lane that is free, and cancels
// what is not wanted any more. It returns when to ask again because of a step
// that has to wait; 0 if there is none.
func (l *lanes) want(ctx context.Context, steps []reconcile.Step, now cluster.Instant) (wake cluster.Instant) {
	first := map[reconcile.Lane]reconcile.Step{}
	wanted := map[string]bool{}
	urgent := false
	for _, s := range steps {
		wanted[s.Key()] = true
		urgent = urgent || s.Urgent
		if _, taken := first[s.Lane]; !taken {
			first[s.Lane] = s
		}
	}
	for lane, r := range l.running {
		if !wanted[r.step.Key()] || urgent && lane == reconcile.LaneServer {
			r.cancel()
		}
	}
	for lane, s := range first {
		if l.running[lane] != nil {
			continue
		}
		if r, failed := l.retries[s.Key()]; failed && now < r.after {
			if wake == 0 || r.after < wake {
				wake = r.after
			}
			continue
		}
		l.start(ctx, s)
	}
	return wake
}

func (l *lanes) start(ctx context.Context, s reconcile.Step) {
	ctx, cancel := context.WithCancel(ctx)
	l.running[s.Lane] = &run{step: s, cancel: cancel}
	span := l.timeline.Begin(timelineStep(s), s.String())
	l.log.Debug("step begins", "step", s.String(), "epoch", s.Epoch)
	l.all.Add(1)
	go func() {
		defer l.all.Done()
		begun := clock.Now()
		done, err := l.perform(ctx, s)
		abandoned := ctx.Err() != nil
		cancel()
		took := clock.Now().Sub(begun)
		switch {
		case err == nil:
			span.End(timeline.OK, "")
			l.log.Info("step done", "step", s.String(), "epoch", s.Epoch, "took", took)
		case abandoned:
			span.End(timeline.OK, "ended early: not wanted any more")
		default:
			span.End(timeline.Failed, err.Error())
			l.log.Warn("step failed, will be tried again", "step", s.String(), "epoch", s.Epoch, "took", took, "err", err)
		}
		l.results <- finished{step: s, done: done, err: err}
	}()
}

// finish frees the lane of a step that ended.
func (l *lanes) finish(f finished, now cluster.Instant) {
	delete(l.running, f.step.Lane)
	key := f.step.Key()
	if f.err == nil {
		delete(l.retries, key)
		return
	}
	wait := min(max(retryFirst, 2*l.retries[key].wait), retryMost)
	l.retries[key] = retry{after: now.Add(wait), wait: wait}
}

// settled reports that every running step is still wanted: none that an earlier
// record asked for is on its way.
func (l *lanes) settled(steps []reconcile.Step) bool {
	for _, r := range l.running {
		if !slices.ContainsFunc(steps, func(s reconcile.Step) bool { return s.Key() == r.step.Key() }) {
			return false
		}
	}
	return true
}

// busy reports whether anything is running.
func (l *lanes) busy() bool { return len(l.running) > 0 }
