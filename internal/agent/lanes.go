package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/node"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/timeline"
)

// deed is what a finished step changes in the loop's own state.
type deed func(*loop)

// finished is the end of one step, as the loop learns of it.
type finished struct {
	step reconcile.Step
	done deed
	err  error
}

// lanes performs the steps that node.Lanes lets run. Only the loop calls its
// methods.
type lanes struct {
	node.Lanes
	perform  func(ctx context.Context, s reconcile.Step) (deed, error)
	results  chan finished
	timeline *timeline.Recorder
	log      *slog.Logger

	cancels map[reconcile.Lane]context.CancelFunc
	all     sync.WaitGroup
}

// errNotWanted is why a step's context ended that the loop has given up.
var errNotWanted = errors.New("not wanted any more")

// want has the wanted steps run, and those that are not wanted any more end. It
// returns when to ask again because of a step that has to wait; 0 if there is
// none.
func (l *lanes) want(ctx context.Context, steps []reconcile.Step, now cluster.Instant) (wake cluster.Instant) {
	turn := l.Want(steps, now)
	for _, lane := range turn.Cancel {
		l.cancels[lane]()
	}
	for _, s := range turn.Start {
		l.start(ctx, s)
	}
	return turn.WakeAt
}

func (l *lanes) start(ctx context.Context, s reconcile.Step) {
	ctx, cancel := context.WithCancelCause(ctx)
	l.cancels[s.Lane] = func() { cancel(errNotWanted) }
	var span *timeline.Running
	if s.Asked == "" { // a rejoin is part of no switch, and takes hours
		span = l.timeline.Begin(timelineStep(s), s.String())
	}
	l.log.Debug("step begins", "step", s.String(), "epoch", s.Epoch)
	l.all.Add(1)
	go func() {
		defer l.all.Done()
		begun := clock.Now()
		done, err := l.perform(ctx, s)
		abandoned := ctx.Err() != nil
		cancel(nil)
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
func (l *lanes) finish(f finished, now cluster.Instant) { l.Ended(f.step, f.err != nil, now) }
