package fence

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Cut ends the replication of those nodes from this server, in both
// directions, and keeps it so: what they send to the database port is reset,
// nothing but resets goes to them, and the connections they have are destroyed.
func (g *Gate) Cut(ctx context.Context, nodes ...cluster.NodeName) error {
	if err := g.setCut(ctx, nodes, true); err != nil {
		return fmt.Errorf("cut %v: gate %s: %w", nodes, g.table, err)
	}
	// An idle replica sends nothing that could be reset, and would wait on.
	addrs := g.cfg.peerAddrs(nodes)
	g.diagMu.Lock()
	defer g.diagMu.Unlock()
	_, err := destroy(ctx, g.diag, g.cfg.Ports, diagLocal, func(s Socket) bool {
		return slices.Contains(addrs, s.Remote.Addr()) && slices.Contains(g.cfg.Own, s.Local.Addr())
	})
	if err != nil {
		return fmt.Errorf("cut %v: gate %s holds, but their connections could not be destroyed: %w", nodes, g.table, err)
	}
	return nil
}

// Uncut lets those nodes replicate from here again.
func (g *Gate) Uncut(ctx context.Context, nodes ...cluster.NodeName) error {
	if err := g.setCut(ctx, nodes, false); err != nil {
		return fmt.Errorf("uncut %v: gate %s: %w", nodes, g.table, err)
	}
	return nil
}

func (g *Gate) setCut(ctx context.Context, nodes []cluster.NodeName, cut bool) error {
	for _, n := range nodes {
		if len(g.cfg.Peers[n]) == 0 {
			return fmt.Errorf("node %q is no peer with an address", n)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.want.cut = without(g.want.cut, nodes)
	if cut {
		g.want.cut = append(g.want.cut, unique(nodes)...)
	}
	return g.rewrite(ctx, setCut, func(f family) []element { return f.addrElements(g.cfg.peerAddrs(g.want.cut)) })
}

// Block ends this host's own replication from those sources (address and
// database port) and keeps it so: what it sends there is reset at once, what
// comes from there too, and the connections that exist are destroyed, so that
// a receiver that waits there returns within milliseconds.
func (g *Gate) Block(ctx context.Context, sources ...netip.AddrPort) error {
	if err := g.setSources(ctx, sources, true); err != nil {
		return fmt.Errorf("block the path to %v: gate %s: %w", sources, g.table, err)
	}
	var ports []uint16
	for _, s := range sources {
		ports = append(ports, s.Port())
	}
	slices.Sort(ports)
	g.diagMu.Lock()
	defer g.diagMu.Unlock()
	_, err := destroy(ctx, g.diag, slices.Compact(ports), diagRemote, func(s Socket) bool { return slices.Contains(sources, s.Remote) })
	if err != nil {
		return fmt.Errorf("block the path to %v: gate %s holds, but the connections could not be destroyed: %w", sources, g.table, err)
	}
	return nil
}

// Unblock lets this host replicate from those sources again.
func (g *Gate) Unblock(ctx context.Context, sources ...netip.AddrPort) error {
	if err := g.setSources(ctx, sources, false); err != nil {
		return fmt.Errorf("unblock the path to %v: gate %s: %w", sources, g.table, err)
	}
	return nil
}

func (g *Gate) setSources(ctx context.Context, sources []netip.AddrPort, block bool) error {
	for _, s := range sources {
		if !s.IsValid() || s.Addr().Is4In6() || s.Addr().Zone() != "" || s.Port() == 0 {
			return fmt.Errorf("source %v: use a plain address and a port", s)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.want.sources = without(g.want.sources, sources)
	if block {
		g.want.sources = append(g.want.sources, unique(sources)...)
	}
	return g.rewrite(ctx, setSources, func(f family) []element { return f.sourceElements(g.want.sources) })
}

// rewrite replaces what the sets of that name hold, both families in one step.
func (g *Gate) rewrite(ctx context.Context, name string, elems func(family) []element) error {
	b := newBatch(g.table)
	for _, f := range families() {
		b.flushSet(name + f.suffix)
		b.addElements(name+f.suffix, elems(f))
	}
	err := b.commit(ctx, g.nft)
	if errors.Is(err, unix.ENOENT) {
		err = g.reinstall(ctx)
	}
	return err
}

// without returns a new slice of those of have that are not in gone.
func without[T comparable](have, gone []T) []T {
	var left []T
	for _, h := range have {
		if !slices.Contains(gone, h) {
			left = append(left, h)
		}
	}
	return left
}

func unique[T comparable](in []T) []T {
	var out []T
	for _, v := range in {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}
