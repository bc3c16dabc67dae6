package vip

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// CheckHost reports everything in the configuration that does not fit this
// host, as *ConfigError joined. It changes nothing. An address that is right
// but cannot be bound at this moment, because its interface is down, passes.
func CheckHost(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	k, err := openKernel(cfg.namespace(), markOf(cfg.tableName()))
	if err != nil {
		return err
	}
	defer k.close()
	all, err := k.addresses()
	if err != nil {
		return err
	}
	var errs []error
	for i, a := range cfg.Addresses {
		if wrong := k.misfit(a, all); wrong != nil {
			wrong.Key = fmt.Sprintf("addresses[%d].%s", i, wrong.Key)
			errs = append(errs, wrong)
		}
	}
	return errors.Join(errs...)
}

// misfit says why an address does not fit this host, or nil.
func (k *kernel) misfit(a Address, all []present) *ConfigError {
	l, err := k.link(a.Interface)
	switch {
	case err != nil:
		return &ConfigError{"interface", a.Interface + " is not there", "use one of " + strings.Join(k.names(), ", ")}
	case !l.arp && !l.lo:
		return &ConfigError{"interface", a.Interface + " has no neighbours that could ask for an address", "use an Ethernet interface, or lo and announce the address by routing"}
	}
	if a.virtual() {
		if wrong := k.misfitMAC(a, l); wrong != nil {
			return wrong
		}
	}
	for _, p := range all {
		if p.prefix.Addr() == a.IP && !k.mark.owns(p) {
			return &ConfigError{"address", fmt.Sprintf("the host has %s on %s, and not from this cluster", p.prefix, k.name(p.index)),
				"remove it there: it would stay when the address moves"}
		}
	}
	if l.lo {
		return k.misfitLo(a, all)
	}
	networks := networksOf(l.index, a.IP, all)
	if a.IP.Is6() && len(networks) == 0 {
		return nil // the networks of IPv6 may be known to routers only
	}
	if !slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(a.IP) }) {
		what := fmt.Sprintf("%s is in no network of %s", a.IP, a.Interface)
		if len(networks) == 0 {
			return &ConfigError{"address", what + ", which has none", "give the interface an address of its own first"}
		}
		return &ConfigError{"address", what, fmt.Sprintf("use an address in %v, or name the interface that has its network", networks)}
	}
	if a.IP.Is4() {
		for _, n := range networks {
			if n.Contains(a.IP) && n.Bits() < 31 && (a.IP == n.Addr() || a.IP == lastOf(n)) {
				return &ConfigError{"address", fmt.Sprintf("%s is the network's own address or its broadcast address in %s", a.IP, n), "use another one in it"}
			}
		}
	}
	return nil
}

// misfitMAC says why an interface cannot carry another link-layer address than its own,
// or nil.
func (k *kernel) misfitMAC(a Address, on link) *ConfigError {
	if on.lo {
		return &ConfigError{"mac", "there are no link-layer addresses on lo", "remove mac"}
	}
	l, err := k.handle.LinkByName(a.Interface)
	if err != nil {
		return nil // it was there just now
	}
	for _, dir := range []string{"wireless", "phy80211"} {
		if _, err := os.Stat("/sys/class/net/" + a.Interface + "/" + dir); err == nil {
			return &ConfigError{"mac", a.Interface + " is a wireless interface, and its access point takes no other link-layer address than its own", "remove mac, or name a wired interface"}
		}
	}
	if l.Type() == "ipvlan" || l.Type() == "ipvtap" {
		return &ConfigError{"mac", a.Interface + " is an " + l.Type() + ", which shares the link-layer address of its interface", "remove mac, or name the interface below it"}
	}
	if at := l.Attrs().MasterIndex; at != 0 {
		if master, err := k.handle.LinkByIndex(at); err == nil && master.Type() != "vrf" {
			name := master.Attrs().Name
			return &ConfigError{"mac", fmt.Sprintf("%s is part of %s, a %s, which takes all that arrives on it", a.Interface, name, master.Type()), "write interface: " + name}
		}
	}
	return nil
}

// networksOf returns the networks on an interface that neighbours with
// addresses of the family of ip can be in.
func networksOf(index int, ip netip.Addr, all []present) []netip.Prefix {
	var networks []netip.Prefix
	for _, p := range all {
		own := p.prefix.Addr()
		if p.index != index || p.prefix.IsSingleIP() || own.Is4() != ip.Is4() || own.Is6() && own.IsLinkLocalUnicast() {
			continue
		}
		if n := p.prefix.Masked(); !slices.Contains(networks, n) {
			networks = append(networks, n)
		}
	}
	return networks
}

// lastOf returns the highest address of an IPv4 network.
func lastOf(n netip.Prefix) netip.Addr {
	b := n.Masked().Addr().As4()
	for bit := n.Bits(); bit < 32; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b)
}

// names returns the interfaces that could carry a virtual address.
func (k *kernel) names() []string {
	links, err := k.handle.LinkList()
	if err != nil {
		return []string{"those that `ip link` shows"}
	}
	var names []string
	for _, l := range links {
		if l.Attrs().RawFlags&unix.IFF_LOOPBACK == 0 {
			names = append(names, l.Attrs().Name)
		}
	}
	return names
}
