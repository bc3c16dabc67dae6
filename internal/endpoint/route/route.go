// Package route answers to which node this host's own routing table leads for the
// cluster's addresses on loopback, and has it lead to another: on a router, or on a host
// of clients, where nothing like BGP does it.
//
// It sends nothing by a way to see whether that works, and touches no route that somebody
// else made, but for one of the same address and metric, which it replaces. The rule: a change
// replaces what was there in one step of the kernel's, so that at no moment packets go
// nowhere, or by a less specific route.
package route

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
)

// Protocol is Baton's number in a route's rtm_protocol and in a nexthop object's
// nh_protocol, as `ip route` and `ip nexthop` show it. It is none of those that the
// kernel, iproute2 or FRR give away.
const Protocol = 183

// Way is one way to a node.
type Way struct {
	Gateway netip.Addr // a neighbour of this host
	// Metric says which ways are taken: those with the lowest one whose interface is up.
	Metric int
	// Weight is this way's share among those with the same metric, from 1 to 256.
	Weight int
}

// Options say where the addresses are reached.
type Options struct {
	// Owner is whose routes they are, a name that no other endpoint on this host has. Its
	// nexthop objects are numbered by it.
	Owner     string
	Addresses []netip.Addr
	Ways      map[cluster.NodeName][]Way // of every node that can be primary
	Table     int                        // of routes; 0: main
	// Namespace is a file descriptor of the network namespace; 0: that of the process.
	Namespace int
}

// Endpoint is the routes of this host. It implements endpoint.Endpoint and
// endpoint.Tender, and is not safe for concurrent use. Close it.
//
// The ways of one metric are one group of nexthop objects, by which the routes to all
// addresses of a family go. A switch gives the group other members, and so moves them
// all at once.
type Endpoint struct {
	name   string
	o      Options
	kernel *kernel
	guard  endpoint.EpochGuard
	// asked is the node of the last call: of nodes to which the same ways lead, the one
	// that is meant.
	asked cluster.NodeName
	tells []string
	// without says that groups are not to be used, as where the kernel has none.
	without bool
}

// Open prepares the routes. It changes none.
func Open(name string, o Options) (*Endpoint, error) {
	if o.Table == 0 {
		o.Table = unix.RT_TABLE_MAIN
	}
	k, err := dialKernel(o.Namespace)
	if err != nil {
		return nil, err
	}
	return &Endpoint{name: name, o: o, kernel: k}, nil
}

// Close gives the socket back. The routes stay.
func (e *Endpoint) Close() error { return e.kernel.conn.Close() }

// Set implements endpoint.Endpoint.
func (e *Endpoint) Set(ctx context.Context, target endpoint.Target) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := e.guard.Pass(e.name, target.Epoch); err != nil {
		return err
	}
	return e.put(target.Node)
}

// Tend implements endpoint.Tender: a way that the kernel removed when its interface went
// down comes back when that is up again.
func (e *Endpoint) Tend(_ context.Context, target endpoint.Target) error {
	return e.put(target.Node)
}

// host is what the kernel holds at one moment.
type host struct {
	paths   []path             // to the addresses, and others that go by some object
	objects map[uint32]nexthop // nil: this kernel has none
}

func (e *Endpoint) look() (host, error) {
	if err := e.kernel.within(kernelTimeout); err != nil {
		return host{}, err
	}
	var h host
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		paths, err := e.kernel.paths(family, e.o.Table, e.o.Addresses)
		if errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOENT) {
			continue // a host without IPv6, or without such a table, has no such routes
		}
		if err != nil {
			return host{}, err
		}
		h.paths = append(h.paths, paths...)
	}
	objects, has, err := e.kernel.nexthops()
	if err != nil {
		return host{}, err
	}
	if has && !e.without {
		h.objects = objects
	}
	return h, nil
}

// to returns all routes to an address, whoever made them, by metric.
func (h host) to(a netip.Addr) []path {
	var all []path
	for _, p := range h.paths {
		if p.to == a {
			all = append(all, p)
		}
	}
	slices.SortStableFunc(all, func(x, y path) int { return x.metric - y.metric })
	return all
}

// A tier is the ways of one metric.
type tier struct {
	metric int
	hops   []hop
}

// tiers returns the ways to a node that an address can take, those that are taken first
// in front: what is replaced first moves the traffic.
func (e *Endpoint) tiers(node cluster.NodeName, is4 bool) []tier {
	var tiers []tier
	for _, w := range e.o.Ways[node] {
		if w.Gateway.Is4() != is4 {
			continue
		}
		i := slices.IndexFunc(tiers, func(t tier) bool { return t.metric == w.Metric })
		if i < 0 {
			i, tiers = len(tiers), append(tiers, tier{metric: w.Metric})
		}
		tiers[i].hops = append(tiers[i].hops, hop{gateway: w.Gateway, weight: max(w.Weight, 1)})
	}
	slices.SortFunc(tiers, func(a, b tier) int { return a.metric - b.metric })
	return tiers
}

