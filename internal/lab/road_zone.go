package lab

import "context"

// The zone that the agents answer for themselves. Clients ask Unbound, which asks
// whichever agent answers.
const agentsZone = "shop.lab."

func zoneRoad() Road {
	r := Road{
		Name: "zone", Help: "the zone that the agents themselves answer for; clients ask Unbound",
		needs:    []need{{file: "unbound", pack: "unbound"}},
		settings: func(_ *Lab, config section) { config["dns"] = section{"zone": agentsZone, "max_lag": readersLag} },
		leads: func(ctx context.Context, l *Lab) (string, error) {
			return l.overDNS(ctx, "cl", l.unboundAt(), "primary."+agentsZone)
		},
		// Of another node than the primary: it says what the store has told it.
		source: func(ctx context.Context, l *Lab) (string, error) {
			nodes := l.Nodes()
			return l.overDNS(ctx, "cl", l.address(nodes[len(nodes)-1])+":53", "primary."+agentsZone)
		},
	}
	r.daemons = func(l *Lab) []daemon { return []daemon{l.unbound(r)} }
	return r
}
