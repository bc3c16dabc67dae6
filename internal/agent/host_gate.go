package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint/vip"
	"github.com/baton-db/baton/internal/fence"
)

// openGate takes the gate in hand, closed unless a lease still runs in it.
func (h *hostParts) openGate(ctx context.Context, a *Agent) error {
	present, err := fence.Present(ctx, a.Config.Cluster)
	if err == nil && !present && a.memory.Epoch == 0 {
		h.gate = &lazyGate{open: func(ctx context.Context, initial fence.Mode, until cluster.Instant) (Gate, error) {
			return h.openFence(ctx, a, initial, until)
		}}
		return nil
	}
	var gate Gate
	if err == nil {
		gate, err = h.openFence(ctx, a, fence.Closed, 0)
	}
	switch {
	case errors.Is(err, fence.ErrUnavailable):
		a.Log.Error("THIS HOST HAS NO GATE: only read_only and the destruction of sockets hold clients back, and only while this agent lives", "err", err)
		h.gate = &weakGate{}
		return nil
	case err != nil:
		return err
	}
	h.gate = gate
	return nil
}

// openFence takes the cluster's firewall table in hand, or installs it.
func (h *hostParts) openFence(ctx context.Context, a *Agent, initial fence.Mode, until cluster.Instant) (Gate, error) {
	c := a.Config
	g, err := fence.Open(ctx, fence.GateConfig{Cluster: c.Cluster, Scope: scopeOf(c), Initial: initial, Until: until}, a.Log)
	if err != nil {
		return nil, err
	}
	h.fenceMu.Lock()
	h.fence = g
	h.fenceMu.Unlock()
	return gateOf{Gate: g, sources: sourcesOf(c)}, nil
}

// firewall is the table that has been taken in hand; nil if there is none.
func (h *hostParts) firewall() *fence.Gate {
	h.fenceMu.Lock()
	defer h.fenceMu.Unlock()
	return h.fence
}

func (h *hostParts) openAddresses(a *Agent) error {
	cfg, err := addressesOf(a.Config)
	if err != nil {
		return err
	}
	sweep(cfg, a.Log)
	if len(cfg.Addresses) == 0 {
		return nil
	}
	set, err := vip.New(cfg, a.Log)
	if err != nil {
		return err
	}
	h.set = set
	h.vip = &vipOf{Set: set, log: a.Log, blame: func(why cluster.Reason, detail string) {
		a.post(func(l *loop) { l.blame(why, "bind", detail) })
	}}
	return nil
}

// extend hands the lease to the kernel: the gate's timeout and the addresses'.
func (h *hostParts) extend(ctx context.Context, until cluster.Instant) error {
	if err := h.gate.OpenUntil(ctx, until); err != nil {
		return err
	}
	if err := h.vip.Extend(ctx, until); err != nil && !errors.Is(err, vip.ErrNotBound) {
		return fmt.Errorf("extend the addresses: %w", err)
	}
	return nil
}

// lookAround reads from the kernel, once a second and at the start, what the
// gate and the addresses are, whatever this process believes of them.
func (h *hostParts) lookAround(ctx context.Context, a *Agent) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if gate, err := h.gate.State(ctx); err == nil {
			a.post(func(l *loop) { l.sawGate(gate) })
		}
		if bound, muted, err := h.vip.Observe(ctx); err == nil {
			a.post(func(l *loop) { l.SawAddresses(bound, muted) })
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// watchGate tells when somebody else changed the firewall's table of ours.
func (h *hostParts) watchGate(ctx context.Context, a *Agent) {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	var tampered <-chan fence.Tampering
	for {
		if f := h.firewall(); f != nil {
			tampered = f.Tampered()
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		case t := <-tampered:
			a.post(func(l *loop) { l.Conditions.Put(cluster.GateFlushed, fmt.Sprintf("%+v", t)) })
		}
	}
}
