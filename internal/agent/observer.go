package agent

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

// observer reads this host's own server, over its unix socket, again and again,
// and judges its silence: a server that answers nothing for the hang limit is
// hung, one without a process has stopped.
type observer struct {
	// read looks at the server once; tick changes with everything it receives.
	read    func(ctx context.Context) (fact cluster.ServerFact, tick string, err error)
	process Process
	every   time.Duration // between readings
	hang    func() time.Duration
	window  time.Duration // a replica that received nothing for so long does not receive
	report  func(cluster.ServerFact)
	log     *slog.Logger
	kicks   chan struct{}

	// turn is held by the one reading that is under way. Whoever waits for it
	// gives up with its own context: a fence must not wait for a server that hangs.
	turn     chan struct{}
	last     cluster.ServerFact
	answered cluster.Instant // when a reading was last answered; 0: never
	reading  uint64
	receives receives
	still    stillness

	isHung atomic.Bool
}

// stuckAfter is how long commits must have waited without any transaction
// getting on before they count as stuck.
const stuckAfter = 200 * time.Millisecond

// stillness judges whether commits are stuck: some wait for an acknowledgement and
// the position does not move.
type stillness struct {
	at    gtid.Set
	since cluster.Instant // 0: none waits, or the position moved
}

func (w *stillness) stuck(f cluster.ServerFact, now cluster.Instant) bool {
	switch {
	case f.SemiSrc.Waiting == 0:
		w.since = 0
	case w.since == 0 || !w.at.Equal(f.Executed):
		w.at, w.since = f.Executed, now
	}
	return w.since != 0 && now.Sub(w.since) >= stuckAfter
}

// receives judges whether a replica still receives: by when the reading last
// changed that changes with everything that comes in.
type receives struct {
	tick string
	at   cluster.Instant
}

func (o *observer) run(ctx context.Context) {
	tick := time.NewTicker(o.every)
	defer tick.Stop()
	for {
		_, _ = o.observe(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-o.kicks:
		}
	}
}

// observe reads the server once and reports what it looks like now. The error
// is that of the reading; what follows from it is in the fact.
func (o *observer) observe(ctx context.Context) (cluster.ServerFact, error) {
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-ctx.Done():
		return cluster.ServerFact{}, ctx.Err()
	}
	if ctx.Err() != nil {
		return cluster.ServerFact{}, ctx.Err()
	}
	call, cancel := context.WithTimeout(ctx, o.patience(clock.Now()))
	defer cancel()
	fact, tick, err := o.read(call)
	now := clock.Now()
	if err == nil {
		o.reading++
		fact.State, fact.Reading = cluster.ServerUp, o.reading
		if tick != o.receives.tick {
			o.receives.tick, o.receives.at = tick, now
		}
		fact.Replica.Receiving = fact.Replica.Receiver && now.Sub(o.receives.at) < o.window
		fact.SemiSrc.Stuck = o.still.stuck(fact, now)
		o.last, o.answered = fact, now
	} else {
		if o.last.State == cluster.ServerUp && o.answered == 0 {
			o.answered = now
		}
		o.last.State = o.judge(now)
		o.log.Debug("read the server", "state", o.last.State, "err", err)
	}
	o.isHung.Store(o.last.State == cluster.ServerHung)
	o.report(o.last)
	return o.last, err
}

// patience is how long the next reading may take: to the moment at which a
// server that stays silent is hung, if that is nearer than half the limit.
func (o *observer) patience(now cluster.Instant) time.Duration {
	half := o.hang() / 2
	if o.answered == 0 {
		return half
	}
	if left := o.answered.Add(o.hang()).Sub(now); left > 0 && left < half {
		return left
	}
	return half
}

// judge says what a server that did not answer is doing.
func (o *observer) judge(now cluster.Instant) cluster.ServerState {
	switch {
	case !o.process.Alive():
		return cluster.ServerStopped
	case o.last.State == cluster.ServerStopped, o.last.State == cluster.ServerUnknown, o.last.State == cluster.ServerStarting, o.last.State == cluster.ServerExiting:
		return cluster.ServerStarting
	case now.Sub(o.answered) >= o.hang():
		return cluster.ServerHung
	}
	return o.last.State
}

// kick has the server observed again at once.
func (o *observer) kick() { signal(o.kicks) }

// hung reports whether the server was last found to be hung.
func (o *observer) hung() bool { return o.isHung.Load() }
