package agent

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint/vip"
	"github.com/baton-db/baton/internal/peer"
	"github.com/baton-db/baton/internal/timeline"
)

// What the agents ask each other about the virtual addresses.
const (
	lookPath  = "look"  // the primary: what do you see of them?
	strayPath = "stray" // another host: I had one of them, and gave it up
)

// seen is the answer to a vip.Question of a primary.
type seen struct {
	Sights []vip.Sight `json:"sights"`
}

// virtual are the addresses that lead clients to the primary.
func (a *Agent) virtual() []netip.Addr {
	var ips []netip.Addr
	for _, v := range a.Config.Addresses {
		ips = append(ips, v.Address)
	}
	return ips
}

// openOutside opens what this host looks at the addresses with that are elsewhere. A
// witness looks, too; a host that may not is none the worse for it.
func (h *hostParts) openOutside(a *Agent) {
	if len(a.Config.Addresses) == 0 {
		return
	}
	asker, err := vip.NewAsker(vip.Config{Cluster: a.Config.Cluster}, a.Log)
	if err != nil {
		a.Log.Warn("this host cannot look at the virtual addresses of others", "err", err)
		return
	}
	h.outside = asker
}

// answerLooks registers what others may ask about the addresses.
func (h *hostParts) answerLooks(a *Agent, link *peer.Link) {
	link.Handle(lookPath, peer.JSON(func(ctx context.Context, from cluster.NodeName, q vip.Question) (seen, error) {
		if h.outside == nil {
			return seen{}, errors.New("it cannot look: it has no addresses configured, or may open no raw sockets")
		}
		ours, asker := a.virtual(), netip.Addr{}
		if n, ok := a.Config.NodeNamed(from); ok {
			asker = n.Address
		}
		q.IPs = slices.DeleteFunc(q.IPs, func(ip netip.Addr) bool { return !slices.Contains(ours, ip) })
		if q.Control != asker {
			q.Control = netip.Addr{} // nobody is sent anything else
		}
		return seen{h.outside.Look(ctx, q)}, nil
	}))
	link.Handle(strayPath, peer.JSON(func(ctx context.Context, from cluster.NodeName, _ struct{}) (struct{}, error) {
		if h.set == nil {
			return struct{}{}, nil
		}
		a.Log.Warn("another node had a virtual address and gave it up: announced again", "node", from)
		return struct{}{}, h.set.Reannounce()
	}))
}

// joinOutside ties to the loop what has others look at the addresses.
func (h *hostParts) joinOutside(a *Agent, l *loop) {
	if h.outside != nil && len(l.MACs) == 0 {
		macs, err := h.outside.MACs(a.virtual())
		if err != nil {
			a.Log.Warn("read the link-layer addresses", "err", err)
		}
		l.MACs = macs
	}
	if h.set == nil || a.link == nil || h.observes {
		return
	}
	h.outsiders = &outsiders{self: a.Config.Node, homes: h.set.Homes, announce: h.set.Announce, timeline: a.recorder, log: a.Log, orders: make(chan outlook, 1),
		ips: a.virtual(), own: a.Config.Self().Address,
		ask: func(ctx context.Context, of cluster.NodeName, q vip.Question) ([]vip.Sight, error) {
			var answer seen
			err := a.link.Call(ctx, of, lookPath, q, &answer)
			return answer.Sights, err
		},
		hear: func(ips []netip.Addr, tokens []string) (ear, error) { return h.set.Hear(ips, tokens) },
		facts: func() map[cluster.NodeName]cluster.Fact {
			_, facts := l.situation.get()
			return facts
		},
		say: func(all map[cluster.Reason]string) {
			a.post(func(l *loop) {
				for _, r := range []cluster.Reason{cluster.AddressUnseen, cluster.AddressDuplicate, cluster.AddressForeign} {
					l.blame(r, "others", all[r])
				}
			})
		}}
	for _, n := range a.Config.Nodes {
		if n.Name != a.Config.Node {
			h.outsiders.nodes = append(h.outsiders.nodes, n.Name)
		}
	}
	l.outsiders = h.outsiders
}

// spawnOutside starts what looks at the addresses beside the loop.
func (h *hostParts) spawnOutside(ctx context.Context, a *Agent) {
	if h.outside == nil || h.observes {
		return
	}
	s := &strays{host: h.outside, ips: a.virtual(), fenced: h.set != nil, log: a.Log,
		undue: func() (cluster.NodeName, cluster.Epoch, bool) {
			record, _ := a.loop.situation.get()
			held, _ := a.loop.keeper.state()
			return record.Primary, record.Epoch, undue(a.Config.Node, record, held.Valid(held.Epoch, clock.Now()))
		},
		removed: func(ctx context.Context, primary cluster.NodeName) {
			if a.link == nil {
				return // it announces them every few seconds
			}
			call, cancel := context.WithTimeout(ctx, outsidersCall)
			defer cancel()
			if err := a.link.Call(call, primary, strayPath, struct{}{}, &struct{}{}); err != nil {
				a.Log.DebugContext(ctx, "have the addresses announced again", "by", primary, "err", err)
			}
		},
		say: func(detail string) { a.post(func(l *loop) { l.Conditions.Put(cluster.AddressStray, detail) }) }}
	a.spawn(func() { s.run(ctx) })
	if h.outsiders != nil {
		a.spawn(func() { h.outsiders.run(ctx) })
	}
}

// lostAddress puts right at once, and tells, that somebody removed an address from the
// primary. The kernel takes one away, too, from a host whose lease has run out.
func (h *hostParts) lostAddress(ctx context.Context, a *Agent, e vip.Event) {
	record, _ := h.hands.situation()
	held, _ := h.hands.keeper.state()
	due := rightful(a.Config.Node, record, held, clock.Now())
	bound, muted := h.hands.lookAtAddresses(ctx)
	a.post(func(l *loop) {
		l.SawAddresses(bound, muted)
		if due {
			detail := e.Address.String() + " was removed from this host, and not by Baton: it is bound again"
			l.timeline.Note(timeline.StepLostAddress, timeline.Failed, detail)
			l.passing(a, cluster.AddressLost, detail)
		}
	})
}

// passing shows for a while what is put right already.
func (l *loop) passing(a *Agent, reason cluster.Reason, detail string) {
	l.Conditions.Put(reason, detail)
	l.passed++
	seq := l.passed
	time.AfterFunc(strayShown, func() {
		a.post(func(l *loop) {
			if l.passed == seq {
				l.Conditions.Put(reason, "")
			}
		})
	})
}

// blame sets what one of several that look at the same thing says of it, or clears it.
func (l *loop) blame(reason cluster.Reason, by, detail string) {
	if l.blamed == nil {
		l.blamed = map[cluster.Reason]map[string]string{}
	}
	said := l.blamed[reason]
	if said == nil {
		said = map[string]string{}
		l.blamed[reason] = said
	}
	said[by] = detail
	if detail == "" {
		delete(said, by)
	}
	var all []string
	for _, who := range slices.Sorted(maps.Keys(said)) {
		all = append(all, said[who])
	}
	l.Conditions.Put(reason, strings.Join(all, "; "))
}
