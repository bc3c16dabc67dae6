package endpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Timing is how patiently one endpoint is kept where it should lead.
type Timing struct {
	// Call bounds one call of Set or Observe.
	Call time.Duration
	// Check is how often an endpoint is looked at in the long run.
	Check time.Duration
	// Retry is the pause after the first attempt, and after a change of any kind; it
	// doubles up to Check.
	Retry time.Duration
}

// A Reconciler keeps one endpoint leading where it should: it sets it, looks
// whether that is so, tries again with growing pauses, and goes on looking for
// as long as it is wanted, so that what somebody else changes is put right. An
// endpoint that fails or hangs holds up nobody but its own reconciler.
type Reconciler struct {
	Name     string
	Kind     Kind
	Endpoint Endpoint
	Timing   Timing
	Log      *slog.Logger
	// Report is called with every change of the state, in order, from Run's goroutine.
	Report func(State)
	// Took, if not nil, is told how long each call of Set and of Observe took, from
	// Run's goroutine. One that was called off because something else is wanted is not.
	Took func(call Call, took time.Duration, err error)

	mu     sync.Mutex
	want   Target
	cancel context.CancelFunc // ends what is done for an order that is no longer wanted
	news   chan struct{}
}

// A Call is what an endpoint is asked for.
type Call string

// The calls whose time is taken.
const (
	Setting   Call = "set"
	Observing Call = "observe"
)

// timed makes a call and tells how long it took.
func (r *Reconciler) timed(ctx context.Context, call Call, what string, do func(context.Context) error) error {
	began := time.Now()
	err := r.call(ctx, what, do)
	if r.Took != nil && ctx.Err() == nil {
		r.Took(call, time.Since(began), err)
	}
	return err
}

// Lead has the endpoint lead to target from now on. With the zero Target nothing
// more is done to it: it stays as it was set; a Local stands by. What is under way for an earlier
// order is cancelled.
func (r *Reconciler) Lead(target Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.want.Epoch == target.Epoch && r.want.LeadsTo(target) {
		return
	}
	r.want = target
	if r.cancel != nil {
		r.cancel()
	}
	select {
	case r.newsLocked() <- struct{}{}:
	default:
	}
}

// newsLocked is the channel of wake-ups, made at its first use. mu is held.
func (r *Reconciler) newsLocked() chan struct{} {
	if r.news == nil {
		r.news = make(chan struct{}, 1)
	}
	return r.news
}

// order takes the present order, with a context that ends with it.
func (r *Reconciler) order(ctx context.Context) (context.Context, context.CancelFunc, Target, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ctx, r.cancel = context.WithCancel(ctx)
	return ctx, r.cancel, r.want, r.newsLocked()
}

// Run keeps the endpoint where it should lead, until ctx ends.
func (r *Reconciler) Run(ctx context.Context) {
	for ctx.Err() == nil {
		work, cancel, want, news := r.order(ctx)
		r.Report(State{Name: r.Name, Kind: r.Kind, Want: want})
		if local, ok := r.Endpoint.(Local); want.Node != "" {
			r.keep(work, want)
		} else if ok {
			r.standBy(work, local)
		}
		cancel()
		select {
		case <-ctx.Done():
		case <-news:
		}
	}
}

