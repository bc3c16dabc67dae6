package vip_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

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

// newFixedLab is a network on which both databases answer, and one more client, whose
// static entries have what mac returns.
func newFixedLab(t *testing.T, mac func(*lab, netip.Addr) string) (l *lab, fixed *host) {
	t.Helper()
	l = newOldLab(t)
	l.db1.serve(t)
	l.db2.serve(t)
	fixed = l.client(t, "fix", 101)
	fixed.static(t, func(ip netip.Addr) string { return mac(l, ip) })
	return l, fixed
}

func TestWithoutAVirtualMACWhoTakesNoAnnouncementStaysWithTheOldHost(t *testing.T) {
	t.Parallel()
	l, fixed := newFixedLab(t, func(l *lab, _ netip.Addr) string { return l.db1.mac })
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
