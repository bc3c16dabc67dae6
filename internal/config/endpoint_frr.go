package config

import (
	"fmt"
	"net/netip"
	"regexp"
)

// FRR is what an FRR on every data node's host announces to its routers.
type FRR struct {
	Vtysh     []string `key:"vtysh"`
	RouteMap  string   `key:"route_map"`
	Neighbors []string `key:"neighbors"`
}

// routeMapShape is one word of FRR's configuration.
var routeMapShape = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,79}$`)

// onLoopback names the interface of addresses that routers lead to.
const onLoopback = "lo"

func frrKeys() []Key {
	return []Key{
		key("endpoints[].frr.vtysh", Words).same().like("[vtysh, -N, shop]").
			doc("An FRR that runs on every data node's host and announces the addresses on lo by BGP: the command that speaks with it. Empty: vtysh. Baton adds a `network` statement for each address where there is none; FRR announces it while the address is on the host, and no longer. Sessions, passwords, timers and BFD are FRR's own."),
		key("endpoints[].frr.route_map", Text).same().like("SERVICE").
			doc("A route-map of FRR's that gives the announcements their communities, MED or local preference. Empty: none."),
		key("endpoints[].frr.neighbors", Words).same().like("[10.77.0.1, 10.77.0.2]").
			doc("The routers that have to be told, by address. One that has been told is enough to lead clients; each that has no session, or whose BFD is down, is reported. Empty: one of FRR's neighbours is enough, and nothing is said of the others."),
	}
}

// RoutedAddresses are the virtual addresses on loopback.
func (c *Config) RoutedAddresses() []netip.Addr {
	var all []netip.Addr
	for _, a := range c.Addresses {
		if a.Interface == onLoopback {
			all = append(all, a.Address)
		}
	}
	return all
}

// Routers are the addresses of the neighbours.
func (f FRR) Routers() []netip.Addr {
	var all []netip.Addr
	for _, n := range f.Neighbors {
		if a, err := netip.ParseAddr(n); err == nil {
			all = append(all, a)
		}
	}
	return all
}

// Command is the one that speaks with FRR.
func (f FRR) Command() []string {
	if len(f.Vtysh) == 0 {
		return []string{"vtysh"}
	}
	return f.Vtysh
}

// checkFRR judges whether this host can speak with its FRR.
func (c *Config) checkFRR() Findings {
	var found Findings
	for i, e := range c.Endpoints {
		if c.KindOf(i) == "frr" && c.LeadsEndpoint(i) {
			found = append(found, c.checkCommand(at("endpoints", i, "frr.vtysh"), e.FRR.Command())...)
		}
	}
	return found
}

func (l *loader) judgeFRR(block string, endpoint Endpoint) {
	f := endpoint.FRR
	if len(l.cfg.RoutedAddresses()) == 0 {
		l.report(block, "announces the addresses on lo, and there is none", "add one to addresses:, such as {address: 10.99.0.50, interface: lo}")
	}
	l.judgeWords(block+".vtysh", f.Vtysh)
	if f.RouteMap != "" && !routeMapShape.MatchString(f.RouteMap) {
		l.report(block+".route_map", fmt.Sprintf("%q is no name of a route-map", f.RouteMap), "write it as FRR's configuration has it")
	}
	for i, n := range f.Neighbors {
		if a, err := netip.ParseAddr(n); err != nil || a.Zone() != "" {
			l.report(at(block+".neighbors", i, ""), fmt.Sprintf("%q is no address of a router", n), "write it as `show bgp summary` has it, such as 10.77.0.1")
		}
	}
}
