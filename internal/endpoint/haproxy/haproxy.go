// Package haproxy answers to which node HAProxies lead, and leads them to another,
// over their runtime API: no file of theirs is written and nothing is reloaded.
//
// A backend has either one server whose address is changed, or one for each node, of
// which exactly one is ready. It never adds or removes servers: they are in HAProxy's
// own configuration, which also says what a restarted HAProxy begins with. The rule:
// of the servers of nodes never two are made ready; the others are in maintenance
// before that one is.
package haproxy

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
)

// Options say which HAProxies, and what of them.
type Options struct {
	// Sockets are where their runtime API is: a path, or an address and a port. All of
	// them are to lead to the same node.
	Sockets []string
	Backend string
	// Server is the one server of the backend whose address is changed. If it is empty
	// there is one for each node.
	Server string
	// Servers are the names of those, where they are not the nodes'.
	Servers map[cluster.NodeName]string
	// Shutdown says that sessions to a server that clients are led away from are ended.
	Shutdown bool
	// Nodes are the addresses of the nodes' servers.
	Nodes map[cluster.NodeName]netip.AddrPort
}

// Endpoint is one backend, in one HAProxy or several. It implements endpoint.Endpoint.
type Endpoint struct {
	name  string
	o     Options
	guard endpoint.EpochGuard
	tells []string            // what each HAProxy said of its server at the last look
	found []map[string]server // what each found of its servers then; for words only
}

// Open prepares the use of a backend. It connects to nobody.
func Open(name string, o Options) *Endpoint {
	return &Endpoint{name: name, o: o, found: make([]map[string]server, len(o.Sockets))}
}

// Observe implements endpoint.Endpoint. HAProxies that lead to different nodes, and a
// server that HAProxy's own checks have found down, are seen to be astray.
func (e *Endpoint) Observe(ctx context.Context) (endpoint.Target, error) {
	targets := make([]endpoint.Target, len(e.o.Sockets))
	e.tells = make([]string, len(e.o.Sockets))
	err := e.each(func(i int, socket string) (err error) {
		servers, err := states(ctx, socket, e.o.Backend, true)
		if err == nil {
			for name, s := range servers {
				s.finds = s.finds.or(e.found[i][name].finds)
				servers[name] = s
			}
			e.found[i] = servers
			targets[i], err = e.leads(servers)
			e.tells[i] = e.tell(socket, servers, targets[i].Node)
		}
		return err
	})
	if err != nil {
		return endpoint.Target{}, err
	}
	return endpoint.Agree(e.o.Sockets, targets)
}

// Tells implements endpoint.Teller: whether HAProxy itself finds the server up that it
// leads to, and by which check.
func (e *Endpoint) Tells() string {
	return strings.Join(slices.DeleteFunc(slices.Clone(e.tells), func(t string) bool { return t == "" }), "; ")
}

// tell is what one HAProxy says of the server that leads to a node.
func (e *Endpoint) tell(socket string, servers map[string]server, to cluster.NodeName) string {
	name := e.o.Server
	if name == "" {
		name = e.serverOf(to)
	}
	s, ok := servers[name]
	finds := s.finds.steady()
	switch {
	case to == "" || !ok || finds == "":
		return ""
	case finds == "no check":
		return fmt.Sprintf("HAProxy at %s has %s/%s ready, and does not check it", socket, e.o.Backend, name)
	}
	return fmt.Sprintf("HAProxy at %s finds %s/%s %s", socket, e.o.Backend, name, finds)
}

// each does something with every HAProxy at the same time.
func (e *Endpoint) each(do func(i int, socket string) error) error {
	return endpoint.Each("HAProxy", e.o.Sockets, do)
}

// leads says to which node the backend leads whose servers these are.
func (e *Endpoint) leads(servers map[string]server) (endpoint.Target, error) {
	if e.o.Server != "" {
		s, err := e.find(servers, e.o.Server)
		if err != nil || !s.ready() {
			return endpoint.Target{}, err
		}
		for _, n := range slices.Sorted(maps.Keys(e.o.Nodes)) {
			if e.o.Nodes[n] == s.at {
				return e.target(n), e.up(s)
			}
		}
		return endpoint.Target{}, endpoint.Astray("%s/%s is at %s, where no node's server is", e.o.Backend, s.name, s.at)
	}
	var ready []cluster.NodeName
	for _, n := range slices.Sorted(maps.Keys(e.o.Nodes)) {
		s, err := e.find(servers, e.serverOf(n))
		if err != nil {
			return endpoint.Target{}, err
		}
		if s.ready() {
			ready = append(ready, n)
		}
	}
	switch len(ready) {
	case 0:
		return endpoint.Target{}, nil
	case 1:
		return e.target(ready[0]), e.up(servers[e.serverOf(ready[0])])
	}
	return endpoint.Target{}, endpoint.Astray("backend %s leads to %v at the same time", e.o.Backend, ready)
}

