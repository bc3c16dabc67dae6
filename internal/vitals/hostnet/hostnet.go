// Package hostnet answers what this host's kernel does with the neighbours, routes and
// connections that a primary's address depends on, in the network namespace of the
// thread that asks.
//
// It only reads: sysctls below /proc/sys/net, routes and the neighbour table. The rule
// that must not be broken: what could not be read is left out, and said; it is never
// replaced by what is usual.
package hostnet

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/core/reach"
)

// sysctls is where the kernel shows its settings.
const sysctls = "/proc/sys/net"

// How the kernel puts conf/all and conf/INTERFACE together (include/linux/inetdevice.h,
// net/ipv6/ndisc.c).
type joined int

const (
	greater joined = iota // the greater of the two counts
	own                   // that of the interface alone
)

// ofInterface are the settings of an interface that matter for a move.
func ofInterface(v6 bool) map[string]joined {
	if v6 {
		return map[string]joined{"drop_unsolicited_na": own, "ndisc_notify": greater}
	}
	return map[string]joined{"arp_accept": greater, "arp_announce": greater, "arp_ignore": greater, "arp_notify": greater,
		"drop_gratuitous_arp": greater, "rp_filter": greater, "promote_secondaries": greater}
}

// Binding is an address that moves with the primary, and the interface on which this
// host has it while it is primary; empty: never, it is a witness.
type Binding struct {
	Address   netip.Addr
	Interface string
}

// Look reads how this host, whose own address is self, stands to each of the addresses.
func Look(self netip.Addr, addresses []Binding) (h reach.Host) {
	table, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		h.Missing = append(h.Missing, fmt.Sprintf("routes and neighbours: open netlink: %v", err))
	} else {
		defer table.Close()
	}
	read := map[string]reach.Settings{}
	for _, b := range addresses {
		p := reach.Path{Address: b.Address, Why: "its routes cannot be read"}
		if err == nil {
			p = path(table, b)
		}
		if p.Interface == "lo" {
			p.Loopback = true
			uplink, err := interfaceOf(self)
			if err != nil {
				h.Missing = append(h.Missing, err.Error())
			}
			p.Interface = uplink
		}
		if p.Interface != "" {
			p.Settings = settingsOnce(&h, read, p.Interface, b.Address.Is6())
		}
		h.Paths = append(h.Paths, p)
	}
	var missing []string
	h.TCP, missing = readAll("ipv4", "tcp_keepalive_time", "tcp_keepalive_intvl", "tcp_keepalive_probes", "tcp_retries2", "tcp_syn_retries")
	h.Missing = append(h.Missing, missing...)
	// Without the module there is nothing to read, and nothing is missing.
	if _, err := os.Stat(filepath.Join(sysctls, "netfilter/nf_conntrack_max")); err == nil {
		h.Conntrack, missing = readAll("netfilter", "nf_conntrack_max", "nf_conntrack_count", "nf_conntrack_tcp_timeout_established",
			"nf_conntrack_tcp_timeout_unacknowledged", "nf_conntrack_tcp_be_liberal", "nf_conntrack_tcp_loose")
		h.Missing = append(h.Missing, missing...)
	} else if !errors.Is(err, fs.ErrNotExist) {
		h.Missing = append(h.Missing, fmt.Sprintf("connection tracking: %v", err))
	}
	return h
}

// settingsOnce reads what matters of an interface, unless that was done for another
// address on it.
func settingsOnce(h *reach.Host, known map[string]reach.Settings, name string, v6 bool) reach.Settings {
	family := familyOf(v6)
	if s, done := known[family+name]; done {
		return s
	}
	s, missing := interfaceSettings(name, family, v6)
	h.Missing = append(h.Missing, missing...)
	known[family+name] = s
	return s
}

func familyOf(v6 bool) string {
	if v6 {
		return "ipv6"
	}
	return "ipv4"
}

