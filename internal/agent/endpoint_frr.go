package agent

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/frr"
)

func openFRR(o opening) (endpoint.Endpoint, error) {
	f := o.FRR
	return frr.Open(o.Name, frr.Options{Vtysh: f.Command(), Addresses: o.config.RoutedAddresses(), Here: isHere, RouteMap: f.RouteMap,
		Neighbors: f.Routers(), Self: o.config.Node, Limit: o.Timeout}), nil
}

// isHere reports whether this host has an address.
func isHere(a netip.Addr) (bool, error) {
	have, err := net.InterfaceAddrs()
	if err != nil {
		return false, fmt.Errorf("look whether %s is on this host: %w", a, err)
	}
	return slices.ContainsFunc(have, func(h net.Addr) bool {
		p, err := netip.ParsePrefix(h.String())
		return err == nil && p.Addr().Unmap() == a
	}), nil
}
