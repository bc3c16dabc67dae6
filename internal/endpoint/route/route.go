// Package route answers to which node this host's own routing table leads for the
// cluster's addresses on loopback, and has it lead to another: on a router, or on a host
// of clients, where nothing like BGP does it.
//
// It asks nobody whether a way works, and touches no route that somebody else made,
// but for one of the same address and metric, which it replaces. The rule: a change
// replaces what was there in one step of the kernel's, so that at no moment packets go
// nowhere, or by a less specific route.
package route

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
)

// Protocol is Baton's number in a route's rtm_protocol, as `ip route` shows it. It is
// none of those that the kernel, iproute2 or FRR give away.
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
	Addresses []netip.Addr
	Ways      map[cluster.NodeName][]Way // of every node that can be primary
	Table     int                        // of routes; 0: main
	// Namespace is a file descriptor of the network namespace; 0: that of the process.
	Namespace int
}

// Endpoint is the routes of this host. It implements endpoint.Endpoint and
// endpoint.Tender, and is not safe for concurrent use. Close it.
type Endpoint struct {
	name   string
	o      Options
	handle *netlink.Handle
	guard  endpoint.EpochGuard
	tells  []string
}

// kernelTimeout bounds one question to the kernel.
const kernelTimeout = 5 * time.Second

// Open prepares the routes. It changes none.
func Open(name string, o Options) (*Endpoint, error) {
	ns := netns.None()
	if o.Namespace != 0 {
		ns = netns.NsHandle(o.Namespace)
	}
	if o.Table == 0 {
		o.Table = unix.RT_TABLE_MAIN
	}
	handle, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	if err := handle.SetSocketTimeout(kernelTimeout); err != nil {
		handle.Close()
		return nil, fmt.Errorf("bound the wait for netlink: %w", err)
	}
	return &Endpoint{name: name, o: o, handle: handle}, nil
}

// Close gives the socket back. The routes stay.
func (e *Endpoint) Close() error {
	e.handle.Close()
	return nil
}

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

// Tend implements endpoint.Tender: a route that the kernel removed when its interface
// went down comes back when that is up again.
func (e *Endpoint) Tend(_ context.Context, target endpoint.Target) error {
	return e.put(target.Node)
}

// put sees to the routes to a node. What can be there is, even if not all can.
func (e *Endpoint) put(node cluster.NodeName) error {
	if len(e.o.Ways[node]) == 0 {
		return fmt.Errorf("no way to %s is known here", node)
	}
	var errs []string
	for _, a := range e.o.Addresses {
		present, err := e.present(a)
		if err != nil {
			return err
		}
		wanted := e.wanted(node, a)
		if len(wanted) == 0 {
			return fmt.Errorf("no way to %s is known here for %s", node, a)
		}
		for _, r := range wanted {
			if slices.ContainsFunc(present, func(p netlink.Route) bool { return same(p, r) }) {
				continue
			}
			if err := e.handle.RouteReplace(&r); err != nil {
				errs = append(errs, fmt.Sprintf("route %s via %s: %s", a, gateways(r), inWords(err)))
			}
		}
		for _, p := range present {
			if p.Protocol != Protocol || slices.ContainsFunc(wanted, func(r netlink.Route) bool { return r.Priority == p.Priority }) {
				continue
			}
			if err := e.handle.RouteDel(&p); err != nil && !errors.Is(err, syscall.ESRCH) {
				errs = append(errs, fmt.Sprintf("remove the route %s via %s: %s", a, gateways(p), inWords(err)))
			}
		}
	}
	if len(errs) > 0 {
		return errors.New(strings.Join(errs, "; "))
	}
	return nil
}

// inWords says what the kernel means.
func inWords(err error) string {
	switch {
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "no interface that is up has the gateway's network"
	case errors.Is(err, syscall.EINVAL):
		return "the kernel takes no such gateway (is it this host's own address?)"
	}
	return err.Error()
}

