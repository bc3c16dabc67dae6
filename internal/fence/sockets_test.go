package fence

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/clock"
)

func destroyClients(l *lab, scope Scope) (n int) {
	l.host.t.Helper()
	l.host.do(func() (err error) { n, err = DestroyClientSockets(l.host.t.Context(), scope); return err })
	return n
}

func clients(l *lab, scope Scope) (socks []Socket) {
	l.host.t.Helper()
	l.host.do(func() (err error) { socks, err = listClients(l.host.t.Context(), scope); return err })
	return socks
}

// listClients lists the client connections on the database ports: those that
// DestroyClientSockets would destroy.
func listClients(ctx context.Context, scope Scope) ([]Socket, error) {
	c, err := dialNetlink(unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("list clients on ports %v: %w", scope.Ports, err)
	}
	defer c.close()
	found, err := findSockets(ctx, c, scope.Ports, diagLocal, scope.isClient)
	if err != nil {
		return nil, fmt.Errorf("list clients on ports %v: %w", scope.Ports, err)
	}
	clients := make([]Socket, len(found))
	for i, s := range found {
		clients[i] = s.Socket
	}
	return clients, nil
}

func TestEveryClientHasItsResetAndEveryNodeStays(t *testing.T) {
	l := newLab(t)
	serve(l.host)
	reset := map[string]net.Conn{
		"IPv4 client of the [::] listener":            l.client.dial(virtual4, dbPort),
		"IPv6 client":                                 l.client.dial(virtual6, dbPort),
		"IPv4 client of the 0.0.0.0 listener":         l.client.dial(virtual4, adminPort),
		"client of an own address":                    l.client.dial(own4, dbPort),
		"client on a node's host, by virtual IPv4":    l.peer.dial(virtual4, dbPort),
		"client on a node's host, by virtual IPv6":    l.peer.dial(virtual6, dbPort),
		"client on this host, by loopback":            l.host.dial(loopback4, dbPort),
		"client on this host, by IPv6 loopback":       l.host.dial(loopback6, dbPort),
		"client on this host, by the virtual address": l.host.dial(virtual4, dbPort),
	}
	stay := []net.Conn{l.peer.dial(own4, dbPort), l.peer.dial(own6, dbPort), l.peer.dial(own4, adminPort)}

	listed := map[Socket]bool{}
	for _, s := range clients(l, testScope()) {
		listed[s] = true
	}
	for name, c := range reset {
		if s := serverSide(c); !listed[s] {
			t.Errorf("%s: %v is not listed in %v", name, s, listed)
		}
	}
	if len(listed) != len(reset) {
		t.Errorf("listed %d clients, want %d: %v", len(listed), len(reset), listed)
	}
	if n := destroyClients(l, testScope()); n != len(reset) {
		t.Errorf("destroyed %d sockets, want %d", n, len(reset))
	}
	for name, c := range reset {
		t.Run(name, func(t *testing.T) { wantReset(t, c) })
	}
	for _, c := range stay {
		must(t, echo(c))
	}
	for _, to := range clientTargets {
		l.client.dial(to, dbPort) // the listeners live
	}
	l.client.dial(virtual4, adminPort)
}

// serverSide is the server's socket of a client's connection.
func serverSide(c net.Conn) Socket {
	return Socket{Local: addrPort(c.RemoteAddr()), Remote: addrPort(c.LocalAddr())}
}

func addrPort(a net.Addr) netip.AddrPort {
	ap := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

func TestDestroyingWithNobodyConnectedIsNoError(t *testing.T) {
	l := newLab(t)
	serve(l.host)
	if n := destroyClients(l, testScope()); n != 0 {
		t.Fatalf("destroyed %d sockets of nobody", n)
	}
}

// More than one batch, and several answers of the dump.
func TestManySocketsOfBothFamilies(t *testing.T) {
	l := newLab(t)
	serve(l.host)
	var conns []net.Conn
	for i := range 600 {
		conns = append(conns, l.client.dial(clientTargets[i%len(clientTargets)], dbPort))
	}
	if n := destroyClients(l, testScope()); n != len(conns) {
		t.Fatalf("destroyed %d sockets, want %d", n, len(conns))
	}
	for _, c := range conns {
		wantReset(t, c)
	}
}

func TestScopeThatWouldLetClientsThroughIsRefused(t *testing.T) {
	bad := testScope()
	bad.Ports = nil
	bad.Own = append(bad.Own, netip.MustParseAddr("::ffff:10.0.0.1"))
	bad.Peers["db3"] = []netip.Addr{own4}
	bad.Peers["db4"] = []netip.Addr{peer4}
	err := GateConfig{Cluster: "no such name", Scope: bad}.Validate()
	for _, want := range []string{"cluster name", "database ports", "::ffff:10.0.0.1", "10.77.1.1", "10.77.1.2"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the findings lack %q:\n%v", want, err)
		}
	}
	if err := testConfig().Validate(); err != nil {
		t.Errorf("a good configuration: %v", err)
	}
}

