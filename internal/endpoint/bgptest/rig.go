// Package bgptest answers how a router that people really run takes what a host
// announces to it: it puts a host and its router into network namespaces and starts FRR
// and BIRD there, as children of the test.
//
// It is imported by tests only. The rule: a daemon that is not installed skips a test
// loudly, and where BATON_REQUIRE names it, fails it.
package bgptest

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/endpoint/endpointtest"
)

// Patience is longer than anything takes that is waited for: a session that was
// refused is tried again after a second or two.
const Patience = 30 * time.Second

// The addresses of the rig: the host's, and those of its router, which has several so
// that it can be several neighbours.
const (
	HostAddress    = "10.79.1.2"
	HostAddress6   = "fd79:1::2"
	RouterAddress  = "10.79.1.1"
	RouterAddress6 = "fd79:1::1"
	BeyondAddress  = "10.79.2.2" // of a host behind the router
)

// Host is a network namespace: a named one, or this process's own.
type Host struct {
	NS netns.NsHandle

	name   string
	handle *netlink.Handle
}

// Rig is a host with a router.
type Rig struct{ DB, Router *Host }

var rigs atomic.Int64

// New builds a rig, or skips the test where that is not possible. Besides its own, the
// router has the addresses 10.79.1.N for every N of others.
func New(t testing.TB, others ...int) *Rig {
	t.Helper()
	needRoot(t)
	return join(t, newHost(t, prefix()+"db"), others)
}

// Alone builds a host without a router, and with no link at all.
func Alone(t testing.TB) *Host {
	t.Helper()
	needRoot(t)
	return newHost(t, prefix()+"al")
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: these tests make network namespaces and need root")
	}
	need(t, "ip")
}

func prefix() string { return fmt.Sprintf("bbg-%d-%d-", os.Getpid(), rigs.Add(1)) }

// join gives a host its router.
func join(t testing.TB, db *Host, others []int) *Rig {
	t.Helper()
	r := &Rig{DB: db, Router: newHost(t, prefix()+"rt")}
	r.Router.IP(t, "link add eth0 type veth peer name eth0 netns "+db.place(), "link set eth0 up",
		"addr add "+RouterAddress+"/24 dev eth0", "addr add "+RouterAddress6+"/64 dev eth0 nodad")
	for _, n := range others {
		r.Router.IP(t, fmt.Sprintf("addr add 10.79.1.%d/24 dev eth0", n))
	}
	r.DB.IP(t, "link set eth0 up", "addr add "+HostAddress+"/24 dev eth0", "addr add "+HostAddress6+"/64 dev eth0 nodad")
	return r
}

// place is how iproute2 finds the host's namespace.
func (h *Host) place() string {
	if h.name == "" {
		return strconv.Itoa(os.Getpid())
	}
	return h.name
}

func newHost(t testing.TB, name string) *Host {
	t.Helper()
	run(t, "ip", "netns", "add", name)
	t.Cleanup(func() { run(t, "ip", "netns", "del", name) })
	fd, err := netns.GetFromName(name)
	if err != nil {
		t.Fatal(err)
	}
	handle, err := netlink.NewHandleAt(fd, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { handle.Close(); fd.Close() })
	h := &Host{NS: fd, name: name, handle: handle}
	h.IP(t, "link set lo up")
	return h
}

