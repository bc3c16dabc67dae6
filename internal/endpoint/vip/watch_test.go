package vip_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint/vip"
)

// frame is what these tests need of a frame on the wire, decoded by offsets
// that were written down from the RFCs and not shared with the package.
type frame struct {
	raw      []byte
	op       uint16 // ARP
	spa, tpa netip.Addr
	icmp     byte // ICMPv6
	target   netip.Addr
	src      netip.Addr
}

const (
	arpRequestOp = 1
	arpReplyOp   = 2
)

func decode(raw []byte) frame {
	f := frame{raw: raw}
	if len(raw) < 14 {
		return f
	}
	switch {
	case bytes.Equal(raw[12:14], []byte{0x08, 0x06}) && len(raw) >= 42:
		f.op = binary.BigEndian.Uint16(raw[20:22])
		f.spa, f.tpa = netip.AddrFrom4([4]byte(raw[28:32])), netip.AddrFrom4([4]byte(raw[38:42]))
	case bytes.Equal(raw[12:14], []byte{0x86, 0xdd}) && len(raw) >= 78 && raw[20] == 58:
		f.icmp = raw[54]
		f.src, f.target = netip.AddrFrom16([16]byte(raw[22:38])), netip.AddrFrom16([16]byte(raw[62:78]))
	}
	return f
}

// hearing is everything that arrives at a host.
type hearing struct{ frames chan frame }

// hear listens on the host's eth0, with a socket of its own making.
func (h *host) hear(t testing.TB) *hearing {
	t.Helper()
	var fd int
	var err error
	h.in(func() { fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0x0300) }) // ETH_P_ALL
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20000}); err != nil {
		t.Fatal(err)
	}
	r := &hearing{frames: make(chan frame, 4096)}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			select {
			case <-stop:
				return
			default:
			}
			n, from, err := unix.Recvfrom(fd, buf, 0)
			if l, ok := from.(*unix.SockaddrLinklayer); err != nil || ok && l.Pkttype == unix.PACKET_OUTGOING {
				continue
			}
			select {
			case r.frames <- decode(bytes.Clone(buf[:n])):
			default:
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-done
		unix.Close(fd)
	})
	return r
}

// await returns the first frame for which ok holds.
func (r *hearing) await(t testing.TB, what string, ok func(frame) bool) frame {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		select {
		case f := <-r.frames:
			if ok(f) {
				return f
			}
		case <-limit.C:
			t.Fatalf("%s was not heard", what)
		}
	}
}

// until reads to the last frame, which the test itself brought about, and
// reports every frame before it that should never have been sent.
func (r *hearing) until(t testing.TB, from *host, last func(frame) bool, never func(frame) bool) {
	t.Helper()
	r.await(t, "the frame that ends the listening on "+from.name, func(f frame) bool {
		if never(f) {
			t.Errorf("heard from %s: % x", from.name, f.raw)
		}
		return last(f)
	})
}

