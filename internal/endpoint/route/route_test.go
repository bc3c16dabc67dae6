package route_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/bgptest"
	"github.com/baton-db/baton/internal/endpoint/endpointtest"
	"github.com/baton-db/baton/internal/endpoint/route"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// options are those of a router with two links, over which db1 and db2 are reached, and
// of a third, dearer way.
func options(h *bgptest.Host) route.Options {
	o := route.Options{Owner: "shop/uplinks", Namespace: int(h.NS), Addresses: []netip.Addr{addr("10.99.0.50"), addr("fd99::50")}, Ways: map[cluster.NodeName][]route.Way{}}
	for n, node := range []cluster.NodeName{"db1", "db2"} {
		last := n + 11
		o.Ways[node] = []route.Way{
			{Gateway: addr(fmt.Sprintf("10.79.1.%d", last)), Metric: 100, Weight: 3},
			{Gateway: addr(fmt.Sprintf("10.79.2.%d", last)), Metric: 100, Weight: 1},
			{Gateway: addr(fmt.Sprintf("10.79.3.%d", last)), Metric: 200, Weight: 1},
			{Gateway: addr(fmt.Sprintf("fd79:1::%x", last)), Metric: 100, Weight: 1},
			{Gateway: addr(fmt.Sprintf("fd79:3::%x", last)), Metric: 100, Weight: 2},
		}
	}
	return o
}

// newRouter is a host with three links.
func newRouter(t testing.TB) *bgptest.Host {
	h := bgptest.Alone(t)
	var commands []string
	for n, link := range map[int]string{1: "eth0", 2: "x2", 3: "x3"} {
		commands = append(commands, fmt.Sprintf("link add %s type veth peer name y%d", link, n), fmt.Sprintf("link set y%d up", n), "link set "+link+" up",
			fmt.Sprintf("addr add 10.79.%d.1/24 dev %s", n, link), fmt.Sprintf("addr add fd79:%d::1/64 dev %s nodad", n, link))
	}
	h.Batch(t, commands...)
	return h
}

