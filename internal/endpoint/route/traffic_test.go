package route_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint/bgptest"
	"github.com/baton-db/baton/internal/endpoint/route"
)

// network is a client behind a router that reaches two databases, each over two links.
type network struct {
	client, router *bgptest.Host
	db             map[cluster.NodeName]*bgptest.Host
	// arrived counts what came to a database over a link.
	arrived map[cluster.NodeName]*[3]atomic.Int64
}

const trafficPort = 9999

func services() map[string]netip.Addr {
	return map[string]netip.Addr{"IPv4": addr("10.99.0.50"), "IPv6": addr("fd99::50")}
}

func newNetwork(t *testing.T, service netip.Addr) *network {
	n := &network{
		client: bgptest.Alone(t), router: bgptest.Alone(t),
		db:      map[cluster.NodeName]*bgptest.Host{"db1": bgptest.Alone(t), "db2": bgptest.Alone(t)},
		arrived: map[cluster.NodeName]*[3]atomic.Int64{"db1": {}, "db2": {}},
	}
	n.client.Link(t, "eth0", n.router, "c0")
	n.client.Batch(t, "link set eth0 up", "addr add 10.80.0.2/24 dev eth0", "addr add fd80::2/64 dev eth0 nodad",
		"route add default via 10.80.0.1", "route add default via fd80::1")
	n.router.Batch(t, "link set c0 up", "addr add 10.80.0.1/24 dev c0", "addr add fd80::1/64 dev c0 nodad")
	n.router.Output(t, "sh", "-c", "cd /proc/sys/net && for f in ipv4/ip_forward ipv6/conf/all/forwarding ipv4/fib_multipath_hash_policy ipv6/fib_multipath_hash_policy; do echo 1 > $f; done")
	greet(t, n.router, addr("10.80.0.1"), n.client, addr("10.80.0.2"))
	greet(t, n.router, addr("fd80::1"), n.client, addr("fd80::2"))
	for i, node := range []cluster.NodeName{"db1", "db2"} {
		host := n.db[node]
		commands := []string{fmt.Sprintf("addr add %s/%d dev lo nodad", service, service.BitLen())}
		for l := 1; l <= 2; l++ {
			link := fmt.Sprintf("d%d%d", i+1, l)
			n.router.Link(t, link, host, fmt.Sprintf("u%d", l))
			n.router.Batch(t, fmt.Sprintf("link set %s up", link),
				fmt.Sprintf("addr add 10.8%d.%d.1/24 dev %s", i+1, l, link), fmt.Sprintf("addr add fd8%d:%d::1/64 dev %s nodad", i+1, l, link))
			commands = append(commands, fmt.Sprintf("link set u%d up", l),
				fmt.Sprintf("addr add 10.8%d.%d.2/24 dev u%d", i+1, l, l), fmt.Sprintf("addr add fd8%d:%d::2/64 dev u%d nodad", i+1, l, l))
		}
		host.Batch(t, commands...)
		host.Output(t, "sh", "-c", "cd /proc/sys/net/ipv4/conf && for f in */rp_filter; do echo 0 > $f; done")
		for l := 1; l <= 2; l++ {
			n.count(t, node, l, service)
			greet(t, host, addr(fmt.Sprintf("10.8%d.%d.2", i+1, l)), n.router, addr(fmt.Sprintf("10.8%d.%d.1", i+1, l)))
			greet(t, host, addr(fmt.Sprintf("fd8%d:%d::2", i+1, l)), n.router, addr(fmt.Sprintf("fd8%d:%d::1", i+1, l)))
		}
	}
	return n
}

// inside runs f with the calling thread in a host's namespace.
func inside(h *bgptest.Host, f func() error) error {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		return err
	}
	defer home.Close()
	err = errors.Join(netns.Set(h.NS), f())
	if back := netns.Set(home); back != nil {
		return back // still locked: the thread ends with its goroutine
	}
	runtime.UnlockOSThread()
	return err
}

// count listens for what comes over one link.
func (n *network) count(t *testing.T, node cluster.NodeName, link int, service netip.Addr) {
	t.Helper()
	var conn net.PacketConn
	err := inside(n.db[node], func() (err error) {
		on := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			var set error
			err := c.Control(func(fd uintptr) {
				set = errors.Join(unix.BindToDevice(int(fd), fmt.Sprintf("u%d", link)),
					unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20))
			})
			return errors.Join(err, set)
		}}
		conn, err = on.ListenPacket(context.Background(), "udp", netip.AddrPortFrom(service, trafficPort).String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for buf := make([]byte, 16); ; {
			if _, _, err := conn.ReadFrom(buf); err != nil {
				return
			}
			n.arrived[node][link].Add(1)
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-ended
	})
}

