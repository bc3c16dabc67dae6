package agent

import (
	"context"
	"slices"
	"sync"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reconcile"
)

// weakGate stands in on a host without nftables. It only remembers what was
// asked of it, so that the steps go in the same order; it holds nobody back.
// read_only and the destruction of sockets do that, while this agent lives.
type weakGate struct {
	mu    sync.Mutex
	mode  reconcile.GateMode
	until cluster.Instant
	cut   []cluster.NodeName
}

func (g *weakGate) State(context.Context) (GateState, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	mode := g.mode
	if mode == "" || mode == reconcile.GateOpenLeased && clock.Now() >= g.until {
		mode = reconcile.GateClosed
	}
	return GateState{Mode: mode, Cut: slices.Clone(g.cut)}, nil
}

func (g *weakGate) set(mode reconcile.GateMode, until cluster.Instant) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mode, g.until = mode, until
	return nil
}

func (g *weakGate) Close(context.Context) error { return g.set(reconcile.GateClosed, 0) }

func (g *weakGate) OpenReadOnly(context.Context) error { return g.set(reconcile.GateOpenRead, 0) }

func (g *weakGate) OpenUntil(_ context.Context, until cluster.Instant) error {
	return g.set(reconcile.GateOpenLeased, until)
}

// Cut cannot cut anything: without a gate nobody can be taken out of the ack
// set while its server runs.
func (g *weakGate) Cut(context.Context, ...cluster.NodeName) error { return ErrNoGate }

func (g *weakGate) Uncut(context.Context, ...cluster.NodeName) error { return nil }

func (g *weakGate) Block(context.Context, ...cluster.NodeName) error { return ErrNoGate }

func (g *weakGate) Unblock(context.Context, ...cluster.NodeName) error { return nil }