// Beyond adds a host behind the router, which passes on what goes there and comes from
// there. Besides its own, it has the addresses 10.79.2.N for every N of others.
func (r *Rig) Beyond(t testing.TB, others ...int) *Host {
	t.Helper()
	h := newHost(t, prefix()+"fr")
	r.Router.Output(t, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	r.Router.IP(t, "link add eth1 type veth peer name eth0 netns "+h.name, "link set eth1 up", "addr add 10.79.2.1/24 dev eth1")
	h.IP(t, "link set eth0 up", "addr add "+BeyondAddress+"/24 dev eth0", "route add 10.79.1.0/24 via 10.79.2.1")
	for _, n := range others {
		h.IP(t, fmt.Sprintf("addr add 10.79.2.%d/24 dev eth0", n))
	}
	r.DB.IP(t, "route add 10.79.2.0/24 via "+RouterAddress)
	return h
}

// IP runs commands of iproute2 on the host.
func (h *Host) IP(t testing.TB, commands ...string) {
	t.Helper()
	for _, c := range commands {
		args := strings.Fields(c)
		if h.name != "" {
			args = append([]string{"-n", h.name}, args...)
		}
		run(t, "ip", args...)
	}
}

// Batch runs commands of iproute2 on the host in one process.
func (h *Host) Batch(t testing.TB, commands ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "batch")
	if err := os.WriteFile(file, []byte(strings.Join(commands, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.IP(t, "-batch "+file)
}

// Link joins two hosts by a cable, whose ends have these names.
func (h *Host) Link(t testing.TB, name string, other *Host, there string) {
	t.Helper()
	h.IP(t, fmt.Sprintf("link add %s type veth peer name %s netns %s", name, there, other.place()))
}

// Output runs a command there and returns what it prints.
func (h *Host) Output(t testing.TB, args ...string) string {
	t.Helper()
	line := h.Command(args...)
	out, err := exec.Command(line[0], line[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Command is a command line that runs there.
func (h *Host) Command(args ...string) []string {
	if h.name == "" {
		return args
	}
	return append([]string{"ip", "netns", "exec", h.name}, args...)
}

// Has reports whether the host has an address.
func (h *Host) Has(a netip.Addr) (bool, error) {
	all, err := h.handle.AddrList(nil, netlink.FAMILY_ALL)
	return slices.ContainsFunc(all, func(l netlink.Addr) bool { return l.IP.Equal(a.AsSlice()) }), err
}

// Serves gives the host the addresses on lo, as package vip does, or takes them.
func (h *Host) Serves(t testing.TB, addresses []netip.Addr, there bool) {
	t.Helper()
	for _, a := range addresses {
		if here, err := h.Has(a); err != nil {
			t.Fatal(err)
		} else if here == there {
			continue
		}
		verb := "del"
		if there {
			verb = "add"
		}
		h.IP(t, fmt.Sprintf("addr %s %s/%d dev lo", verb, a, a.BitLen()))
	}
}

// Routes reports whether the host's kernel has a route to exactly that address.
func (h *Host) Routes(t testing.TB, a netip.Addr) bool {
	t.Helper()
	family := netlink.FAMILY_V6
	if a.Is4() {
		family = netlink.FAMILY_V4
	}
	all, err := h.handle.RouteList(nil, family)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(all, func(r netlink.Route) bool {
		if r.Dst == nil || !r.Dst.IP.Equal(a.AsSlice()) {
			return false
		}
		ones, bits := r.Dst.Mask.Size()
		return ones == bits
	})
}

// AwaitRoute waits until the host's kernel has a route to that address, or has none.
func (h *Host) AwaitRoute(t testing.TB, a netip.Addr, there bool) {
	t.Helper()
	Await(t, time.Millisecond, func() error {
		if h.Routes(t, a) == there {
			return nil
		}
		return fmt.Errorf("a route to %s is there: %t, want %t", a, !there, there)
	})
}

// Await waits until f is content, and looks again after each pause.
func Await(t testing.TB, pause time.Duration, f func() error) {
	t.Helper()
	again, limit := time.NewTicker(pause), time.NewTimer(Patience)
	defer again.Stop()
	defer limit.Stop()
	for err := f(); err != nil; err = f() {
		select {
		case <-again.C:
		case <-limit.C:
			t.Fatal(err)
		}
	}
}

// need returns the path of a program, or skips the test.
func need(t testing.TB, program string) string {
	t.Helper()
	if strings.Contains(program, "/") {
		return program
	}
	return endpointtest.Program(t, program, "/usr/lib/frr")
}

func run(t testing.TB, command string, args ...string) {
	t.Helper()
	if out, err := exec.Command(command, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", command, strings.Join(args, " "), err, out)
	}
}

// Deafen keeps everything from the host's link from being heard, or lets it in again.
// The link itself stays up, as behind a switch.
func (h *Host) Deafen(t testing.TB, deaf bool) {
	t.Helper()
	rules := "delete table inet deaf"
	if deaf {
		rules = "add table inet deaf; add chain inet deaf in { type filter hook input priority 0; }; add rule inet deaf in iifname eth0 drop"
	}
	line := h.Command(need(t, "nft"), rules)
	run(t, line[0], line[1:]...)
}

// Report puts the median and the longest of what was measured in place of a benchmark's
// own time.
func Report(b *testing.B, what string, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, what+"-median-ms")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, what+"-max-ms")
	b.ReportMetric(0, "ns/op")
}

// Burn keeps a processor busy until the benchmark ends, at normal priority.
func Burn(b *testing.B) {
	b.Helper()
	cmd := exec.Command("chrt", "-o", "0", "sh", "-c", "while :; do :; done")
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
}
