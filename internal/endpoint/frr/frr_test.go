package frr_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/bgptest"
	"github.com/baton-db/baton/internal/endpoint/endpointtest"
	"github.com/baton-db/baton/internal/endpoint/frr"
	"github.com/baton-db/baton/internal/endpoint/vip"
)

var (
	service4 = netip.MustParseAddr("10.99.0.50")
	service6 = netip.MustParseAddr("fd99::50")
	router   = netip.MustParseAddr(bgptest.RouterAddress)
)

// hostFRR is the configuration of the database host. The routers .3 to .5 do not take
// its session: another AS, another password, nobody.
const hostFRR = `frr defaults traditional
route-map SERVICE permit 10
 set metric 77
 set community 65001:50
exit
route-map NOBODY deny 10
exit
router bgp 65001
 bgp router-id 10.79.1.2
 no bgp ebgp-requires-policy
 neighbor R peer-group
 neighbor R remote-as 65000
 neighbor R timers 1 60
 neighbor R timers connect 1
 neighbor R password sesame
 neighbor 10.79.1.1 peer-group R
 neighbor 10.79.1.3 peer-group R
 neighbor 10.79.1.4 peer-group R
 neighbor 10.79.1.5 peer-group R
 neighbor 10.79.1.6 peer-group R
 neighbor 10.79.1.6 shutdown
 address-family ipv6 unicast
  neighbor R activate
 exit-address-family
exit
`

func routerBIRD(hold int) string {
	return bgptest.BIRDRouter(hold,
		`protocol bgp good from host { local 10.79.1.1 as 65000; neighbor 10.79.1.2 as 65001; password "sesame"; ipv4 { import all; export where net = 10.99.0.60/32; }; }`,
		`protocol static elsewhere { ipv4; route 10.99.0.60/32 blackhole; }`,
		`protocol bgp otheras from host { local 10.79.1.3 as 65000; neighbor 10.79.1.2 as 64999; password "sesame"; }`,
		`protocol bgp otherpassword from host { local 10.79.1.4 as 65000; neighbor 10.79.1.2 as 65001; password "abracadabra"; }`)
}

// world is a host with FRR, and its router.
type world struct {
	*bgptest.Rig
	frr bgptest.FRR
}

func newWorld(t testing.TB) world {
	t.Helper()
	w := world{Rig: bgptest.New(t, 3, 4, 5, 6)}
	w.Router.StartBIRD(t, routerBIRD(60))
	w.frr = w.DB.StartFRR(t, hostFRR, "")
	return w
}

// endpoint is one of the host's; change spoils it.
func (w world) endpoint(change ...func(*frr.Options)) *frr.Endpoint {
	o := frr.Options{Vtysh: w.frr.Vtysh, Addresses: []netip.Addr{service4, service6}, Here: w.DB.Has, Neighbors: []netip.Addr{router}, Self: "db1", Limit: bgptest.Patience}
	for _, f := range change {
		f(&o)
	}
	return frr.Open("bgp", o)
}

// has gives the host the addresses, as package vip does, or takes them.
func (w world) has(t testing.TB, addresses bool) {
	t.Helper()
	w.DB.Serves(t, []netip.Addr{service4, service6}, addresses)
}

func db1() endpoint.Target { return endpoint.Target{Epoch: 1, Node: "db1"} }

