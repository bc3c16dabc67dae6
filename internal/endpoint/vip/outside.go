package vip

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/clock"
)

// How a neighbour looks at an address: it asks again and again until somebody answers,
// and then hears for a while whether somebody else does, too.
const (
	lookEvery = 30 * time.Millisecond
	lookAfter = 100 * time.Millisecond
	lookLimit = 500 * time.Millisecond
)

// Sight is what this host finds at an address when it looks as any neighbour would.
type Sight struct {
	IP netip.Addr `json:"ip"`
	// Interface is where it asked. Empty: no network of this host has the address, or
	// the interface that has it is down.
	Interface string `json:"interface,omitempty"`
	// Answers are all that came on the wire, the first one first; no two of one MAC.
	Answers []Answer `json:"answers,omitempty"`
	// Cached is to whom this host's kernel would have sent packets for the address
	// before it asked; empty: it knew nobody.
	Cached string `json:"cached,omitempty"`
	// Fixed says that Cached was entered by hand: no announcement changes it.
	Fixed bool `json:"fixed,omitempty"`
	// Here is where this host has the address itself.
	Here []string `json:"here,omitempty"`
	// Routed is what came of an echo, where the address is in no network of this host.
	Routed *Routed `json:"routed,omitempty"`
	// Wrong is why it could not look.
	Wrong string `json:"wrong,omitempty"`
}

// Answer is one host's answer to the question who has an address.
type Answer struct {
	MAC   string        `json:"mac"`
	After time.Duration `json:"after_ns"` // since the first question
}

// Look looks at all addresses at the same time. An answer is one that came on the wire,
// by ARP or neighbour discovery; what the kernel remembers is told besides. It changes
// nothing but this host's own entry for an address that it knows already.
func (a *Asker) Look(ctx context.Context, q Question) []Sight {
	control := sync.OnceFunc(func() {
		if q.Control.IsValid() && q.Token != "" {
			_, _ = a.reach(ctx, q.Control, q.Token) // whether it comes, the other end says
		}
	})
	return each(q.IPs, func(ip netip.Addr) Sight {
		s := Sight{IP: ip}
		err := a.look(ctx, &s)
		if err == nil && s.Interface == "" && len(s.Here) == 0 && q.Token != "" {
			var other sync.WaitGroup
			other.Go(control)
			s.Routed, err = a.reach(ctx, ip, q.Token)
			other.Wait()
		}
		if err != nil {
			s.Wrong = err.Error()
		}
		return s
	})
}

// look looks as a neighbour.
func (a *Asker) look(ctx context.Context, s *Sight) error {
	k := a.set.kernel
	all, err := k.addresses()
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.prefix.Addr() == s.IP {
			s.Here = append(s.Here, Presence{p.prefix, k.name(p.index)}.String())
		}
	}
	l, found, err := k.towards(s.IP, all)
	if err != nil || !found {
		return err
	}
	s.Interface = l.name
	if err := k.remembered(l.index, s); err != nil {
		return err
	}
	var asker netip.Addr
	if s.IP.Is6() {
		if asker, err = k.linkLocal(l.index); err != nil {
			return err
		}
	}
	s.Answers, err = a.hearAll(ctx, l, s.IP, question(s.IP, l.mac, asker))
	return err
}

// towards returns the interface whose network has an address.
func (k *kernel) towards(ip netip.Addr, all []present) (l link, found bool, err error) {
	links, err := k.handle.LinkList()
	if err != nil {
		return link{}, false, fmt.Errorf("list interfaces: %w", err)
	}
	for _, one := range links {
		l := linkOf(one)
		if !l.arp || !l.up || !l.carrier {
			continue
		}
		if slices.ContainsFunc(networksOf(l.index, ip, all), func(n netip.Prefix) bool { return n.Contains(ip) }) {
			return l, true, nil
		}
	}
	return link{}, false, nil
}

// remembered reads whom the kernel takes for the owner of an address.
func (k *kernel) remembered(index int, s *Sight) error {
	family := unix.AF_INET6
	if s.IP.Is4() {
		family = unix.AF_INET
	}
	list, err := k.handle.NeighList(index, family)
	if err != nil {
		return fmt.Errorf("list the neighbours: %w", err)
	}
	i := slices.IndexFunc(list, func(n netlink.Neigh) bool {
		ip, ok := netip.AddrFromSlice(n.IP)
		return ok && ip.Unmap() == s.IP && n.State&(known|unix.NUD_PERMANENT) != 0 && len(n.HardwareAddr) > 0
	})
	if i >= 0 {
		s.Cached, s.Fixed = list[i].HardwareAddr.String(), list[i].State&unix.NUD_PERMANENT != 0
	}
	return nil
}

