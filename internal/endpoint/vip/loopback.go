package vip

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// loopback is the number of the loopback interface, in every network namespace.
const loopback = 1

// flagsOn are the flags of an address on an interface.
//
// Without IFA_F_NOPREFIXROUTE the kernel adds a route for a /128, with our mark as its
// metric. On loopback the flag may not be there: FRR, from version 10 on, leaves an
// address that has it out of its table, and would not announce it. That route is
// removed instead (removeRoute).
func flagsOn(index int) uint32 {
	if index == loopback {
		return unix.IFA_F_NODAD
	}
	return unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE
}

// removeRoute removes the route that the kernel adds for an IPv6 address on loopback,
// and adds again with every renewal: it would outlive an address that ends by itself,
// and nothing from this host would reach that address elsewhere. Packets to it
// are delivered by the local route, which ends with it.
func (k *kernel) removeRoute(ip netip.Addr, index int) error {
	if index != loopback || ip.Is4() {
		return nil
	}
	err := k.handle.RouteDel(&netlink.Route{LinkIndex: index, Dst: &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(128, 128)}, Priority: int(k.mark.metric), Table: unix.RT_TABLE_MAIN})
	if errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove its route: %w", err)
	}
	return nil
}

// misfitLo says why an address does not fit loopback, or nil: it is in no network of
// this host. In one, neighbours would ask for it, this host would answer, and nobody
// would tell them when it moves.
func (k *kernel) misfitLo(a Address, all []present) *ConfigError {
	for _, p := range all {
		if n := p.prefix.Masked(); !n.IsSingleIP() && n.Contains(a.IP) {
			name := k.name(p.index)
			return &ConfigError{"address", fmt.Sprintf("%s is in %s, the network of %s, where neighbours ask for it and nobody tells them that it moves", a.IP, n, name),
				"use an address outside of every network of the hosts, or interface: " + name}
		}
	}
	return nil
}
