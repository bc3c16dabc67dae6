package agent

import (
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/route"
)

func openRoutes(o opening) (endpoint.Endpoint, error) {
	r := route.Options{Owner: string(o.config.Cluster) + "/" + o.Name, Addresses: o.config.RoutedAddresses(), Ways: map[cluster.NodeName][]route.Way{}}
	for _, n := range o.config.Nodes {
		if n.Role != cluster.Data {
			continue
		}
		for _, w := range o.config.WaysTo(n, o.Route) {
			r.Ways[n.Name] = append(r.Ways[n.Name], route.Way{Gateway: w.Gateway, Metric: w.Metric, Weight: w.Weight})
		}
	}
	return route.Open(o.Name, r)
}
