package vip_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint/vip"
)

// The rig of these tests: a switch, two database hosts, a client on the same
// network and one behind a router, each in a network namespace of its own.
//
//	db1 .11 ─┐
//	db2 .12 ─┤ br0 ─── rt .1 ─── cl2 10.78.1.100
//	cl .100 ─┘
//
// patience is how long a condition is waited for. A neighbour that is not told
// of a move finds out by itself after 24 s at the earliest.
const (
	patience = 15 * time.Second
	port     = 3306
)

var (
	vip4 = netip.MustParseAddr("10.78.0.50")
	vip6 = netip.MustParseAddr("fd78::50")
)

type lab struct {
	db1, db2, cl, rt, cl2, sw *host
}

type host struct {
	name string // of the role
	ns   string // of the namespace
	fd   netns.NsHandle
	mac  string
}

var labs atomic.Int64

// newLab builds the rig, or skips the test where that is not possible. before is done to
// every host before it has an interface.
func newLab(t testing.TB, before ...func(*host)) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: these tests make network namespaces and need root")
	}
	for _, tool := range []string{"ip", "nft", "ss"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: these tests need %s (packages iproute2 and nftables)", tool)
		}
	}
	n := labs.Add(1)
	l := &lab{}
	for _, h := range []struct {
		at   **host
		name string
		mac  string
	}{{&l.sw, "sw", ""}, {&l.db1, "db1", "02:00:0a:4e:00:0b"}, {&l.db2, "db2", "02:00:0a:4e:00:0c"}, {&l.cl, "cl", "02:00:0a:4e:00:64"}, {&l.rt, "rt", "02:00:0a:4e:00:01"}, {&l.cl2, "cl2", "02:00:0a:4e:01:64"}} {
		*h.at = newHost(t, fmt.Sprintf("bvi-%d-%d-%s", os.Getpid(), n, h.name), h.name, h.mac)
		for _, f := range before {
			f(*h.at)
		}
	}
	l.sw.ip(t, "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0", "link set br0 up")
	for h, last := range map[*host]int{l.db1: 11, l.db2: 12, l.cl: 100, l.rt: 1} {
		l.sw.ip(t, fmt.Sprintf("link add v-%s type veth peer name eth0 netns %s", h.name, h.ns), fmt.Sprintf("link set v-%s master br0 up", h.name))
		h.ip(t, "link set eth0 address "+h.mac+" up", fmt.Sprintf("addr add 10.78.0.%d/24 dev eth0", last), fmt.Sprintf("addr add fd78::%x/64 dev eth0 nodad", last))
	}
	l.rt.ip(t, "link add eth1 type veth peer name eth0 netns "+l.cl2.ns, "link set eth1 up", "addr add 10.78.1.1/24 dev eth1", "addr add fd79::1/64 dev eth1 nodad")
	l.cl2.ip(t, "link set eth0 address "+l.cl2.mac+" up", "addr add 10.78.1.100/24 dev eth0", "addr add fd79::100/64 dev eth0 nodad",
		"route add default via 10.78.1.1", "-6 route add default via fd79::1")
	for _, h := range []*host{l.db1, l.db2} {
		h.ip(t, "route add 10.78.1.0/24 via 10.78.0.1", "-6 route add fd79::/64 via fd78::1")
	}
	l.rt.sh(t, "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
	return l
}

func newHost(t testing.TB, ns, name, mac string) *host {
	t.Helper()
	run(t, "ip", "netns", "add", ns)
	t.Cleanup(func() { run(t, "ip", "netns", "del", ns) })
	fd, err := netns.GetFromName(ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fd.Close() })
	h := &host{name: name, ns: ns, fd: fd, mac: mac}
	h.ip(t, "link set lo up")
	return h
}

