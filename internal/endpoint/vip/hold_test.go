package vip_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/endpointtest"
	"github.com/baton-db/baton/internal/endpoint/vip"
)

// has reports whether `ip address` of the host shows that text.
func (h *host) has(t testing.TB, text string) bool {
	t.Helper()
	return strings.Contains(h.ip(t, "addr show"), text)
}

func TestTheKernelTakesTheAddressAwayWhenNobodyExtendsIt(t *testing.T) {
	l := newLab(t)
	s := l.db1.set(t)
	if _, err := s.Bind(t.Context(), vip.Claim{Until: in(2 * time.Second)}); err != nil {
		t.Fatal(err)
	}
	for _, ip := range []string{"10.78.0.50/32", "fd78::50/128"} {
		if !l.db1.has(t, ip) {
			t.Fatalf("%s is not bound", ip)
		}
	}
	// No method of the set is called from here on.
	await(t, func() bool { return !l.db1.has(t, "10.78.0.50/32") && !l.db1.has(t, "fd78::50/128") },
		func() string { return l.db1.ip(t, "addr") })
	if !l.db1.has(t, "10.78.0.11/24") || !l.db1.has(t, "fd78::b/64") {
		t.Error("the host's own addresses went with it")
	}
	if bound := observe(t, s).Bound(); bound != nil {
		t.Errorf("observed as bound: %v", bound)
	}
}

