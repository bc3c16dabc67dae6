package bgp_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/bfd"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/bgp"
	"github.com/baton-db/baton/internal/endpoint/bgptest"
	"github.com/baton-db/baton/internal/endpoint/endpointtest"
)

func TestMain(m *testing.M) { os.Exit(bgptest.InOwnNetwork(m)) }

var (
	service4 = netip.MustParseAddr("10.99.0.50")
	service6 = netip.MustParseAddr("fd99::50")
	both     = []netip.Addr{service4, service6}
	router4  = netip.MustParseAddr(bgptest.RouterAddress)
	router6  = netip.MustParseAddr(bgptest.RouterAddress6)
	fast     = bfd.Settings{Interval: 50 * time.Millisecond, Multiplier: 3}
)

// routerBIRD has one session with the host over each family, and one for another host of
// the same AS.
var routerBIRD = bgptest.BIRDRouter(9,
	`protocol bfd { interface "eth0" { min rx interval 50 ms; min tx interval 50 ms; multiplier 3; }; }`,
	`protocol bgp good from host { local 10.79.1.1 as 65000; neighbor 10.79.1.2 as 65001; password "sesame"; }`,
	`protocol bgp good6 from host { local fd79:1::1 as 65000; neighbor fd79:1::2 as 65001; }`,
	`protocol bgp another from host { local 10.79.1.7 as 65000; neighbor 10.79.1.12 as 65001; bfd on; }`)

// strangers are routers that do not want this host, each a BIRD of its own: to one
// neighbour a BIRD has one session.
var strangers = []string{
	`local 10.79.1.3 as 65000; neighbor 10.79.1.2 as 64999;`,
	`local 10.79.1.4 as 65000; neighbor 10.79.1.2 as 65001; password "abracadabra";`,
	`local 10.79.1.6 as 65000; neighbor 10.79.1.2 as 65001;`,
}

// world is this host with its router.
type world struct {
	*bgptest.Rig
	bird bgptest.BIRD
	main *bgp.Speaker // speaks with the router over both families
	// another speaks as another host would, and has BFD: on a machine that is busy a
	// session as fast as this is lost now and then, so whoever uses it waits.
	another *bgp.Speaker
}

func (w world) options() bgp.Options {
	return bgp.Options{AS: 65001, RouterID: netip.MustParseAddr(bgptest.HostAddress), Addresses: both, Here: w.DB.Has, Self: "db1",
		Communities: []uint32{65001<<16 | 50}, LargeCommunities: []bgp.LargeCommunity{{65001, 1, 2}},
		Neighbors: []bgp.Neighbor{
			{Address: router4, AS: 65000, Password: "sesame", Hold: 9 * time.Second},
			{Address: router6, AS: 65000, Hold: 9 * time.Second}}}
}

// to is options with one neighbour, over IPv4 only.
func (w world) to(address string, change ...func(*bgp.Neighbor)) bgp.Options {
	o := w.options()
	n := bgp.Neighbor{Address: netip.MustParseAddr(address), AS: 65000, Hold: 9 * time.Second}
	for _, f := range change {
		f(&n)
	}
	o.Addresses, o.Neighbors = []netip.Addr{service4}, []bgp.Neighbor{n}
	return o
}

// other is a second address of the host, as if it were another one's.
func (w world) other() netip.Addr { return netip.MustParseAddr("10.79.1.12") }

