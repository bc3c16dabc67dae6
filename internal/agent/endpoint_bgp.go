package agent

import (
	"github.com/baton-db/baton/internal/bfd"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/bgp"
)

func openBGP(o opening) (endpoint.Endpoint, error) {
	b := o.BGP
	communities, large := b.Tagged()
	options := bgp.Options{AS: uint32(b.AS), RouterID: o.config.RouterIDOf(b), Listen: b.Listen, Addresses: o.config.RoutedAddresses(), Here: isHere,
		NextHops: b.Hops(), Communities: communities, LocalPref: uint32(b.LocalPref), Self: o.config.Node}
	for _, l := range large {
		options.LargeCommunities = append(options.LargeCommunities, l)
	}
	for i, n := range b.Neighbors {
		to := bgp.Neighbor{Address: n.Address, AS: uint32(n.AS), Port: n.Port, Local: n.LocalAddress, Hops: n.Hops, TTLSecurity: n.TTLSecurity, Hold: n.HoldTime}
		if i < len(o.neighbors) {
			to.Password = o.neighbors[i].Reveal()
		}
		if n.BFD > 0 {
			to.BFD = bfd.Settings{Interval: n.BFD, Multiplier: uint8(n.BFDMultiplier)}
		}
		options.Neighbors = append(options.Neighbors, to)
	}
	return bgp.Open(o.Name, bgp.New(options, o.log)), nil
}
