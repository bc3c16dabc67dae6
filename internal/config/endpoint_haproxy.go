package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
)

// HAProxy is a backend of a HAProxy, or of several.
type HAProxy struct {
	Sockets  []string `key:"sockets"`
	Backend  string   `key:"backend"`
	Server   string   `key:"server"`
	Servers  []string `key:"servers"`
	Shutdown bool     `key:"shutdown_sessions"`
}

func haproxyKeys() []Key {
	return []Key{
		key("endpoints[].haproxy.sockets", Words).same().like("[/run/haproxy/admin.sock]").
			doc("A backend of HAProxy, changed at once over the runtime API: where that is, the path of a `stats socket … level admin`, or an address with a port. Several are set at the same time, and all must be right. Whoever reaches such a port may do anything with HAProxy: bind it to loopback or to a network of your own.",
				"With nodes: it is that of each of these hosts, which its own agent sets; without, the primary's agent sets it."),
		key("endpoints[].haproxy.backend", Text).same().like("mysql-write").
			doc("The backend, or listen section."),
		key("endpoints[].haproxy.server", Text).same().like("current").
			doc("Its one server, whose address is changed. Empty: it has a server for each data node, of which one is ready and the others are in maintenance."),
		key("endpoints[].haproxy.servers", Words).same().like("[db1=mysql1, db2=mysql2]").
			doc("The names of those servers, where they are not the nodes'."),
		key("endpoints[].haproxy.shutdown_sessions", YesNo).byDefault("true").same().
			doc("End the sessions to a server that clients are led away from. Those to a dead host would hang otherwise."),
	}
}

var haproxyName = regexp.MustCompile(`^[A-Za-z0-9_.:-]+$`)

func (l *loader) judgeHAProxy(block string, endpoint Endpoint) {
	e := endpoint.HAProxy
	if len(e.Sockets) == 0 {
		l.report(block+".sockets", "is missing", "write where the runtime API is, such as [/run/haproxy/admin.sock]")
	}
	seen := map[string]int{}
	for i, s := range e.Sockets {
		path := at(block+".sockets", i, "")
		l.once(seen, path, s, "name every HAProxy once")
		if on, err := netip.ParseAddrPort(s); !strings.HasPrefix(s, "/") && (err != nil || on.Port() == 0) {
			l.report(path, fmt.Sprintf("%q is neither a path nor an address with a port", s), "write it like /run/haproxy/admin.sock or 10.77.0.60:9999")
		}
	}
	name := func(path, value, what string) {
		if value != "" && !haproxyName.MatchString(value) {
			l.report(path, fmt.Sprintf("%q is no name of a %s", value, what), "write it as HAProxy's configuration has it")
		}
	}
	if e.Backend == "" {
		l.report(block+".backend", "is missing", "write the name of the backend, such as mysql-write")
	}
	name(block+".backend", e.Backend, "backend")
	name(block+".server", e.Server, "server")
	if e.Server != "" && len(e.Servers) > 0 {
		l.report(block+".servers", "the backend's one server is named already", "give server for one whose address is changed, or servers for one of each node")
		return
	}
	l.judgeByNode(block+".servers", e.Servers, "server", "db1=mysql1", func(path, server string) { name(path, server, "server") })
}

// judgeByNode: words such as db1=mysql1 name something of data nodes, each once.
func (l *loader) judgeByNode(block string, words []string, what, like string, judge func(path, name string)) {
	names, nodes := map[string]int{}, map[string]int{}
	for i, s := range words {
		path := at(block, i, "")
		node, name, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			l.report(path, fmt.Sprintf("%q does not say which node has which %s", s, what), "write it as "+like)
			continue
		}
		judge(path, name)
		l.once(names, path, name, fmt.Sprintf("give every node a %s of its own", what))
		l.once(nodes, path, node, "name every node once")
		if n, ok := l.cfg.NodeNamed(cluster.NodeName(node)); !ok || n.Role != cluster.Data {
			l.report(path, fmt.Sprintf("%q is no data node", node), "use "+orList(l.dataNodes()))
		}
	}
}

// byNode takes such words apart.
func byNode(words []string) map[cluster.NodeName]string {
	names := map[cluster.NodeName]string{}
	for _, s := range words {
		node, name, _ := strings.Cut(s, "=")
		names[cluster.NodeName(node)] = name
	}
	return names
}

// dataNodes are the names of the nodes that have a server.
func (l *loader) dataNodes() []string {
	var names []string
	for _, n := range l.cfg.Nodes {
		if n.Role == cluster.Data {
			names = append(names, string(n.Name))
		}
	}
	slices.Sort(names)
	return names
}

// ServerNames are the names of the servers by node, where they are not the nodes'.
func (h HAProxy) ServerNames() map[cluster.NodeName]string {
	return byNode(h.Servers)
}
