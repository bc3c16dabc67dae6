package vip_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/endpoint/vip"
)

func TestARestartedAgentKeepsTheVirtualMACAndFindsWhatIsLeft(t *testing.T) {
	t.Parallel()
	l := newOldLab(t)
	l.db1.serve(t)
	bind(t, l.db1.set(t, withMACs))
	l.cl.awaitReach(t, vip4, l.db1)

	again := l.db1.set(t, withMACs)
	if err := again.Extend(t.Context(), in(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if bound := observe(t, again).Bound(); !slices.Equal(bound, []string{"10.78.0.50", "fd78::50"}) {
		t.Errorf("taken up: %v", bound)
	}
	for _, r := range bind(t, again) {
		if r.Outcome != vip.AlreadyBound {
			t.Errorf("bound again: %+v", r)
		}
	}
	// Somebody's reload of the firewall takes the rules away: it is seen, and mended.
	l.db1.sh(t, "nft flush ruleset")
	if o := observe(t, again); len(o.Bound()) > 0 {
		t.Errorf("without its rules it is observed as bound: %+v", o)
	}
	bind(t, again)
	if bound := observe(t, again).Bound(); len(bound) != 2 {
		t.Errorf("mended: %v", bound)
	}

	// Another agent starts with another configuration: one address has no MAC any more.
	cfg := l.db1.config()
	cfg.Addresses[0].MAC = macOf(vip4)
	left, err := vip.Sweep(cfg)
	if err != nil || len(left) != 1 {
		t.Fatalf("swept %v, %v", left, err)
	}
	if l.db1.has(t, "fd78::50") || !l.db1.has(t, "10.78.0.50/32") {
		t.Errorf("after the sweep:\n%s", l.db1.ip(t, "addr"))
	}
	if left, err = vip.Sweep(vip.Config{Cluster: "other", Namespace: int(l.db1.fd)}); err != nil || len(left) > 0 {
		t.Errorf("another cluster swept %v, %v", left, err)
	}
	if left, err = vip.Sweep(vip.Config{Cluster: "shop", Namespace: int(l.db1.fd)}); err != nil || len(left) != 1 {
		t.Errorf("without addresses, swept %v, %v", left, err)
	}
	l.db1.wantNothing(t)
}

func TestOneAddressOfSeveralIsTakenAndDropped(t *testing.T) {
	t.Parallel()
	l := newOldLab(t)
	l.db1.serve(t)
	l.db2.serve(t)
	readers := func(c *vip.Config) { withMACs(c); c.Group = "readers" }
	one, other := l.db1.set(t, readers), l.db2.set(t, readers)
	writers := l.db1.set(t, func(c *vip.Config) {
		c.Addresses = []vip.Address{{IP: netip.MustParseAddr("10.78.0.60"), Interface: "eth0"}}
	})
	bind(t, writers)
	claim := func(s *vip.Set, ip netip.Addr) {
		t.Helper()
		if got := bindWith(t, s, vip.Claim{Until: in(time.Minute), Of: []netip.Addr{ip}}); len(got) != 1 || got[0].IP != ip {
			t.Fatalf("the report is %+v", got)
		}
	}
	claim(one, vip4)
	claim(other, vip6)
	l.cl.awaitReach(t, vip4, l.db1)
	l.cl.awaitReach(t, vip6, l.db2)
	claim(one, vip4) // again, as at every renewal
	if err := one.DropSome(t.Context(), vip4, vip6); err != nil {
		t.Fatal(err)
	}
	claim(other, vip4)
	l.cl.awaitReach(t, vip4, l.db2)
	l.db1.awaitReach(t, vip4, l.db2) // its own clients, too
	// The other set of the cluster has its own.
	if bound := observe(t, writers).Bound(); len(bound) != 1 {
		t.Errorf("the address for writers: %v", bound)
	}
	drop(t, writers)
	l.db1.wantNothing(t)
	if bound := observe(t, other).Bound(); len(bound) != 2 {
		t.Errorf("the addresses for readers: %v", bound)
	}
	// They are there, whatever becomes of the interface below.
	l.db2.ip(t, "link set eth0 down")
	for _, a := range observe(t, other).Addresses {
		if !a.Present || a.Bound {
			t.Errorf("with its interface down: %+v", a)
		}
	}
}

func TestASecondOwnerUnderTheSameVirtualMACIsReported(t *testing.T) {
	t.Parallel()
	l := newOldLab(t)
	s := l.db1.set(t, withMACs)
	runSet(t, s)
	bind(t, s)
	said := l.db1.leaving(t, macOf(vip4))
	await(t, func() bool { return said() > 0 }, func() string { return "nothing is announced" })
	select {
	case e := <-s.Events():
		t.Fatalf("the host hears itself: %+v", e)
	default:
	}
	bind(t, l.db2.set(t, withMACs), l.db1)
	if e := awaitEvent(t, s, vip.DuplicateSeen); e.MAC.String() != macOf(e.Address.IP).String() {
		t.Errorf("the second owner is %s, of %s", e.MAC, e.Address)
	}
}

func TestAnInterfaceThatCannotHaveAnotherMACIsNamed(t *testing.T) {
	t.Parallel()
	l := newOldLab(t)
	l.db1.ip(t, "link add br9 type bridge", "link add v8 type veth peer name v9", "link set v8 master br9 up", "link set v9 up", "link set br9 up",
		"addr add 10.79.0.1/24 dev br9", "addr add 10.80.0.1/24 dev v8", "link add link v9 name m9 type macvlan", "link set m9 up", "addr add 10.81.0.1/24 dev m9")
	check := func(ip, on string) error {
		a := vip.Address{IP: netip.MustParseAddr(ip), Interface: on}
		a.MAC = macOf(a.IP)
		return vip.CheckHost(vip.Config{Cluster: "shop", Namespace: int(l.db1.fd), Addresses: []vip.Address{a}})
	}
	for on, want := range map[string]string{
		"10.80.0.50 v8": "addresses[0].mac: v8 is part of br9, a bridge, which takes all that arrives on it: write interface: br9",
		"10.99.0.50 lo": "addresses[0].mac: there are no link-layer addresses on lo: remove mac",
	} {
		ip, name, _ := strings.Cut(on, " ")
		if err := check(ip, name); err == nil || err.Error() != want {
			t.Errorf("%s: %v", on, err)
		}
	}
	for _, on := range []string{"10.79.0.50 br9", "10.81.0.50 m9", "10.78.0.50 eth0"} {
		ip, name, _ := strings.Cut(on, " ")
		if err := check(ip, name); err != nil {
			t.Errorf("%s: %v", on, err)
		}
		// It can be done on each of those.
		s := l.db1.set(t, func(c *vip.Config) {
			a := vip.Address{IP: netip.MustParseAddr(ip), Interface: name}
			a.MAC = macOf(a.IP)
			c.Addresses = []vip.Address{a}
		})
		bind(t, s)
		drop(t, s)
	}
}

func TestADerivedMACIsOneHostsAndDiffers(t *testing.T) {
	seen := map[vip.MAC]string{}
	for c := range 20 {
		for i := range 50 {
			ip := netip.AddrFrom4([4]byte{10, 0, byte(c), byte(i)})
			name := fmt.Sprintf("shop%d", c%3)
			m := vip.DeriveMAC(name, ip)
			if m[0]&3 != 2 {
				t.Fatalf("%s is not locally administered", m)
			}
			if before := seen[m]; before != "" {
				t.Fatalf("%s and %s have the same", before, ip)
			}
			seen[m] = ip.String()
		}
	}
	if a, b := vip.DeriveMAC("a", vip4), vip.DeriveMAC("b", vip4); a == b {
		t.Error("two clusters have the same")
	}
	if got := vip.DeriveMAC("shop", vip4).String(); got != "a6:1e:bb:f2:ef:fe" { // nodes of different versions must agree
		t.Errorf("the derived one has changed: %s", got)
	}
}
