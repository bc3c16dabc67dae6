package agent

import (
	"context"
	"sync"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/fence"
)

// lazyGate is the gate of a host that Baton has never managed: there is none
// until a step asks for it, and then it comes into being as it is wanted. An
// agent that is started beside a running server shuts nobody out while it waits
// for the agents of the other nodes.
type lazyGate struct {
	open func(ctx context.Context, initial fence.Mode, until cluster.Instant) (Gate, error)

	mu   sync.Mutex
	gate Gate // nil: there is none yet
}

func (g *lazyGate) get(ctx context.Context, initial fence.Mode, until cluster.Instant) (Gate, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gate != nil {
		return g.gate, nil
	}
	gate, err := g.open(ctx, initial, until)
	if err != nil {
		return nil, err
	}
	g.gate = gate
	return gate, nil
}

func (g *lazyGate) State(ctx context.Context) (GateState, error) {
	g.mu.Lock()
	gate := g.gate
	g.mu.Unlock()
	if gate == nil {
		return GateState{Mode: reconcile.GateMissing}, nil
	}
	return gate.State(ctx)
}

func (g *lazyGate) do(ctx context.Context, initial fence.Mode, until cluster.Instant, f func(Gate) error) error {
	gate, err := g.get(ctx, initial, until)
	if err != nil {
		return err
	}
	return f(gate)
}

func (g *lazyGate) Close(ctx context.Context) error {
	return g.do(ctx, fence.Closed, 0, func(gate Gate) error { return gate.Close(ctx) })
}

func (g *lazyGate) OpenReadOnly(ctx context.Context) error {
	return g.do(ctx, fence.ReadOnly, 0, func(gate Gate) error { return gate.OpenReadOnly(ctx) })
}

func (g *lazyGate) OpenUntil(ctx context.Context, until cluster.Instant) error {
	return g.do(ctx, fence.Leased, until, func(gate Gate) error { return gate.OpenUntil(ctx, until) })
}

func (g *lazyGate) Cut(ctx context.Context, nodes ...cluster.NodeName) error {
	return g.do(ctx, fence.Closed, 0, func(gate Gate) error { return gate.Cut(ctx, nodes...) })
}

func (g *lazyGate) Uncut(ctx context.Context, nodes ...cluster.NodeName) error {
	return g.do(ctx, fence.Closed, 0, func(gate Gate) error { return gate.Uncut(ctx, nodes...) })
}

func (g *lazyGate) Block(ctx context.Context, nodes ...cluster.NodeName) error {
	return g.do(ctx, fence.Closed, 0, func(gate Gate) error { return gate.Block(ctx, nodes...) })
}

func (g *lazyGate) Unblock(ctx context.Context, nodes ...cluster.NodeName) error {
	return g.do(ctx, fence.Closed, 0, func(gate Gate) error { return gate.Unblock(ctx, nodes...) })
}
