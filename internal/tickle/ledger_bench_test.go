package tickle

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/fence"
	"github.com/baton-db/baton/internal/ledger"
)

// BenchmarkLedger is what it costs the primary to know its connections: processor
// time per look, the kernel's part included, and memory.
func BenchmarkLedger(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := newLab(b, fmt.Sprintf("l%d-%d", n, b.N))
			l.serveApart("db1")
			conns := make([]net.Conn, n)
			must(b, l.Do("near", func() (err error) {
				for i := range conns {
					if conns[i], err = dial(b.Context(), services()[i%2], 0); err != nil {
						return err
					}
					if err = echo(conns[i]); err != nil {
						return err
					}
				}
				return nil
			}))
			before := heap()
			feed := ledger.NewFeed(50_000)
			must(b, l.Do("db1", func() error {
				c, err := fence.OpenConnections(services())
				if err != nil {
					return err
				}
				defer c.Close()
				begun := cpu(b)
				for b.Loop() {
					err := feed.Look(clock.Now(), func(saw func(ledger.Connection)) error {
						return c.Each(context.Background(), fence.Established, func(s fence.Socket) { saw(ledger.Connection(s)) })
					})
					if err != nil {
						return err
					}
				}
				b.ReportMetric(float64(cpu(b)-begun)/float64(b.N)/float64(time.Millisecond), "cpu-ms/look")
				return nil
			}))
			b.ReportMetric(float64(heap()-before)/1e6, "MB")
			if got := len(feed.State().Entries); got != n {
				b.Fatalf("%d connections, want %d", got, n)
			}
			for _, c := range conns {
				c.Close()
			}
		})
	}
}

// cpu is the processor time that this thread has taken.
func cpu(b *testing.B) int64 {
	var ts unix.Timespec
	must(b, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts))
	return ts.Nano()
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
