package tickle

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
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/endpoint/vip"
	"github.com/baton-db/baton/internal/fence"
	"github.com/baton-db/baton/internal/lab/network"
)

// The tests' network: two database hosts and a client on a switch, and a client
// behind a router.
//
//	db1 db2 near ── switch ── rt ── far
type lab struct {
	t testing.TB
	network.Network
}

const (
	port     = 3306
	patience = 20 * time.Second
)

func addresses() []netip.Addr {
	return []netip.Addr{netip.MustParseAddr("10.77.0.50"), netip.MustParseAddr("fd77::50")}
}

func services() []netip.AddrPort {
	var all []netip.AddrPort
	for _, a := range addresses() {
		all = append(all, netip.AddrPortFrom(a, port))
	}
	return all
}

func newLab(t testing.TB, name string) *lab {
	t.Helper()
	for _, program := range []string{"ip", "nft", "sysctl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("NOT TESTED: needs %s", program)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: needs root, for network namespaces")
	}
	l := &lab{t: t, Network: network.Network{Prefix: fmt.Sprintf("bt-tickle-%d-%s-", os.Getpid(), name)}}
	t.Cleanup(func() {
		if err := l.Remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	ctx := t.Context()
	must(t, l.Build(ctx))
	for _, h := range []network.Host{
		{Name: "rt", Number: 1, Router: true}, {Name: "db1", Number: 11}, {Name: "db2", Number: 12},
		{Name: "near", Number: 21}, {Name: "far", Number: 21, Network: 1},
	} {
		must(t, l.AddHost(ctx, h))
	}
	for _, a := range addresses() {
		must(t, l.Bind(ctx, "db1", a))
	}
	return l
}

// strict gives a host a firewall that lets pass what begins with a SYN to the port,
// and what fits into it.
func (l *lab) strict(host string) {
	l.t.Helper()
	var rules strings.Builder
	rules.WriteString("table inet strict {\n")
	for _, hook := range []string{"forward", "input"} {
		fmt.Fprintf(&rules, "chain %[1]s { type filter hook %[1]s priority 0; policy drop; iif lo accept; meta l4proto { icmp, ipv6-icmp } accept; ct state invalid drop; ct state established,related accept; tcp dport %[2]d tcp flags syn / syn,ack ct state new accept; }\n", hook, port)
	}
	rules.WriteString("}\n")
	cmd := exec.Command("ip", "netns", "exec", l.Namespace(host), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		l.t.Fatalf("nft: %v: %s", err, out)
	}
}

// serve answers each line with the same line, on a host's port, in this process.
func (l *lab) serve(host string) {
	l.t.Helper()
	var listener net.Listener
	must(l.t, l.Do(host, func() (err error) {
		lc := net.ListenConfig{KeepAlive: -1}
		listener, err = lc.Listen(l.t.Context(), "tcp", fmt.Sprintf(":%d", port))
		return err
	}))
	l.t.Cleanup(func() { listener.Close() })
	go answerAll(listener)
}

func answerAll(listener net.Listener) {
	for {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		// Nothing of it stays in the kernel once this process is gone.
		_ = c.(*net.TCPConn).SetLinger(0)
		go func() {
			defer c.Close()
			// Not the connection itself: each would be given a pipe to splice with.
			_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
		}()
	}
}

// dial connects from a host, from a port of its own if that is not 0, and says one
// line.
func (l *lab) dial(host string, to netip.AddrPort, from uint16) *net.TCPConn {
	l.t.Helper()
	var conn net.Conn
	must(l.t, l.Do(host, func() (err error) {
		conn, err = dial(l.t.Context(), to, from)
		return err
	}))
	l.t.Cleanup(func() { conn.Close() })
	if err := echo(conn); err != nil {
		l.t.Fatalf("talk from %s to %s: %v", host, to, err)
	}
	return conn.(*net.TCPConn)
}

func dial(ctx context.Context, to netip.AddrPort, from uint16) (net.Conn, error) {
	// Without keepalive: a probe would find out what the test wants to see told.
	d := net.Dialer{Timeout: patience, KeepAlive: -1}
	if from != 0 {
		d.LocalAddr = &net.TCPAddr{Port: int(from)}
	}
	return d.DialContext(ctx, "tcp", to.String())
}

func echo(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "hello\n"); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 6))
	return err
}

// connected lists the connections that a host's kernel has at the addresses.
func (l *lab) connected(host string) (all []Connection) {
	l.t.Helper()
	must(l.t, l.Do(host, func() error {
		c, err := fence.OpenConnections(services())
		if err != nil {
			return err
		}
		defer c.Close()
		return c.Each(l.t.Context(), fence.Established, func(s fence.Socket) { all = append(all, Connection(s)) })
	}))
	return all
}

// takeOver has db2 bind and announce the addresses, as an agent does.
func (l *lab) takeOver() {
	l.t.Helper()
	ns, err := netns.GetFromName(l.Namespace("db2"))
	must(l.t, err)
	l.t.Cleanup(func() { ns.Close() })
	cfg := vip.Config{Cluster: "tickle", Namespace: int(ns)}
	for _, a := range addresses() {
		cfg.Addresses = append(cfg.Addresses, vip.Address{IP: a, Interface: "eth0"})
	}
	set, err := vip.New(cfg, slog.New(slog.DiscardHandler))
	must(l.t, err)
	l.t.Cleanup(func() { set.Close() })
	report, err := set.Bind(l.t.Context(), vip.Claim{Until: clock.Now().Add(time.Hour)})
	if err != nil {
		l.t.Fatalf("bind the addresses: %v: %+v", err, report)
	}
}

func (l *lab) send(all []Connection, o Options) (sent Sent, err error) {
	doing := l.Do("db2", func() error {
		sent, err = Send(l.t.Context(), all, o)
		return nil
	})
	return sent, errors.Join(err, doing)
}

// wantReset fails unless the connection ends by a reset, without a byte.
func wantReset(t testing.TB, c net.Conn) {
	t.Helper()
	must(t, c.SetDeadline(time.Now().Add(patience)))
	n, err := c.Read(make([]byte, 1))
	if n != 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%s: read %d bytes and %v, want a reset", c.LocalAddr(), n, err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The test binary is also the server of the benchmark: with ten thousand clients
// both do not fit into one process.
const helperVar = "BATON_TICKLE_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperVar) == "" {
		os.Exit(m.Run())
	}
	listener, err := net.Listen("tcp", ":"+strconv.Itoa(port))
	if err != nil {
		fmt.Fprintln(os.Stderr, "helper:", err)
		os.Exit(1)
	}
	fmt.Println("listening")
	go answerAll(listener)
	_, _ = io.Copy(io.Discard, os.Stdin) // the test is gone
}

// serveApart is serve in a process of its own.
func (l *lab) serveApart(host string) {
	l.t.Helper()
	cmd := exec.Command("ip", "netns", "exec", l.Namespace(host), os.Args[0])
	cmd.Env = append(os.Environ(), helperVar+"=serve")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(l.t, err)
	out, err := cmd.StdoutPipe()
	must(l.t, err)
	must(l.t, cmd.Start())
	l.t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		l.t.Fatalf("the helper said %q: %v", line, err)
	}
}
