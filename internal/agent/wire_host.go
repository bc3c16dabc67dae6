package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/endpoint/vip"
	"github.com/baton-db/baton/internal/fence"
)

// gateOf is the gate of package fence, with nodes in place of addresses.
type gateOf struct {
	*fence.Gate
	sources map[cluster.NodeName]netip.AddrPort // the other nodes' servers
}

func (g gateOf) State(ctx context.Context) (GateState, error) {
	s, err := g.Gate.State(ctx)
	if err != nil {
		return GateState{}, err
	}
	state := GateState{Mode: reconcile.GateMode(s.Mode), Cut: s.Cut}
	for n, at := range g.sources {
		if slices.Contains(s.Blocked, at) {
			state.Blocked = append(state.Blocked, n)
		}
	}
	slices.Sort(state.Blocked)
	return state, nil
}

func (g gateOf) Block(ctx context.Context, nodes ...cluster.NodeName) error {
	return g.Gate.Block(ctx, g.at(nodes)...)
}

func (g gateOf) Unblock(ctx context.Context, nodes ...cluster.NodeName) error {
	if len(nodes) == 0 {
		for n := range g.sources {
			nodes = append(nodes, n)
		}
	}
	return g.Gate.Unblock(ctx, g.at(nodes)...)
}

func (g gateOf) at(nodes []cluster.NodeName) []netip.AddrPort {
	var all []netip.AddrPort
	for _, n := range nodes {
		if at, ok := g.sources[n]; ok {
			all = append(all, at)
		}
	}
	return all
}

// noGate stands in where the host has no nftables. What it cannot do it says.
type noGate struct{}

func (noGate) State(context.Context) (GateState, error) {
	return GateState{Mode: reconcile.GateMissing}, nil
}
func (noGate) Close(context.Context) error                        { return ErrNoGate }
func (noGate) OpenReadOnly(context.Context) error                 { return ErrNoGate }
func (noGate) OpenUntil(context.Context, cluster.Instant) error   { return ErrNoGate }
func (noGate) Cut(context.Context, ...cluster.NodeName) error     { return ErrNoGate }
func (noGate) Uncut(context.Context, ...cluster.NodeName) error   { return ErrNoGate }
func (noGate) Block(context.Context, ...cluster.NodeName) error   { return ErrNoGate }
func (noGate) Unblock(context.Context, ...cluster.NodeName) error { return ErrNoGate }

// socketsOf destroys the connections of clients, not those between the nodes.
type socketsOf struct{ scope fence.Scope }

func (s socketsOf) DestroyClients(ctx context.Context) (int, error) {
	return fence.DestroyClientSockets(ctx, s.scope)
}

// scopeOf says which traffic is the database's and which is between the nodes.
func scopeOf(c *config.Config) fence.Scope {
	self := c.Self()
	own := c.ServerOf(self.Name)
	scope := fence.Scope{Ports: []uint16{uint16(own.Port)}, Own: []netip.Addr{self.Address}, Peers: map[cluster.NodeName][]netip.Addr{}}
	if own.ExtraPort != 0 {
		scope.Ports = append(scope.Ports, uint16(own.ExtraPort))
	}
	for _, n := range c.Nodes {
		if n.Name != self.Name {
			scope.Peers[n.Name] = []netip.Addr{n.Address}
		}
	}
	return scope
}

// sourcesOf are the addresses of the other data nodes' servers.
func sourcesOf(c *config.Config) map[cluster.NodeName]netip.AddrPort {
	all := map[cluster.NodeName]netip.AddrPort{}
	for _, n := range c.Nodes {
		if n.Role == cluster.Data && n.Name != c.Node {
			all[n.Name] = netip.AddrPortFrom(n.Address, uint16(c.ServerOf(n.Name).Port))
		}
	}
	return all
}

// addressesOf is the set of virtual addresses as the configuration has them.
func addressesOf(c *config.Config) (vip.Config, error) {
	return groupOf(c, "", c.Addresses)
}

