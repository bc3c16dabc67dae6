package vip_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/endpoint/vip"
)

func macOf(ip netip.Addr) vip.MAC { return vip.DeriveMAC("shop", ip) }

// withMACs gives every address a link-layer address of its own.
func withMACs(c *vip.Config) {
	for i := range c.Addresses {
		c.Addresses[i].MAC = macOf(c.Addresses[i].IP)
	}
}

// newOldLab is newLab with hosts that have been up for long: their link-local addresses
// are not on probation, in whose name they ask for others.
func newOldLab(t testing.TB) *lab {
	t.Helper()
	return newLab(t, func(h *host) { h.sh(t, "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad") })
}

// static gives the host entries that no announcement and no answer changes.
func (h *host) static(t testing.TB, mac func(netip.Addr) string) {
	t.Helper()
	for _, ip := range []netip.Addr{vip4, vip6} {
		h.ip(t, fmt.Sprintf("neigh replace %s lladdr %s dev eth0 nud permanent", ip, mac(ip)))
	}
}

// deaf makes the host ignore announcements: it believes answers to its own questions only.
func (h *host) deaf(t testing.TB) {
	t.Helper()
	h.sh(t, `nft 'add table arp deaf; add chain arp deaf in { type filter hook input priority 0; };
		add rule arp deaf in arp operation request arp saddr ip `+vip4.String()+` drop; add rule arp deaf in arp operation reply arp daddr ip `+vip4.String()+` drop;
		add table ip6 deaf; add chain ip6 deaf in { type filter hook input priority 0; };
		add rule ip6 deaf in ip6 daddr ff02::1 icmpv6 type nd-neighbor-advert drop'`)
}