func (e *Endpoint) target(n cluster.NodeName) endpoint.Target {
	at := e.o.Nodes[n]
	return endpoint.Target{Node: n, Addresses: []netip.Addr{at.Addr()}, Port: int(at.Port())}
}

// up says that HAProxy sends nobody to a server although it may.
func (e *Endpoint) up(s server) error {
	if s.down {
		return endpoint.Astray("%s/%s is ready, but HAProxy's own checks find it %s", e.o.Backend, s.name, cmp.Or(s.finds.String(), "down"))
	}
	return nil
}

func (e *Endpoint) serverOf(n cluster.NodeName) string {
	if name, ok := e.o.Servers[n]; ok {
		return name
	}
	return string(n)
}

func (e *Endpoint) find(servers map[string]server, name string) (server, error) {
	s, ok := servers[name]
	if !ok {
		return server{}, fmt.Errorf("backend %s has no server %s, only %s", e.o.Backend, name, strings.Join(slices.Sorted(maps.Keys(servers)), ", "))
	}
	return s, nil
}

// Set implements endpoint.Endpoint. It changes only what is not so yet, all of one
// HAProxy in one go.
func (e *Endpoint) Set(ctx context.Context, target endpoint.Target) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := e.guard.Pass(e.name, target.Epoch); err != nil {
		return err
	}
	return e.each(func(_ int, socket string) error {
		servers, err := states(ctx, socket, e.o.Backend, false)
		if err != nil {
			return err
		}
		commands, err := e.commands(servers, target)
		if err != nil || len(commands) == 0 {
			return err
		}
		return perform(ctx, socket, commands)
	})
}

// commands are what makes a backend lead to target.
func (e *Endpoint) commands(servers map[string]server, target endpoint.Target) ([]string, error) {
	if e.o.Server != "" {
		s, err := e.find(servers, e.o.Server)
		if err != nil {
			return nil, err
		}
		return e.slot(s, target)
	}
	var off, on []string
	for _, n := range slices.Sorted(maps.Keys(e.o.Nodes)) {
		s, err := e.find(servers, e.serverOf(n))
		switch {
		case err != nil:
			return nil, err
		case n == target.Node && !s.ready():
			on = append(on, e.set(s.name, "state ready"))
		case n != target.Node && !s.inMaintenance():
			off = append(off, e.set(s.name, "state maint"))
			off = append(off, e.shutdown(s.name)...)
		}
	}
	return append(off, on...), nil
}

// slot is for a backend with one server.
func (e *Endpoint) slot(s server, target endpoint.Target) ([]string, error) {
	if target.Node == "" {
		if s.inMaintenance() {
			return nil, nil
		}
		return append([]string{e.set(s.name, "state maint")}, e.shutdown(s.name)...), nil
	}
	if len(target.Addresses) == 0 {
		return nil, fmt.Errorf("%s has no address to lead to", target)
	}
	var commands []string
	want := netip.AddrPortFrom(target.Addresses[0], uint16(target.Port))
	if s.at != want {
		commands = append(commands, e.set(s.name, fmt.Sprintf("addr %s port %d", want.Addr(), want.Port())))
		commands = append(commands, e.shutdown(s.name)...)
	}
	if !s.ready() {
		commands = append(commands, e.set(s.name, "state ready"))
	}
	return commands, nil
}

func (e *Endpoint) set(server, what string) string {
	return fmt.Sprintf("set server %s/%s %s", e.o.Backend, server, what)
}

func (e *Endpoint) shutdown(server string) []string {
	if !e.o.Shutdown {
		return nil
	}
	return []string{fmt.Sprintf("shutdown sessions server %s/%s", e.o.Backend, server)}
}
