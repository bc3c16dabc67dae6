package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reconcile"
)

// onAddresses carries out a step on the cluster's virtual addresses.
func (h *hands) onAddresses(ctx context.Context, s reconcile.Step) (deed, error) {
	switch s.Kind {
	case reconcile.ProbeAddresses:
		err := h.vip.Probe(ctx)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("probe for an owner of the addresses: %w", ctx.Err()) // that is no answer
		}
		if err != nil {
			h.log.Warn("probe for an owner of the addresses", "err", err)
		}
		return func(l *loop) { l.HasDone(s.Kind, s.Epoch) }, nil
	case reconcile.BindAddresses:
		return h.bind(ctx, s)
	case reconcile.Mute:
		if err := h.vip.Mute(ctx); err != nil {
			return nil, fmt.Errorf("mute the addresses: %w", err)
		}
	case reconcile.Release:
		return h.release(ctx)
	case reconcile.VerifyPaths:
		return h.verify(ctx, s)
	}
	bound, muted := h.lookAtAddresses(ctx)
	return func(l *loop) {
		l.SawAddresses(bound, muted)
		if s.Kind == reconcile.Mute {
			l.Muted = s.Epoch
		}
	}, nil
}

// release lets the addresses go once another node has them.
func (h *hands) release(ctx context.Context) (deed, error) {
	record, _ := h.situation()
	// The resets must leave before the address goes.
	n, resetting := h.sockets.DestroyClients(ctx)
	if resetting != nil {
		h.log.Warn("reset the remaining clients", "err", resetting)
	}
	h.log.Info("addresses released", "clients_reset", n)
	if err := h.vip.Drop(ctx); err != nil {
		return nil, fmt.Errorf("drop the addresses: %w", err)
	}
	if err := h.vip.Unmute(ctx); err != nil {
		return nil, fmt.Errorf("unmute the addresses: %w", err)
	}
	bound, muted := h.lookAtAddresses(ctx)
	return func(l *loop) {
		l.SawAddresses(bound, muted)
		if resetting == nil {
			l.ClientsReset = max(l.ClientsReset, record.Epoch)
		}
	}, nil
}

// bind leads the clients here. The lease is looked at once more just before.
func (h *hands) bind(ctx context.Context, s reconcile.Step) (deed, error) {
	held, _ := h.keeper.state()
	if !held.Valid(s.Epoch, clock.Now()) {
		return nil, errLeaseOver
	}
	_, peers := h.situation()
	members := map[string]cluster.NodeName{}
	for n, f := range peers {
		for _, mac := range f.MACs {
			members[mac] = n
		}
	}
	err := h.vip.Bind(ctx, held.Until, members)
	bound, muted := h.lookAtAddresses(ctx)
	calledOff := ctx.Err() != nil // then it says nothing of them
	done := func(l *loop) {
		l.SawAddresses(bound, muted)
		if !calledOff {
			l.Unbound = inWords(err, "")
		}
	}
	if err != nil {
		return done, fmt.Errorf("bind the addresses: %w", err)
	}
	return done, nil
}

// lookAtAddresses reads from the kernel which addresses are bound here.
func (h *hands) lookAtAddresses(ctx context.Context) (bound []string, muted bool) {
	bound, muted, err := h.vip.Observe(ctx)
	if err != nil && !errors.Is(err, context.Canceled) {
		h.log.Warn("look at the addresses", "err", err)
	}
	return bound, muted
}

// verify looks whether every endpoint leads here.
func (h *hands) verify(ctx context.Context, s reconcile.Step) (deed, error) {
	bound, muted, err := h.vip.Observe(ctx)
	if err != nil {
		return nil, fmt.Errorf("look at the addresses: %w", err)
	}
	return func(l *loop) {
		l.SawAddresses(bound, muted)
		if len(bound) >= l.Host.Addresses && !muted {
			l.Endpoints = s.Epoch
		}
	}, nil
}
