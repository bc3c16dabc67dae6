package vip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// An address may have a link-layer address of its own, which moves with it. Neighbours
// then need not learn anything, and those that could not, because they take no
// announcement or have a static entry, go on all the same: it is the switch that learns
// the new port. The address lives on a macvlan of its interface, whose name and group
// show whose it is.
//
// Nothing but the kernel's answers for the address and our announcements ever leaves
// that interface (package-level comment of quiet.go): when the address ends in the
// kernel, the interface that is left says nothing, on whichever host it is.

// MAC is the link-layer address of a virtual address; zero: its interface's own.
type MAC [6]byte

func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// virtual reports whether the address has a link-layer address of its own.
func (a Address) virtual() bool { return a.MAC != MAC{} }

// device is the name of the macvlan of an address: who set it up, for which cluster, and
// for which address. It has the 15 characters that a name may have.
func (m mark) device(a Address) string {
	h := fnv.New32a()
	h.Write(a.IP.AsSlice())
	sum := h.Sum32()
	return fmt.Sprintf("bv%06x-%06x", m.metric&0xffffff, (sum>>24^sum)&0xffffff)
}

// where names the interface that an address is bound on.
func (m mark) where(a Address) string {
	if a.virtual() {
		return m.device(a)
	}
	return a.Interface
}

// ownsLink reports whether a link is a macvlan that this cluster set up.
func (m mark) ownsLink(l netlink.Link) bool {
	_, is := l.(*netlink.Macvlan)
	return is && l.Attrs().Group == m.metric
}

// places are the interface that the configuration names for an address, and the one that
// it is bound on, whose index is 0 while that is not there.
func (k *kernel) places(a Address) (on, at link, err error) {
	if on, err = k.usable(a.Interface); err != nil || !a.virtual() {
		return on, on, err
	}
	if !on.arp {
		return on, at, fmt.Errorf("interface %s has no neighbours that could reach another link-layer address", a.Interface)
	}
	l, err := k.device(a, on)
	if l != nil {
		at = linkOf(l)
	}
	return on, at, err
}

// device returns the macvlan of an address as it has to be; nil if there is none.
func (k *kernel) device(a Address, on link) (netlink.Link, error) {
	l, err := k.handle.LinkByName(k.mark.device(a))
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up the interface of %s: %w", a, err)
	}
	if at := l.Attrs(); !k.mark.ownsLink(l) || at.ParentIndex != on.index || at.HardwareAddr.String() != a.MAC.String() {
		return nil, nil
	}
	return l, nil
}

// prepare makes the macvlan of an address, which stays down: it claims nothing yet.
func (k *kernel) prepare(ns netns.NsHandle, a Address, on link) (netlink.Link, error) {
	l, err := k.device(a, on)
	if l != nil || err != nil {
		return l, err
	}
	name := k.mark.device(a)
	if other, err := k.handle.LinkByName(name); err == nil {
		if !k.mark.ownsLink(other) {
			return nil, fmt.Errorf("make the interface of %s: there is another one of the name %s", a, name)
		}
		if err := k.unmake(other); err != nil { // of an earlier configuration
			return nil, err
		}
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.HardwareAddr, attrs.Group = name, on.index, a.MAC[:], k.mark.metric
	// In mode bridge, containers on macvlans of the same interface reach the address too.
	l = &netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE}
	if err := k.handle.LinkAdd(l); err != nil {
		return nil, fmt.Errorf("make the interface of %s, a macvlan on %s: %w%s", a, on.name, err, busy(err))
	}
	if l, err = k.handle.LinkByName(name); err != nil {
		return nil, fmt.Errorf("look up the interface of %s: %w", a, err)
	}
	if err := errors.Join(harmless(ns, name, a.IP), k.handle.LinkSetAlias(l, "baton, address "+a.IP.String())); err != nil {
		return nil, errors.Join(fmt.Errorf("make the interface of %s: %w", a, err), k.unmake(l))
	}
	return l, nil
}

// busy explains the kernel's refusal of a macvlan.
func busy(err error) string {
	if errors.Is(err, syscall.EBUSY) {
		return " (it is part of a bridge, a bond or a team: name that one)"
	}
	if errors.Is(err, syscall.EOPNOTSUPP) {
		return " (this kernel has no macvlan)"
	}
	return ""
}

// harmless sets what the interface may do by itself: nothing. It is our own, and no
// setting of another interface is touched. A packet that comes in on it and whose sender
// is reached by another one, which is so with all of them, passes (loose rp_filter, which
// a strict one of all interfaces does not overrule: the greater number counts).
func harmless(ns netns.NsHandle, name string, ip netip.Addr) error {
	set := [][2]string{
		{"ipv4/conf/" + name + "/arp_ignore", "1"},
		{"ipv4/conf/" + name + "/rp_filter", "2"},
		{"ipv4/conf/" + name + "/forwarding", "0"},
	}
	if ip.Is4() {
		set = append(set, [2]string{"ipv6/conf/" + name + "/disable_ipv6", "1"})
	} else {
		set = append(set,
			[2]string{"ipv6/conf/" + name + "/addr_gen_mode", "1"}, // no link-local address: each host would have the same
			[2]string{"ipv6/conf/" + name + "/accept_ra", "0"},
			[2]string{"ipv6/conf/" + name + "/autoconf", "0"},
		)
	}
	return inNamespace(ns, func() error {
		for _, s := range set {
			err := os.WriteFile("/proc/sys/net/"+s[0], []byte(s[1]), 0)
			if errors.Is(err, os.ErrNotExist) && ip.Is4() && s[0][:5] == "ipv6/" {
				continue // this kernel has no IPv6
			}
			if err != nil {
				return fmt.Errorf("set net/%s = %s: %w", s[0], s[1], err)
			}
		}
		return nil
	})
}