// same reports whether a route that is there is the one that is wanted.
func same(there, want path) bool {
	return there.protocol == want.protocol && there.object == want.object &&
		(want.object != 0 || len(there.hops) == len(want.hops) && within(there.hops, want.hops))
}

// within reports whether all ways of one list are in the other, with their weights, and
// their interfaces where both are known. A single way's weight means nothing.
func within(some, all []hop) bool {
	return !slices.ContainsFunc(some, func(s hop) bool {
		return !slices.ContainsFunc(all, func(h hop) bool {
			return h.gateway == s.gateway && (h.weight == s.weight || len(some) == 1) && (h.link == s.link || h.link == 0 || s.link == 0)
		})
	})
}

// Observe implements endpoint.Endpoint: it reads the routing table. A host leads to the
// node of which all of Baton's routes are, be it not all that there could be: an
// interface may be down.
func (e *Endpoint) Observe(context.Context) (endpoint.Target, error) {
	var leads []cluster.NodeName
	e.tells = nil
	h, err := e.look()
	if err != nil {
		return endpoint.Target{}, err
	}
	for _, a := range e.o.Addresses {
		node, err := e.leads(h, a)
		if err != nil || node == "" {
			return endpoint.Target{}, err
		}
		leads = append(leads, node)
	}
	if slices.ContainsFunc(leads, func(n cluster.NodeName) bool { return n != leads[0] }) {
		return endpoint.Target{}, nil // some here, some there: nowhere to rely on
	}
	if h.objects == nil {
		e.tells = append(e.tells, "by multipath routes, as this kernel has no nexthop objects (Linux 5.3 has)")
	}
	return endpoint.Target{Node: leads[0]}, nil
}

// Tells implements endpoint.Teller: where the kernel's table sends each address.
func (e *Endpoint) Tells() string { return strings.Join(e.tells, "; ") }

// leads says to which node an address leads.
func (e *Endpoint) leads(h host, a netip.Addr) (cluster.NodeName, error) {
	present := h.to(a)
	if len(present) == 0 {
		return "", nil
	}
	if first := present[0]; first.protocol != Protocol {
		return "", fmt.Errorf("a route to %s with metric %d, of protocol %s, comes first: %w", a, first.metric, protocolName(first.protocol), endpoint.ErrForeign)
	}
	present = slices.DeleteFunc(present, func(p path) bool { return p.protocol != Protocol })
	first := gateways(hopsOf(present[0], h.objects))
	nodes := []cluster.NodeName{e.asked}
	for node := range e.o.Ways {
		nodes = append(nodes, node)
	}
	slices.Sort(nodes[1:])
	for _, node := range nodes {
		tiers := e.tiers(node, a.Is4())
		if len(tiers) > 0 && !slices.ContainsFunc(present, func(p path) bool {
			hops := hopsOf(p, h.objects)
			return len(hops) == 0 || !slices.ContainsFunc(tiers, func(t tier) bool { return t.metric == p.metric && within(hops, t.hops) })
		}) {
			e.tells = append(e.tells, fmt.Sprintf("%s goes via %s", a, first))
			return node, nil
		}
	}
	return "", fmt.Errorf("the route to %s goes via %s, as none does that leads to a node: %w", a, first, endpoint.ErrForeign)
}

func gateways(hops []hop) string {
	all := make([]string, 0, len(hops))
	for _, h := range hops {
		all = append(all, h.gateway.String())
	}
	slices.Sort(all)
	return strings.Join(all, " and ")
}

// protocolName is what people call the maker of a route.
func protocolName(protocol uint8) string {
	switch protocol {
	case unix.RTPROT_KERNEL:
		return "kernel"
	case unix.RTPROT_BOOT:
		return "boot"
	case unix.RTPROT_STATIC:
		return "static"
	case unix.RTPROT_DHCP:
		return "dhcp"
	case unix.RTPROT_BIRD:
		return "bird"
	case unix.RTPROT_ZEBRA:
		return "zebra"
	case unix.RTPROT_BGP:
		return "bgp"
	}
	return fmt.Sprint(protocol)
}

// inWords says what the kernel means.
func inWords(err error) string {
	var said *netlink.OpError
	switch {
	case errors.Is(err, syscall.ENETDOWN):
		return "its interface is down, or has no carrier"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return errNoNetwork.Error()
	case errors.As(err, &said) && said.Message != "":
		return said.Message
	}
	return err.Error()
}