// groupOf is one group of virtual addresses.
func groupOf(c *config.Config, group string, addresses []config.Address) (vip.Config, error) {
	cfg := vip.Config{Cluster: c.Cluster, Group: group}
	for _, a := range addresses {
		mac, err := vip.ParseMAC(a.MAC, c.Cluster, a.Address)
		if err != nil {
			return cfg, fmt.Errorf("the virtual address %s: %w", a.Address, err)
		}
		cfg.Addresses = append(cfg.Addresses, vip.Address{IP: a.Address, Interface: a.Interface, MAC: mac})
	}
	return cfg, nil
}

// sweep removes what an earlier configuration left of a group.
func sweep(cfg vip.Config, log *slog.Logger) {
	if swept, err := vip.Sweep(cfg); err != nil {
		log.Warn("remove what an earlier configuration left of virtual addresses", "err", err)
	} else if len(swept) > 0 {
		log.Info("removed what an earlier configuration left of virtual addresses", "removed", swept)
	}
}

// vipOf is the set of virtual addresses of package vip, with what an earlier
// probe found kept for the Bind after it.
type vipOf struct {
	*vip.Set
	blame func(cluster.Reason, string)
	log   *slog.Logger

	mu     sync.Mutex
	probed vip.Findings
}

func (v *vipOf) Probe(ctx context.Context) error {
	found, err := v.Set.Probe(ctx)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.probed = found
	return err
}

func (v *vipOf) Bind(ctx context.Context, until cluster.Instant, members map[string]cluster.NodeName) error {
	v.mu.Lock()
	probed := v.probed
	v.probed = nil
	v.mu.Unlock()
	report, err := v.Set.Bind(ctx, vip.Claim{Until: until, Members: members, Probed: probed})
	var foreign string
	for _, a := range report {
		v.log.Debug("bind an address", "address", a.Address, "outcome", a.Outcome, "probe", a.Probe, "add", a.Add, "route", a.Route, "announce", a.Announce, "err", a.Err)
		switch a.Reason {
		case cluster.AddressDuplicate:
			// Expected while its kernel still holds it: it is muted, or its end
			// there is near. The announcements go on. Under the address's own
			// link-layer address all nodes answer alike, and none is named.
			v.log.Warn("a node whose reign is over still answers for an address", "address", a.Address.String(), "node", a.Node, "mac", a.Owner.String())
		case cluster.AddressForeign:
			foreign = a.Address.String() + " is used by " + a.Owner.String() + ", which is no node of this cluster"
		}
	}
	v.blame(cluster.AddressForeign, foreign)
	return err
}

func (v *vipOf) Observe(ctx context.Context) ([]string, bool, error) {
	o, err := v.Set.Observe(ctx)
	return o.Bound(), o.Muted, err
}

// lookedAtAddresses are the virtual addresses as an agent that only observes
// sees them: whoever bound them, and it binds none.
type lookedAtAddresses struct {
	noAddresses
	wanted []netip.Addr
}

func (l lookedAtAddresses) Observe(context.Context) (bound []string, muted bool, err error) {
	have, err := net.InterfaceAddrs()
	if err != nil {
		return nil, false, fmt.Errorf("look for the virtual addresses: %w", err)
	}
	for _, a := range l.wanted {
		if slices.ContainsFunc(have, func(h net.Addr) bool {
			n, err := netip.ParsePrefix(h.String())
			return err == nil && n.Addr().Unmap() == a
		}) {
			bound = append(bound, a.String())
		}
	}
	return bound, false, nil
}

// noAddresses stands in for a cluster without virtual addresses.
type noAddresses struct{}

func (noAddresses) Probe(context.Context) error { return nil }
func (noAddresses) Bind(context.Context, cluster.Instant, map[string]cluster.NodeName) error {
	return nil
}
func (noAddresses) Extend(context.Context, cluster.Instant) error   { return nil }
func (noAddresses) Mute(context.Context) error                      { return nil }
func (noAddresses) Unmute(context.Context) error                    { return nil }
func (noAddresses) Drop(context.Context) error                      { return nil }
func (noAddresses) Observe(context.Context) ([]string, bool, error) { return nil, false, nil }