// interfaceOf is the interface that has an address.
func interfaceOf(self netip.Addr) (string, error) {
	links, err := net.Interfaces()
	if err != nil {
		return "", fmt.Errorf("list the interfaces: %w", err)
	}
	for _, l := range links {
		addrs, err := l.Addrs()
		if err != nil {
			return "", fmt.Errorf("list the addresses of %s: %w", l.Name, err)
		}
		for _, a := range addrs {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr() == self {
				return l.Name, nil
			}
		}
	}
	return "", fmt.Errorf("find the interface of %s: no interface has it", self)
}

// path asks the kernel how it would get to an address.
func path(table *netlink.Handle, b Binding) reach.Path {
	a := b.Address
	p := reach.Path{Address: a, Interface: b.Interface}
	routes, err := table.RouteGet(a.AsSlice())
	if err != nil || len(routes) == 0 {
		if p.Why = "this host has no route to it"; err != nil && !errors.Is(err, unix.ENETUNREACH) && !errors.Is(err, unix.EHOSTUNREACH) {
			p.Why = fmt.Sprintf("ask for the route to it: %v", err)
		}
		return p
	}
	r := routes[0]
	if p.Interface == "lo" {
		p.Here = r.Type == unix.RTN_LOCAL
		return p
	}
	if r.Type == unix.RTN_LOCAL {
		p.Here = true
		return p
	}
	link, err := table.LinkByIndex(r.LinkIndex)
	if err != nil {
		p.Why = fmt.Sprintf("look up the interface of the route to it: %v", err)
		return p
	}
	p.Interface = link.Attrs().Name
	if gw, ok := netip.AddrFromSlice(r.Gw); ok {
		p.Gateway = gw.Unmap()
		return p
	}
	family := unix.AF_INET
	if a.Is6() {
		family = unix.AF_INET6
	}
	entries, err := table.NeighList(r.LinkIndex, family)
	if err != nil {
		p.Why = fmt.Sprintf("list the neighbours on %s: %v", p.Interface, err)
		return p
	}
	for _, n := range entries {
		if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap() == a {
			p.Entry, p.MAC = stateName(n.State), n.HardwareAddr.String()
		}
	}
	return p
}

// stateName is a state of the neighbour table in ip-neighbour(8)'s words.
func stateName(state int) string {
	names := map[int]string{unix.NUD_INCOMPLETE: "incomplete", unix.NUD_REACHABLE: "reachable", unix.NUD_STALE: "stale", unix.NUD_DELAY: "delay",
		unix.NUD_PROBE: "probe", unix.NUD_FAILED: "failed", unix.NUD_NOARP: "noarp", unix.NUD_PERMANENT: "permanent"}
	if name, ok := names[state]; ok {
		return name
	}
	return fmt.Sprintf("state %d", state)
}

// interfaceSettings reads what matters of an interface, each put together with that of
// all interfaces.
func interfaceSettings(name, family string, v6 bool) (s reach.Settings, missing []string) {
	s = reach.Settings{}
	for setting, how := range ofInterface(v6) {
		of, err := readOne(family, "conf", name, setting)
		if errors.Is(err, fs.ErrNotExist) {
			continue // this kernel has no such setting
		}
		if all, errAll := readOne(family, "conf", "all", setting); how == greater {
			of, err = max(of, all), errors.Join(err, errAll)
		}
		if err != nil {
			missing = append(missing, err.Error())
			continue
		}
		s[setting] = of
	}
	for _, setting := range reach.NeighbourNames() {
		switch v, err := readOne(family, "neigh", name, setting); {
		case err == nil:
			s[setting] = v
		case !errors.Is(err, fs.ErrNotExist):
			missing = append(missing, err.Error())
		}
	}
	return s, missing
}

func readAll(folder string, names ...string) (s reach.Settings, missing []string) {
	s = reach.Settings{}
	for _, n := range names {
		switch v, err := readOne(folder, n); {
		case err == nil:
			s[n] = v
		case !errors.Is(err, fs.ErrNotExist):
			missing = append(missing, err.Error())
		}
	}
	return s, missing
}

func readOne(parts ...string) (int64, error) {
	path := filepath.Join(append([]string{sysctls}, parts...)...)
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read a setting of the kernel: %w", err)
	}
	v, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	return v, nil
}
