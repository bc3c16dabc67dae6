package endpointtest

import (
	"net"
	"net/netip"
	"testing"
)

// Serve is a server on loopback that does something with every connection, and closes it
// then. It ends with the test.
func Serve(t testing.TB, do func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				do(c)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}
