package hostnet_test

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netns"

	"github.com/baton-db/baton/internal/core/reach"
	"github.com/baton-db/baton/internal/vitals/hostnet"
)

// inOwnNetwork runs the rest of a test in a network namespace of its own with an
// interface that has two networks.
func inOwnNetwork(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED, NOTHING WAS TESTED: a network namespace needs root")
	}
	// Never unlocked: the thread, which is in the namespace, ends with the test.
	runtime.LockOSThread()
	ns, err := netns.New()
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() { ns.Close() })
	for _, args := range [][]string{
		{"link", "set", "lo", "up"}, {"link", "add", "e0", "type", "veth", "peer", "name", "e1"}, {"link", "set", "e0", "up"}, {"link", "set", "e1", "up"},
		{"addr", "add", "10.9.0.1/24", "dev", "e0"}, {"addr", "add", "fd09::1/64", "dev", "e0", "nodad"},
		{"route", "add", "10.8.0.0/24", "via", "10.9.0.254"},
	} {
		ip(t, args...)
	}
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v: %s", args, err, out)
	}
}

func set(t *testing.T, name, value string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

func TestAHostIsReadAsItIsNow(t *testing.T) {
	inOwnNetwork(t)
	at := netip.MustParseAddr
	set(t, "ipv4/conf/e0/arp_announce", "1")
	set(t, "ipv4/conf/all/arp_announce", "2") // the greater one counts
	set(t, "ipv4/conf/e0/arp_ignore", "1")
	set(t, "ipv4/conf/all/arp_ignore", "0")
	set(t, "ipv4/conf/e0/rp_filter", "2")
	set(t, "ipv4/neigh/e0/base_reachable_time_ms", "4000")
	set(t, "ipv4/tcp_keepalive_time", "33")
	set(t, "ipv6/conf/e0/drop_unsolicited_na", "1")
	set(t, "ipv6/neigh/e0/base_reachable_time_ms", "5000")
	ip(t, "addr", "add", "10.9.0.50/32", "dev", "e0")
	ip(t, "neigh", "add", "10.9.0.51", "lladdr", "02:00:00:00:00:51", "dev", "e0", "nud", "permanent")
	ip(t, "addr", "add", "10.7.0.7/32", "dev", "lo")

	bound := func(a, on string) hostnet.Binding { return hostnet.Binding{Address: at(a), Interface: on} }
	h := hostnet.Look(at("10.9.0.1"), []hostnet.Binding{
		bound("10.9.0.50", "e0"), bound("10.9.0.51", "e0"), bound("10.9.0.52", ""), bound("10.8.0.1", ""), bound("fd09::50", ""), bound("10.7.0.7", "lo"), bound("192.0.2.1", ""),
	})
	if len(h.Missing) > 0 {
		t.Errorf("not read: %v", h.Missing)
	}
	want := []reach.Path{
		{Address: at("10.9.0.50"), Interface: "e0", Here: true},
		{Address: at("10.9.0.51"), Interface: "e0", Entry: "permanent", MAC: "02:00:00:00:00:51"},
		{Address: at("10.9.0.52"), Interface: "e0"},
		{Address: at("10.8.0.1"), Interface: "e0", Gateway: at("10.9.0.254")},
		{Address: at("fd09::50"), Interface: "e0"},
		{Address: at("10.7.0.7"), Interface: "e0", Here: true, Loopback: true},
		{Address: at("192.0.2.1"), Why: "this host has no route to it"},
	}
	if diff := cmp.Diff(want, h.Paths, cmpopts.IgnoreFields(reach.Path{}, "Settings"), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	var neighbours []bool
	for _, p := range h.Paths {
		neighbours = append(neighbours, p.Neighbour())
	}
	if diff := cmp.Diff([]bool{false, true, true, false, true, false, false}, neighbours); diff != "" {
		t.Errorf("who is a neighbour: %s", diff)
	}
	v4, v6 := h.Paths[0].Settings, h.Paths[4].Settings
	for name, want := range map[string]int64{"arp_announce": 2, "arp_ignore": 1, "rp_filter": 2, "base_reachable_time_ms": 4000, "ucast_solicit": 3} {
		if got, ok := v4[name]; !ok || got != want {
			t.Errorf("%s is %d (%v), want %d", name, got, ok, want)
		}
	}
	if v6["drop_unsolicited_na"] != 1 || v6["base_reachable_time_ms"] != 5000 {
		t.Errorf("of IPv6: %v", v6)
	}
	if h.TCP["tcp_keepalive_time"] != 33 || h.TCP["tcp_retries2"] == 0 {
		t.Errorf("of TCP: %v", h.TCP)
	}
	if _, err := os.Stat("/proc/sys/net/netfilter/nf_conntrack_max"); (err == nil) != (h.Conntrack != nil) {
		t.Errorf("connection tracking: %v, and there is %v", h.Conntrack, err)
	}
	// Asked again, it is read again.
	set(t, "ipv4/conf/all/arp_announce", "0")
	if again := hostnet.Look(at("10.9.0.1"), []hostnet.Binding{bound("10.9.0.50", "e0")}); again.Paths[0].Settings["arp_announce"] != 1 {
		t.Errorf("after a change: %v", again.Paths[0].Settings)
	}
}

func TestAnInterfaceThatIsNotThere(t *testing.T) {
	inOwnNetwork(t)
	h := hostnet.Look(netip.MustParseAddr("10.9.0.1"), []hostnet.Binding{{Address: netip.MustParseAddr("192.0.2.9"), Interface: "gone0"}})
	if p := h.Paths[0]; p.Why == "" || len(p.Settings) > 0 {
		t.Errorf("got %+v", p)
	}
	// Nor is the one of its own address.
	h = hostnet.Look(netip.MustParseAddr("10.9.0.99"), []hostnet.Binding{{Address: netip.MustParseAddr("10.9.0.77"), Interface: "lo"}})
	if len(h.Missing) != 1 || len(h.Paths[0].Settings) > 0 {
		t.Errorf("got %+v", h)
	}
}
