package agent

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
)

// observer reads this host's own server, over its unix socket, again and again,
// and judges its silence: a server that answers nothing for the hang limit is
// hung, one without a process has stopped.
type observer struct {
	// read looks at the server once; tick changes with everything it receives.
	read    func(ctx context.Context) (fact cluster.ServerFact, tick string, err error)
	process Process
	every   time.Duration // between readings
	hang    time.Duration
	window  time.Duration // a replica that received nothing for so long does not receive
	report  func(cluster.ServerFact)
	log     *slog.Logger
	kicks   chan struct{}

	mu       sync.Mutex // one reading at a time
	last     cluster.ServerFact
	answered cluster.Instant // when a reading was last answered; 0: never
	reading  uint64
	receives receives
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
	o.mu.Lock()
	defer o.mu.Unlock()
	if ctx.Err() != nil {
		return cluster.ServerFact{}, ctx.Err()
	}
	call, cancel := context.WithTimeout(ctx, o.hang/2)
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
		o.last, o.answered = fact, now
	} else {
		if o.last.State == cluster.ServerUp && o.answered == 0 {
			o.answered = now
		}
		o.last.State = o.judge(now)
		o.log.Debug("read the server", "state", o.last.State, "err", err)
	}
	o.report(o.last)
	return o.last, err
}

// judge says what a server that did not answer is doing.
func (o *observer) judge(now cluster.Instant) cluster.ServerState {
	switch {
	case !o.process.Alive():
		return cluster.ServerStopped
	case o.last.State == cluster.ServerStopped, o.last.State == cluster.ServerUnknown, o.last.State == cluster.ServerStarting, o.last.State == cluster.ServerExiting:
		return cluster.ServerStarting
	case now.Sub(o.answered) >= o.hang:
		return cluster.ServerHung
	}
	return o.last.State
}

// kick has the server observed again at once.
func (o *observer) kick() { signal(o.kicks) }