// greet has a host learn the link-layer address of a neighbour, which speaks first, so
// that no packet waits for that.
func greet(t *testing.T, neighbour *bgptest.Host, its netip.Addr, host *bgptest.Host, of netip.Addr) {
	t.Helper()
	err := inside(neighbour, func() error {
		conn, err := net.Dial("udp", netip.AddrPortFrom(of, 9).String())
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte("hello"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	bgptest.Await(t, time.Millisecond, func() error {
		got := host.Output(t, "ip", "neigh", "show", its.String())
		if !slices.ContainsFunc([]string{"REACHABLE", "STALE", "DELAY"}, func(s string) bool { return strings.Contains(got, s) }) {
			return fmt.Errorf("of %s is known: %q", its, got)
		}
		return nil
	})
}

// send has the client send packets, each from a port of its own, a few at a time, and
// returns how many of them have arrived: all, but for what the kernel dropped meanwhile
// from queues that all namespaces share, as where another program floods it.
func (n *network) send(service netip.Addr, count int) (arrived int, err error) {
	before, full := n.total(), dropped()
	const burst = 20
	for sent := burst; sent <= count; sent += burst {
		if err := inside(n.client, func() error { return sendEach(service, burst) }); err != nil {
			return 0, err
		}
		if err := within(func() error {
			if got, lost := n.total()-before, dropped()-full; got+lost < sent {
				return fmt.Errorf("%d packets of %d have arrived, and %d were dropped", got, sent, lost)
			}
			return nil
		}); err != nil {
			return 0, err
		}
	}
	return n.total() - before, nil
}

func sendEach(service netip.Addr, count int) error {
	for range count {
		conn, err := net.Dial("udp", netip.AddrPortFrom(service, trafficPort).String())
		if err != nil {
			return err
		}
		defer conn.Close() // not before: every port once
		if _, err := conn.Write([]byte("x")); err != nil {
			return err
		}
	}
	return nil
}

// dropped is how many packets the kernel has dropped because a processor's queue was full.
func dropped() int {
	text, err := os.ReadFile("/proc/net/softnet_stat")
	if err != nil {
		return 0
	}
	all := 0
	for l := range strings.Lines(string(text)) {
		if fields := strings.Fields(l); len(fields) > 1 {
			n, _ := strconv.ParseUint(fields[1], 16, 32)
			all += int(n)
		}
	}
	return all
}

// within waits until f is content, for longer than that takes on a busy machine.
func within(f func() error) error {
	again, limit := time.NewTicker(time.Millisecond), time.NewTimer(bgptest.Patience)
	defer again.Stop()
	defer limit.Stop()
	for err := f(); err != nil; err = f() {
		select {
		case <-again.C:
		case <-limit.C:
			return err
		}
	}
	return nil
}

// arrive sends packets and returns how many have arrived.
func (n *network) arrive(t *testing.T, service netip.Addr, count int) int {
	t.Helper()
	arrived, err := n.send(service, count)
	if err != nil {
		t.Fatal(err)
	}
	return arrived
}

func (n *network) came(node cluster.NodeName, link int) int { return int(n.arrived[node][link].Load()) }

func (n *network) total() int {
	return n.came("db1", 1) + n.came("db1", 2) + n.came("db2", 1) + n.came("db2", 2)
}

func (n *network) open(t *testing.T, service netip.Addr) *route.Endpoint {
	o := route.Options{Owner: "shop/uplinks", Namespace: int(n.router.NS), Addresses: []netip.Addr{service}, Ways: map[cluster.NodeName][]route.Way{}}
	for i, node := range []cluster.NodeName{"db1", "db2"} {
		for l := 1; l <= 2; l++ {
			gateway := fmt.Sprintf("10.8%d.%d.2", i+1, l)
			if service.Is6() {
				gateway = fmt.Sprintf("fd8%d:%d::2", i+1, l)
			}
			o.Ways[node] = append(o.Ways[node], route.Way{Gateway: addr(gateway), Metric: 100, Weight: 5 - 2*l}) // 3 and 1
		}
	}
	return open(t, o)
}

func TestConnectionsAreSharedByWeight(t *testing.T) {
	for family, service := range services() {
		t.Run(family, func(t *testing.T) {
			n := newNetwork(t, service)
			e := n.open(t, service)
			set(t, e, to("db1", 1))
			all := n.arrive(t, service, 400)
			// Five standard deviations of what so many ports can come to.
			if got, want := n.came("db1", 1), all*3/4; got < want-45 || got > want+45 {
				t.Errorf("%d of %d came by the way with three quarters of the weight", got, all)
			}

			before := n.came("db1", 1)
			n.router.IP(t, "link set d11 down")
			all += n.arrive(t, service, 100)
			if got := n.came("db1", 1); got != before {
				t.Errorf("%d came by a link that is down", got-before)
			}

			set(t, e, to("db2", 2))
			want := n.arrive(t, service, 100)
			if got := n.came("db2", 1) + n.came("db2", 2); got != want {
				t.Errorf("after the switch %d of %d came to db2", got, want)
			}
		})
	}
}

// However often the routes move while packets go by them, each packet comes to one
// database or the other.
func TestNoPacketGoesNowhereInASwitch(t *testing.T) {
	for family, service := range services() {
		t.Run(family, func(t *testing.T) {
			n := newNetwork(t, service)
			e := n.open(t, service)
			set(t, e, to("db1", 1))
			var sent atomic.Int64
			stop, ended := make(chan struct{}), make(chan error, 1)
			go func() {
				for {
					select {
					case <-stop:
						ended <- nil
						return
					default:
					}
					if _, err := n.send(service, 20); err != nil {
						ended <- err
						return
					}
					sent.Add(20)
				}
			}()
			nodes := []cluster.NodeName{"db1", "db2"}
			for epoch := cluster.Epoch(2); (epoch < 25 || sent.Load() < 200) && len(ended) == 0; epoch++ {
				if err := e.Set(t.Context(), to(nodes[epoch%2], epoch)); err != nil {
					t.Error(err)
					break
				}
			}
			close(stop)
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// A gateway behind a switch, whose death no link tells of: nothing goes by it once the
// kernel has asked for it in vain, and it is used again when it answers.
func TestAGatewayThatIsSilent(t *testing.T) {
	for family, service := range services() {
		t.Run(family, func(t *testing.T) {
			n := newNetwork(t, service)
			e := n.open(t, service)
			set(t, e, to("db1", 1))
			directory, gateway := "ipv4", "10.81.1.2"
			if service.Is6() {
				directory, gateway = "ipv6", "fd81:1::2"
			}
			n.router.Output(t, "sh", "-c", fmt.Sprintf("cd /proc/sys/net/%s/neigh/d11 && echo 50 > retrans_time_ms && echo 2 > mcast_solicit", directory))
			state := func(want string) func() error {
				return func() error {
					if got := n.router.Output(t, "ip", "neigh", "show", gateway); !strings.Contains(got, want) {
						return fmt.Errorf("the router's neighbour: %q, want %s", got, want)
					}
					return nil
				}
			}
			deaf := func(verb string) { n.db["db1"].Output(t, "sh", "-c", verb) }
			deaf("nft 'add table netdev deaf; add chain netdev deaf in { type filter hook ingress device u1 priority 0; policy drop; }'")
			n.router.IP(t, "neigh del "+gateway+" dev d11", "neigh add "+gateway+" dev d11 use")
			bgptest.Await(t, time.Millisecond, state("FAILED"))

			all := n.arrive(t, service, 100)
			if got := n.came("db1", 2); got != all {
				t.Errorf("%d of %d came by the way that answers", got, all)
			}
			wantLeads(t, e, "db1")
			if err := e.Tend(t.Context(), to("db1", 1)); err == nil || err.Error() != "the way via "+gateway+": the gateway does not answer ARP or neighbour discovery" {
				t.Errorf("while it is silent: %v", err)
			}

			deaf("nft delete table netdev deaf")
			bgptest.Await(t, time.Millisecond, func() error {
				return errors.Join(e.Tend(t.Context(), to("db1", 1)), state("REACHABLE")())
			})
			n.arrive(t, service, 100)
			if got := n.came("db1", 1); got == 0 {
				t.Error("it is passed over although it answers")
			}
		})
	}
}
