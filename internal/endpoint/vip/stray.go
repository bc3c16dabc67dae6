package vip

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Stray is one of the cluster's addresses on a host, whoever put it there.
type Stray struct {
	Presence
	// Marked says that it carries this cluster's mark: it was bound by Baton.
	Marked bool
	// With are the addresses that the kernel would remove together with it.
	With []Presence

	index int
	flags uint32
}

// Strays returns where this host has some addresses, by whoever.
func (a *Asker) Strays(ips []netip.Addr) ([]Stray, error) {
	k := a.set.kernel
	all, err := k.addresses()
	if err != nil {
		return nil, err
	}
	var strays []Stray
	for _, p := range all {
		if !slices.Contains(ips, p.prefix.Addr()) {
			continue
		}
		s := Stray{Presence: Presence{p.prefix, k.name(p.index)}, Marked: k.mark.owns(p), index: p.index, flags: p.flags}
		for _, q := range all {
			// The kernel takes the others of a network along with the first one
			// (unless promote_secondaries is set, which may change).
			if s.first() && q.index == p.index && q.flags&unix.IFA_F_SECONDARY != 0 && q.prefix.Masked() == p.prefix.Masked() {
				s.With = append(s.With, Presence{q.prefix, s.Interface})
			}
		}
		strays = append(strays, s)
	}
	return strays, nil
}

func (s Stray) first() bool { return s.Prefix.Addr().Is4() && s.flags&unix.IFA_F_SECONDARY == 0 }

// ErrTakesAlong says that an address cannot be removed alone.
var ErrTakesAlong = errors.New("the kernel would remove other addresses with it")

// Remove takes a stray address from this host, whoever put it there. One that is gone
// meanwhile is no error.
func (a *Asker) Remove(s Stray) error {
	if len(s.With) > 0 {
		return fmt.Errorf("remove %s: %w: %v", s.Presence, ErrTakesAlong, s.With)
	}
	family := unix.AF_INET6
	if s.Prefix.Addr().Is4() {
		family = unix.AF_INET
	}
	head, ip := nl.NewIfAddrmsg(family), s.Prefix.Addr().AsSlice()
	head.Prefixlen, head.Index = uint8(s.Prefix.Bits()), uint32(s.index)
	req := a.set.kernel.request(unix.RTM_DELADDR, unix.NLM_F_ACK, head)
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, ip))
	req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, ip))
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		// The kernel does not know one of a point-to-point link without its other end.
		left, lerr := a.Strays([]netip.Addr{s.Prefix.Addr()})
		if lerr != nil || slices.ContainsFunc(left, func(l Stray) bool { return l.index == s.index && l.Prefix == s.Prefix }) {
			return errors.Join(fmt.Errorf("remove %s: the kernel does not; if it was added with a peer, remove it by hand (ip addr del … peer …)", s.Presence), lerr)
		}
	}
	if err != nil && !errors.Is(err, syscall.EADDRNOTAVAIL) && !errors.Is(err, syscall.ENODEV) {
		return fmt.Errorf("remove %s: %w", s.Presence, err)
	}
	return nil
}