// speaks runs a speaker until stop, or the end of the test.
func speaks(t testing.TB, o bgp.Options) (s *bgp.Speaker, stop func()) {
	s = bgp.New(o, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return s, stop
}

// has gives the host the addresses, as package vip does, or takes them.
func (w world) has(t testing.TB, addresses bool) {
	t.Helper()
	w.DB.Serves(t, both, addresses)
}

func (w world) awaitRoutes(t testing.TB, there bool) {
	t.Helper()
	for _, a := range both {
		w.Router.AwaitRoute(t, a, there)
	}
}

func await(t testing.TB, f func() error) { t.Helper(); bgptest.Await(t, 10*time.Millisecond, f) }

func at(epoch cluster.Epoch) endpoint.Target { return endpoint.Target{Epoch: epoch, Node: "db1"} }

// TestAnnouncements: one world for all, as a session takes seconds to come up.
func TestAnnouncements(t *testing.T) {
	t.Parallel() // with TestOptionsOfASession, which has a network of its own
	w := world{Rig: bgptest.NewHere(t, 3, 4, 5, 6, 7)}
	w.DB.IP(t, "addr add 10.79.1.12/24 dev eth0")
	w.bird = w.Router.StartBIRD(t, routerBIRD)
	for _, s := range strangers {
		w.Router.StartBIRD(t, "router id 10.79.1.1; protocol device {} protocol bgp { "+s+" strict bind on; passive on; error wait time 1, 1; ipv4 { import all; export none; }; }\n")
	}
	var stop func()
	w.main, stop = speaks(t, w.options())
	o := w.to("10.79.1.7", func(n *bgp.Neighbor) { n.Local, n.BFD = w.other(), fast })
	o.RouterID = w.other()
	var stopAnother func()
	w.another, stopAnother = speaks(t, o)
	refused := refusals(t, w)
	await(t, func() error { return w.endpoint().StandBy(t.Context()) })
	for name, test := range map[string]func(*testing.T, world){
		"it behaves as an endpoint":                               behaves,
		"it goes by the address and by nothing else":              goesByTheAddress,
		"what is about to go is announced as such":                isDrained,
		"the newer of two reigns wins":                            newerWins,
		"routers that refuse a session are named, and why":        refused,
		"a path that is lost ends the session, and it comes back": comesBack,
	} {
		t.Run(name, func(t *testing.T) {
			w.has(t, false)
			if err := bgp.Open("another", w.another).Set(t.Context(), endpoint.Target{Node: "nobody"}); err != nil {
				t.Fatal(err)
			}
			await(t, func() error { return w.endpoint().StandBy(t.Context()) })
			w.awaitRoutes(t, false)
			test(t, w)
		})
	}
	stopAnother()
	await(t, func() error { return w.endpoint().StandBy(t.Context()) })
	w.has(t, true)
	w.awaitRoutes(t, true)
	stop()
	w.awaitRoutes(t, false) // the addresses are still there: who does not speak is not led to
}

func (w world) endpoint() *bgp.Endpoint { return bgp.Open("bgp", w.main) }

// bound binds the addresses before they are wanted here, as the agent does.
type bound struct {
	*bgp.Endpoint
	t testing.TB
	w world
}

func (b bound) Set(ctx context.Context, target endpoint.Target) error {
	if ctx.Err() == nil && target.Node == "db1" {
		b.w.has(b.t, true)
	}
	return b.Endpoint.Set(ctx, target)
}

// behaves: nothing is asked of the router that it could leave without an answer.
func behaves(t *testing.T, w world) {
	endpointtest.Run(t, func(t *testing.T) endpointtest.Subject {
		again := func() endpoint.Endpoint { return bound{w.endpoint(), t, w} }
		return endpointtest.Subject{Endpoint: again(), Again: again,
			Here: endpoint.Target{Node: "db1"}, There: endpoint.Target{Node: "db2"},
			Meddle: func(context.Context) error { w.has(t, false); return nil }}
	})
}

func goesByTheAddress(t *testing.T, w world) {
	e := w.endpoint()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := e.Set(ctx, at(1)); err == nil || !strings.Contains(err.Error(), "10.99.0.50 is not on this host") {
		t.Errorf("without its address: %v", err)
	}
	w.has(t, true)
	if err := e.Set(t.Context(), at(1)); err != nil {
		t.Fatal(err)
	}
	w.awaitRoutes(t, true)
	if err := e.Tend(t.Context(), at(1)); err != nil {
		t.Errorf("all is well: %v", err)
	}
	if got := e.Tells(); !strings.HasPrefix(got, "told ") || !strings.Contains(got, " of 10.99.0.50; told ") || !strings.HasSuffix(got, " of fd99::50") {
		t.Errorf("it tells %q", got)
	}
	w.has(t, false) // as when the kernel ends an address's time
	w.awaitRoutes(t, false)
	if got, err := e.Observe(t.Context()); err != nil || got.Node != "" {
		t.Errorf("without its address it leads to %s, %v", got, err)
	}
	w.has(t, true)
	w.awaitRoutes(t, true)
	if err := e.Set(t.Context(), endpoint.Target{Epoch: 2, Node: "db2"}); err != nil {
		t.Fatal(err)
	}
	w.awaitRoutes(t, false) // although the addresses are there
}

// awaitSaid waits until the router's route has all of that.
func (w world) awaitSaid(t *testing.T, want ...string) {
	t.Helper()
	await(t, func() error {
		said := w.bird.Ask(t, "show route for 10.99.0.50/32 all")
		for _, text := range want {
			if !strings.Contains(said, text) {
				return fmt.Errorf("the router lacks %q: %s", text, said)
			}
		}
		return nil
	})
}

func isDrained(t *testing.T, w world) {
	e := w.endpoint()
	w.has(t, true)
	w.awaitSaid(t, "BGP.med: 4000000000", "(65535,0) (65001,50)", "(65001, 1, 2)") // nothing is wanted of it yet
	if err := e.Set(t.Context(), at(42)); err != nil {
		t.Fatal(err)
	}
	w.awaitSaid(t, "BGP.med: 3999999958", "BGP.community: (65001,50)")
	if err := e.StandBy(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.awaitSaid(t, "BGP.med: 4000000000", "(65535,0) (65001,50)")
}

// newerWins: two hosts of one AS have the address, and none gives it up.
func newerWins(t *testing.T, w world) {
	w.has(t, true)
	older, newer := w.endpoint(), bgp.Open("another", w.another)
	for epoch := cluster.Epoch(7); epoch < 10; epoch += 2 {
		for _, e := range []struct {
			*bgp.Endpoint
			target endpoint.Target
			name   string
		}{{older, at(epoch), "good"}, {newer, at(epoch + 1), "another"}} {
			if err := e.Set(t.Context(), e.target); err != nil {
				t.Fatal(err)
			}
			await(t, func() error {
				said := w.bird.Ask(t, "show route for 10.99.0.50/32 primary")
				if !strings.Contains(said, "["+e.name+" ") || strings.Count(said, "via ") != 1 {
					return fmt.Errorf("in epoch %d the router leads to %s", e.target.Epoch, said)
				}
				return nil
			})
		}
	}
}

// refusals has speakers to routers that do not want them, and returns a test of what they
// say: it takes them seconds to find out.
func refusals(t *testing.T, w world) func(*testing.T, world) {
	all := map[string]bgp.Options{
		"neighbour 10.79.1.3 (AS 65000, we are AS 65001) has no session: the router says: bad peer AS":             w.to("10.79.1.3"),
		"neighbour 10.79.1.4 (AS 65000, we are AS 65001) has no session: it does not answer: is its address right": w.to("10.79.1.4", func(n *bgp.Neighbor) { n.Password = "sesame" }),
		"neighbour 10.79.1.5 (AS 65000, we are AS 65001) has no session: it refuses connections":                   w.to("10.79.1.5"),
		"neighbour 10.79.1.6 (AS 64512, we are AS 65001) has no session: we have ended it: bad peer AS":            w.to("10.79.1.6", func(n *bgp.Neighbor) { n.AS = 64512 }),
		"neighbour 192.0.2.1 (AS 65000, we are AS 65001) has no session: it cannot be reached: network is":         w.to("192.0.2.1"),
	}
	speakers := map[string]*bgp.Endpoint{}
	for want, o := range all {
		s, _ := speaks(t, o)
		speakers[want] = bgp.Open("bgp", s)
	}
	return func(t *testing.T, w world) {
		taken, _ := speaks(t, w.to("10.79.1.7", func(n *bgp.Neighbor) { n.BFD = fast }))
		speakers["receive BFD: listen udp4 :3784: bind: address already in use: does another BFD run on this host, such as FRR's bfdd"] = bgp.Open("taken", taken)
		for want, e := range speakers {
			await(t, func() error {
				if err := e.StandBy(t.Context()); err == nil || !strings.HasPrefix(err.Error(), want) {
					return fmt.Errorf("%w, want %s …", err, want)
				}
				return nil
			})
		}
	}
}

func comesBack(t *testing.T, w world) {
	if err := w.endpoint().Set(t.Context(), endpoint.Target{Epoch: 1, Node: "db2"}); err != nil {
		t.Fatal(err)
	}
	e := bgp.Open("another", w.another)
	w.has(t, true)
	await(t, func() error { return errors.Join(e.Set(t.Context(), at(1)), e.Tend(t.Context(), at(1))) })
	w.Router.AwaitRoute(t, service4, true)
	w.Router.Deafen(t, true)
	w.Router.AwaitRoute(t, service4, false)
	await(t, func() error {
		if err := e.Tend(t.Context(), at(1)); err == nil {
			return errors.New("a router that does not hear us is not reported")
		}
		return nil
	})
	w.Router.Deafen(t, false)
	await(t, func() error { return e.Tend(t.Context(), at(1)) })
	w.Router.AwaitRoute(t, service4, true)
}
