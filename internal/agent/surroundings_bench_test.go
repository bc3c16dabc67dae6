package agent

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/fence"
	labnet "github.com/baton-db/baton/internal/lab/network"
)

// BenchmarkClientProbes is what it costs the primary to see which clients have keepalive:
// processor time of a look, the kernel's part included, what share of a processor that
// is, and the memory that stays.
func BenchmarkClientProbes(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("NOT MEASURED: needs root, for network namespaces")
	}
	for _, n := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := labnet.Network{Prefix: fmt.Sprintf("bt-probes-%d-%d-%d-", os.Getpid(), n, b.N)}
			b.Cleanup(func() {
				if err := l.Remove(context.Background()); err != nil {
					b.Error(err)
				}
			})
			mustNot(b, l.Build(b.Context()))
			for _, h := range []labnet.Host{{Name: "db1", Number: 11}, {Name: "near", Number: 21}} {
				mustNot(b, l.AddHost(b.Context(), h))
			}
			connectMany(b, l, n)
			p := &clientProbes{now: clock.Now, serves: func() bool { return true }}
			seen := 0
			p.list = func(ctx context.Context) ([]fence.Watch, error) {
				all, err := fence.Watches(ctx, fence.Scope{Ports: []uint16{probedPort}})
				seen = len(all)
				return all, err
			}
			before := heapInUse()
			mustNot(b, l.Do("db1", func() error { // on a thread of its own
				begun := threadTime()
				for b.Loop() {
					p.look(b.Context())
				}
				look := (threadTime() - begun) / time.Duration(b.N)
				b.ReportMetric(float64(look.Microseconds())/1000, "cpu-ms/look")
				b.ReportMetric(100*look.Seconds()/probesEvery.Seconds(), "%-of-a-core")
				return nil
			}))
			b.ReportMetric((float64(heapInUse())-float64(before))/1e6, "MB")
			if runtime.KeepAlive(p); seen != n {
				b.Fatalf("%d connections were seen, want %d", seen, n)
			}
		})
	}
}

const probedPort = 3306

// connectMany has a host's clients connect to the other host, and stay. Nobody takes their
// connections there, which are no less real to the kernel: both ends of so many would not
// fit into this process.
func connectMany(b *testing.B, l labnet.Network, n int) {
	b.Helper()
	mustNot(b, l.Do("db1", func() error {
		if err := os.WriteFile("/proc/sys/net/core/somaxconn", fmt.Appendln(nil, n+1), 0o600); err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		b.Cleanup(func() { _ = unix.Close(fd) })
		if err := unix.Bind(fd, &unix.SockaddrInet4{Port: probedPort}); err != nil {
			return err
		}
		return unix.Listen(fd, n+1)
	}))
	address := netip.AddrPortFrom(netip.MustParseAddr("10.77.0.11"), probedPort).String()
	mustNot(b, l.Do("near", func() error {
		for range n {
			c, err := net.Dial("tcp", address)
			if err != nil {
				return err
			}
			b.Cleanup(func() { c.Close() })
		}
		return nil
	}))
}

func mustNot(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
