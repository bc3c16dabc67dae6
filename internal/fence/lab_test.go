package fence

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/baton-db/baton/internal/core/cluster"
)

// The tests' network: a database host, another node of the cluster, and a host
// of clients, each in a nameless network namespace that vanishes with the test.
//
//	peer 10.77.1.2 ── 10.77.1.1 host 10.77.2.1 ── 10.77.2.3 client
//	                  virtual 10.77.9.9, fd77:9::9
type lab struct {
	host, peer, client *space
}

const (
	dbPort    = 3306 // its listener is [::], so IPv4 clients are v4-mapped
	adminPort = 3307 // its listener is 0.0.0.0
)

var (
	own4, own6         = netip.MustParseAddr("10.77.1.1"), netip.MustParseAddr("fd77:1::1")
	peer4, peer6       = netip.MustParseAddr("10.77.1.2"), netip.MustParseAddr("fd77:1::2")
	virtual4, virtual6 = netip.MustParseAddr("10.77.9.9"), netip.MustParseAddr("fd77:9::9")
	client4            = netip.MustParseAddr("10.77.2.3")
	loopback4          = netip.MustParseAddr("127.0.0.1")
	loopback6          = netip.MustParseAddr("::1")
)

// patience is how long a test waits for something that must happen.
const patience = 20 * time.Second

func testScope() Scope {
	return Scope{
		Ports: []uint16{dbPort, adminPort},
		Own:   []netip.Addr{own4, own6},
		Peers: map[cluster.NodeName][]netip.Addr{"db2": {peer4, peer6}},
	}
}

func testConfig() GateConfig { return GateConfig{Cluster: "bfe-test", Scope: testScope()} }

// space is a network namespace.
type space struct {
	t  testing.TB
	ns netns.NsHandle
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: needs root, for network namespaces and nftables")
	}
}

func newSpace(t testing.TB) *space {
	t.Helper()
	needRoot(t)
	s := &space{t: t}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends here
		ns, err := netns.New()
		s.ns = ns
		done <- err
	}()
	if err := <-done; err != nil {
		t.Skipf("NOT TESTED: needs the right to make network namespaces: %v", err)
	}
	t.Cleanup(func() { s.ns.Close() })
	s.do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	return s
}

// try runs f on a thread that is in the namespace.
func (s *space) try(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends here
		if err := netns.Set(s.ns); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

// do is try for what must succeed.
func (s *space) do(f func() error) {
	s.t.Helper()
	if err := s.try(f); err != nil {
		s.t.Fatal(err)
	}
}

func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{host: newSpace(t), peer: newSpace(t), client: newSpace(t)}
	l.wire(l.peer, "1", "2")
	l.wire(l.client, "2", "3")
	l.host.do(func() error { return addAddrs("lo", virtual4.String()+"/32", virtual6.String()+"/128") })
	return l
}

// wire connects a space with the host over network 10.77.net.0/24.
func (l *lab) wire(other *space, net, last string) {
	l.host.t.Helper()
	l.host.do(func() error {
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "h" + net}, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(other.ns))}
		if err := netlink.LinkAdd(veth); err != nil {
			return err
		}
		return addAddrs("h"+net, "10.77."+net+".1/24", "fd77:"+net+"::1/64")
	})
	other.do(func() error {
		if err := addAddrs("eth0", "10.77."+net+"."+last+"/24", "fd77:"+net+"::"+last+"/64"); err != nil {
			return err
		}
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		for dst, gw := range map[string]string{"10.77.0.0/16": "10.77." + net + ".1", "fd77::/16": "fd77:" + net + "::1"} {
			to, err := netlink.ParseIPNet(dst)
			if err != nil {
				return err
			}
			if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: to, Gw: parseIP(gw)}); err != nil {
				return fmt.Errorf("route to %s: %w", dst, err)
			}
		}
		return nil
	})
}

func parseIP(s string) net.IP { return net.ParseIP(s) }

func addAddrs(ifname string, addrs ...string) error {
	link, err := netlink.LinkByName(ifname)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	for _, a := range addrs {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			return err
		}
		addr.Flags = syscall.IFA_F_NODAD
		if err := netlink.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("add %s to %s: %w", a, ifname, err)
		}
	}
	return nil
}