// setInVain returns what Set says once its time is over. If that was too short to look,
// it gets more.
func setInVain(t *testing.T, e *frr.Endpoint) error {
	for limit := 200 * time.Millisecond; ; limit *= 2 {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		err := e.Set(ctx, db1())
		cancel()
		if limit > bgptest.Patience || !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
}

// ready waits until the session is up and everything is as after a long wait.
func (w world) ready(t testing.TB, e *frr.Endpoint) {
	t.Helper()
	bgptest.Await(t, 50*time.Millisecond, func() error { return e.StandBy(t.Context()) })
}

// TestAnnouncementsThroughFRR: one world for all, as a session takes seconds to come up.
func TestAnnouncementsThroughFRR(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ready(t, w.endpoint())
	for name, test := range map[string]func(*testing.T, world){
		"it behaves as an endpoint":                              behaves,
		"the announcement goes by the address":                   goesByTheAddress,
		"it ends with the lease, without any code":               endsWithTheLease,
		"neighbours that have no session are named":              namesNeighbours,
		"where FRR does not look for the address it is refused":  needsTheCheck,
		"what FRR announces on its own is found":                 findsWhatIsNotHere,
		"what it hears of another host it does not announce":     keepsToItself,
		"a route-map is applied, and one that denies is noticed": appliesRouteMap,
	} {
		t.Run(name, func(t *testing.T) {
			w.has(t, false)
			w.Router.AwaitRoute(t, service4, false)
			w.ready(t, w.endpoint())
			test(t, w)
		})
	}
}

func behaves(t *testing.T, w world) {
	w.has(t, true)
	endpointtest.Run(t, func(t *testing.T) endpointtest.Subject {
		return endpointtest.Subject{
			Endpoint: w.endpoint(),
			Again:    func() endpoint.Endpoint { return w.endpoint() },
			Here:     endpoint.Target{Node: "db1"},
			There:    endpoint.Target{Node: "db2"},
			Meddle: func(context.Context) error {
				w.frr.Tell(t, "configure terminal", "router bgp 65001", "address-family ipv6 unicast", "no network fd99::50/128")
				w.Router.AwaitRoute(t, service6, false)
				return nil
			},
			Silence: func() {
				w.frr.BGPD.Freeze(t)
				t.Cleanup(func() { w.frr.BGPD.Thaw(t) })
			},
		}
	})
}

func goesByTheAddress(t *testing.T, w world) {
	told := regexp.MustCompile(`^FRR has told \S.* of 10\.99\.0\.50; FRR has told \S.* of fd99::50$`)
	e := w.endpoint()
	if w.Router.Routes(t, service4) || w.Router.Routes(t, service6) {
		t.Fatal("a host that stands by is announced")
	}
	if err := setInVain(t, e); err == nil || !strings.Contains(err.Error(), "10.99.0.50 is not on this host") {
		t.Errorf("without its address: %v", err)
	}
	w.has(t, true)
	if err := e.Set(t.Context(), db1()); err != nil {
		t.Fatal(err)
	}
	for _, a := range []netip.Addr{service4, service6} {
		w.Router.AwaitRoute(t, a, true)
	}
	if err := e.Tend(t.Context(), db1()); err != nil {
		t.Errorf("all is well: %v", err)
	}
	if got, err := e.Observe(t.Context()); err != nil || got.Node != "db1" || !told.MatchString(e.Tells()) {
		t.Errorf("it leads to %s (%v), and tells %q", got, err, e.Tells())
	}
	// Nobody tells FRR anything: as when the kernel ends an address's time.
	w.has(t, false)
	for _, a := range []netip.Addr{service4, service6} {
		w.Router.AwaitRoute(t, a, false)
	}
	if got, err := e.Observe(t.Context()); err != nil || got.Node != "" {
		t.Errorf("without its address it leads to %s, %v", got, err)
	}
}

// endsWithTheLease: the addresses are bound as the agent binds them, and then nobody
// does anything any more, as when it is killed or frozen.
func endsWithTheLease(t *testing.T, w world) {
	cfg := vip.Config{Cluster: "shop", Namespace: int(w.DB.NS)}
	for _, a := range []netip.Addr{service4, service6} {
		cfg.Addresses = append(cfg.Addresses, vip.Address{IP: a, Interface: "lo"})
	}
	s, err := vip.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	// Longer only where the machine is so busy that the routers learn of it too late.
	for lease := 200 * time.Millisecond; ; lease *= 2 {
		if _, err := s.Bind(t.Context(), vip.Claim{Until: clock.Now().Add(lease)}); err != nil && !errors.Is(err, vip.ErrExpired) {
			t.Fatal(err)
		}
		told := false
		bgptest.Await(t, time.Millisecond, func() error {
			told = told || w.Router.Routes(t, service4) && w.Router.Routes(t, service6)
			here, err := w.DB.Has(service4)
			if here {
				return fmt.Errorf("%s is still there", service4)
			}
			return err
		})
		if told {
			break
		}
		if lease > bgptest.Patience {
			t.Fatal("the router was never told")
		}
	}
	for _, a := range []netip.Addr{service4, service6} {
		w.Router.AwaitRoute(t, a, false)
	}
}

func namesNeighbours(t *testing.T, w world) {
	for n, want := range map[string]string{
		"10.79.1.3": "neighbour 10.79.1.3 (AS 65000, we are AS 65001 there) has no session",
		"10.79.1.4": "neighbour 10.79.1.4 (AS 65000, we are AS 65001 there) has no session",
		"10.79.1.5": "neighbour 10.79.1.5 (AS 65000, we are AS 65001 there) has no session",
		"10.79.1.6": "neighbour 10.79.1.6 (AS 65000, we are AS 65001 there) is shut down in FRR's configuration",
		"10.79.1.9": "FRR has no neighbour 10.79.1.9",
	} {
		e := w.endpoint(func(o *frr.Options) { o.Neighbors = []netip.Addr{router, netip.MustParseAddr(n)} })
		if err := e.StandBy(t.Context()); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s …", n, err, want)
		}
	}
	// Of two that have to be told, one is enough to lead, and the other is reported.
	w.has(t, true)
	e := w.endpoint(func(o *frr.Options) { o.Neighbors = append(o.Neighbors, netip.MustParseAddr("10.79.1.5")) })
	if err := e.Set(t.Context(), db1()); err != nil {
		t.Errorf("with one of two routers: %v", err)
	}
	if err := e.Tend(t.Context(), db1()); err == nil {
		t.Error("a router that is not there is not reported")
	}
	alone := w.endpoint(func(o *frr.Options) { o.Neighbors = []netip.Addr{netip.MustParseAddr("10.79.1.5")} })
	if err := setInVain(t, alone); err == nil || !strings.Contains(err.Error(), "no router has been told of 10.99.0.50: neighbour 10.79.1.5") {
		t.Errorf("the only router is not there: %v", err)
	}
	gone := w.endpoint(func(o *frr.Options) { o.Vtysh = []string{"vtysh", "--vty_socket", t.TempDir()} })
	if err := gone.StandBy(t.Context()); err == nil || !strings.Contains(err.Error(), "does FRR run, with its bgpd?") {
		t.Errorf("without FRR: %v", err)
	}
}

