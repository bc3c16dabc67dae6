package bgp_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/bfd"
	"github.com/baton-db/baton/internal/endpoint/bgp"
	"github.com/baton-db/baton/internal/endpoint/bgptest"
	"github.com/baton-db/baton/internal/realtime"
)

// BenchmarkSoak counts how often a session with BFD at 50 ms x 3, to which nothing
// happens, is lost, and how often the router had no route, while the machine is busy;
// each round is a second: `-benchtime 600x` are ten minutes. Speaker and router run under
// real-time priority, as the agent does.
func BenchmarkSoak(b *testing.B) {
	if granted := realtime.Enable(0); granted.Scheduling != nil {
		b.Skip(granted.Scheduling)
	}
	for kind := range routers {
		b.Run(kind, func(b *testing.B) {
			w := world{Rig: bgptest.NewHere(b, 7)}
			w.DB.IP(b, "addr add 10.79.1.12/24 dev eth0")
			routers[kind](b, w.Router) // inherits the priority
			o := w.to("10.79.1.7", func(n *bgp.Neighbor) {
				n.Local, n.Hold, n.BFD = w.other(), 3*time.Second, bfd.Settings{Interval: 50 * time.Millisecond, Multiplier: 3}
			})
			o.RouterID = w.other()
			var log warnings
			s := bgp.New(o, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})))
			ctx, stop := context.WithCancel(context.Background())
			var running sync.WaitGroup
			running.Go(func() { s.Run(ctx) })
			b.Cleanup(func() { stop(); running.Wait() })
			w.has(b, true)
			e := bgp.Open("bgp", s)
			await(b, func() error { return e.Tend(b.Context(), at(1)) })
			if err := e.Set(b.Context(), at(1)); err != nil {
				b.Fatal(err)
			}
			w.Router.AwaitRoute(b, service4, true)
			for range 4 {
				bgptest.Burn(b)
			}
			log.take()
			glance := time.NewTicker(50 * time.Millisecond)
			defer glance.Stop()
			absent, ill := 0, 0
			for b.Loop() {
				for range 20 {
					<-glance.C
					if !w.Router.Routes(b, service4) {
						absent++
					}
				}
				if e.Tend(b.Context(), at(1)) != nil {
					ill++
				}
			}
			said := log.take()
			b.ReportMetric(float64(strings.Count(said, "BFD with a router is down")), "lost-paths")
			b.ReportMetric(float64(absent), "looks-without-route")
			b.ReportMetric(float64(ill), "seconds-not-well")
			b.ReportMetric(0, "ns/op")
			if said != "" {
				b.Log(said)
			}
			w.has(b, false)
		})
	}
}

// warnings are a log.
type warnings struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *warnings) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *warnings) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := w.text.String()
	w.text.Reset()
	return text
}