func run(t testing.TB, command string, args ...string) string {
	t.Helper()
	out, err := exec.Command(command, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", command, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// ip runs commands of iproute2 on the host.
func (h *host) ip(t testing.TB, commands ...string) string {
	t.Helper()
	var out strings.Builder
	for _, c := range commands {
		out.WriteString(run(t, "ip", append([]string{"-n", h.ns}, strings.Fields(c)...)...))
	}
	return out.String()
}

// sh runs a shell command on the host.
func (h *host) sh(t testing.TB, command string) string {
	t.Helper()
	return run(t, "ip", "netns", "exec", h.ns, "sh", "-c", command)
}

// in runs f on a thread that is on the host.
func (h *host) in(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := netns.Set(h.fd); err != nil {
			panic(err)
		}
		f()
	}()
	<-done
}

// serve answers every connection to the host's port with the host's name.
func (h *host) serve(t testing.TB) {
	t.Helper()
	var l net.Listener
	var err error
	h.in(func() { l, err = net.Listen("tcp", fmt.Sprintf(":%d", port)) })
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				_, _ = fmt.Fprintln(c, h.name)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
}

// dial connects from this thread, which must be on a host, and returns the name
// of the host that answers. connected says whether the handshake succeeded.
func dial(ip netip.Addr, limit time.Duration) (name string, connected bool, err error) {
	c, err := net.DialTimeout("tcp", netip.AddrPortFrom(ip, port).String(), limit)
	if err != nil {
		return "", false, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	name, err = bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(name), true, err
}

// reaches returns which host answers at ip, or the error.
func (h *host) reaches(ip netip.Addr) (who string) {
	h.in(func() {
		name, _, err := dial(ip, 250*time.Millisecond)
		who = name
		if err != nil {
			who = err.Error()
		}
	})
	return who
}

// awaitReach waits until connections from the host to ip end at want.
func (h *host) awaitReach(t testing.TB, ip netip.Addr, want *host) {
	t.Helper()
	last := ""
	await(t, func() bool { last = h.reaches(ip); return last == want.name },
		func() string {
			return fmt.Sprintf("%s reaches %q at %s, want %s; neighbours:\n%s", h.name, last, ip, want.name, h.ip(t, "neigh"))
		})
}

// neighbour returns the link-layer address that the host has for ip.
func (h *host) neighbour(t testing.TB, ip netip.Addr) string {
	t.Helper()
	fields := strings.Fields(h.ip(t, "neigh show to "+ip.String()))
	for i, f := range fields {
		if f == "lladdr" {
			return fields[i+1]
		}
	}
	return ""
}

// await waits for a condition; it looks again every few milliseconds.
func await(t testing.TB, ok func() bool, otherwise func() string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatal(otherwise())
		}
	}
}

// config is the same on both database hosts.
func (h *host) config(ips ...netip.Addr) vip.Config {
	if len(ips) == 0 {
		ips = []netip.Addr{vip4, vip6}
	}
	c := vip.Config{Cluster: "shop", Namespace: int(h.fd), AskWait: patience}
	for _, ip := range ips {
		c.Addresses = append(c.Addresses, vip.Address{IP: ip, Interface: "eth0"})
	}
	return c
}

// set opens the addresses on the host.
func (h *host) set(t testing.TB, change ...func(*vip.Config)) *vip.Set {
	t.Helper()
	cfg := h.config()
	for _, f := range change {
		f(&cfg)
	}
	s, err := vip.New(cfg, slog.New(slog.NewTextHandler(logTo{t}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// logTo sends log lines to the test's log.
type logTo struct{ t testing.TB }

func (l logTo) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// runSet runs a set until the test ends.
func runSet(t testing.TB, s *vip.Set) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func in(d time.Duration) cluster.Instant { return clock.Now().Add(d) }

// bind takes the addresses for a minute, which is longer than any test.
func bind(t testing.TB, s *vip.Set, members ...*host) vip.BindReport {
	t.Helper()
	r, err := s.Bind(context.Background(), vip.Claim{Until: in(time.Minute), Members: membersOf(members...)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func membersOf(hosts ...*host) vip.Members {
	m := vip.Members{}
	for _, h := range hosts {
		m[h.mac] = cluster.NodeName(h.name)
	}
	return m
}

func drop(t testing.TB, s *vip.Set) {
	t.Helper()
	if err := s.Drop(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func observe(t testing.TB, s *vip.Set) vip.Observation {
	t.Helper()
	o, err := s.Observe(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// awaitEvent returns the next event of that kind.
func awaitEvent(t testing.TB, s *vip.Set, kind vip.EventKind) vip.Event {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		select {
		case e := <-s.Events():
			if e.Kind == kind {
				return e
			}
		case <-limit.C:
			t.Fatalf("no event %q", kind)
		}
	}
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}
