package config

import (
	"fmt"
	"net/netip"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Routes are those of witnesses' hosts to the addresses on lo.
type Routes struct {
	Ways []Way `key:"ways"`
}

// Way is one way to a data node.
type Way struct {
	Node    cluster.NodeName `key:"node"`
	Gateway netip.Addr       `key:"gateway"`
	Metric  int              `key:"metric"`
	Weight  int              `key:"weight"`
}

func routeKeys() []Key {
	return []Key{
		key("endpoints[].route.ways", Block).same().
			doc("Routes to the addresses on lo, on the hosts of the witnesses that nodes: names, which are routers, or clients: each leads to the primary of the record. Without ways to a node, its own address is the gateway, for addresses of the same family."),
		key("endpoints[].route.ways[].node", Text).required("name the data node that it leads to").same().like("db1").
			doc("The data node that it leads to."),
		key("endpoints[].route.ways[].gateway", IP).required("give the address of that node in a network of the router's").same().like("10.77.0.11").
			doc("Its address in a network that the witness's host is in."),
		key("endpoints[].route.ways[].metric", Integer).byDefault("100").between("1", "1000000").same().
			doc("Ways with the lowest metric are taken; others (floating static routes) once the interfaces of those are down."),
		key("endpoints[].route.ways[].weight", Integer).byDefault("1").between("1", "256").same().
			doc("This way's share of the connections among those to the same node with the same metric (ECMP)."),
	}
}

// WaysTo are the ways to a data node: those of the file, or its own address.
func (c *Config) WaysTo(n Node, r Routes) []Way {
	var all []Way
	for _, w := range r.Ways {
		if w.Node == n.Name {
			all = append(all, w)
		}
	}
	if len(all) == 0 {
		all = []Way{{Node: n.Name, Gateway: n.Address, Metric: 100, Weight: 1}}
	}
	return all
}

func (l *loader) judgeRoutes(block string, e Endpoint) {
	c := l.cfg
	routed := c.RoutedAddresses()
	if len(routed) == 0 {
		l.report(block, "leads to the addresses on lo, and there is none", "add one to addresses:, such as {address: 10.99.0.50, interface: lo}")
	}
	witness := len(e.Nodes) > 0
	for _, name := range e.Nodes {
		n, ok := c.NodeNamed(cluster.NodeName(name))
		witness = witness && (!ok || n.Role == cluster.Witness)
	}
	if !witness {
		l.report(block, "is for hosts that have no database", "name the witnesses whose hosts get the routes, such as nodes: [w1]")
	}
	seen := map[string]int{}
	for i, w := range e.Route.Ways {
		path := at(block+".ways", i, "")
		if n, ok := c.NodeNamed(w.Node); w.Node != "" && (!ok || n.Role != cluster.Data) {
			l.report(at(block+".ways", i, "node"), fmt.Sprintf("%q is no data node", w.Node), "name the one that it leads to")
		}
		if w.Gateway.IsValid() {
			l.once(seen, path, fmt.Sprintf("%s via %s, metric %d,", w.Node, w.Gateway, w.Metric), "write every way once")
		}
	}
	for _, n := range c.Nodes {
		for _, a := range routed {
			if n.Role == cluster.Data && !hasWay(c.WaysTo(n, e.Route), a) {
				l.report(block+".ways", fmt.Sprintf("there is no way to %s for %s", n.Name, a), "add one: {node: "+string(n.Name)+", gateway: …}, an address of the same family")
			}
		}
	}
}

func hasWay(ways []Way, a netip.Addr) bool {
	for _, w := range ways {
		if w.Gateway.Is4() == a.Is4() {
			return true
		}
	}
	return false
}