func TestExtendKeepsTheAddressLongerThanItsFirstLifetime(t *testing.T) {
	l := newLab(t)
	s := l.db1.set(t)
	if _, err := s.Bind(t.Context(), vip.Claim{Until: in(10 * time.Second)}); err != nil {
		t.Fatal(err)
	}
	first := observe(t, s).Addresses[0].Left
	if first > 10*time.Second {
		t.Fatalf("10 s became %v", first)
	}
	if err := s.Extend(t.Context(), in(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for _, a := range observe(t, s).Addresses {
		if !a.Bound || a.Left <= 30*time.Second || a.Left > 61*time.Second {
			t.Errorf("after the extension by a minute: %+v", a)
		}
	}
	wantError(t, s.Extend(t.Context(), clock.Now()), vip.ErrExpired)
	drop(t, s)
	wantError(t, s.Extend(t.Context(), in(time.Minute)), vip.ErrNotBound)
	if bound := observe(t, s).Bound(); bound != nil {
		t.Errorf("extended after the drop: %v", bound)
	}
}

func TestNothingIsBoundForATimeThatHasPassed(t *testing.T) {
	l := newLab(t)
	s := l.db1.set(t)
	_, err := s.Bind(t.Context(), vip.Claim{Until: clock.Now()})
	wantError(t, err, vip.ErrExpired)
	if bound := observe(t, s).Bound(); bound != nil {
		t.Errorf("bound all the same: %v", bound)
	}
}

func TestADropOvertakesABindThatStillProbes(t *testing.T) {
	l := newLab(t)
	s := l.db1.set(t, func(c *vip.Config) { c.ProbeWait = patience })
	heard := l.db2.hear(t)
	done := make(chan error, 1)
	go func() {
		_, err := s.Bind(context.Background(), vip.Claim{Until: in(time.Minute), Members: membersOf(l.db2)})
		done <- err
	}()
	heard.await(t, "a probe", func(f frame) bool { return f.op == arpRequestOp && f.spa == netip.IPv4Unspecified() })
	drop(t, s) // returns although the probe goes on
	select {
	case err := <-done:
		t.Fatalf("the bind was over before the drop: %v", err)
	default:
	}
	bind(t, l.db2.set(t)) // its announcement ends the long probe
	wantError(t, <-done, vip.ErrDropped)
	if bound := observe(t, s).Bound(); bound != nil {
		t.Errorf("bound after the drop: %v", bound)
	}
}

func TestBindingTwiceIsTheSameAsOnce(t *testing.T) {
	l := newLab(t)
	s := l.db1.set(t)
	bind(t, s)
	before := l.db1.ip(t, "-o addr show dev eth0")
	for _, r := range bind(t, s) {
		if r.Outcome != vip.AlreadyBound || r.Probe != 0 || r.Announce != 0 {
			t.Errorf("the second time: %+v", r)
		}
	}
	if n := strings.Count(l.db1.ip(t, "-o addr show dev eth0"), "\n"); n != strings.Count(before, "\n") {
		t.Errorf("there are %d addresses now, before:\n%s", n, before)
	}
}

func TestAfterACrashInTheMiddleBindFinishesTheWork(t *testing.T) {
	l := newLab(t)
	l.db1.serve(t)
	l.db2.serve(t)
	old := l.db1.set(t)
	bind(t, old)
	for _, ip := range []netip.Addr{vip4, vip6} {
		l.cl.awaitReach(t, ip, l.db1)
	}
	drop(t, old)
	// The new primary's agent binds and dies: nobody hears its announcement.
	l.sw.sh(t, `nft 'add table bridge f; add chain bridge f fw { type filter hook forward priority 0; }; add rule bridge f fw iifname "v-db2" drop'`)
	bind(t, l.db2.set(t))
	l.sw.sh(t, "nft delete table bridge f")

	again := l.db2.set(t)
	if bound := observe(t, again).Bound(); !slices.Equal(bound, []string{"10.78.0.50", "fd78::50"}) {
		t.Fatalf("the restarted agent observes %v", bound)
	}
	for _, r := range bind(t, again) {
		if r.Outcome != vip.AlreadyBound || r.Announce == 0 || r.Probe != 0 {
			t.Errorf("report: %+v", r)
		}
	}
	for _, ip := range []netip.Addr{vip4, vip6} {
		l.cl.awaitReach(t, ip, l.db2)
	}
}

// TestARestartedAgentThatKeptItsLeaseKeepsTheAddresses: the next renewal takes
// them up, so that the kernel does not drop them.
func TestARestartedAgentThatKeptItsLeaseKeepsTheAddresses(t *testing.T) {
	l := newLab(t)
	l.db1.serve(t)
	bind(t, l.db1.set(t))
	again := l.db1.set(t)
	if err := again.Extend(t.Context(), in(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for _, a := range observe(t, again).Addresses {
		if !a.Bound || a.Left < 50*time.Second {
			t.Errorf("%s is kept for %s", a.IP, a.Left)
		}
	}
	if err := again.Mute(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Another one has them soon: a third agent takes nothing up.
	wantError(t, l.db1.set(t).Extend(t.Context(), in(time.Minute)), vip.ErrNotBound)
}

func TestAnAddressThatThePersonBoundIsAdopted(t *testing.T) {
	l := newLab(t)
	s := l.db1.set(t)
	l.db1.ip(t, "addr add 10.78.0.50/32 dev eth0", "addr add fd78::50/128 dev eth0 nodad")
	for _, a := range observe(t, s).Addresses {
		if a.Bound || len(a.Others) != 1 {
			t.Errorf("before: %+v", a)
		}
	}
	for _, r := range bind(t, s) {
		if r.Outcome != vip.Bound || !r.Adopted {
			t.Errorf("report: %+v", r)
		}
	}
	for _, a := range observe(t, s).Addresses {
		if !a.Bound || len(a.Others) != 0 || a.Left > 61*time.Second {
			t.Errorf("after: %+v", a)
		}
	}
	drop(t, s)
	if l.db1.has(t, "10.78.0.50") || l.db1.has(t, "fd78::50") {
		t.Error("still there after the drop")
	}
}

func TestOnlyWhatCarriesTheClustersMarkIsCleanedUp(t *testing.T) {
	l := newLab(t)
	gone := netip.MustParseAddr("10.78.0.51") // configured once, no more
	crashed := l.db1.set(t, func(c *vip.Config) { c.Addresses = append(c.Addresses, vip.Address{IP: gone, Interface: "eth0"}) })
	bind(t, crashed)
	if err := crashed.Mute(t.Context()); err != nil {
		t.Fatal(err)
	}
	neighbour := l.db1.set(t, func(c *vip.Config) {
		c.Cluster = "shop2"
		c.Addresses = []vip.Address{{IP: netip.MustParseAddr("10.78.0.60"), Interface: "eth0"}, {IP: netip.MustParseAddr("fd78::60"), Interface: "eth0"}}
	})
	bind(t, neighbour)
	if err := neighbour.Mute(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Same label, same network, same metric or a host route: not ours.
	label := labelOf(t, l.db1, "10.78.0.50")
	l.db1.ip(t, "addr add 10.78.0.52/32 dev eth0 label "+label, "addr add 10.78.0.53/32 dev eth0", "addr add fd78::53/128 dev eth0 nodad",
		"addr add 10.78.0.50/24 dev eth0 label "+label)

	s := l.db1.set(t)
	removed, err := s.Cleanup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range removed {
		names = append(names, r.String())
	}
	slices.Sort(names)
	want := []string{"10.78.0.50/32 on eth0", "10.78.0.51/32 on eth0", "fd78::50/128 on eth0", "table arp baton_shop_mute", "table ip6 baton_shop_mute"}
	if !slices.Equal(names, want) {
		t.Errorf("removed %q\nwant    %q", names, want)
	}
	for _, kept := range []string{"10.78.0.11/24", "10.78.0.50/24", "10.78.0.52/32", "10.78.0.53/32", "10.78.0.60/32", "fd78::53/128", "fd78::60/128", "fd78::b/64"} {
		if !l.db1.has(t, kept) {
			t.Errorf("%s was removed", kept)
		}
	}
	if tables := l.db1.sh(t, "nft list tables"); !strings.Contains(tables, "arp baton_shop2_mute") || !strings.Contains(tables, "ip6 baton_shop2_mute") {
		t.Errorf("the other cluster's tables: %s", tables)
	}
	again, err := s.Cleanup(t.Context())
	if err != nil || len(again) != 0 {
		t.Errorf("cleaning up again: %v, %v", again, err)
	}
	if o := observe(t, s); len(o.Addresses[0].Others) != 1 || o.Addresses[0].Others[0].String() != "10.78.0.50/24 on eth0" {
		t.Errorf("what stays of the address is not shown: %+v", o.Addresses[0])
	}
}

// labelOf returns the label that `ip address` shows for an address.
func labelOf(t *testing.T, h *host, ip string) string {
	t.Helper()
	for line := range strings.Lines(h.ip(t, "-o addr show")) {
		if f := strings.Fields(line); slices.Contains(f, ip+"/32") {
			for _, word := range f {
				if strings.HasPrefix(word, "eth0:") {
					return strings.TrimSuffix(word, `\`)
				}
			}
		}
	}
	t.Fatalf("%s has no label", ip)
	return ""
}

func TestTheHostsOwnConnectionsDoNotComeFromTheVirtualAddress(t *testing.T) {
	l := newLab(t)
	bind(t, l.db1.set(t))
	for dst, want := range map[string]string{"10.78.0.100": "src 10.78.0.11 ", "10.78.1.100": "src 10.78.0.11 ", "fd78::64": "src fd78::b ", "fd79::100": "src fd78::b "} {
		if got := l.db1.ip(t, "route get "+dst); !strings.Contains(got, want) {
			t.Errorf("to %s: %s", dst, got)
		}
	}
	if routes := l.db1.ip(t, "-6 route show table main"); strings.Contains(routes, "fd78::50") {
		t.Errorf("the address left a route: %s", routes)
	}
}

func TestTheHostIsCheckedAgainstTheConfiguration(t *testing.T) {
	l := newLab(t)
	l.db1.ip(t, "addr add 10.78.0.70/24 dev eth0")
	one := func(ip, ifname string) vip.Config {
		return vip.Config{Cluster: "shop", Namespace: int(l.db1.fd), Addresses: []vip.Address{{IP: netip.MustParseAddr(ip), Interface: ifname}}}
	}
	for name, tt := range map[string]struct {
		cfg  vip.Config
		want string
	}{
		"right":                          {l.db1.config(), ""},
		"an interface that is not there": {one("10.78.0.50", "eth7"), "addresses[0].interface: eth7 is not there: use one of eth0"},
		"loopback":                       {one("10.99.0.50", "lo"), ""},
		"loopback, of a network":         {one("10.78.0.50", "lo"), "addresses[0].address: 10.78.0.50 is in 10.78.0.0/24, the network of eth0, where neighbours ask for it and nobody tells them that it moves: use an address outside of every network of the hosts, or interface: eth0"},
		"another network":                {one("10.99.0.50", "eth0"), "addresses[0].address: 10.99.0.50 is in no network of eth0: use an address in [10.78.0.0/24], or name the interface that has its network"},
		"another network, IPv6":          {one("fd99::50", "eth0"), "addresses[0].address: fd99::50 is in no network of eth0: use an address in [fd78::/64], or name the interface that has its network"},
		"the broadcast address":          {one("10.78.0.255", "eth0"), "addresses[0].address: 10.78.0.255 is the network's own address or its broadcast address in 10.78.0.0/24: use another one in it"},
		"the host's own address":         {one("10.78.0.11", "eth0"), "addresses[0].address: the host has 10.78.0.11/24 on eth0, and not from this cluster: remove it there: it would stay when the address moves"},
		"bound by somebody else":         {one("10.78.0.70", "eth0"), "addresses[0].address: the host has 10.78.0.70/24 on eth0, and not from this cluster: remove it there: it would stay when the address moves"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := vip.CheckHost(tt.cfg); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
	bind(t, l.db1.set(t))
	if err := vip.CheckHost(l.db1.config()); err != nil {
		t.Errorf("while the cluster holds them: %v", err)
	}
}

func TestTheAddressesBehaveAsAnEndpoint(t *testing.T) {
	endpointtest.Run(t, func(t *testing.T) endpointtest.Subject {
		l := newLab(t)
		quick := func(c *vip.Config) { c.AskWait = 500 * time.Millisecond }
		here, there := l.db1.set(t, quick), l.db2.set(t, quick)
		on := func(s *vip.Set, self cluster.NodeName) endpoint.Endpoint {
			return s.Endpoint(vip.Host{
				Self:    self,
				Until:   func() cluster.Instant { return in(time.Minute) },
				Members: func() vip.Members { return membersOf(l.db1, l.db2) },
			})
		}
		return endpointtest.Subject{
			Endpoint: on(here, "db1"),
			Again:    func() endpoint.Endpoint { return on(l.db1.set(t, quick), "db1") },
			Here:     endpoint.Target{Node: "db1"},
			There:    endpoint.Target{Node: "db2"},
			Meddle: func(ctx context.Context) error {
				l.db1.ip(t, "addr del 10.78.0.50/32 dev eth0", "addr del fd78::50/128 dev eth0")
				return on(there, "db2").Set(ctx, endpoint.Target{Node: "db2", Epoch: 1})
			},
		}
	})
}
