package vip_test

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint/vip"
	"github.com/baton-db/baton/internal/fence"
)

// BenchmarkExtend is the agent's renewal every few hundred milliseconds: the
// lease moves on by a quarter of its length each time.
func BenchmarkExtend(b *testing.B) {
	for name, step := range map[string]time.Duration{
		"the kernel knows enough":         0,
		"the kernel is told every second": 5 * time.Millisecond,
		"the kernel is told every time":   time.Second,
	} {
		b.Run(name, func(b *testing.B) {
			l := newLab(b)
			s := l.db1.set(b)
			bind(b, s)
			ctx := context.Background()
			until := in(time.Minute)
			b.ReportAllocs()
			for b.Loop() {
				until = until.Add(step)
				if err := s.Extend(ctx, until); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkObserve(b *testing.B) {
	s := newLab(b).db1.set(b)
	bind(b, s)
	for b.Loop() {
		observe(b, s)
	}
}

// BenchmarkMove moves both addresses to and fro. A move is timed from the start
// of Bind on the new host, its probe made before, until a client with a warm
// entry is answered by it; the parts are those of the report.
func BenchmarkMove(b *testing.B) {
	for _, ip := range []netip.Addr{vip4, vip6} {
		b.Run(ip.String(), func(b *testing.B) {
			l := newLab(b)
			hosts := []*host{l.db1, l.db2}
			var sets []*vip.Set
			for _, h := range hosts {
				h.serve(b)
				sets = append(sets, h.set(b, func(c *vip.Config) { c.Addresses = h.config(ip).Addresses }))
			}
			bind(b, sets[0])
			l.cl.awaitReach(b, ip, hosts[0])
			var total, add, route, announce []time.Duration
			now := 0
			for b.Loop() {
				next := 1 - now
				if err := sets[now].Drop(b.Context()); err != nil {
					b.Fatal(err)
				}
				free := vip.Findings{ip: {At: in(0)}}
				began := in(0)
				report := bindWith(b, sets[next], vip.Claim{Until: in(time.Minute), Probed: free})
				total = append(total, l.cl.firstAnswer(b, ip, hosts[next]).Sub(began))
				add, route, announce = append(add, report[0].Add), append(route, report[0].Route), append(announce, report[0].Announce)
				now = next
			}
			for name, d := range map[string][]time.Duration{"move": total, "add": add, "route": route, "announce": announce} {
				slices.Sort(d)
				b.ReportMetric(float64(d[len(d)/2].Microseconds()), name+"-median-us")
				b.ReportMetric(float64(d[len(d)-1].Microseconds()), name+"-max-us")
			}
			b.ReportMetric(0, "ns/op") // it contains the drop and the client's making
		})
	}
}

// firstAnswer returns when a connection was answered by the wanted host.
func (h *host) firstAnswer(t testing.TB, ip netip.Addr, want *host) (at cluster.Instant) {
	t.Helper()
	h.in(func() {
		for end := in(patience); in(0) < end; {
			if name, _, err := dial(ip, 2*time.Millisecond); err == nil && name == want.name {
				at = in(0)
				return
			}
		}
	})
	if at == 0 {
		t.Fatalf("%s is not answered by %s", ip, want.name)
	}
	return at
}

// BenchmarkFromTheGateToTheFirstAnswer is the way of an address in a failover, from the
// instant in which the new primary's gate begins to open until a client with a warm entry
// for the old host has its answer from the new one, through that gate. The old host is
// fenced: its gate is shut, it is muted, and the kernel still has the address. That
// nobody else has it was asked while the server was promoted.
func BenchmarkFromTheGateToTheFirstAnswer(b *testing.B) {
	for _, ip := range []netip.Addr{vip4, vip6} {
		for name, change := range map[string]func(*vip.Config){"interface's MAC": func(*vip.Config) {}, "virtual MAC": withMACs} {
			b.Run(ip.String()+" "+name, func(b *testing.B) { fromTheGate(b, ip, change) })
		}
	}
}

func fromTheGate(b *testing.B, ip netip.Addr, change func(*vip.Config)) {
	l := newLab(b)
	hosts := []*host{l.db1, l.db2}
	var sets []*vip.Set
	var gates []*fence.Gate
	for _, h := range hosts {
		h.serve(b)
		set := h.set(b, func(c *vip.Config) { c.Addresses = h.config(ip).Addresses; change(c) })
		sets = append(sets, set)
		runSet(b, set)
		gates = append(gates, h.gate(b))
	}
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	must(gates[0].OpenUntil(b.Context(), in(time.Hour)))
	bind(b, sets[0])
	var total, gate, address []time.Duration
	now := 0
	for b.Loop() {
		next := 1 - now
		l.cl.awaitReach(b, ip, hosts[now]) // its entry is warm
		must(gates[now].Close(b.Context()))
		must(sets[now].Mute(b.Context()))
		found, err := sets[next].Probe(b.Context())
		must(err)

		began := in(0)
		must(gates[next].OpenUntil(b.Context(), in(time.Hour)))
		open := in(0)
		bindWith(b, sets[next], vip.Claim{Until: in(time.Hour), Probed: found, Members: membersOf(hosts...)})
		bound := in(0)
		answered := l.cl.firstAnswer(b, ip, hosts[next])

		gate, address, total = append(gate, open.Sub(began)), append(address, bound.Sub(open)), append(total, answered.Sub(began))
		must(sets[now].Drop(b.Context()))
		must(sets[now].Unmute(b.Context()))
		now = next
	}
	for name, d := range map[string][]time.Duration{"gate": gate, "bind": address, "total": total} {
		slices.Sort(d)
		b.ReportMetric(float64(d[len(d)/2].Microseconds()), name+"-median-us")
		b.ReportMetric(float64(d[len(d)-1].Microseconds()), name+"-max-us")
	}
	b.ReportMetric(0, "ns/op") // it contains the fence, the probe and the drop
}

// gate is the real one, shut.
func (h *host) gate(t testing.TB) (g *fence.Gate) {
	t.Helper()
	h.in(func() {
		var err error
		g, err = fence.Open(context.Background(), fence.GateConfig{Cluster: "shop", Scope: fence.Scope{Ports: []uint16{port}}}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Error(err)
		}
	})
	if g == nil {
		t.FailNow()
	}
	t.Cleanup(func() { _ = g.Remove(context.WithoutCancel(t.Context())) })
	return g
}
