package agent

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
	"github.com/baton-db/baton/internal/core/readers"
	"github.com/baton-db/baton/internal/endpoint/vip"
	"github.com/baton-db/baton/internal/fence"
	"github.com/baton-db/baton/internal/peer"
)

// readersGroup names the addresses for readers on the host.
const readersGroup = "readers"

// kernelLate is for how long the kernel may have an address after its time: a lifetime is
// whole seconds, rounded up, and the kernel looks for those that are over once a second at
// the most (check_lifetime in net/ipv4/devinet.c; measured: 0.8 s beside another one).
const kernelLate = 2300 * time.Millisecond

// openReaders opens what this host has of the addresses for readers.
func (h *hostParts) openReaders(a *Agent) error {
	c := a.Config
	cfg, err := groupOf(c, readersGroup, c.Readers.Addresses)
	if err != nil {
		return err
	}
	sweep(cfg, a.Log)
	if len(cfg.Addresses) == 0 {
		return nil
	}
	if h.readersSet, err = vip.New(cfg, a.Log); err != nil {
		return err
	}
	hold := c.ReadersHold()
	h.readers = &readerAddresses{self: c.Node, agent: a.id, ports: scopeOf(c).Ports, maxLag: c.Readers.MaxLag, orPrimary: c.Readers.NoReplica == config.ToPrimary,
		hold: hold, every: hold / 8, set: h.readersSet, reset: fence.ResetAt, now: clock.Now, log: a.Log, kick: make(chan struct{}, 1),
		book: readers.Book{Lasts: lease.PledgeLasts(hold, a.settings) + kernelLate, Nodes: a.settings.DataNodes(), Self: c.Node}, claimed: map[string]cluster.Instant{}, until: map[netip.Addr]cluster.Instant{},
		ask: func(ctx context.Context, of cluster.NodeName, q readers.Question) (answer readers.Answer, err error) {
			if a.link == nil {
				return answer, errors.New("there is no direct link to the other agents (tls)")
			}
			err = a.link.Call(ctx, of, readersPath, q, &answer)
			return answer, err
		},
		say: func(s readersSaid) {
			a.post(func(l *loop) {
				l.Readers = s.have
				l.blame(cluster.AddressForeign, "readers", s.foreign)
				l.Conditions.Put(cluster.ReadersNowhere, s.nowhere)
			})
		}}
	for _, address := range c.Readers.Addresses {
		h.readers.addresses = append(h.readers.addresses, address.Address)
	}
	slices.SortFunc(h.readers.addresses, netip.Addr.Compare)
	return nil
}

// answerOn registers what the other agents ask for.
func (r *readerAddresses) answerOn(link *peer.Link) {
	link.Handle(readersPath, peer.JSON(func(_ context.Context, from cluster.NodeName, q readers.Question) (readers.Answer, error) {
		return r.answer(from, q)
	}))
}

// joinReaders ties them to the loop.
func (h *hostParts) joinReaders(a *Agent, l *loop) {
	if h.readers == nil {
		return
	}
	l.readers = h.readers
	h.readers.held = func() lease.Held {
		held, _ := l.keeper.state()
		return held
	}
	h.readers.members = func() vip.Members {
		_, facts := l.situation.get()
		members := vip.Members{}
		for n, f := range facts {
			for _, mac := range f.MACs {
				members[mac] = n
			}
		}
		return members
	}
	macs, err := h.readersSet.MACs()
	if err != nil {
		a.Log.Warn("read the link-layer addresses", "err", err)
	}
	for _, mac := range macs {
		if !slices.Contains(l.MACs, mac) {
			l.MACs = append(l.MACs, mac)
		}
	}
}

// spawnReaders starts what runs beside the loop.
func (h *hostParts) spawnReaders(ctx context.Context, a *Agent) {
	if h.readers == nil {
		return
	}
	a.spawn(func() { h.readers.run(ctx) })
	a.spawn(func() { h.readers.watch(ctx, h.readersSet.Events()) })
	a.spawn(func() {
		if err := h.readersSet.Run(ctx); err != nil && ctx.Err() == nil {
			a.Log.Error("announce and watch the addresses for readers", "err", err)
		}
	})
}
