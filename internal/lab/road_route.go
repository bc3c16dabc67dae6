package lab

import (
	"context"
	"fmt"

	"github.com/baton-db/baton/internal/lab/network"
)

// Routes to the addresses on loopback on the witness's host, which is a router in two
// networks: every data node has an uplink in each. Its client sends through it.

func routeRoad() Road {
	return Road{
		Name: "route", Help: "routes on the witness's host, over two uplinks, to an address on loopback",
		witness: true, uplinks: true,
		endpoint: func(l *Lab) section {
			var ways []section
			for _, n := range l.DataNodes() {
				h, err := l.host(n)
				if err != nil {
					panic(err) // names come from this package
				}
				for _, on := range []struct {
					host   network.Host
					metric int
				}{{h.OnSecond(), 100}, {h, 200}} {
					ways = append(ways, section{"node": n, "gateway": on.host.IPv4().String(), "metric": on.metric},
						section{"node": n, "gateway": on.host.IPv6().String(), "metric": on.metric})
				}
			}
			return section{"nodes": []string{witnessName}, "route": section{"ways": ways}}
		},
		sysctls: func(host string) []string {
			if host != witnessName {
				return nil
			}
			// A route over a card without a carrier is no route. It is not so by default.
			return []string{"net.ipv4.conf.all.ignore_routes_with_linkdown=1", "net.ipv6.conf.all.ignore_routes_with_linkdown=1"}
		},
		links: func(l *Lab, host string) []string {
			var all []string
			if host != "cl" {
				return nil
			}
			w, err := l.host(witnessName)
			if err != nil {
				panic(err) // names come from this package
			}
			via := []string{w.IPv4().String(), w.IPv6().String()}
			for i, a := range loopbacks() {
				all = append(all, fmt.Sprintf("route add %s/%d via %s", a, a.BitLen(), via[i]))
			}
			return all
		},
		leads: func(ctx context.Context, l *Lab) (string, error) { return l.overLoopbacks(ctx, "cl") },
		source: func(ctx context.Context, l *Lab) (string, error) {
			return l.overKernel(ctx, witnessName, loopbacks()[0])
		},
		meddle: func(ctx context.Context, l *Lab, to string) error {
			h, err := l.host(to)
			if err != nil {
				return err
			}
			a := loopbacks()[0]
			return l.net.IP(ctx, witnessName, fmt.Sprintf("route replace %s/32 via %s metric 100", a, h.OnSecond().IPv4()))
		},
	}
}

// SetUplink plugs a host's second card, one of two uplinks, in or out.
func (l *Lab) SetUplink(ctx context.Context, host string, up bool) error {
	if !l.uplinks() {
		return fmt.Errorf("%s has one uplink: this lab has not the road route", host)
	}
	return l.net.SetClientPort(ctx, host, up)
}

// WayOut is the card over which the witness's host sends to the address on loopback.
func (l *Lab) WayOut(ctx context.Context) (card string, err error) {
	return l.net.CardTowards(ctx, witnessName, loopbacks()[0])
}
