package route_test

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint/bgptest"
	"github.com/baton-db/baton/internal/endpoint/route"
)

// objects returns the host's nexthop objects, as iproute2 shows them, with their numbers
// counted from the endpoint's block, and without what says how links are.
func objects(t *testing.T, h *bgptest.Host) []string {
	t.Helper()
	text := h.Output(t, "ip", "nexthop", "show")
	for n := range 16 {
		text = strings.ReplaceAll(text, fmt.Sprint(route.BlockOf("shop/uplinks")+uint32(n)), fmt.Sprintf("#%d", n))
	}
	var all []string
	for l := range strings.Lines(text) {
		all = append(all, strings.Join(strings.Fields(strings.ReplaceAll(l, "scope link ", "")), " "))
	}
	slices.Sort(all)
	return all
}

func wantObjects(t *testing.T, h *bgptest.Host, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := objects(t, h); !slices.Equal(got, want) {
		t.Errorf("the objects are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// groupOf returns the number of the group by which a route goes, and "" if by none.
func groupOf(t *testing.T, h *bgptest.Host, a netip.Addr, metric int) string {
	t.Helper()
	family := "-4"
	if a.Is6() {
		family = "-6"
	}
	got := h.Output(t, "ip", family, "route", "show", a.String(), "metric", fmt.Sprint(metric))
	if found := regexp.MustCompile(`nhid (\d+)`).FindStringSubmatch(got); found != nil {
		return found[1]
	}
	return ""
}

// twoWays are options of IPv4 addresses and nodes with two links of equal metric.
func twoWays(h *bgptest.Host, addresses ...string) route.Options {
	o := options(h)
	o.Addresses = nil
	for _, a := range addresses {
		o.Addresses = append(o.Addresses, addr(a))
	}
	for n, node := range []cluster.NodeName{"db1", "db2"} {
		o.Ways[node] = []route.Way{
			{Gateway: addr(fmt.Sprintf("10.79.2.%d", n+11)), Metric: 100, Weight: 3},
			{Gateway: addr(fmt.Sprintf("10.79.3.%d", n+11)), Metric: 100, Weight: 1},
		}
	}
	return o
}

func TestASwitchGivesTheGroupOtherMembers(t *testing.T) {
	h := newRouter(t)
	e := open(t, options(h))
	set(t, e, to("db1", 1))
	wantObjects(t, h,
		"id #0 via 10.79.1.11 dev eth0 proto 183", "id #1 via 10.79.2.11 dev x2 proto 183", "id #2 group #0,3/#1 proto 183",
		"id #3 via 10.79.3.11 dev x3 proto 183", "id #4 group #3 proto 183",
		"id #5 via fd79:1::b dev eth0 proto 183", "id #6 via fd79:3::b dev x3 proto 183", "id #7 group #5/#6,2 proto 183")
	before := []string{groupOf(t, h, addr("10.99.0.50"), 100), groupOf(t, h, addr("10.99.0.50"), 200), groupOf(t, h, addr("fd99::50"), 100)}
	set(t, e, to("db2", 2))
	after := []string{groupOf(t, h, addr("10.99.0.50"), 100), groupOf(t, h, addr("10.99.0.50"), 200), groupOf(t, h, addr("fd99::50"), 100)}
	if slices.Contains(before, "") || !slices.Equal(before, after) {
		t.Errorf("the groups were %q and are %q", before, after)
	}
	got := strings.Join(objects(t, h), "\n")
	if n := strings.Count(got, "via"); n != 5 || strings.Contains(got, ".11 ") || strings.Contains(got, "::b ") {
		t.Errorf("after the switch there are %d ways:\n%s", n, got)
	}
}

func TestRoutesToSeveralAddressesGoByOneGroup(t *testing.T) {
	h := newRouter(t)
	e := open(t, twoWays(h, "10.99.0.50", "10.99.0.51"))
	set(t, e, to("db1", 1))
	wantObjects(t, h, "id #0 via 10.79.2.11 dev x2 proto 183", "id #1 via 10.79.3.11 dev x3 proto 183", "id #2 group #0,3/#1 proto 183")
	if one, two := groupOf(t, h, addr("10.99.0.50"), 100), groupOf(t, h, addr("10.99.0.51"), 100); one == "" || one != two {
		t.Errorf("they go by %q and %q", one, two)
	}
}

// A link that goes down takes its way out of the group, and no route with it.
func TestAnUplinkThatDies(t *testing.T) { eachWay(t, testAnUplinkThatDies) }

func testAnUplinkThatDies(t *testing.T, open func(testing.TB, route.Options) *route.Endpoint) {
	h := newRouter(t)
	e := open(t, twoWays(h, "10.99.0.50"))
	set(t, e, to("db1", 1))
	h.IP(t, "link set x2 down")
	wantLeads(t, e, "db1")
	gone := "the way via 10.79.2.12: no interface that is up has the gateway's network"
	if err := e.Set(t.Context(), to("db2", 2)); err == nil || err.Error() != gone {
		t.Errorf("a switch while it is gone: %v", err)
	}
	wantLeads(t, e, "db2")
	wantRoutes(t, h, "10.99.0.50", "10.99.0.50 via 10.79.3.12 dev x3 proto 183 metric 100")
	if err := e.Tend(t.Context(), to("db2", 2)); err == nil || err.Error() != gone {
		t.Errorf("while it is gone: %v", err)
	}
	h.IP(t, "link set x2 up")
	if err := e.Tend(t.Context(), to("db2", 2)); err != nil {
		t.Error(err)
	}
	wantRoutes(t, h, "10.99.0.50", "10.99.0.50 proto 183 metric 100 nexthop via 10.79.2.12 dev x2 weight 3 nexthop via 10.79.3.12 dev x3 weight 1")
}

// The kernel's own objects do without a setting for this: a link without carrier is out.
func TestAPulledCable(t *testing.T) {
	h := newRouter(t)
	e := open(t, twoWays(h, "10.99.0.50"))
	set(t, e, to("db1", 1))
	h.IP(t, "link set y2 down") // the other end
	bgptest.Await(t, time.Millisecond, func() error {
		if got := objects(t, h); len(got) != 2 {
			return fmt.Errorf("the objects are %q", got)
		}
		return nil
	})
	wantLeads(t, e, "db1")
	if err := e.Tend(t.Context(), to("db1", 1)); err == nil || err.Error() != "the way via 10.79.2.11: its interface is down, or has no carrier" {
		t.Errorf("while it is pulled: %v", err)
	}
	wantRoutes(t, h, "10.99.0.50", "10.99.0.50 via 10.79.3.11 dev x3 proto 183 metric 100")
}

func TestWhatSomebodyDoesToTheObjects(t *testing.T) {
	for name, meddle := range map[string]func(h *bgptest.Host, block uint32, group string) string{
		"the group is deleted":       func(_ *bgptest.Host, _ uint32, group string) string { return "nexthop del id " + group },
		"a way is deleted":           func(_ *bgptest.Host, block uint32, _ string) string { return fmt.Sprintf("nexthop del id %d", block) },
		"all of Baton's are deleted": func(*bgptest.Host, uint32, string) string { return "nexthop flush proto 183" },
		"the group gets other weights": func(_ *bgptest.Host, b uint32, g string) string {
			return fmt.Sprintf("nexthop replace id %s group %d,9/%d proto 183", g, b, b+1)
		},
		"the group is taken over": func(_ *bgptest.Host, b uint32, g string) string {
			return fmt.Sprintf("nexthop replace id %s group %d proto static", g, b)
		},
		"the route goes by another": func(*bgptest.Host, uint32, string) string {
			return "route replace 10.99.0.50/32 nhid 7 metric 100 proto 183"
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newRouter(t)
			h.IP(t, "nexthop add id 7 via 10.79.1.77 dev eth0", fmt.Sprintf("nexthop add id %d via 10.79.1.78 dev eth0 proto static", route.BlockOf("shop/uplinks")+3))
			e := open(t, twoWays(h, "10.99.0.50"))
			set(t, e, to("db1", 1))
			h.IP(t, meddle(h, route.BlockOf("shop/uplinks"), groupOf(t, h, addr("10.99.0.50"), 100)))
			if got, err := e.Observe(t.Context()); err == nil && got.Node == "db1" {
				err = e.Tend(t.Context(), to("db1", 1)) // it leads there, if not as it should
				if err != nil {
					t.Error(err)
				}
			} else {
				set(t, e, to("db1", 1))
			}
			wantRoutes(t, h, "10.99.0.50", "10.99.0.50 proto 183 metric 100 nexthop via 10.79.2.11 dev x2 weight 3 nexthop via 10.79.3.11 dev x3 weight 1")
			set(t, e, to("db2", 2))
			wantLeads(t, e, "db2")
			got := strings.Join(objects(t, h), "\n")
			if !strings.Contains(got, "id 7 via 10.79.1.77") || !strings.Contains(got, "id #3 via 10.79.1.78") {
				t.Errorf("other people's objects are gone: %s", got)
			}
			if n := strings.Count(got, " proto 183"); n != 3 {
				t.Errorf("there are %d objects of Baton's: %s", n, got)
			}
		})
	}
}

// What the kernel refuses of one family keeps the other from nothing, and all that is wrong
// is told in one line.
func TestOneFamilyIsLedWhereTheOtherCannotBe(t *testing.T) {
	h := newRouter(t)
	o := options(h)
	// The same way twice is nothing that the configuration lets pass, and a group does not take.
	o.Ways["db2"] = append(o.Ways["db2"], o.Ways["db2"][0], route.Way{Gateway: addr("fd79:9::1"), Metric: 100})
	e := open(t, o)
	set(t, e, to("db1", 1))
	err := e.Set(t.Context(), to("db2", 2))
	if err == nil || !strings.HasPrefix(err.Error(), "the ways with metric 100: ") || !strings.HasSuffix(err.Error(), "; the way via fd79:9::1: no interface that is up has the gateway's network") || strings.Contains(err.Error(), "\n") {
		t.Errorf("it says %v", err)
	}
	if got := h.Output(t, "ip", "-6", "route", "show", "fd99::50"); strings.Count(got, "via fd79:") != 2 || strings.Contains(got, "::b") {
		t.Errorf("IPv6 leads by %s", got)
	}
	if got := h.Output(t, "ip", "route", "show", "10.99.0.50"); !strings.Contains(got, "via 10.79.1.11") {
		t.Errorf("IPv4 leads by %s", got)
	}
	set(t, e, to("db1", 3))
	wantLeads(t, e, "db1")
}

// The kernel removes a route with the object that it goes by.
func TestSomebodysRoutesByBatonsObjectsStay(t *testing.T) {
	h := newRouter(t)
	e := open(t, twoWays(h, "10.99.0.50"))
	set(t, e, to("db1", 1))
	theirs := map[string]string{"20.0.0.0/8": fmt.Sprint(route.BlockOf("shop/uplinks")), "10.99.0.50/31": groupOf(t, h, addr("10.99.0.50"), 100), "10.99.0.77": fmt.Sprint(route.BlockOf("shop/uplinks") + 1)}
	for to, id := range theirs {
		h.IP(t, fmt.Sprintf("route add %s nhid %s", to, id))
	}
	set(t, e, to("db2", 2))
	wantLeads(t, e, "db2")
	for to, id := range theirs {
		if got := h.Output(t, "ip", "route", "show", to, "metric", "0"); !strings.Contains(got, "nhid "+id) {
			t.Errorf("%s by %s is gone: %q", to, id, got)
		}
	}
	for to := range theirs {
		h.IP(t, "route del "+to+" metric 0")
	}
	set(t, e, to("db1", 3))
	set(t, e, to("db2", 4))
	if got := objects(t, h); len(got) != 3 {
		t.Errorf("the objects are %q", got)
	}
}

func TestRoutesOfAnEarlierBatonAreTakenOver(t *testing.T) {
	h := newRouter(t)
	set(t, openWithoutGroups(t, options(h)), to("db1", 1))
	e := open(t, options(h))
	wantLeads(t, e, "db1")
	if err := e.Tend(t.Context(), to("db1", 1)); err != nil {
		t.Error(err)
	}
	wantRoutes(t, h, "10.99.0.50",
		"10.99.0.50 proto 183 metric 100 nexthop via 10.79.1.11 dev eth0 weight 3 nexthop via 10.79.2.11 dev x2 weight 1",
		"10.99.0.50 via 10.79.3.11 dev x3 proto 183 metric 200")
	for a, metric := range map[string]int{"10.99.0.50": 100, "fd99::50": 100} {
		if groupOf(t, h, addr(a), metric) == "" {
			t.Errorf("the route to %s goes by no group", a)
		}
	}
	if got := h.Output(t, "ip", "-6", "route", "show", "fd99::50"); strings.Count(got, "via") != 2 {
		t.Errorf("IPv6: %s", got)
	}
	// And back: an older Baton, or kernel, leaves no objects that are of use to nobody.
	old := openWithoutGroups(t, options(h))
	set(t, old, to("db2", 2))
	wantLeads(t, old, "db2")
	if got := h.Output(t, "ip", "route", "show", "10.99.0.50"); strings.Contains(got, "nhid") {
		t.Errorf("it still goes by a group: %s", got)
	}
}

// A kernel that knows no nexthop objects says so as it does of every message that it does
// not know, and the endpoint tells.
func TestAKernelWithoutNexthopObjects(t *testing.T) {
	h := newRouter(t)
	if err := route.AskUnknown(int(h.NS)); !errors.Is(err, syscall.EOPNOTSUPP) {
		t.Errorf("the kernel says %v of an unknown message", err)
	}
	e := openWithoutGroups(t, twoWays(h, "10.99.0.50"))
	set(t, e, to("db1", 1))
	wantLeads(t, e, "db1")
	if got, want := e.Tells(), "10.99.0.50 goes via 10.79.2.11 and 10.79.3.11; by multipath routes, as this kernel has no nexthop objects (Linux 5.3 has)"; got != want {
		t.Errorf("it tells %q, want %q", got, want)
	}
}

// Two endpoints whose names give them the same numbers, and one whose name was changed.
func TestOtherEndpointsOfBaton(t *testing.T) {
	h := newRouter(t)
	one, two := open(t, twoWays(h, "10.99.0.50")), open(t, twoWays(h, "10.99.0.60"))
	set(t, one, to("db1", 1))
	set(t, two, to("db1", 1))
	set(t, one, to("db2", 2))
	wantLeads(t, one, "db2")
	wantLeads(t, two, "db1")
	set(t, two, to("db2", 2))
	set(t, one, to("db1", 3))
	wantLeads(t, one, "db1")
	wantLeads(t, two, "db2")

	renamed := twoWays(h, "10.99.0.50")
	renamed.Owner = "shop/another"
	e := open(t, renamed)
	set(t, e, to("db1", 3))
	wantLeads(t, two, "db2")
	set(t, two, to("db2", 2))
	wantLeads(t, e, "db1")
	if n := len(objects(t, h)); n != 6 {
		t.Errorf("there are %d objects: %q", n, objects(t, h))
	}
}
