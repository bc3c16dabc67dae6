package agent

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
	"github.com/baton-db/baton/internal/endpoint/vip"
)

// claimLasts is how long a claim is taken to go on after it was heard. Run asks
// for other owners every five seconds.
const claimLasts = 12 * time.Second

// A claim is another host's for an address that this host has.
type claim struct {
	of   string // the address
	mac  net.HardwareAddr
	node cluster.NodeName // whose it is; empty: no node's, or, with virtual, nobody knows which
	// virtual says that it is made under the link-layer address that moves with the
	// address: all nodes have the same.
	virtual bool
}

// reason is the condition that a claim makes.
func (c claim) reason() cluster.Reason {
	if c.node == "" && !c.virtual {
		return cluster.AddressForeign
	}
	return cluster.AddressDuplicate
}

func (c claim) String() string {
	if c.virtual {
		return fmt.Sprintf("%s is claimed by another host too, under the link-layer address that moves with it (%s)", c.of, c.mac)
	}
	if c.node == "" {
		return fmt.Sprintf("%s is claimed by %s too, which is no node of this cluster", c.of, c.mac)
	}
	return fmt.Sprintf("%s is claimed by %s (%s) too", c.of, c.node, c.mac)
}

// ownerOf finds whose a link-layer address is, by what the nodes say of theirs.
func ownerOf(mac string, peers map[cluster.NodeName]cluster.Fact) cluster.NodeName {
	for n, f := range peers {
		for _, m := range f.MACs {
			if m == mac {
				return n
			}
		}
	}
	return ""
}

// rightful reports whether self is who clients are to be led to: of two hosts
// that have an address, the one of the newest epoch stays, and the lease says
// whose that is. The other gives it up.
func rightful(self cluster.NodeName, r cluster.Record, held lease.Held, now cluster.Instant) bool {
	return r.Primary == self && held.Valid(r.Epoch, now)
}

// watchAddresses acts upon what happens to the addresses from outside. Of two
// hosts that have one, the rightful tells the neighbours again and says who the
// other is; the other resets its clients and drops it.
func (h *hostParts) watchAddresses(ctx context.Context, a *Agent) {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	last := map[cluster.Reason]cluster.Instant{}
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-h.set.Events():
			a.Log.Warn("virtual address", "event", e.Kind, "address", e.Address.String(), "mac", e.MAC)
			if e.Kind == vip.AddressLost {
				h.lostAddress(ctx, a, e)
			}
			if e.Kind != vip.DuplicateSeen {
				continue
			}
			if c, ours := h.claimed(ctx, a, e); ours {
				last[c.reason()] = clock.Now()
				a.post(func(l *loop) { l.blame(c.reason(), "claim", c.String()) })
			}
		case <-look.C:
			for reason, at := range last {
				if clock.Now().Sub(at) >= claimLasts {
					delete(last, reason)
					a.post(func(l *loop) { l.blame(reason, "claim", "") })
				}
			}
		}
	}
}

// claimed answers a claim, and reports whether this host is the rightful owner.
func (h *hostParts) claimed(ctx context.Context, a *Agent, e vip.Event) (claim, bool) {
	record, peers := h.hands.situation()
	held, _ := h.hands.keeper.state()
	c := claim{of: e.Address.String(), mac: e.MAC, node: ownerOf(e.MAC.String(), peers), virtual: e.Address.MAC.String() == e.MAC.String()}
	if rightful(a.Config.Node, record, held, clock.Now()) {
		if err := h.set.Reannounce(); err != nil {
			a.Log.Warn("announce the addresses again", "err", err)
		}
		return c, true
	}
	a.Log.Warn("another host has a virtual address, and this one has no lease for it: dropped here", "address", c.of, "by", c.mac.String(), "node", c.node)
	if _, err := h.hands.sockets.DestroyClients(ctx); err != nil { // the resets must leave before the address goes
		a.Log.Warn("reset the clients of a duplicate address", "err", err)
	}
	if err := h.set.Drop(ctx); err != nil {
		a.Log.Error("drop a virtual address that another host has", "err", err)
	}
	return c, false
}
