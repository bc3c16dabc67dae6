package fence

import (
	"net"
	"net/netip"
	"testing"
)

func connections(l *lab, stage Stage, at ...netip.AddrPort) map[Socket]bool {
	l.host.t.Helper()
	seen := map[Socket]bool{}
	l.host.do(func() error {
		c, err := OpenConnections(at)
		if err != nil {
			return err
		}
		defer c.Close()
		return c.Each(l.host.t.Context(), stage, func(s Socket) { seen[s] = true })
	})
	return seen
}

func TestConnectionsOfTheAddressesAreListedAndNoOthers(t *testing.T) {
	l := newLab(t)
	serve(l.host)
	at := func(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }
	four := l.client.dial(virtual4, dbPort) // v4-mapped in the kernel
	plain := l.client.dial(virtual4, adminPort)
	six := l.client.dial(virtual6, dbPort)
	node := l.peer.dial(own4, dbPort)
	local := l.host.dial(virtual4, dbPort)
	for name, tt := range map[string]struct {
		at   []netip.AddrPort
		want []net.Conn
	}{
		"one IPv4 address":            {[]netip.AddrPort{at(virtual4, dbPort)}, []net.Conn{four, local}},
		"a 0.0.0.0 listener":          {[]netip.AddrPort{at(virtual4, adminPort)}, []net.Conn{plain}},
		"one IPv6 address":            {[]netip.AddrPort{at(virtual6, dbPort)}, []net.Conn{six}},
		"all addresses and all ports": {[]netip.AddrPort{at(virtual4, dbPort), at(virtual6, dbPort), at(virtual4, adminPort), at(virtual6, adminPort)}, []net.Conn{four, plain, six, local}},
		"the node's own address last": {[]netip.AddrPort{at(virtual6, dbPort), at(virtual4, adminPort), at(own4, dbPort)}, []net.Conn{six, plain, node}},
		"an address without any":      {[]netip.AddrPort{at(own6, dbPort)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, stage := range []Stage{Established, Any} {
				seen := connections(l, stage, tt.at...)
				for _, c := range tt.want {
					if s := serverSide(c); !seen[s] {
						t.Errorf("%v is not among %v", s, seen)
					}
				}
				if len(seen) != len(tt.want) {
					t.Errorf("listed %d, want %d: %v", len(seen), len(tt.want), seen)
				}
			}
		})
	}
}

// A client that waits for the server's last words counts; one whose connection the
// server has closed does not.
func TestAConnectionThatOneSideHasClosed(t *testing.T) {
	l := newLab(t)
	srv := serve(l.host)
	at := netip.AddrPortFrom(virtual4, dbPort)
	half := l.client.dial(virtual4, dbPort)
	if _, err := half.Write([]byte("hold\n")); err != nil {
		t.Fatal(err)
	}
	server := <-srv.accepted
	must(t, half.(*net.TCPConn).CloseWrite())
	if _, err := server.Read(make([]byte, 1)); err == nil {
		t.Fatal("the server read something, want the end")
	}
	if seen := connections(l, Established, at); !seen[serverSide(half)] {
		t.Errorf("a client that has shut its writing side is not among %v", seen)
	}
	must(t, server.Close())
	if _, err := half.Read(make([]byte, 1)); err == nil {
		t.Fatal("the client read something, want the end")
	}
	if seen := connections(l, Established, at); len(seen) != 0 {
		t.Errorf("%v after the end, want nothing", seen)
	}
}

func TestConnectionsOfAnAddressAreResetAndNoOthers(t *testing.T) {
	l := newLab(t)
	serve(l.host)
	four, six, node := l.client.dial(virtual4, dbPort), l.client.dial(virtual6, dbPort), l.peer.dial(own4, dbPort)
	var n int
	l.host.do(func() (err error) {
		n, err = ResetAt(t.Context(), []netip.AddrPort{netip.AddrPortFrom(virtual4, dbPort)})
		return err
	})
	if n != 1 {
		t.Errorf("%d were reset", n)
	}
	wantReset(t, four)
	seen := connections(l, Any, netip.AddrPortFrom(virtual6, dbPort), netip.AddrPortFrom(own4, dbPort))
	for _, c := range []net.Conn{six, node} {
		if !seen[serverSide(c)] {
			t.Errorf("%v is gone, too", serverSide(c))
		}
	}
}
