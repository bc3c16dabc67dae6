package bfd_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/bfd"
	"github.com/baton-db/baton/internal/endpoint/bgptest"
	"github.com/baton-db/baton/internal/realtime"
)

func TestMain(m *testing.M) { os.Exit(bgptest.InOwnNetwork(m)) }

var (
	router4 = netip.MustParseAddr(bgptest.RouterAddress)
	router6 = netip.MustParseAddr(bgptest.RouterAddress6)
)

// routers are the neighbours that people have, each with a session over IPv4 and IPv6,
// and how they are asked what they see.
var routers = map[string]func(t testing.TB, r *bgptest.Host) (sees func(netip.Addr) string){
	"FRR": func(t testing.TB, r *bgptest.Host) func(netip.Addr) string {
		frr := r.StartFRR(t, "router bgp 65000\n no bgp ebgp-requires-policy\nexit\n", `bfd
 peer 10.79.1.2 interface eth0
  receive-interval 50
  transmit-interval 50
 exit
 peer fd79:1::2 local-address fd79:1::1 interface eth0
  receive-interval 50
  transmit-interval 50
 exit
exit
`)
		return func(host netip.Addr) string {
			for block := range strings.SplitSeq(frr.Tell(t, "show bfd peers"), "\n\tpeer ") {
				if strings.HasPrefix(block, host.String()+" ") {
					return block
				}
			}
			return ""
		}
	},
	"BIRD": func(t testing.TB, r *bgptest.Host) func(netip.Addr) string {
		bird := r.StartBIRD(t, `router id 10.79.1.1;
protocol device { scan time 1; }
protocol bfd {
	interface "eth0" { min rx interval 50 ms; min tx interval 50 ms; multiplier 3; };
	neighbor 10.79.1.2;
	neighbor fd79:1::2;
}
`)
		return func(host netip.Addr) string {
			for line := range strings.Lines(bird.Ask(t, "show bfd sessions")) {
				if strings.HasPrefix(line, host.String()+" ") {
					return line
				}
			}
			return ""
		}
	},
}

// watch is what has been told of the sessions.
type watch struct {
	mu    sync.Mutex
	state map[netip.Addr]bfd.State
	lost  []string // each time that one was up and is not any more
}

func (w *watch) changed(peer netip.Addr, c bfd.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state[peer] = c.To
	if c.From == bfd.Up {
		w.lost = append(w.lost, fmt.Sprintf("%s: %s", peer, c.Why))
	}
}

// are returns an error unless all sessions are up, or none is: one that hears without
// being heard comes up again and again.
func (w *watch) are(up bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, peer := range []netip.Addr{router4, router6} {
		if (w.state[peer] == bfd.Up) != up {
			return fmt.Errorf("with %s it is %s", peer, w.state[peer])
		}
	}
	return nil
}

func (w *watch) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	lost := w.lost
	w.lost = nil
	return lost
}

// start runs the sessions until stop, or the end of the test.
func start(t testing.TB) (w *watch, stop func()) {
	w = &watch{state: map[netip.Addr]bfd.State{router4: bfd.Down, router6: bfd.Down}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	fast := bfd.Settings{Interval: 50 * time.Millisecond, Multiplier: 3}
	go func() {
		ended <- bfd.Run(ctx, []bfd.Peer{{Address: router4, Settings: fast}, {Address: router6, Settings: fast}}, slog.New(slog.DiscardHandler), w.changed)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return w, stop
}

func await(t testing.TB, f func() error) { t.Helper(); bgptest.Await(t, 5*time.Millisecond, f) }

// TestWithRouters: sessions come up, are lost with what carries them, come back, and end.
func TestWithRouters(t *testing.T) {
	type change func(t *testing.T, rig *bgptest.Rig)
	for name, tt := range map[string]struct{ harm, mend change }{
		"FRR": {
			func(t *testing.T, rig *bgptest.Rig) { rig.DB.IP(t, "link set eth0 down") },
			nil, // takes seconds
		},
		"BIRD": {
			func(t *testing.T, rig *bgptest.Rig) { rig.Router.Deafen(t, true) }, // it hears us no more, and says so
			func(t *testing.T, rig *bgptest.Rig) { rig.Router.Deafen(t, false) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			rig := bgptest.NewHere(t)
			sees := routers[name](t, rig.Router)
			w, stop := start(t)
			await(t, func() error { return w.are(true) })
			for _, host := range []string{bgptest.HostAddress, bgptest.HostAddress6} {
				await(t, func() error {
					if text := sees(netip.MustParseAddr(host)); !strings.Contains(strings.ToLower(text), "up") || strings.Contains(strings.ToLower(text), "down") {
						return fmt.Errorf("the router sees %s so: %s", host, text)
					}
					return nil
				})
			}
			tt.harm(t, rig)
			await(t, func() error { return w.are(false) })
			if tt.mend != nil {
				tt.mend(t, rig)
				await(t, func() error { return w.are(true) })
			}
			stop()
			await(t, func() error {
				if text := strings.ToLower(sees(netip.MustParseAddr(bgptest.HostAddress))); !strings.Contains(text, "down") {
					return fmt.Errorf("the router was not told that we leave: %s", text)
				}
				return nil
			})
		})
	}
}

// BenchmarkSoak counts how often sessions with FRR's bfdd that nothing happens to are lost
// while the machine is busy, each round a second: `-benchtime 600x` are ten minutes. The
// agent runs under real-time priority where it may, and so does the router's bfdd here.
func BenchmarkSoak(b *testing.B) {
	for _, priority := range []string{"normal", "real-time"} {
		b.Run(priority, func(b *testing.B) {
			rig := bgptest.NewHere(b)
			if priority == "real-time" {
				if granted := realtime.Enable(0); granted.Scheduling != nil {
					b.Skip(granted.Scheduling)
				}
			}
			routers["FRR"](b, rig.Router) // inherits the priority
			w, _ := start(b)
			await(b, func() error { return w.are(true) })
			for range 4 {
				bgptest.Burn(b)
			}
			second := time.NewTicker(time.Second)
			defer second.Stop()
			w.take()
			for b.Loop() {
				<-second.C
			}
			lost := w.take()
			b.ReportMetric(float64(len(lost)), "lost-sessions")
			b.ReportMetric(0, "ns/op")
			for _, l := range lost {
				b.Log(l)
			}
		})
	}
}
