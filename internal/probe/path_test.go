package probe_test

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"github.com/baton-db/baton/internal/core/detect"
	"github.com/baton-db/baton/internal/probe"
)

// inOwnNetwork runs the rest of a test in a network namespace of its own, which
// ends with it.
func inOwnNetwork(t *testing.T, commands ...[]string) {
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
	for _, c := range append([][]string{{"ip", "link", "set", "lo", "up"}}, commands...) {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", c, err, out)
		}
	}
}

func TestPaths(t *testing.T) {
	inOwnNetwork(t,
		[]string{"ip", "route", "add", "unreachable", "10.77.9.0/24"},
		[]string{"ip", "-6", "route", "add", "unreachable", "fd77:9::/64"},
		[]string{"nft", "add table inet t; add chain inet t i { type filter hook input priority 0; }; " +
			"add rule inet t i ip daddr 127.0.0.9 drop; add rule inet t i ip daddr 127.0.0.8 tcp dport 1 reject with icmp type host-unreachable"})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := uint16(listener.Addr().(*net.TCPAddr).Port)
	const short = 50 * time.Millisecond
	for name, tt := range map[string]struct {
		target     probe.Target
		host, port probe.Class
	}{
		"a host and a port that answer":            {probe.Target{Address: loopback, Port: port}, probe.Answered, probe.Answered},
		"a host of the newer protocol, no port":    {probe.Target{Address: netip.IPv6Loopback(), Port: 1}, probe.Answered, probe.Refused},
		"an address in the mapped form":            {probe.Target{Address: netip.MustParseAddr("::ffff:127.0.0.1"), Port: port}, probe.Answered, probe.Answered},
		"a path that swallows everything":          {probe.Target{Address: netip.MustParseAddr("127.0.0.9"), Port: port, HostTimeout: short, PortTimeout: short}, probe.NoAnswer, probe.NoAnswer},
		"no way there":                             {probe.Target{Address: netip.MustParseAddr("10.77.9.1"), Port: 1}, probe.Unreachable, probe.Unreachable},
		"no way there in the newer protocol":       {probe.Target{Address: netip.MustParseAddr("fd77:9::1"), Port: 1}, probe.Unreachable, probe.Unreachable},
		"a firewall that says the host is no more": {probe.Target{Address: netip.MustParseAddr("127.0.0.8"), Port: 1}, probe.Answered, probe.Unreachable},
	} {
		p := prober(t, tt.target)
		for range 2 {
			want(t, name, p.Ask(t.Context(), detect.Host), tt.host)
			want(t, name, p.Ask(t.Context(), detect.Port), tt.port)
		}
	}
}

// The server must not see the port being probed: it would count each probe as a
// failed connection.
func TestThePortIsProbedWithoutAConnection(t *testing.T) {
	inOwnNetwork(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	at := listener.Addr().(*net.TCPAddr)
	p := prober(t, probe.Target{Address: loopback, Port: uint16(at.Port)})
	for range 20 {
		want(t, "listening", p.Ask(t.Context(), detect.Port), probe.Answered)
	}
	client, err := net.DialTCP("tcp", nil, at)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	// Connections are accepted in the order in which they came.
	first, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if first.RemoteAddr().String() != client.LocalAddr().String() {
		t.Errorf("a probe became a connection: %s was accepted before %s", first.RemoteAddr(), client.LocalAddr())
	}
}
