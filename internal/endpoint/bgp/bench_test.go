package bgp_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/bfd"
	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/endpoint/bgp"
	"github.com/baton-db/baton/internal/endpoint/bgptest"
)

// routers are those that people have, with BFD and a short hold time.
var routers = map[string]func(b *testing.B, r *bgptest.Host){
	"BIRD": func(b *testing.B, r *bgptest.Host) {
		r.StartBIRD(b, strings.ReplaceAll(routerBIRD, "hold time 9", "hold time 3"))
	},
	"FRR": func(b *testing.B, r *bgptest.Host) {
		r.StartFRR(b, `frr defaults traditional
router bgp 65000
 bgp router-id 10.79.1.1
 no bgp ebgp-requires-policy
 neighbor 10.79.1.12 remote-as 65001
 neighbor 10.79.1.12 timers 1 3
 neighbor 10.79.1.12 passive
 neighbor 10.79.1.12 update-source 10.79.1.7
 neighbor 10.79.1.12 bfd profile fast
exit
`, "bfd\n profile fast\n  receive-interval 50\n  transmit-interval 50\n exit\nexit\n")
	},
}

// begin has a speaker that a router of that kind knows, with BFD or with the hold timer alone.
func begin(b *testing.B, kind string, withBFD bool) (world, *bgp.Endpoint) {
	w := world{Rig: bgptest.NewHere(b, 7)}
	w.DB.IP(b, "addr add 10.79.1.12/24 dev eth0")
	routers[kind](b, w.Router)
	o := w.to("10.79.1.7", func(n *bgp.Neighbor) {
		n.Local, n.Hold = w.other(), 3*time.Second
		if withBFD {
			n.BFD = bfd.Settings{Interval: 50 * time.Millisecond, Multiplier: 3}
		}
	})
	o.RouterID = w.other()
	s, _ := speaks(b, o)
	e := bgp.Open("bgp", s)
	await(b, func() error { return e.StandBy(b.Context()) })
	return w, e
}

// BenchmarkAnnounce is from the address's coming to the host, or its going, until the
// router's kernel has the route or has lost it.
func BenchmarkAnnounce(b *testing.B) {
	for kind := range routers {
		b.Run(kind, func(b *testing.B) {
			w, e := begin(b, kind, false)
			await(b, func() error { return e.StandBy(b.Context()) })
			took := map[bool][]time.Duration{}
			for b.Loop() {
				for _, there := range []bool{true, false} {
					began := clock.Now()
					w.DB.IP(b, fmt.Sprintf("addr %s %s/32 dev lo", map[bool]string{true: "add", false: "del"}[there], service4))
					w.Router.AwaitRoute(b, service4, there)
					took[there] = append(took[there], clock.Now().Sub(began))
				}
			}
			bgptest.Report(b, "announce", took[true])
			bgptest.Report(b, "withdraw", took[false])
		})
	}
}

// BenchmarkHostDeath is from the moment in which nothing of the host arrives any more
// until the router's kernel has lost the route; the link stays up.
func BenchmarkHostDeath(b *testing.B) {
	for kind := range routers {
		for what, withBFD := range map[string]bool{"BFD 50 ms x 3": true, "hold timer 3 s": false} {
			b.Run(kind+"/"+what, func(b *testing.B) {
				w, e := begin(b, kind, withBFD)
				w.has(b, true)
				var took []time.Duration
				for b.Loop() {
					await(b, func() error { return e.Tend(b.Context(), at(1)) })
					if err := e.Set(b.Context(), at(1)); err != nil {
						b.Fatal(err)
					}
					w.Router.AwaitRoute(b, service4, true)
					began := clock.Now()
					w.Router.Deafen(b, true)
					w.Router.AwaitRoute(b, service4, false)
					took = append(took, clock.Now().Sub(began))
					w.Router.Deafen(b, false)
				}
				bgptest.Report(b, "gone", took)
				w.has(b, false)
			})
		}
	}
}
