package bgp_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/endpoint/bgp"
	"github.com/baton-db/baton/internal/endpoint/bgptest"
)

// variant is a speaker with one option or two that are not those of other tests, and one
// session each with a BIRD and an FRR. All have the host's addresses on lo.
type variant struct {
	host     int  // its own address is 10.79.1.host, and fd79:1::host
	over6    bool // the sessions go over IPv6
	far      bool // the routers are behind another one
	as       uint32
	neighbor func(*bgp.Neighbor)
	options  func(*bgp.Options)
	bird     string // of the session, in BIRD's words
	frr      string // likewise; N is the neighbour
	inFRR    string // of its address family in FRR
	// want is what the routers must have been told of each address, in BIRD's words.
	want map[netip.Addr][]string
	// refused is what people are told where no session is to come up.
	refused string
}

const metric = "BGP.med: 3999999995"

var variants = map[string]variant{
	"routers connect to it": {host: 21,
		neighbor: func(n *bgp.Neighbor) { n.Port = 1179 }, // where nobody is
		options:  func(o *bgp.Options) { o.Listen = 179 },
		bird:     "passive off;", frr: "no neighbor N passive\n neighbor N timers connect 1",
		want: map[netip.Addr][]string{service4: {metric, "BGP.next_hop: 10.79.1.21"}}},
	"both ends connect": {host: 20,
		options: func(o *bgp.Options) { o.Listen = 1790 },
		bird:    "passive off; neighbor port 1790;", frr: "no neighbor N passive\n neighbor N timers connect 1\n neighbor N port 1790",
		want: map[netip.Addr][]string{service4: {metric, "BGP.next_hop: 10.79.1.20"}}},
	"a router is between": {host: 22, far: true,
		neighbor: func(n *bgp.Neighbor) { n.Hops = 1 },
		bird:     "multihop 2;", frr: "neighbor N ebgp-multihop 2",
		want: map[netip.Addr][]string{service4: {metric, "BGP.next_hop: 10.79.1.22"}}},
	"TTL security": {host: 23,
		neighbor: func(n *bgp.Neighbor) { n.TTLSecurity = true },
		bird:     "ttl security on;", frr: "neighbor N ttl-security hops 1",
		want: map[netip.Addr][]string{service4: {metric, "BGP.next_hop: 10.79.1.23"}}},
	"TTL security with a router between": {host: 24, far: true,
		neighbor: func(n *bgp.Neighbor) { n.TTLSecurity, n.Hops = true, 1 },
		bird:     "multihop 2; ttl security on;", frr: "neighbor N ttl-security hops 2",
		want: map[netip.Addr][]string{service4: {metric, "BGP.next_hop: 10.79.1.24"}}},
	"routers of the same AS": {host: 25, as: 65000,
		options: func(o *bgp.Options) { o.LocalPref = 333 },
		bird:    "", frr: "",
		want: map[netip.Addr][]string{service4: {metric, "BGP.next_hop: 10.79.1.25", "BGP.local_pref: 333", "BGP.as_path: \n"}}},
	"over IPv6, with a password, TTL security and both families": {host: 26, over6: true,
		neighbor: func(n *bgp.Neighbor) { n.Password, n.TTLSecurity = "sesame", true },
		options:  func(o *bgp.Options) { o.NextHops = []netip.Addr{netip.MustParseAddr("10.79.1.26")} },
		bird:     `password "sesame"; ttl security on;`, frr: "neighbor N password sesame\n neighbor N ttl-security hops 1",
		inFRR: "address-family ipv6 unicast\n  neighbor N activate\n exit-address-family",
		want:  map[netip.Addr][]string{service4: {metric, "BGP.next_hop: 10.79.1.26"}, service6: {metric, "BGP.next_hop: fd79:1::26"}}},
	"both families over IPv4": {host: 27,
		options: func(o *bgp.Options) { o.NextHops = []netip.Addr{netip.MustParseAddr("fd79:1::27")} },
		bird:    "", frr: "",
		inFRR: "address-family ipv6 unicast\n  neighbor N activate\n exit-address-family",
		want:  map[netip.Addr][]string{service4: {metric, "BGP.next_hop: 10.79.1.27"}, service6: {metric, "BGP.next_hop: fd79:1::27"}}},
	"fewer hops are allowed than there are": {host: 28, far: true,
		bird: "multihop 2;", frr: "neighbor N ebgp-multihop 2", refused: "it "},
	"TTL security, and a router is between": {host: 29, far: true,
		neighbor: func(n *bgp.Neighbor) { n.TTLSecurity = true },
		bird:     "multihop 2; ttl security off;", frr: "neighbor N ebgp-multihop 255", refused: "it does not answer"},
}

