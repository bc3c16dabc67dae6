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

func TestAHostThatIsLeftBehindSaysNothingUnderTheVirtualMAC(t *testing.T) {
	t.Parallel()
	l, fixed := newFixedLab(t, func(_ *lab, ip netip.Addr) string { return macOf(ip).String() })
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
	l, fixed := newFixedLab(t, func(_ *lab, ip netip.Addr) string { return macOf(ip).String() })
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