// sh runs a command in the namespace and returns what it prints.
func (s *space) sh(args ...string) string {
	s.t.Helper()
	if _, err := exec.LookPath(args[0]); err != nil {
		s.t.Skipf("NOT TESTED: needs %s", args[0])
	}
	var out []byte
	if err := s.try(func() (err error) { out, err = exec.Command(args[0], args[1:]...).CombinedOutput(); return err }); err != nil {
		s.t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// server answers each line with the same line. It stands in for a database.
type server struct {
	accepted chan net.Conn // connections that have said "hold"
}

// serve listens like a database: [::] on dbPort, 0.0.0.0 on adminPort.
func serve(s *space) *server {
	s.t.Helper()
	srv := &server{accepted: make(chan net.Conn, 16)}
	for network, port := range map[string]int{"tcp": dbPort, "tcp4": adminPort} {
		var ln net.Listener
		s.do(func() (err error) {
			lc := net.ListenConfig{KeepAlive: -1}
			ln, err = lc.Listen(context.Background(), network, fmt.Sprintf(":%d", port))
			return err
		})
		s.t.Cleanup(func() { ln.Close() })
		go srv.accept(s.t, ln)
	}
	return srv
}

func (srv *server) accept(t testing.TB, ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		t.Cleanup(func() { c.Close() })
		go srv.answer(c)
	}
}

func (srv *server) answer(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			c.Close()
			return
		}
		if line == "hold\n" {
			srv.accepted <- c // its answer, and its end, are the test's business
			return
		}
		if _, err := io.WriteString(c, line); err != nil {
			c.Close()
			return
		}
	}
}

func (s *space) tryDial(to netip.Addr, port int) (net.Conn, error) {
	var c net.Conn
	err := s.try(func() (err error) {
		// Without keepalive: a probe would find out what the test wants to see told.
		d := net.Dialer{Timeout: patience, KeepAlive: -1}
		c, err = d.Dial("tcp", netip.AddrPortFrom(to, uint16(port)).String())
		return err
	})
	return c, err
}

// dial connects and says one line, so that the server has taken the connection.
func (s *space) dial(to netip.Addr, port int) net.Conn {
	s.t.Helper()
	c, err := s.tryDial(to, port)
	if err != nil {
		s.t.Fatalf("connect to %v port %d: %v", to, port, err)
	}
	s.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	if err := echo(c); err != nil {
		s.t.Fatalf("talk to %v port %d: %v", to, port, err)
	}
	return c
}

func echo(c net.Conn) error {
	if _, err := io.WriteString(c, "hello\n"); err != nil {
		return err
	}
	got := make([]byte, 6)
	_, err := io.ReadFull(c, got)
	return err
}

// wantRefused fails unless a new connection is reset at once: by an answer to
// its first SYN, not to a later one. It may try again: the first SYN to a neighbour waits
// for its hardware address, on a busy machine for longer than a retransmission does.
func (s *space) wantRefused(to netip.Addr, port int) {
	s.t.Helper()
	var n int
	for range 5 {
		before := s.synRetransmissions()
		c, err := s.tryDial(to, port)
		if err == nil {
			c.Close()
			s.t.Fatalf("connect to %v port %d worked, want it refused", to, port)
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			s.t.Fatalf("connect to %v port %d: %v, want it refused", to, port, err)
		}
		if n = s.synRetransmissions() - before; n == 0 {
			return
		}
	}
	s.t.Fatalf("connect to %v port %d was refused after %d SYN retransmissions, want none", to, port, n)
}

// synRetransmissions reads TcpExt TCPSynRetrans of the namespace.
func (s *space) synRetransmissions() (n int) {
	s.t.Helper()
	s.do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/netstat")
		if err != nil {
			return err
		}
		lines := strings.Split(string(b), "\n")
		for i, name := range strings.Fields(lines[0]) {
			if name == "TCPSynRetrans" {
				_, err := fmt.Sscan(strings.Fields(lines[1])[i], &n)
				return err
			}
		}
		return errors.New("no TCPSynRetrans in /proc/net/netstat")
	})
	return n
}

// wantReset fails unless the connection ends by a reset, without a byte.
func wantReset(t testing.TB, c net.Conn) {
	t.Helper()
	c.SetDeadline(time.Now().Add(patience))
	b := make([]byte, 64)
	n, err := c.Read(b)
	if n != 0 {
		t.Fatalf("read %q, want a reset and no byte", b[:n])
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("read: %v, want a reset", err)
	}
}

func openGate(s *space, cfg GateConfig) *Gate {
	s.t.Helper()
	g, err := tryOpenGate(s, cfg)
	if err != nil {
		if errors.Is(err, ErrUnavailable) {
			s.t.Skipf("NOT TESTED: %v", err)
		}
		s.t.Fatal(err)
	}
	s.t.Cleanup(g.Leave)
	return g
}

func tryOpenGate(s *space, cfg GateConfig) (g *Gate, err error) {
	err = s.try(func() (err error) { g, err = Open(context.Background(), cfg, testLog(s.t)); return err })
	return g, err
}

func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
}

func mode(t testing.TB, g *Gate) Mode {
	t.Helper()
	st, err := g.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st.Mode
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