func (v variant) local() netip.Addr {
	if v.over6 {
		return netip.MustParseAddr(fmt.Sprintf("fd79:1::%d", v.host))
	}
	return netip.MustParseAddr(fmt.Sprintf("10.79.1.%d", v.host))
}

// routers are the addresses of the two.
func (v variant) routers() (bird, frr netip.Addr) {
	switch {
	case v.far:
		return netip.MustParseAddr(bgptest.BeyondAddress), netip.MustParseAddr("10.79.2.7")
	case v.over6:
		return router6, netip.MustParseAddr("fd79:1::7")
	}
	return router4, netip.MustParseAddr("10.79.1.7")
}

func (v variant) ownAS() uint32 {
	if v.as == 0 {
		return 65001
	}
	return v.as
}

func (v variant) speaker(w world) bgp.Options {
	o := w.options()
	o.AS, o.RouterID, o.Neighbors = v.ownAS(), netip.MustParseAddr(fmt.Sprintf("10.79.1.%d", v.host)), nil
	o.Addresses = nil
	for _, a := range both {
		if v.want[a] != nil || a == service4 {
			o.Addresses = append(o.Addresses, a)
		}
	}
	bird, frr := v.routers()
	for _, at := range []netip.Addr{bird, frr} {
		n := bgp.Neighbor{Address: at, AS: 65000, Local: v.local(), Hold: 9 * time.Second}
		if v.neighbor != nil {
			v.neighbor(&n)
		}
		o.Neighbors = append(o.Neighbors, n)
	}
	if v.options != nil {
		v.options(&o)
	}
	return o
}

// configured are the configurations of the two routers of one place.
func configured(far bool) (bird, frr string) {
	var protocols []string
	var neighbors, families strings.Builder
	for _, v := range variants {
		if v.far != far {
			continue
		}
		at, source := v.routers()
		protocols = append(protocols, fmt.Sprintf("protocol bgp v%d from host { local %s as 65000; neighbor %s as %d; %s }", v.host, at, v.local(), v.ownAS(), v.bird))
		with := func(text string) string { return strings.ReplaceAll(text, "N", v.local().String()) }
		fmt.Fprintf(&neighbors, " neighbor %s remote-as %d\n neighbor %[1]s passive\n neighbor %[1]s update-source %[3]s\n %[4]s\n", v.local(), v.ownAS(), source, with(v.frr))
		fmt.Fprintf(&families, " %s\n", with(v.inFRR))
	}
	// What is told is looked at, and goes no further.
	bird = strings.ReplaceAll(bgptest.BIRDRouter(9, protocols...), "export all", "export none")
	frr = "frr defaults traditional\nrouter bgp 65000\n bgp router-id 10.79.1.7\n no bgp ebgp-requires-policy\n" + neighbors.String() + families.String() + "exit\n"
	return bird, frr
}