func needsTheCheck(t *testing.T, w world) {
	w.frr.Tell(t, "configure terminal", "router bgp 65001", "no bgp network import-check")
	t.Cleanup(func() { w.frr.Tell(t, "configure terminal", "router bgp 65001", "bgp network import-check") })
	e := w.endpoint()
	for what, err := range map[string]error{"Set": e.Set(t.Context(), db1()), "StandBy": e.StandBy(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), "no bgp network import-check") {
			t.Errorf("%s: %v", what, err)
		}
	}
	w.Router.AwaitRoute(t, service4, false)
	w.Router.AwaitRoute(t, service6, false)
}

func findsWhatIsNotHere(t *testing.T, w world) {
	w.DB.IP(t, "route add blackhole 10.99.0.50/32") // what a careful administrator may have
	t.Cleanup(func() { w.DB.IP(t, "route del blackhole 10.99.0.50/32") })
	w.Router.AwaitRoute(t, service4, true)
	if err := w.endpoint().StandBy(t.Context()); err == nil || !strings.Contains(err.Error(), "FRR has a route to 10.99.0.50 (kernel) although the address is not on this host") {
		t.Errorf("it is not noticed: %v", err)
	}
	w.Router.AwaitRoute(t, service4, false)
	if err := w.endpoint().StandBy(t.Context()); err == nil {
		t.Error("it is forgotten")
	}
	if config := w.frr.Tell(t, "show running-config bgpd"); strings.Contains(config, "network 10.99.0.50/32") {
		t.Errorf("it would be announced again: %s", config)
	}
}