// wanted returns the routes to a node, the one that is taken first in front: what is
// replaced first moves the traffic.
func (e *Endpoint) wanted(node cluster.NodeName, a netip.Addr) []netlink.Route {
	byMetric := map[int][]*netlink.NexthopInfo{}
	var metrics []int
	for _, w := range e.o.Ways[node] {
		if w.Gateway.Is4() != a.Is4() {
			continue
		}
		if byMetric[w.Metric] == nil {
			metrics = append(metrics, w.Metric)
		}
		byMetric[w.Metric] = append(byMetric[w.Metric], &netlink.NexthopInfo{Gw: w.Gateway.AsSlice(), Hops: max(w.Weight, 1) - 1})
	}
	slices.Sort(metrics)
	var routes []netlink.Route
	for _, m := range metrics {
		r := netlink.Route{Dst: single(a), Priority: m, Protocol: Protocol, Table: e.o.Table, Family: familyOf(a)}
		if hops := byMetric[m]; len(hops) == 1 {
			r.Gw = hops[0].Gw
		} else {
			r.MultiPath = hops
		}
		routes = append(routes, r)
	}
	return routes
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}

func single(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

// present returns all routes to exactly that address, whoever made them, by metric.
func (e *Endpoint) present(a netip.Addr) ([]netlink.Route, error) {
	all, err := e.handle.RouteListFiltered(familyOf(a), &netlink.Route{Dst: single(a), Table: e.o.Table}, netlink.RT_FILTER_DST|netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list the routes to %s: %w", a, err)
	}
	slices.SortStableFunc(all, func(x, y netlink.Route) int { return x.Priority - y.Priority })
	return all, nil
}

// hop is a gateway and its weight.
type hop struct {
	via    string
	weight int
}

func hops(r netlink.Route) []hop {
	var all []hop
	for _, h := range r.MultiPath {
		all = append(all, hop{h.Gw.String(), h.Hops})
	}
	if len(all) == 0 && r.Gw != nil {
		all = append(all, hop{r.Gw.String(), 0})
	}
	slices.SortFunc(all, func(a, b hop) int { return strings.Compare(a.via, b.via) })
	return all
}

func gateways(r netlink.Route) string {
	var all []string
	for _, h := range hops(r) {
		all = append(all, h.via)
	}
	return strings.Join(all, " and ")
}

// same reports whether a route that is there is the one that is wanted.
func same(there, want netlink.Route) bool {
	return there.Protocol == Protocol && there.Priority == want.Priority && slices.Equal(hops(there), hops(want))
}

// Observe implements endpoint.Endpoint: it reads the routing table. A host leads to the
// node of which all of Baton's routes are, be it not all that there could be: an
// interface may be down.
func (e *Endpoint) Observe(context.Context) (endpoint.Target, error) {
	var leads []cluster.NodeName
	e.tells = nil
	for _, a := range e.o.Addresses {
		node, err := e.leads(a)
		if err != nil || node == "" {
			return endpoint.Target{}, err
		}
		leads = append(leads, node)
	}
	if slices.ContainsFunc(leads, func(n cluster.NodeName) bool { return n != leads[0] }) {
		return endpoint.Target{}, nil // some here, some there: nowhere to rely on
	}
	return endpoint.Target{Node: leads[0]}, nil
}

// Tells implements endpoint.Teller: where the kernel's table sends each address.
func (e *Endpoint) Tells() string { return strings.Join(e.tells, "; ") }

// leads says to which node an address leads.
func (e *Endpoint) leads(a netip.Addr) (cluster.NodeName, error) {
	present, err := e.present(a)
	if err != nil || len(present) == 0 {
		return "", err
	}
	if first := present[0]; first.Protocol != Protocol {
		return "", fmt.Errorf("a route to %s with metric %d, of protocol %s, comes first: %w", a, first.Priority, first.Protocol, endpoint.ErrForeign)
	}
	present = slices.DeleteFunc(present, func(r netlink.Route) bool { return r.Protocol != Protocol })
	for node := range e.o.Ways {
		wanted := e.wanted(node, a)
		if !slices.ContainsFunc(present, func(p netlink.Route) bool {
			return !slices.ContainsFunc(wanted, func(w netlink.Route) bool { return same(p, w) })
		}) {
			e.tells = append(e.tells, fmt.Sprintf("%s goes via %s", a, gateways(present[0])))
			return node, nil
		}
	}
	return "", fmt.Errorf("the route to %s goes via %s, as none does that leads to a node: %w", a, gateways(present[0]), endpoint.ErrForeign)
}