// TestOptionsOfASession: every option on the real routers, each of which is told what it
// should be; and where a session must not come up it does not.
func TestOptionsOfASession(t *testing.T) {
	t.Parallel()
	if !bgptest.Apart(t) {
		return
	}
	w := world{Rig: bgptest.NewHere(t, 7, 8)}
	w.Router.IP(t, "addr add fd79:1::7/64 dev eth0 nodad")
	far := w.Beyond(t, 7)
	for _, v := range variants {
		w.DB.IP(t, fmt.Sprintf("addr add 10.79.1.%d/24 dev eth0", v.host), fmt.Sprintf("addr add fd79:1::%d/64 dev eth0 nodad", v.host))
	}
	w.has(t, true)
	birds, frrs := map[bool]bgptest.BIRD{}, map[bool]bgptest.FRR{}
	for isFar, h := range map[bool]*bgptest.Host{false: w.Router, true: far} {
		bird, frr := configured(isFar)
		birds[isFar] = h.StartBIRD(t, bird)
		listen := []string{"-l", "10.79.1.7", "-l", "fd79:1::7"}
		if isFar {
			listen = []string{"-l", "10.79.2.7"}
		}
		frrs[isFar] = h.StartFRR(t, frr, "", listen...)
	}
	generousBIRD := w.Router.StartBIRD(t, generous(12_000))
	toGenerous := w.toGenerous(t)
	speakers := map[string]*bgp.Endpoint{}
	for name, v := range variants {
		s, _ := speaks(t, v.speaker(w))
		speakers[name] = bgp.Open("bgp", s)
	}
	for name, v := range variants {
		t.Run(name, func(t *testing.T) {
			e := speakers[name]
			if v.refused != "" {
				v.staysAway(t, e, birds[v.far], frrs[v.far])
				return
			}
			await(t, func() error { return e.StandBy(t.Context()) })
			if err := e.Set(t.Context(), at(5)); err != nil {
				t.Fatal(err)
			}
			for a, want := range v.want {
				await(t, func() error {
					said := birds[v.far].Ask(t, fmt.Sprintf("show route for %s/%d protocol v%d all", a, a.BitLen(), v.host))
					return says("BIRD", said, want)
				})
				await(t, func() error { return says("FRR", v.inWordsOfBIRD(t, frrs[v.far], a), want) })
			}
			if err := e.Tend(t.Context(), at(5)); err != nil {
				t.Errorf("all is well: %v", err)
			}
		})
	}
	t.Run("a router sends far too many routes", func(t *testing.T) { w.sendsTooMuch(t, toGenerous, generousBIRD) })
}

func says(who, text string, want []string) error {
	for _, w := range want {
		if !strings.Contains(text, w) {
			return fmt.Errorf("%s lacks %q: %s", who, w, text)
		}
	}
	return nil
}

// inWordsOfBIRD is what FRR was told of an address in the session.
func (v variant) inWordsOfBIRD(t *testing.T, frr bgptest.FRR, a netip.Addr) string {
	t.Helper()
	family := "ipv6"
	if a.Is4() {
		family = "ipv4"
	}
	var shown struct {
		Paths []struct {
			AS     struct{ String string } `json:"aspath"`
			Metric uint32
			Pref   uint32 `json:"locPrf"`
			Valid  bool
			Peer   struct {
				ID string `json:"peerId"`
			}
			Hops []struct{ IP string } `json:"nexthops"`
		}
	}
	text := frr.Tell(t, fmt.Sprintf("show bgp %s unicast %s/%d json", family, a, a.BitLen()))
	if err := json.Unmarshal([]byte(text), &shown); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for _, p := range shown.Paths {
		if p.Peer.ID != v.local().String() || !p.Valid {
			continue
		}
		path := p.AS.String
		if path == "Local" {
			path = ""
		}
		said := fmt.Sprintf("BGP.med: %d\nBGP.local_pref: %d\nBGP.as_path: %s\n", p.Metric, p.Pref, path)
		for _, h := range p.Hops {
			said += "BGP.next_hop: " + h.IP + "\n"
		}
		return said
	}
	return text
}

// staysAway: neither router gets a session, and why is said.
func (v variant) staysAway(t *testing.T, e *bgp.Endpoint, bird bgptest.BIRD, frr bgptest.FRR) {
	t.Helper()
	one, two := v.routers()
	await(t, func() error {
		err := e.StandBy(t.Context())
		if err == nil {
			return fmt.Errorf("it has sessions")
		}
		for _, at := range []netip.Addr{one, two} {
			want := fmt.Sprintf("neighbour %s (AS 65000, we are AS %d) has no session: %s", at, v.ownAS(), v.refused)
			if !strings.Contains(err.Error(), want) {
				return fmt.Errorf("%w, want that it says %s", err, want)
			}
		}
		return nil
	})
	if said := bird.Ask(t, fmt.Sprintf("show protocols v%d", v.host)); strings.Contains(said, "Established") {
		t.Errorf("BIRD has a session: %s", said)
	}
	if said := frr.Tell(t, "show bgp neighbors "+v.local().String()+" json"); strings.Contains(said, `"bgpState":"Established"`) {
		t.Errorf("FRR has a session: %s", said)
	}
}
