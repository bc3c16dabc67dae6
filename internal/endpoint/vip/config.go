package vip

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"time"

	"github.com/vishvananda/netns"
)

// Address is one virtual address and the interface that it lives on.
type Address struct {
	IP        netip.Addr
	Interface string
	// MAC is a link-layer address that moves with it (virtual.go); zero: none does.
	MAC MAC
}

func (a Address) String() string { return a.IP.String() + " on " + a.Interface }

// prefix returns the address as the kernel holds it: a host route, because
// a wider one would vanish with the network's first address.
func (a Address) prefix() netip.Prefix { return netip.PrefixFrom(a.IP, a.IP.BitLen()) }

// Config says which addresses a cluster has. The zero value of a duration means
// the default that is named beside it.
type Config struct {
	Cluster   string // names what is left on the host
	Addresses []Address
	// Group tells several sets of one cluster apart: none touches what another has.
	Group string

	// ProbeWait is how long an answer to a duplicate-address probe is waited
	// for; 50 ms, which is three times the slowest answer seen under load.
	ProbeWait time.Duration
	// ProbeAge is how old an earlier finding may be to stand in for a probe;
	// 5 s.
	ProbeAge time.Duration
	// AskWait bounds the wait of Ask for an answer; 1 s.
	AskWait time.Duration
	// RouteWait bounds the wait for the local route of a new address; 1 s.
	RouteWait time.Duration
	// Refresh is the interval of announcements after the burst; 5 s.
	Refresh time.Duration
	// Quiet is how long a second report of a duplicate of the same address is
	// held back; 1 s.
	Quiet time.Duration

	// Namespace is a file descriptor of the network namespace to work in; 0 is
	// the one of the process. It must stay open until Close. The lab and the
	// tests run several hosts in one process by it.
	Namespace int
}

// A ConfigError is one thing that is wrong with the configuration, or that does
// not fit this host, and how to mend it.
type ConfigError struct {
	Key  string // below `addresses`, or the name of another key
	What string
	Mend string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("%s: %s: %s", e.Key, e.What, e.Mend)
}

// clusterPattern is what nft reads as part of a name without quotes.
var clusterPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$`)

// Validate reports everything that is wrong with the configuration by itself,
// as *ConfigError joined. CheckHost looks at the host as well.
func (c Config) Validate() error {
	var errs []error
	wrong := func(key, what, mend string) { errs = append(errs, &ConfigError{key, what, mend}) }
	if !clusterPattern.MatchString(c.Cluster) {
		wrong("cluster", fmt.Sprintf("%q cannot name a firewall table", c.Cluster), "use up to 100 letters, digits, '_', '-' and '.'")
	}
	if len(c.Addresses) == 0 {
		wrong("addresses", "there is none", "name at least one address and its interface")
	}
	for i, a := range c.Addresses {
		key := fmt.Sprintf("addresses[%d]", i)
		if n := len(a.Interface); n == 0 || n > 15 {
			wrong(key+".interface", fmt.Sprintf("%q is no interface name", a.Interface), "name the interface of the clients' network, as `ip link` shows it")
		}
		if what := unusable(a.IP); what != "" {
			wrong(key+".address", what, "use a free unicast address of the clients' network")
		}
		if slices.ContainsFunc(c.Addresses[:i], func(b Address) bool { return b.IP == a.IP }) {
			wrong(key+".address", a.IP.String()+" is there twice", "remove one of them")
		}
		if a.virtual() && a.MAC[0]&0x03 != 0x02 {
			wrong(key+".mac", a.MAC.String()+" is no locally administered address of one host", "use one whose second digit is 2, 6, a or e, or auto")
		}
		if a.virtual() && slices.ContainsFunc(c.Addresses[:i], func(b Address) bool { return b.MAC == a.MAC && b.Interface == a.Interface }) {
			wrong(key+".mac", a.MAC.String()+" is there twice", "give each address its own, or auto")
		}
	}
	for key, d := range map[string]time.Duration{"probe wait": c.ProbeWait, "probe age": c.ProbeAge, "ask wait": c.AskWait, "route wait": c.RouteWait, "refresh": c.Refresh, "quiet": c.Quiet} {
		if d < 0 {
			wrong(key, d.String()+" is negative", "leave it out for the default")
		}
	}
	return errors.Join(errs...)
}

// unusable says why no host of a cluster could answer for ip; empty: it could.
func unusable(ip netip.Addr) string {
	switch {
	case !ip.IsValid():
		return "there is no IP address"
	case ip.Is4In6():
		return ip.String() + " is an IPv4 address written as IPv6; write " + ip.Unmap().String()
	case ip.Zone() != "":
		return ip.String() + " has a zone; the interface is a key of its own"
	case ip.IsUnspecified(), ip.IsMulticast(), ip.IsLoopback(), ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return ip.String() + " is no address of a host on a network"
	case ip.Is6() && ip.IsLinkLocalUnicast():
		return ip.String() + " is link-local: clients would have to name their interface to reach it"
	}
	return ""
}

// tableName is what names this set in firewall tables and in its mark. No cluster's
// name in a configuration has a dot.
func (c Config) tableName() string {
	if c.Group == "" {
		return c.Cluster
	}
	return c.Cluster + "." + c.Group
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		value *time.Duration
		is    time.Duration
	}{
		{&c.ProbeWait, 50 * time.Millisecond},
		{&c.ProbeAge, 5 * time.Second},
		{&c.AskWait, time.Second},
		{&c.RouteWait, time.Second},
		{&c.Refresh, 5 * time.Second},
		{&c.Quiet, time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.is
		}
	}
	c.Addresses = slices.Clone(c.Addresses)
	return c
}

func (c Config) namespace() netns.NsHandle {
	if c.Namespace == 0 {
		return netns.None()
	}
	return netns.NsHandle(c.Namespace)
}

// interfaces returns the names of all interfaces that have an address.
func (c Config) interfaces() []string {
	var names []string
	for _, a := range c.Addresses {
		if !slices.Contains(names, a.Interface) {
			names = append(names, a.Interface)
		}
	}
	return names
}

func (c Config) address(ip netip.Addr) (Address, bool) {
	i := slices.IndexFunc(c.Addresses, func(a Address) bool { return a.IP == ip })
	if i < 0 {
		return Address{}, false
	}
	return c.Addresses[i], true
}

// families returns which families the addresses of an interface are of: false
// for IPv4, true for IPv6.
func (c Config) families(ifname string) []bool {
	var v6 []bool
	for _, a := range c.Addresses {
		if a.Interface == ifname && !slices.Contains(v6, a.IP.Is6()) {
			v6 = append(v6, a.IP.Is6())
		}
	}
	return v6
}
