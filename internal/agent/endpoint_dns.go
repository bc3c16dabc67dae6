package agent

import (
	"net/netip"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/dnsupdate"
)

func openDNSName(o opening) (endpoint.Endpoint, error) {
	d := o.DNS
	u := dnsupdate.Options{Name: d.Name, Zone: d.Zone, TTL: d.TTL, SwitchTTL: d.SwitchTTL, SwitchFor: d.SwitchFor, Cluster: o.config.Cluster,
		Key: dnsupdate.Key{Name: d.Key, Algorithm: d.Algorithm, Secret: o.secret.Reveal()}, NodeOf: o.nodeOf, Wall: o.wall}
	u.Servers, u.Resolvers = dnsServers(d.Servers), dnsServers(d.Resolvers)
	return dnsupdate.Open(o.Name, u)
}

func dnsServers(written []string) (servers []netip.AddrPort) {
	for _, s := range written {
		if server, ok := config.DNSServer(s); ok {
			servers = append(servers, server)
		}
	}
	return servers
}

// nodeOf is whose server has an address.
func (o opening) nodeOf(a netip.Addr) (cluster.NodeName, bool) {
	for _, n := range o.config.Nodes {
		if n.Role == cluster.Data && n.Address == a {
			return n.Name, true
		}
	}
	return "", false
}