// keep carries out one order until ctx ends.
func (r *Reconciler) keep(ctx context.Context, want Target) {
	state := State{Name: r.Name, Kind: r.Kind, Want: want}
	pause := r.Timing.Retry
	for look := false; ; look = state.Settled {
		before := state
		if !look {
			state.Attempts++
			state.Problem = r.timed(ctx, Setting, "lead it there", func(ctx context.Context) error { return r.Endpoint.Set(ctx, want) })
		}
		setting := state.Problem
		r.observe(ctx, &state)
		if tender, tends := r.Endpoint.(Tender); tends && state.Settled && state.Problem == nil {
			state.Problem = r.call(ctx, "keep it in order", func(ctx context.Context) error { return tender.Tend(ctx, want) })
		}
		if ctx.Err() != nil {
			return
		}
		if teller, tells := r.Endpoint.(Teller); tells {
			state.Tells = teller.Tells()
		}
		state.Told = false
		if errors.Is(state.Problem, ErrUnseen) {
			state.Told, state.Problem = setting == nil, nil
		}
		if !look && setting != nil && !state.Settled {
			state.Problem = setting // what Set said is nearer to the cause than that it leads elsewhere
		}
		r.tell(before, state)
		var old *OldEpochError
		if errors.As(setting, &old) {
			return // another reign is on: nothing that this one wants is right any more
		}
		if state.Settled != before.Settled {
			// Looked at soon again at first: a call of the reign before, which was on its
			// way when that ended, may still arrive.
			pause = r.Timing.Retry
			if before.Settled {
				continue // put right at once
			}
		}
		if state.Told && !before.Told {
			pause = r.Timing.Retry // told again soon, for the same reason
		}
		if state.Settled || state.Told {
			state.Attempts = 0
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(pause, throttled(setting))):
		}
		pause = min(2*pause, r.Timing.Check)
	}
}

// standBy keeps an endpoint of this host from leading here until ctx ends, and ready.
func (r *Reconciler) standBy(ctx context.Context, local Local) {
	state := State{Name: r.Name, Kind: r.Kind}
	for pause := r.Timing.Retry; ; pause = min(2*pause, r.Timing.Check) {
		before := state
		state.Problem = r.call(ctx, "stand by", local.StandBy)
		if ctx.Err() != nil {
			return
		}
		if (state.Problem == nil) != (before.Problem == nil) {
			pause = r.Timing.Retry
		}
		r.tell(before, state)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// throttled is how long the endpoint itself wants to be left alone, a minute at most.
func throttled(err error) time.Duration {
	var asks interface{ RetryAfter() time.Duration }
	if errors.As(err, &asks) {
		return min(asks.RetryAfter(), time.Minute)
	}
	return 0
}

// observe looks where the endpoint leads. One that cannot be seen keeps what was
// known of it: nothing is changed because a look failed.
func (r *Reconciler) observe(ctx context.Context, state *State) {
	var got Target
	state.Problem = r.timed(ctx, Observing, "see where it leads", func(ctx context.Context) (err error) {
		got, err = r.Endpoint.Observe(ctx)
		return err
	})
	if state.Problem != nil && !errors.Is(state.Problem, ErrForeign) {
		return
	}
	if state.Settled && (state.Problem != nil || !got.LeadsTo(state.Want)) {
		state.Repaired++
	}
	state.Got, state.Looked, state.Settled = got, true, state.Problem == nil && got.LeadsTo(state.Want)
}

// call makes one call in its time. An endpoint that does not return at its
// deadline is waited for: two calls at once could overtake each other.
func (r *Reconciler) call(ctx context.Context, what string, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.Timing.Call, fmt.Errorf("no answer within %s", r.Timing.Call))
	defer cancel()
	err := do(ctx)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil:
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	return fmt.Errorf("%s: %w", what, inOneLine(err))
}

// tell reports and logs what has changed.
func (r *Reconciler) tell(before, now State) {
	switch {
	case before.Settled && !now.Settled:
		r.Log.Warn("an endpoint was led elsewhere by somebody else", "endpoint", r.Name, "kind", r.Kind, "leads_to", now.Got.String(), "wanted", now.Want.String())
	case now.Settled && !before.Settled:
		r.Log.Info("an endpoint leads where it should", "endpoint", r.Name, "kind", r.Kind, "to", now.Want.String(), "attempts", now.Attempts)
	case now.Told && !before.Told:
		r.Log.Info("an endpoint that cannot be asked was told where to lead", "endpoint", r.Name, "kind", r.Kind, "to", now.Want.String(), "attempts", now.Attempts)
	}
	astray := before.Settled && !now.Settled // which was said
	if !astray && now.Problem != nil && (before.Problem == nil || before.Problem.Error() != now.Problem.Error()) {
		r.Log.Warn("an endpoint does not do what it should", "endpoint", r.Name, "kind", r.Kind, "wanted", now.Want.String(), "err", now.Problem)
	}
	r.Report(now)
}
