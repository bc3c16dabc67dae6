package lab

import (
	"context"
	"fmt"
)

// An address on loopback that the agents themselves announce, with BFD, to the same
// router as the FRR of that road would.

func bgpRoad() Road {
	r := Road{
		Name: "bgp", Help: "an address on loopback that each agent announces to the router by BGP itself",
		router: true, instead: "frr",
		needs: []need{{file: "bird", pack: "bird2"}},
		endpoint: func(l *Lab) section {
			var neighbors []section
			for _, a := range l.routerAddresses() {
				neighbors = append(neighbors, section{"address": a, "as": routerAS, "bfd": "50ms", "bfd_multiplier": 5})
			}
			return section{"bgp": section{"as": hostAS, "neighbors": neighbors}}
		},
		leads: func(ctx context.Context, l *Lab) (string, error) { return l.overLoopbacks(ctx, "rc") },
		source: func(ctx context.Context, l *Lab) (string, error) {
			return l.overKernel(ctx, routerName, loopbacks()[0])
		},
	}
	r.daemons = func(l *Lab) []daemon { return []daemon{l.bird(r)} }
	return r
}

// exclusive refuses two roads of which one takes the place of the other: a host speaks
// BFD once.
func exclusive(roads []Road) error {
	for _, r := range roads {
		for _, other := range roads {
			if r.instead == other.Name {
				return fmt.Errorf("a lab has the road %s or %s, not both", r.Name, other.Name)
			}
		}
	}
	return nil
}
