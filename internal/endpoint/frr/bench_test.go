package frr_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/endpoint/bgptest"
)

// routerFRR is FRR as the router, with the same sessions as BIRD.
const routerFRR = `frr defaults traditional
router bgp 65000
 bgp router-id 10.79.1.1
 no bgp ebgp-requires-policy
 neighbor 10.79.1.2 remote-as 65001
 neighbor 10.79.1.2 timers 1 3
 neighbor 10.79.1.2 passive
 neighbor 10.79.1.2 password sesame
 address-family ipv6 unicast
  neighbor 10.79.1.2 activate
 exit-address-family
exit
`

// fastBFD is the configuration of bfdd.
const fastBFD = `bfd
 profile fast
  receive-interval 50
  transmit-interval 50
 exit
exit
`

// quick is hostFRR with timers for which a benchmark can wait.
func quick() string { return strings.ReplaceAll(hostFRR, "timers 1 60", "timers 1 3") }

// startRouter starts one of the two kinds.
func startRouter(b *testing.B, kind string, r *bgptest.Rig) (frr bgptest.FRR) {
	if kind == "FRR" {
		return r.Router.StartFRR(b, routerFRR, "")
	}
	r.Router.StartBIRD(b, routerBIRD(60))
	return frr
}

// BenchmarkAnnounce is from the address's coming to the host, or its going, until the
// router's kernel has the route or has lost it.
func BenchmarkAnnounce(b *testing.B) {
	for _, router := range []string{"BIRD", "FRR", "FRR without zebra's pause"} {
		b.Run(router, func(b *testing.B) {
			w := world{Rig: bgptest.New(b)}
			kind, _, hasty := strings.Cut(router, " without")
			at := startRouter(b, kind, w.Rig)
			w.frr = w.DB.StartFRR(b, hostFRR, "")
			if hasty {
				w.frr.Tell(b, "configure terminal", "zebra work-queue 0")
				at.Tell(b, "configure terminal", "zebra work-queue 0")
			}
			bgptest.Await(b, 50*time.Millisecond, func() error { return w.endpoint().StandBy(b.Context()) })
			var announce, withdraw []time.Duration
			for b.Loop() {
				for _, there := range []bool{true, false} {
					verb, into := "add", &announce
					if !there {
						verb, into = "del", &withdraw
					}
					began := clock.Now()
					w.DB.IP(b, fmt.Sprintf("addr %s %s/32 dev lo", verb, service4))
					w.Router.AwaitRoute(b, service4, there)
					*into = append(*into, clock.Now().Sub(began))
				}
			}
			bgptest.Report(b, "announce", announce)
			bgptest.Report(b, "withdraw", withdraw)
		})
	}
}

// BenchmarkHostDeath is from the moment in which nothing of the host arrives any more
// until the router's kernel has lost the route; the link stays up.
func BenchmarkHostDeath(b *testing.B) {
	for name, bfd := range map[string]string{"BFD 50 ms x 3": fastBFD, "hold timer 3 s": "", "BFD 50 ms x 3 with BIRD": fastBFD} {
		b.Run(name, func(b *testing.B) {
			w := world{Rig: bgptest.New(b)}
			host, router := quick(), routerFRR
			if bfd != "" {
				host = strings.ReplaceAll(host, " neighbor 10.79.1.1 peer-group R\n", " neighbor 10.79.1.1 peer-group R\n neighbor 10.79.1.1 bfd profile fast\n")
				router = strings.ReplaceAll(router, " neighbor 10.79.1.2 timers", " neighbor 10.79.1.2 bfd profile fast\n neighbor 10.79.1.2 timers")
			}
			if strings.HasSuffix(name, "BIRD") {
				w.Router.StartBIRD(b, strings.Replace(routerBIRD(9), "ipv4 { import all; export where", "bfd on; ipv4 { import all; export where", 1)+
					`protocol bfd { interface "eth0" { min rx interval 50 ms; min tx interval 50 ms; multiplier 3; }; }`)
			} else {
				w.Router.StartFRR(b, router, bfd)
			}
			w.frr = w.DB.StartFRR(b, host, bfd)
			w.has(b, true)
			e := w.endpoint()
			var took []time.Duration
			for b.Loop() {
				bgptest.Await(b, 50*time.Millisecond, func() error { return e.Tend(b.Context(), db1()) })
				if err := e.Set(b.Context(), db1()); err != nil {
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
		})
	}
}
