package bgp_test

import (
	"fmt"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/endpoint/bgp"
	"github.com/baton-db/baton/internal/endpoint/bgptest"
)

// generous is the configuration of a router at 10.79.1.8 that sends that many routes.
func generous(routes int) string {
	var all strings.Builder
	for i := range routes {
		fmt.Fprintf(&all, "route 20.%d.%d.%d/32 blackhole; ", i>>16, i>>8&255, i&255)
	}
	return fmt.Sprintf(`log stderr all; router id 10.79.1.8; protocol device {}
protocol static internet { ipv4; %s }
protocol bgp { local 10.79.1.8 as 65000; neighbor 10.79.1.30 as 65001; strict bind on; passive on; error wait time 1, 1; hold time 60; ipv4 { import all; export where source = RTS_STATIC; }; }
`, all.String())
}

// toGenerous is a speaker to that router.
func (w world) toGenerous(t testing.TB) *bgp.Endpoint {
	t.Helper()
	w.DB.IP(t, "addr replace 10.79.1.30/24 dev eth0")
	o := w.to("10.79.1.8", func(n *bgp.Neighbor) { n.Local, n.Hold = netip.MustParseAddr("10.79.1.30"), time.Minute })
	o.RouterID, o.Spared = o.Neighbors[0].Local, 50*time.Millisecond
	s, _ := speaks(t, o)
	return bgp.Open("bgp", s)
}

// sendsTooMuch: the session is given up, which is said, and begins anew until it lasts.
func (w world) sendsTooMuch(t *testing.T, e *bgp.Endpoint, r bgptest.BIRD) {
	const want = "neighbour 10.79.1.8 (AS 65000, we are AS 65001) has no session: it was given up because the router has sent more than 10000 routes"
	await(t, func() error {
		if err := e.StandBy(t.Context()); err == nil || !strings.HasPrefix(err.Error(), want) {
			return fmt.Errorf("%w, want %s …", err, want)
		}
		return nil
	})
	r.Configure(t, generous(10))
	if err := e.Set(t.Context(), at(1)); err != nil {
		t.Error(err)
	}
	await(t, func() error { return e.Tend(t.Context(), at(1)) })
}

// BenchmarkFullTable is what a router costs in memory that sends 200,000 routes, at most
// within ten seconds.
func BenchmarkFullTable(b *testing.B) {
	w := world{Rig: bgptest.NewHere(b, 8)}
	r := w.Router.StartBIRD(b, generous(200_000))
	r.Ask(b, "show status") // it has read its configuration
	for b.Loop() {
		debug.FreeOSMemory()
		before, most := resident(b), 0
		e := w.toGenerous(b)
		for began := time.Now(); time.Since(began) < 10*time.Second; {
			most = max(most, resident(b)-before)
			_ = e.StandBy(b.Context())
		}
		b.ReportMetric(float64(most)/1024, "MiB")
		b.ReportMetric(0, "ns/op")
		b.Log(e.StandBy(b.Context()))
	}
}

// resident is this process's memory, in KiB.
func resident(t testing.TB) (kib int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	if _, err := fmt.Sscan(after, &kib); err != nil {
		t.Fatal(err)
	}
	return kib
}