func open(t testing.TB, o route.Options) *route.Endpoint {
	t.Helper()
	e, err := route.Open("uplinks", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// openWithoutGroups is open on a kernel that has no nexthop objects.
func openWithoutGroups(t testing.TB, o route.Options) *route.Endpoint {
	t.Helper()
	e := open(t, o)
	e.Multipath()
	return e
}

func to(node cluster.NodeName, epoch cluster.Epoch) endpoint.Target {
	return endpoint.Target{Node: node, Epoch: epoch}
}

func set(t testing.TB, e *route.Endpoint, target endpoint.Target) {
	t.Helper()
	if err := e.Set(t.Context(), target); err != nil {
		t.Fatal(err)
	}
}

func wantLeads(t *testing.T, e *route.Endpoint, want cluster.NodeName) {
	t.Helper()
	if got, err := e.Observe(t.Context()); err != nil || got.Node != want {
		t.Errorf("it leads to %s, %v; want %q", got, err, want)
	}
}

func TestRoutesBehaveAsAnEndpoint(t *testing.T) {
	endpointtest.Run(t, func(t *testing.T) endpointtest.Subject {
		h := newRouter(t)
		return endpointtest.Subject{
			Endpoint: open(t, options(h)),
			Again:    func() endpoint.Endpoint { return open(t, options(h)) },
			Here:     to("db1", 0), There: to("db2", 0),
			Meddle: func(ctx context.Context) error { return open(t, options(h)).Set(ctx, to("db2", 1)) },
		}
	})
}

func TestMultipathRoutesBehaveAsAnEndpoint(t *testing.T) {
	endpointtest.Run(t, func(t *testing.T) endpointtest.Subject {
		h := newRouter(t)
		again := func() endpoint.Endpoint { return openWithoutGroups(t, options(h)) }
		return endpointtest.Subject{
			Endpoint: again(), Again: again,
			Here: to("db1", 0), There: to("db2", 0),
			Meddle: func(ctx context.Context) error { return again().Set(ctx, to("db2", 1)) },
		}
	})
}

// eachWay runs a test with groups of nexthop objects, and with multipath routes.
func eachWay(t *testing.T, test func(t *testing.T, open func(testing.TB, route.Options) *route.Endpoint)) {
	t.Run("by groups", func(t *testing.T) { test(t, open) })
	t.Run("by multipath routes", func(t *testing.T) { test(t, openWithoutGroups) })
}

func TestTheRoutesThatTheKernelHas(t *testing.T) { eachWay(t, testTheRoutesThatTheKernelHas) }

func testTheRoutesThatTheKernelHas(t *testing.T, open func(testing.TB, route.Options) *route.Endpoint) {
	h := newRouter(t)
	e := open(t, options(h))
	set(t, e, to("db1", 1))
	wantRoutes(t, h, "10.99.0.50",
		"10.99.0.50 proto 183 metric 100 nexthop via 10.79.1.11 dev eth0 weight 3 nexthop via 10.79.2.11 dev x2 weight 1",
		"10.99.0.50 via 10.79.3.11 dev x3 proto 183 metric 200")
	set(t, e, to("db2", 2))
	wantRoutes(t, h, "10.99.0.50",
		"10.99.0.50 proto 183 metric 100 nexthop via 10.79.1.12 dev eth0 weight 3 nexthop via 10.79.2.12 dev x2 weight 1",
		"10.99.0.50 via 10.79.3.12 dev x3 proto 183 metric 200")
	if got := h.Output(t, "ip", "-6", "route", "show", "fd99::50"); strings.Contains(got, "::b ") || !strings.Contains(got, "fd79:1::c ") || !strings.Contains(got, "fd79:3::c ") {
		t.Errorf("IPv6: %s", got)
	}
	// Where there are fewer ways now, the ones before do not stay.
	fewer := options(h)
	fewer.Ways["db2"] = []route.Way{{Gateway: addr("10.79.3.12"), Metric: 50}, {Gateway: addr("fd79:3::c"), Metric: 50}}
	set(t, open(t, fewer), to("db2", 2))
	wantRoutes(t, h, "10.99.0.50", "10.99.0.50 via 10.79.3.12 dev x3 proto 183 metric 50")
	if got := h.Output(t, "ip", "-6", "route", "show", "fd99::50"); strings.Count(got, "via") != 1 {
		t.Errorf("IPv6: %s", got)
	}
}

// nexthopID is the number of its object in a route as iproute2 shows it.
var nexthopID = regexp.MustCompile(`nhid \d+`)

func wantRoutes(t *testing.T, h *bgptest.Host, a string, want ...string) {
	t.Helper()
	text := strings.Join(strings.Fields(nexthopID.ReplaceAllString(h.Output(t, "ip", "-4", "route", "show", a), "")), " ")
	if text != strings.Join(want, " ") {
		t.Errorf("got  %s\nwant %s", text, strings.Join(want, " "))
	}
}

func TestAWayIsTakenWhileAnotherOneIsGone(t *testing.T) {
	eachWay(t, testAWayIsTakenWhileAnotherOneIsGone)
}

func testAWayIsTakenWhileAnotherOneIsGone(t *testing.T, open func(testing.TB, route.Options) *route.Endpoint) {
	h := newRouter(t)
	o := options(h)
	o.Addresses = o.Addresses[:1]
	o.Ways["db1"] = []route.Way{{Gateway: addr("10.79.2.11"), Metric: 100}, {Gateway: addr("10.79.3.11"), Metric: 200}}
	e := open(t, o)
	set(t, e, to("db1", 1))
	h.IP(t, "link set x2 down")
	wantRoutes(t, h, "10.99.0.50", "10.99.0.50 via 10.79.3.11 dev x3 proto 183 metric 200")
	wantLeads(t, e, "db1")
	if got := e.Tells(); !strings.HasPrefix(got, "10.99.0.50 goes via 10.79.3.11") {
		t.Errorf("it tells %q", got)
	}
	if err := e.Tend(t.Context(), to("db1", 1)); err == nil || err.Error() != "the way via 10.79.2.11: no interface that is up has the gateway's network" {
		t.Errorf("while it is gone: %v", err)
	}
	h.IP(t, "link set x2 up")
	if err := e.Tend(t.Context(), to("db1", 1)); err != nil {
		t.Error(err)
	}
	wantRoutes(t, h, "10.99.0.50", "10.99.0.50 via 10.79.2.11 dev x2 proto 183 metric 100", "10.99.0.50 via 10.79.3.11 dev x3 proto 183 metric 200")
}

func TestRoutesThatAreNotOurs(t *testing.T) { eachWay(t, testRoutesThatAreNotOurs) }

func testRoutesThatAreNotOurs(t *testing.T, open func(testing.TB, route.Options) *route.Endpoint) {
	h := newRouter(t)
	o := options(h)
	o.Addresses = o.Addresses[:1]
	e := open(t, o)
	set(t, e, to("db1", 1))
	h.IP(t, "route add 10.99.0.50/32 via 10.79.1.77 metric 5")
	if _, err := e.Observe(t.Context()); err == nil || !strings.Contains(err.Error(), "a route to 10.99.0.50 with metric 5, of protocol boot, comes first") {
		t.Errorf("somebody's route that comes first: %v", err)
	}
	set(t, e, to("db2", 2))
	if got := h.Output(t, "ip", "route", "show", "10.99.0.50"); !strings.Contains(got, "10.79.1.77") {
		t.Errorf("it was removed: %s", got)
	}
	h.IP(t, "route del 10.99.0.50/32 via 10.79.1.77 metric 5", "route replace 10.99.0.50/32 via 10.79.1.88 metric 100 proto 183")
	if _, err := e.Observe(t.Context()); err == nil || !strings.Contains(err.Error(), "the route to 10.99.0.50 goes via 10.79.1.88") {
		t.Errorf("a way to no node: %v", err)
	}
	set(t, e, to("db2", 2))
	wantLeads(t, e, "db2")
	if err := e.Set(t.Context(), to("db3", 3)); err == nil || err.Error() != "no way to db3 is known here" {
		t.Errorf("an unknown node: %v", err)
	}
}

// BenchmarkMove moves four routes of two addresses, two of them with two ways.
func BenchmarkMove(b *testing.B) {
	e := open(b, options(newRouter(b)))
	nodes, epoch := []cluster.NodeName{"db1", "db2"}, cluster.Epoch(0)
	for b.Loop() {
		epoch++
		set(b, e, to(nodes[epoch%2], epoch))
	}
}

// An answer that nobody waited for is not taken for that to the next question.
func TestAnAnswerThatCameTooLate(t *testing.T) {
	h := newRouter(t)
	e := open(t, options(h))
	set(t, e, to("db1", 1))
	e.TooLate(t, route.Where(addr("10.79.1.11")))
	wantLeads(t, e, "db1")
	e.TooLate(t, route.List)
	set(t, e, to("db2", 2))
	wantLeads(t, e, "db2")
}

// What other routers' routes are in the table is read, and not kept: here a big one.
func TestATableWithManyRoutes(t *testing.T) {
	h := newRouter(t)
	const many = 10_000
	var lines strings.Builder
	for i := range many {
		fmt.Fprintf(&lines, "route add blackhole 20.0.%d.%d/32 proto bird\n", i>>8, i&255)
	}
	batch := filepath.Join(t.TempDir(), "routes")
	if err := os.WriteFile(batch, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	h.Output(t, "ip", "-batch", batch)
	e := open(t, options(h))
	set(t, e, to("db1", 1))
	wantLeads(t, e, "db1")

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	wantLeads(t, e, "db1")
	runtime.ReadMemStats(&after)
	if got := (after.TotalAlloc - before.TotalAlloc) / many; got > 600 {
		t.Errorf("a look takes %d bytes for each route", got)
	}
}