// hearAll asks until somebody answers, and then for a while longer, and returns
// everybody who did. What is announced to all is no answer: only what came to this host
// is, or, where it has no address to be answered at, what came to all.
func (a *Asker) hearAll(ctx context.Context, l link, ip netip.Addr, frame []byte) ([]Answer, error) {
	conn, err := a.set.listen(l, ip.Is6())
	if err != nil {
		return nil, err
	}
	defer a.set.retire(conn)
	began := clock.Now()
	end, next := began.Add(lookLimit), began
	toAll := ip.Is6() && bytes.Equal(frame[etherLen+8:etherLen+24], netip.IPv6Unspecified().AsSlice())
	var answers []Answer
	buf := make([]byte, 1514)
	for ctx.Err() == nil {
		now := clock.Now()
		if now >= end {
			return answers, nil
		}
		if now >= next {
			if err := a.set.sender.send(l.index, frame); err != nil {
				return answers, fmt.Errorf("ask for %s on %s: %w", ip, l.name, err)
			}
			next = now.Add(lookEvery)
		}
		if err := conn.SetReadDeadline(time.Now().Add(min(next, end).Sub(now))); err != nil {
			return answers, fmt.Errorf("ask for %s on %s: %w", ip, l.name, err)
		}
		n, _, err := conn.ReadFrom(buf)
		if timeout(err) {
			continue
		}
		if err != nil {
			return answers, fmt.Errorf("hear who has %s on %s: %w", ip, l.name, err)
		}
		c, ok := claimIn(buf[:n])
		if !ok || c.ip != ip || !toAll && !bytes.Equal(buf[:6], l.mac) || bytes.Equal(c.mac, l.mac) {
			continue
		}
		if slices.ContainsFunc(answers, func(a Answer) bool { return a.MAC == c.mac.String() }) {
			continue
		}
		answers = append(answers, Answer{MAC: c.mac.String(), After: clock.Now().Sub(began)})
		end = min(end, clock.Now().Add(lookAfter))
	}
	return answers, ctx.Err()
}

// MACs are this host's link-layer addresses on the interfaces in whose networks these
// addresses are, for a host that is to have none of them.
func (a *Asker) MACs(ips []netip.Addr) ([]string, error) {
	all, err := a.set.kernel.addresses()
	if err != nil {
		return nil, err
	}
	var macs []string
	for _, ip := range ips {
		l, found, err := a.set.kernel.towards(ip, all)
		if err != nil {
			return macs, err
		}
		if found && !slices.Contains(macs, l.mac.String()) {
			macs = append(macs, l.mac.String())
		}
	}
	return macs, nil
}

// Home is where this host has one of its virtual addresses: what its neighbours are to
// find, and what else they may find on a host with several interfaces in one network.
type Home struct {
	Here  bool
	MAC   string   // of the interface that has it; empty: on loopback, or it is not here
	Other []string // of the host's other interfaces
}

// Homes returns where this host has its addresses, by what the kernel says.
func (s *Set) Homes() (map[netip.Addr]Home, error) {
	all, err := s.kernel.addresses()
	if err != nil {
		return nil, err
	}
	links, err := s.kernel.handle.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	homes := map[netip.Addr]Home{}
	for _, a := range s.cfg.Addresses {
		var h Home
		i := slices.IndexFunc(all, func(p present) bool { return p.prefix.Addr() == a.IP && s.kernel.mark.owns(p) })
		h.Here = i >= 0
		for _, one := range links {
			l := linkOf(one)
			switch {
			case !l.arp:
			case i >= 0 && l.index == all[i].index:
				h.MAC = l.mac.String()
			case !slices.Contains(h.Other, l.mac.String()):
				h.Other = append(h.Other, l.mac.String())
			}
		}
		homes[a.IP] = h
	}
	return homes, nil
}

// Announce tells the neighbours of some of the held addresses again, with a burst of
// announcements: one of them was seen not to know where they are.
func (s *Set) Announce(ips []netip.Addr) error {
	return s.reannounce(func(h *holding) bool { return slices.Contains(ips, h.IP) })
}

// each does something with every address at the same time.
func each[R any](ips []netip.Addr, do func(netip.Addr) R) []R {
	results := make([]R, len(ips))
	var all sync.WaitGroup
	for i, ip := range ips {
		all.Go(func() { results[i] = do(ip) })
	}
	all.Wait()
	return results
}