func TestAMutedHostAnswersForItsOwnAddressesOnly(t *testing.T) {
	l := newLab(t)
	l.db1.serve(t)
	s, other := l.db1.set(t), l.db2.set(t)
	bind(t, s)
	runSet(t, s)
	for _, ip := range []netip.Addr{vip4, vip6} {
		l.cl.awaitReach(t, ip, l.db1)
	}
	if err := s.Mute(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Mute(t.Context()); err != nil {
		t.Fatalf("muting twice: %v", err)
	}
	if o := observe(t, s); !o.Muted || len(o.Bound()) != 2 {
		t.Errorf("observed after mute: %+v", o)
	}
	heard := l.cl.hear(t)
	found, err := other.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for ip, f := range found {
		if f.Owner != nil {
			t.Errorf("a probe for %s is answered", ip)
		}
	}
	for _, own := range []string{"10.78.0.11", "fd78::b"} {
		if mac, err := other.Ask(t.Context(), "eth0", netip.MustParseAddr(own)); err != nil || mac.String() != l.db1.mac {
			t.Errorf("ask for its own %s: %v, %v", own, mac, err)
		}
	}
	// Asking somebody for the first time from the virtual address would teach
	// him where it is. It must not be heard; the same from its own address is.
	l.db1.sh(t, "ip neigh flush dev eth0")
	l.db1.sh(t, "ping -q -c 1 -W 1 -I 10.78.0.50 10.78.0.100 >/dev/null; ping -q -c 1 -W 1 -I fd78::50 fd78::64 >/dev/null; true")
	if err := s.Reannounce(); err != nil {
		t.Fatal(err)
	}
	l.db1.sh(t, "ip neigh flush dev eth0; ping -q -c 1 -W 5 10.78.0.100 >/dev/null")
	heard.until(t, l.db1, func(f frame) bool { return f.op == arpRequestOp && f.spa.String() == "10.78.0.11" },
		func(f frame) bool {
			return f.spa == vip4 || f.icmp == 136 && f.target == vip6 || f.icmp == 135 && f.src == vip6
		})

	if err := s.Unmute(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, ip := range []netip.Addr{vip4, vip6} {
		if mac, err := other.Ask(t.Context(), "eth0", ip); err != nil || mac.String() != l.db1.mac {
			t.Errorf("ask for %s after unmute: %v, %v", ip, mac, err)
		}
	}
	if observe(t, s).Muted {
		t.Error("observed as muted after unmute")
	}
}

func TestMuteIsObservedAsGoneWhenSomebodyFlushesTheFirewall(t *testing.T) {
	l := newLab(t)
	s := l.db1.set(t)
	for _, command := range []string{"nft flush ruleset", "nft flush table arp baton_shop_mute", "nft delete table ip6 baton_shop_mute"} {
		if err := s.Mute(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !observe(t, s).Muted {
			t.Fatal("not muted")
		}
		l.db1.sh(t, command)
		if observe(t, s).Muted {
			t.Errorf("muted after %s", command)
		}
	}
}

func TestASecondOwnerIsReportedAndAnsweredWithAnAnnouncement(t *testing.T) {
	l := newLab(t)
	s := l.db1.set(t)
	runSet(t, s)
	bind(t, s)
	usurper := l.db2.set(t)
	for _, ip := range []netip.Addr{vip4, vip6} {
		t.Run(ip.String(), func(t *testing.T) {
			one := l.db2.set(t, func(c *vip.Config) { c.Addresses = l.db2.config(ip).Addresses })
			bind(t, one, l.db1)
			e := awaitEvent(t, s, vip.DuplicateSeen)
			if e.Address.IP != ip || e.MAC.String() != l.db2.mac || e.At == 0 {
				t.Errorf("event: %+v", e)
			}
			drop(t, usurper)
			// The caller found by epoch that it is ours.
			heard := l.cl.hear(t)
			if err := s.Reannounce(); err != nil {
				t.Fatal(err)
			}
			heard.await(t, "our announcement of "+ip.String(), func(f frame) bool { return f.spa == ip || f.icmp == 136 && f.target == ip })
		})
	}
}

func TestAnOwnerThatKeepsQuietIsFoundByAsking(t *testing.T) {
	l := newLab(t)
	s := l.db1.set(t, func(c *vip.Config) { c.Refresh = 20 * time.Millisecond })
	runSet(t, s)
	bind(t, s)
	for _, by := range []string{vip4.String() + "/32", vip6.String() + "/128 nodad"} {
		l.db2.ip(t, "addr add "+by+" dev eth0") // by hand: it tells nobody
	}
	found := map[netip.Addr]bool{}
	for len(found) < 2 {
		e := awaitEvent(t, s, vip.DuplicateSeen)
		if e.MAC.String() != l.db2.mac {
			t.Errorf("event: %+v", e)
		}
		found[e.Address.IP] = true
	}
}

func TestDuplicatesAreReportedNoOftenerThanTheQuietTime(t *testing.T) {
	l := newLab(t)
	s := l.db1.set(t, func(c *vip.Config) { c.Quiet = time.Hour; c.Addresses = c.Addresses[:1] })
	runSet(t, s)
	bind(t, s)
	usurper := l.db2.set(t, func(c *vip.Config) { c.Addresses = c.Addresses[:1] })
	bind(t, usurper, l.db1)
	awaitEvent(t, s, vip.DuplicateSeen)
	heard := l.db1.hear(t)
	for range 20 {
		if err := usurper.Reannounce(); err != nil {
			t.Fatal(err)
		}
	}
	for range 40 { // all of them have arrived, and more
		heard.await(t, "the usurper", func(f frame) bool { return f.spa == vip4 })
	}
	drop(t, usurper)
	// An event of another kind shows that Run has gone on.
	l.sw.ip(t, "link set v-db1 down")
	for {
		select {
		case e := <-s.Events():
			if e.Kind == vip.CarrierLost {
				return
			}
			t.Errorf("reported again: %+v", e)
		case <-time.After(patience):
			t.Fatal("no event for the lost carrier")
		}
	}
}

func TestWhenTheCarrierIsBackTheAddressesAreAnnouncedAgain(t *testing.T) {
	l := newLab(t)
	s := l.db1.set(t, func(c *vip.Config) { c.Refresh = time.Hour })
	runSet(t, s)
	bind(t, s)
	l.sw.ip(t, "link set v-db1 down")
	if e := awaitEvent(t, s, vip.CarrierLost); e.Address.Interface != "eth0" {
		t.Errorf("event: %+v", e)
	}
	heard := l.sw.hear(t)
	l.sw.ip(t, "link set v-db1 up")
	awaitEvent(t, s, vip.CarrierBack)
	// The announcement was sent before the event, so it is heard before the
	// answer to this; one of the burst is hardly ever due just then.
	l.cl.sh(t, "ip neigh flush dev eth0; ping -q -c 1 -W 5 10.78.0.11 >/dev/null")
	announced := false
	heard.await(t, "the host itself", func(f frame) bool {
		announced = announced || f.spa == vip4 && f.tpa == vip4
		return f.op == arpReplyOp && f.spa.String() == "10.78.0.11"
	})
	if !announced {
		t.Error("not announced")
	}
}

// TestWhenTheCarrierIsBackTheNeighboursAreKnown: with the carrier the kernel
// forgets them all, and asks for each only once a second.
func TestWhenTheCarrierIsBackTheNeighboursAreKnown(t *testing.T) {
	l := newLab(t)
	l.db1.sh(t, "ping -q -c 1 -W 5 10.78.0.12 >/dev/null; ping -q -c 1 -W 5 fd78::c >/dev/null")
	peers := []string{"10.78.0.12", "fd78::c"}
	knows := func(peer string) bool {
		return strings.Contains(l.db1.ip(t, "neigh show "+peer+" dev eth0"), l.db2.mac)
	}
	s := l.db1.set(t)
	for _, p := range peers {
		if !knows(p) {
			t.Fatalf("%s answered, and is not known", p)
		}
	}
	heard := l.cl.hear(t)
	runSet(t, s)
	bind(t, s)
	heard.await(t, "that Run announces", func(f frame) bool { return f.spa == vip4 })
	l.sw.ip(t, "link set v-db1 down")
	awaitEvent(t, s, vip.CarrierLost)
	for _, p := range peers {
		if knows(p) {
			t.Fatalf("the kernel has not forgotten %s: the test shows nothing", p)
		}
	}
	l.sw.ip(t, "link set v-db1 up")
	awaitEvent(t, s, vip.CarrierBack)
	for _, p := range peers {
		if !knows(p) {
			t.Errorf("%s, of whom nobody has heard since, is not known", p)
		}
	}
}

func TestAddressesThatWentWithTheInterfaceAreReportedAndBoundAgain(t *testing.T) {
	l := newLab(t)
	l.db1.serve(t)
	s := l.db1.set(t)
	runSet(t, s)
	bind(t, s)
	l.db1.ip(t, "link set eth0 down") // the kernel flushes IPv6 addresses
	if e := awaitEvent(t, s, vip.AddressLost); e.Address.IP != vip6 {
		t.Errorf("event: %+v", e)
	}
	if bound := observe(t, s).Bound(); len(bound) != 0 {
		t.Errorf("observed as bound with the interface down: %v", bound)
	}
	if _, err := s.Bind(t.Context(), vip.Claim{Until: in(time.Minute)}); err == nil {
		t.Error("bound on an interface that is down")
	}
	l.db1.ip(t, "link set eth0 up", "addr add fd78::b/64 dev eth0 nodad")
	await(t, func() bool {
		_, err := s.Bind(t.Context(), vip.Claim{Until: in(time.Minute)})
		return err == nil
	}, func() string { return "it cannot be bound again: " + l.db1.ip(t, "addr") })
	for _, ip := range []netip.Addr{vip4, vip6} {
		l.cl.awaitReach(t, ip, l.db1)
	}
}

func TestNothingIsAnnouncedAfterDropOrPastTheEnd(t *testing.T) {
	l := newLab(t)
	s := l.db1.set(t)
	runSet(t, s)
	end := func(f frame) bool { return f.op == arpReplyOp && f.spa.String() == "10.78.0.11" }
	ours := func(f frame) bool { return f.spa == vip4 || f.icmp == 136 && f.target == vip6 }
	ping := func() { l.cl.sh(t, "ip neigh flush dev eth0; ping -q -c 1 -W 5 10.78.0.11 >/dev/null") }
	// silence listens until that instant, which is after an announcement that
	// would have been due.
	silence := func(until cluster.Instant) {
		ping()
		heard := l.cl.hear(t) // what was sent before has arrived before the ping
		await(t, func() bool { return clock.Now() > until }, func() string { return "time stands still" })
		ping()
		heard.until(t, l.db1, end, ours)
	}

	bound := clock.Now()
	bind(t, s)
	drop(t, s)
	silence(bound.Add(700 * time.Millisecond))

	heard := l.cl.hear(t)
	bound = clock.Now()
	if _, err := s.Bind(t.Context(), vip.Claim{Until: bound.Add(300 * time.Millisecond)}); err != nil {
		t.Fatal(err)
	}
	heard.await(t, "an announcement", ours)
	await(t, func() bool { return clock.Now() > bound.Add(300*time.Millisecond) }, func() string { return "time stands still" })
	silence(bound.Add(800 * time.Millisecond))
}
