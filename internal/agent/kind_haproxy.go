package agent

import (
	"net/netip"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/haproxy"
)

func openHAProxy(o opening) (endpoint.Endpoint, error) {
	h := o.HAProxy
	return haproxy.Open(o.Name, haproxy.Options{Sockets: h.Sockets, Backend: h.Backend, Server: h.Server, Servers: h.ServerNames(),
		Shutdown: h.Shutdown, Nodes: serverAddresses(o.config)}), nil
}

// serverAddresses are the addresses of all data nodes' servers, this one's too.
func serverAddresses(c *config.Config) map[cluster.NodeName]netip.AddrPort {
	all := map[cluster.NodeName]netip.AddrPort{}
	for _, n := range c.Nodes {
		if n.Role == cluster.Data {
			all[n.Name] = netip.AddrPortFrom(n.Address, uint16(c.ServerOf(n.Name).Port))
		}
	}
	return all
}