// keepsToItself: another host of another AS is primary, and its router tells us.
func keepsToItself(t *testing.T, w world) {
	heard := netip.MustParseAddr("10.99.0.60")
	w.DB.AwaitRoute(t, heard, true)
	e := w.endpoint(func(o *frr.Options) { o.Addresses = []netip.Addr{heard} })
	for range 2 {
		if err := e.StandBy(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if got, err := e.Observe(t.Context()); err != nil || got.Node != "" {
		t.Errorf("it leads to %s, %v", got, err)
	}
}

func appliesRouteMap(t *testing.T, w world) {
	w.has(t, true)
	with := func(name string) *frr.Endpoint { return w.endpoint(func(o *frr.Options) { o.RouteMap = name }) }
	if err := with("SERVICE").Set(t.Context(), db1()); err != nil {
		t.Fatal(err)
	}
	if shown := w.frr.Tell(t, "show bgp ipv4 unicast 10.99.0.50/32"); !strings.Contains(shown, "metric 77") || !strings.Contains(shown, "65001:50") {
		t.Errorf("FRR announces %s", shown)
	}
	if err := setInVain(t, with("NOBODY")); err == nil || !strings.Contains(err.Error(), "route-map NOBODY denies it") {
		t.Errorf("a route-map that denies: %v", err)
	}
	if err := w.endpoint().Set(t.Context(), db1()); err != nil {
		t.Errorf("without it again: %v", err)
	}
}

// TestASessionWithoutANextHopForIPv6IsNamed: it began before the host had an IPv6 address
// there, as when it boots. FRR then tells the router of a next hop that leads nowhere, for
// as long as the session lasts.
func TestASessionWithoutANextHopForIPv6IsNamed(t *testing.T) {
	t.Parallel()
	const lost = "neighbour 10.79.1.1 (AS 65000, we are AS 65001 there): FRR has no next hop for IPv6 in this session"
	w := world{Rig: bgptest.New(t)}
	ipv6 := func(off int) {
		t.Helper()
		w.DB.Output(t, "sh", "-c", fmt.Sprintf("echo %d > /proc/sys/net/ipv6/conf/eth0/disable_ipv6", off))
	}
	ipv6(1)
	w.Router.StartFRR(t, routerFRR, "")
	w.frr = w.DB.StartFRR(t, hostFRR, "")
	e := w.endpoint()
	bgptest.Await(t, 50*time.Millisecond, func() error {
		if err := e.StandBy(t.Context()); err == nil || !strings.Contains(err.Error(), lost) {
			return fmt.Errorf("a host without IPv6 on the link stands by: %w", err)
		}
		return nil
	})
	ipv6(0)
	w.DB.IP(t, "addr replace "+bgptest.HostAddress6+"/64 dev eth0 nodad")
	w.has(t, true)
	w.Router.AwaitRoute(t, service4, true)
	if err := setInVain(t, e); err == nil || !strings.Contains(err.Error(), "no router has been told of fd99::50: "+lost) {
		t.Errorf("the router cannot lead there, and that is not said: %v", err)
	}
	if w.Router.Routes(t, service6) {
		t.Error("the router leads there after all")
	}
	// As the error says; FRR itself learns of the address some time after the kernel.
	bgptest.Await(t, 50*time.Millisecond, func() error {
		err := e.StandBy(t.Context())
		if err != nil && strings.Contains(err.Error(), lost) {
			w.frr.Tell(t, "clear bgp 10.79.1.1")
		}
		return err
	})
	if err := e.Set(t.Context(), db1()); err != nil {
		t.Error(err)
	}
	w.Router.AwaitRoute(t, service6, true)
}