// unmake removes a macvlan, and what it claims at once.
func (k *kernel) unmake(l netlink.Link) error {
	err := errors.Join(k.handle.LinkSetDown(l), k.handle.LinkDel(l))
	if errors.Is(err, syscall.ENODEV) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove interface %s: %w", l.Attrs().Name, err)
	}
	return nil
}

// devices lists the macvlans that this cluster has set up.
func (k *kernel) devices() ([]netlink.Link, error) {
	all, err := k.handle.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	return slices.DeleteFunc(all, func(l netlink.Link) bool { return !k.mark.ownsLink(l) }), nil
}

// prepare has ready what a Bind needs of an address with a link-layer address of its own,
// with its interface down.
func (s *Set) prepare(a Address) error {
	if !a.virtual() {
		return nil
	}
	on, err := s.kernel.usable(a.Interface)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.quietLocked(a); err != nil {
		return err
	}
	_, err = s.kernel.prepare(s.ns, a, on)
	return err
}

// raiseLocked brings up the interface that an address is to be bound on. The caller
// holds mu, and binds it next.
func (s *Set) raiseLocked(a Address, on link) (link, error) {
	if !a.virtual() {
		return on, nil
	}
	if err := s.quietLocked(a); err != nil {
		return link{}, err
	}
	l, err := s.kernel.prepare(s.ns, a, on)
	if err != nil {
		return link{}, err
	}
	if l.Attrs().RawFlags&unix.IFF_UP == 0 {
		if err := s.kernel.handle.LinkSetUp(l); err != nil {
			return link{}, fmt.Errorf("bring up interface %s: %w", l.Attrs().Name, err)
		}
	}
	at := linkOf(l)
	at.up = true
	return at, s.groups.join(a.IP, on.index)
}

// lowerLocked removes the interface of an address that has ended. The caller holds mu.
func (s *Set) lowerLocked(a Address) error {
	if !a.virtual() {
		return nil
	}
	s.groups.leave(a.IP)
	l, err := s.kernel.handle.LinkByName(s.kernel.mark.device(a))
	if err != nil || !s.kernel.mark.ownsLink(l) {
		return s.quietLocked() // gone with the interface that it was on
	}
	return errors.Join(s.kernel.unmake(l), s.quietLocked())
}

// Sweep removes from the host what an earlier configuration of the cluster left, and
// Baton's own end does not: interfaces of addresses that have one of their own, and their
// firewall tables. What cfg names stays. It is for the agent's start, and takes a
// configuration without any address.
func Sweep(cfg Config) ([]Leftover, error) {
	k, err := openKernel(cfg.namespace(), markOf(cfg.tableName()))
	if err != nil {
		return nil, err
	}
	defer k.close()
	s := &Set{cfg: cfg, kernel: k, ns: cfg.namespace()}
	found, err := s.devicesLeft()
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, a := range cfg.Addresses {
		wanted[k.mark.device(a)] = a.virtual()
	}
	found = slices.DeleteFunc(found, func(l Leftover) bool { return wanted[l.Device] })
	removed, errs := s.removeDevices(found)
	if len(removed) > 0 {
		errs = append(errs, s.quietLocked())
	}
	return removed, errors.Join(errs...)
}

// devicesLeft lists the interfaces that carry the cluster's mark.
func (s *Set) devicesLeft() ([]Leftover, error) {
	links, err := s.kernel.devices()
	var found []Leftover
	for _, l := range links {
		found = append(found, Leftover{Device: l.Attrs().Name, link: l})
	}
	return found, err
}

func (s *Set) removeDevices(found []Leftover) (removed []Leftover, errs []error) {
	for _, l := range found {
		if err := s.kernel.unmake(l.link); err != nil {
			errs = append(errs, err)
			continue
		}
		removed = append(removed, l)
	}
	return removed, errs
}

// ParseMAC reads the link-layer address that a configuration gives a virtual address:
// none, "auto" for the derived one, or one as it is written.
func ParseMAC(word, cluster string, ip netip.Addr) (MAC, error) {
	switch word {
	case "":
		return MAC{}, nil
	case "auto":
		return DeriveMAC(cluster, ip), nil
	}
	hw, err := net.ParseMAC(word)
	if err != nil || len(hw) != 6 {
		return MAC{}, fmt.Errorf("%q is no link-layer address of Ethernet", word)
	}
	return MAC(hw), nil
}

// DeriveMAC returns the link-layer address of a virtual address that is given none: the
// same on every node, and another one for each cluster and each address. It is locally
// administered, out of 46 bits. The numbers that VRRP has for this (00:00:5e:00:01 and
// the router's ID) are only 255, are chosen by hand, and belong to whoever speaks VRRP
// in that network.
func DeriveMAC(cluster string, ip netip.Addr) MAC {
	h := fnv.New64a()
	h.Write([]byte("baton\x00" + cluster + "\x00" + ip.String()))
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], h.Sum64())
	var m MAC
	copy(m[:], b[2:])
	m[0] = (m[0]^b[0])&^0x03 | 0x02 // unicast, locally administered
	m[1] ^= b[1]
	return m
}