// BenchmarkOpenUntil is the cost of one renewal.
func BenchmarkOpenUntil(b *testing.B) {
	for name, plain := range map[string]bool{"owned": false, "plain": true} {
		b.Run(name, func(b *testing.B) {
			s := newSpace(b)
			cfg := testConfig()
			cfg.plain = plain
			g := openGate(s, cfg)
			var worst time.Duration
			for b.Loop() {
				begun := clock.Now()
				if err := g.OpenUntil(b.Context(), begun.Add(time.Minute)); err != nil {
					b.Fatal(err)
				}
				worst = max(worst, clock.Now().Sub(begun))
			}
			b.ReportMetric(float64(worst.Microseconds()), "µs/worst")
		})
	}
}

// BenchmarkRenewalVariants compares what a renewal could consist of.
func BenchmarkRenewalVariants(b *testing.B) {
	s := newSpace(b)
	g := openGate(s, testConfig())
	g.mu.Lock() // its connection is used below, and the sentry may want to look
	b.Cleanup(g.mu.Unlock)
	end := time.Now().Add(time.Hour)
	for name, build := range map[string]func(*batch){
		"element only": func(bt *batch) { bt.flushSet(setOpen); bt.addElements(setOpen, openElement(time.Hour)) },
		"rule only": func(bt *batch) {
			bt.flushRules(chainUntil)
			for _, r := range untilRules(Leased, end) {
				bt.addRule(r)
			}
		},
		"both": func(bt *batch) {
			bt.flushSet(setOpen)
			bt.flushRules(chainUntil)
			g.addOpen(bt, Leased, time.Hour, end)
		},
		"add, delete, add": func(bt *batch) {
			bt.addElements(setOpen, openElement(time.Hour))
			bt.elements(unix.NFT_MSG_DELSETELEM, 0, setOpen, openElement(0))
			bt.flushRules(chainUntil)
			g.addOpen(bt, Leased, time.Hour, end)
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				bt := newBatch(g.table)
				build(bt)
				if err := bt.commit(b.Context(), g.nft); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDestroy1000Sockets is the time until the last of a thousand clients
// has its reset.
func BenchmarkDestroy1000Sockets(b *testing.B) {
	for name, to := range map[string]netip.Addr{"IPv4": virtual4, "IPv6": virtual6} {
		b.Run(name, func(b *testing.B) {
			l := newLab(b)
			serve(l.host)
			var destroying, learning time.Duration
			for b.Loop() {
				b.StopTimer()
				conns := make([]net.Conn, 1000)
				for i := range conns {
					conns[i] = l.client.dial(to, dbPort)
				}
				b.StartTimer()
				begun := clock.Now()
				if n := destroyClients(l, testScope()); n != len(conns) {
					b.Fatalf("destroyed %d of %d", n, len(conns))
				}
				destroying += clock.Now().Sub(begun)
				for _, c := range conns {
					if _, err := c.Read(make([]byte, 1)); err == nil || err == io.EOF {
						b.Fatal(fmt.Errorf("want a reset, not %v", err))
					}
				}
				learning += clock.Now().Sub(begun)
				b.StopTimer()
				for _, c := range conns {
					c.Close()
				}
				b.StartTimer()
			}
			for unit, took := range map[string]time.Duration{"ms/destroy": destroying, "ms/last-reset": learning} {
				b.ReportMetric(float64(took.Microseconds())/float64(b.N)/1000, unit)
			}
		})
	}
}
