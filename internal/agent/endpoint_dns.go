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
	for _, s := range d.Servers {
		if server, ok := config.DNSServer(s); ok {
			u.Servers = append(u.Servers, server)
		}
	}
	return dnsupdate.Open(o.Name, u)
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
