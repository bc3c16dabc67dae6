package agent

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/node"
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
	report  func(cluster.ServerFact)
	log     *slog.Logger
	kicks   chan struct{}

	// turn is held by the one reading that is under way. Whoever waits for it
	// gives up with its own context: a fence must not wait for a server that hangs.
	turn  chan struct{}
	judge node.Judge

	isHung atomic.Bool
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
	call, cancel := context.WithTimeout(ctx, o.judge.Patience(clock.Now(), o.hang()))
	defer cancel()
	fact, tick, err := o.read(call)
	if err == nil {
		fact = o.judge.Answered(fact, tick, clock.Now())
	} else {
		fact = o.judge.Silent(o.process.Alive(), clock.Now(), o.hang())
		o.log.Debug("read the server", "state", fact.State, "err", err)
	}
	o.isHung.Store(fact.State == cluster.ServerHung)
	o.report(fact)
	return fact, err
}

// kick has the server observed again at once.
func (o *observer) kick() { signal(o.kicks) }

// hung reports whether the server was last found to be hung.
func (o *observer) hung() bool { return o.isHung.Load() }