func TestClientsWithAnyNeighbourEntryAreLedToTheNewHostByTheVirtualMAC(t *testing.T) {
	t.Parallel()
	l := newOldLab(t)
	both := []netip.Addr{vip4, vip6}
	fixed, mute := l.client(t, "fix", 101), l.client(t, "deaf", 102)
	for _, h := range []*host{l.db1, l.db2} {
		h.serve(t)
		h.sh(t, "echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter; echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
	}
	for _, h := range []*host{l.cl, l.rt, fixed, mute} {
		h.sh(t, "echo 0 > /proc/sys/net/ipv4/conf/all/arp_accept; echo 0 > /proc/sys/net/ipv4/conf/eth0/arp_accept")
	}
	mute.deaf(t)
	fixed.static(t, func(ip netip.Addr) string { return macOf(ip).String() })
	sets := []*vip.Set{l.db1.set(t, withMACs), l.db2.set(t, withMACs)}
	all := []*host{l.cl, l.cl2, fixed, mute}
	warm := func(of ...*host) {
		t.Helper()
		for _, h := range of {
			for _, ip := range both {
				if got, want := h.neighbour(t, ip), macOf(ip).String(); got != want {
					t.Errorf("%s has %s at %q, want %s; on db1:\n%s", h.name, ip, got, want, l.db1.ip(t, "-d addr"))
				}
			}
		}
	}
	// There, back, and there again: nobody's entry ever changes.
	for move, at := range []int{0, 1, 0, 1} {
		if move > 0 {
			drop(t, sets[1-at])
		}
		bind(t, sets[at])
		for _, h := range all {
			for _, ip := range both {
				h.awaitReach(t, ip, []*host{l.db1, l.db2}[at])
			}
		}
		warm(l.cl, l.rt, fixed, mute)
	}
	// What the host itself asks its neighbours teaches them nothing else: it does so
	// because it answers a client that it has forgotten.
	l.db2.ip(t, "neigh flush dev eth0")
	for _, h := range all {
		for _, ip := range both {
			h.awaitReach(t, ip, l.db2)
		}
	}
	warm(l.cl, l.rt, fixed, mute)
	for _, own := range []string{"10.78.0.12", "fd78::c"} {
		l.cl.ip(t, "neigh flush to "+own)
		l.cl.awaitReach(t, netip.MustParseAddr(own), l.db2)
		if mac := l.cl.neighbour(t, netip.MustParseAddr(own)); mac != l.db2.mac {
			t.Errorf("the host's own address %s is at %s", own, mac)
		}
	}
	drop(t, sets[1])
	for _, h := range []*host{l.db1, l.db2} {
		h.wantNothing(t)
	}
}

// wantNothing: no interface, address or table of Baton's is left on a host.
func (h *host) wantNothing(t testing.TB) {
	t.Helper()
	if links := h.ip(t, "-d link"); strings.Contains(links, "macvlan") {
		t.Errorf("%s still has an interface:\n%s", h.name, links)
	}
	if tables := h.sh(t, "nft list tables"); strings.Contains(tables, "baton") {
		t.Errorf("%s still has tables:\n%s", h.name, tables)
	}
}

// client is one more host on the network.
func (l *lab) client(t testing.TB, name string, last int) *host {
	t.Helper()
	h := newHost(t, l.cl.ns+name, name, fmt.Sprintf("02:00:0a:4e:00:%02x", last))
	l.sw.ip(t, fmt.Sprintf("link add v-%s type veth peer name eth0 netns %s", name, h.ns), fmt.Sprintf("link set v-%s master br0 up", name))
	h.ip(t, "link set eth0 address "+h.mac+" up", fmt.Sprintf("addr add 10.78.0.%d/24 dev eth0", last), fmt.Sprintf("addr add fd78::%x/64 dev eth0 nodad", last))
	return h
}

func TestWithoutAVirtualMACWhoTakesNoAnnouncementStaysWithTheOldHost(t *testing.T) {
	t.Parallel()
	l := newOldLab(t)
	l.db1.serve(t)
	l.db2.serve(t)
	fixed := l.client(t, "fix", 101)
	fixed.static(t, func(netip.Addr) string { return l.db1.mac })
	old, next := l.db1.set(t), l.db2.set(t)
	bind(t, old)
	for _, ip := range []netip.Addr{vip4, vip6} {
		fixed.awaitReach(t, ip, l.db1)
		l.cl.awaitReach(t, ip, l.db1)
	}
	drop(t, old)
	bind(t, next)
	for _, ip := range []netip.Addr{vip4, vip6} {
		l.cl.awaitReach(t, ip, l.db2) // by the announcement, without arp_accept
		if who := fixed.reaches(ip); who == "db2" || who == "db1" {
			t.Errorf("the host with a static entry reaches %q at %s", who, ip)
		}
	}
}

func TestAHostThatIsLeftBehindSaysNothingUnderTheVirtualMAC(t *testing.T) {
	t.Parallel()
	l := newOldLab(t)
	l.db1.serve(t)
	l.db2.serve(t)
	fixed := l.client(t, "fix", 101)
	fixed.static(t, func(ip netip.Addr) string { return macOf(ip).String() })
	both := []netip.Addr{vip4, vip6}
	frozen := l.db1.set(t, withMACs)
	bind(t, frozen)
	for _, ip := range both {
		fixed.awaitReach(t, ip, l.db1)
	}
	for short := 100 * time.Millisecond; ; short *= 2 { // on a machine that is busy it may be too short
		if _, err := frozen.Bind(t.Context(), vip.Claim{Until: in(short)}); err == nil {
			break
		} else if !errors.Is(err, vip.ErrExpired) || short > patience {
			t.Fatal(err)
		}
	}
	// No method of the old host's set is called from here on; it has no Run.
	said := l.db1.leaving(t, macOf(vip4), macOf(vip6))
	await(t, func() bool { return !l.db1.has(t, "10.78.0.50/32") && !l.db1.has(t, "fd78::50/128") },
		func() string { return l.db1.ip(t, "addr") })
	if links := l.db1.ip(t, "-d link"); strings.Count(links, "macvlan mode bridge") != 2 {
		t.Fatalf("the interfaces are gone, so this shows nothing:\n%s", links)
	}
	if groups := l.db1.ip(t, "-6 maddr show dev eth0"); !strings.Contains(groups, "ff02::1:ff00:50") {
		t.Errorf("a switch that looks at group memberships keeps questions for the address away:\n%s", groups)
	}
	ended := said()
	bind(t, l.db2.set(t, withMACs))
	for _, ip := range both {
		fixed.awaitReach(t, ip, l.db2)
	}
	// Whatever makes a host speak: questions for the address, for its own, for groups,
	// pings to everybody.
	reports := l.db1.counter(t, "ether saddr "+l.db1.mac+" icmpv6 type mld2-listener-report")
	l.cl.askForGroups(t)
	await(t, func() bool { return reports() > 0 }, func() string { return "nobody answers who asks for groups" })
	l.cl.ip(t, "neigh flush dev eth0")
	for _, at := range []string{"10.78.0.50", "fd78::50", "10.78.0.11", "fd78::b"} {
		l.cl.sh(t, "ping -c 1 -W 0.2 "+at+" || true")
	}
	l.cl.sh(t, "ping -c 1 -W 0.2 ff02::1%eth0 || true; ping -b -c 1 -W 0.2 10.78.0.255 || true")
	for _, ip := range both {
		fixed.awaitReach(t, ip, l.db2)
	}
	if n := said(); n != ended {
		t.Errorf("the old host sent %d frames under the virtual MACs after the addresses had ended:\n%s", n-ended, l.db1.sh(t, "nft list ruleset"))
	}
	l.cl.awaitReach(t, netip.MustParseAddr("10.78.0.11"), l.db1)
	// Its agent wakes up.
	drop(t, frozen)
	l.db1.wantNothing(t)
	for _, ip := range both {
		fixed.awaitReach(t, ip, l.db2)
	}
}

// leaving counts the frames that leave the host under those link-layer addresses.
func (h *host) leaving(t testing.TB, macs ...vip.MAC) func() int {
	var all []string
	for _, m := range macs {
		all = append(all, m.String())
	}
	return h.counter(t, "ether saddr { "+strings.Join(all, ", ")+" }")
}

var counters atomic.Int64

// counter counts the frames that leave the host and match: in the kernel, where every
// frame passes, whoever made it.
func (h *host) counter(t testing.TB, match string) func() int {
	t.Helper()
	table := fmt.Sprintf("count%d", counters.Add(1))
	h.sh(t, fmt.Sprintf(`nft 'add table netdev %s; add chain netdev %s out { type filter hook egress device "eth0" priority 0; }; add rule netdev %s out %s counter'`, table, table, table, match))
	return func() (n int) {
		_, after, _ := strings.Cut(h.sh(t, "nft list table netdev "+table), "counter packets ")
		if _, err := fmt.Sscan(after, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
}

// askForGroups sends what a router sends to learn who is in which group (RFC 3810 5.1),
// to be answered at once.
func (h *host) askForGroups(t testing.TB) {
	t.Helper()
	src, dst := netip.MustParseAddr("fe80::aff:fe4e:64"), netip.MustParseAddr("ff02::1")
	icmp := make([]byte, 28) // type 130, no delay, every group
	icmp[0], icmp[24] = 130, 2
	binary.BigEndian.PutUint16(icmp[4:], 1)
	pseudo := append(append(slices.Clone(src.AsSlice()), dst.AsSlice()...), 0, 0, 0, 28, 0, 0, 0, 58)
	sum := uint32(0)
	for b := append(pseudo, icmp...); len(b) > 0; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	binary.BigEndian.PutUint16(icmp[2:], ^uint16(sum&0xffff+sum>>16))
	f := []byte{0x33, 0x33, 0, 0, 0, 1, 0x02, 0, 0x0a, 0x4e, 0, 0x64, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 36, 0, 1}
	f = append(append(append(f, src.AsSlice()...), dst.AsSlice()...), 58, 0, 5, 2, 0, 0, 1, 0) // router alert
	h.in(func() {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer unix.Close(fd)
		eth, err := net.InterfaceByName("eth0")
		if err == nil {
			err = unix.Sendto(fd, append(f, icmp...), 0, &unix.SockaddrLinklayer{Ifindex: eth.Index, Halen: 6})
		}
		if err != nil {
			t.Error(err)
		}
	})
}

func TestInAHandoverTheMutedHostDoesNotTakeTheSwitchBack(t *testing.T) {
	t.Parallel()
	l := newOldLab(t)
	l.db1.serve(t)
	l.db2.serve(t)
	fixed := l.client(t, "fix", 101)
	fixed.static(t, func(ip netip.Addr) string { return macOf(ip).String() })
	old, next := l.db1.set(t, withMACs), l.db2.set(t, withMACs)
	runSet(t, old)
	bind(t, old)
	both := []netip.Addr{vip4, vip6}
	for _, ip := range both {
		fixed.awaitReach(t, ip, l.db1)
		l.cl.awaitReach(t, ip, l.db1)
	}
	said := l.db1.leaving(t, macOf(vip4), macOf(vip6))
	if _, err := next.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := old.Mute(t.Context()); err != nil {
		t.Fatal(err)
	}
	muted := said()
	bind(t, next, l.db1)
	l.cl.ip(t, "neigh flush dev eth0")
	for _, ip := range both {
		fixed.awaitReach(t, ip, l.db2)
		l.cl.awaitReach(t, ip, l.db2)
	}
	if o := observe(t, old); len(o.Bound()) != 2 || !o.Muted {
		t.Errorf("the old host, muted, observes %+v", o)
	}
	drop(t, old)
	if err := old.Unmute(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := said(); n != muted {
		t.Errorf("the muted host sent %d frames under the virtual MACs", n-muted)
	}
	l.db1.wantNothing(t)
	for _, ip := range both {
		fixed.awaitReach(t, ip, l.db2)
	}
}

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
