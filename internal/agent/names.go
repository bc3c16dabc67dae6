package agent

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/dnsserver"
)

// names is what the loop tells the server of this node's zone.
type names struct {
	server    *dnsserver.Server
	maxLag    time.Duration
	orPrimary bool // readers are led to the primary where no replica is well
}

// openNames makes the server of the zone; nil if there is none.
func openNames(c *config.Config, log *slog.Logger) *dnsserver.Server {
	d := c.DNS
	if d.Zone == "" {
		return nil
	}
	z := dnsserver.Zone{Name: d.Zone, Cluster: c.Cluster, NameServers: d.NameServers, Primary: d.Primary, Replicas: d.Replicas, TTL: d.TTL, Stale: d.Stale}
	for _, n := range c.Nodes {
		known := dnsserver.Node{Name: n.Name, Address: n.Address}
		if n.Role == cluster.Data {
			known.Port = uint16(c.ServerOf(n.Name).Port)
		}
		z.Nodes = append(z.Nodes, known)
	}
	o := dnsserver.Options{Zone: z, Log: log}
	// Secondaries know this node by the address at which they ask it.
	for _, listen := range c.DNSListen() {
		if at, err := netip.ParseAddrPort(listen); err == nil && !o.From.IsValid() {
			if o.From = at.Addr(); o.From.IsUnspecified() {
				o.From = c.Self().Address
			}
		}
	}
	o.Secondaries = dnsServers(d.Secondaries)
	return dnsserver.New(o)
}

// answerDNS answers for the zone until ctx ends.
func (a *Agent) answerDNS(ctx context.Context, again time.Duration) {
	if a.names == nil {
		return
	}
	var telling sync.WaitGroup
	telling.Go(func() { a.names.Tell(ctx) })
	a.listenOn(ctx, a.Config.DNSListen(), again, cluster.DNSNotListening, a.names.Serve)
	telling.Wait()
}

// hearStore notes when the store was heard last with something that can be believed.
func (l *loop) hearStore(in reconcile.Input, w decide.World) {
	if in.Rev != 0 && w.Unreadable == "" && w.WentBack == "" { // what cannot be believed is no news
		l.heardStore = in.Now.Add(-l.hearing.quiet(in.Now))
	}
}

// name tells the server of the zone what this look came to.
func (l *loop) name(in reconcile.Input) {
	if l.names == nil || in.Rev == 0 {
		return
	}
	now := dnsserver.Snapshot{HeardAt: l.heardStore, Epoch: in.Record.Epoch, Primary: l.ledByName(in)}
	newest := in.Rev
	for _, n := range in.Settings.DataNodes() {
		newest = max(newest, l.Board.Facts[n].Rev)
		if _, ok := l.readable(n, in, l.names.maxLag); ok && n != now.Primary {
			now.Replicas = append(now.Replicas, n)
		}
	}
	if len(now.Replicas) == 0 && l.names.orPrimary && now.Primary != "" {
		now.Replicas = []cluster.NodeName{now.Primary}
	}
	l.names.server.Know(now.After(l.names.server.Known(), newest))
}

// saidBy is what a node last said of itself, and when this node heard it.
func (l *loop) saidBy(n cluster.NodeName, in reconcile.Input) (f cluster.Fact, at cluster.Instant, ok bool) {
	if n == in.Self {
		return in.Own, in.Now, true
	}
	seen, ok := l.Board.Facts[n]
	return seen.Value, seen.At, ok
}

// ledByName is where the primary's name leads: to the node that serves, and during a
// switch to the one before until the next one does. A connection that is refused is
// tried again; a name without an address is not found, and that is remembered.
func (l *loop) ledByName(in reconcile.Input) cluster.NodeName {
	r := in.Record
	switch r.Phase {
	case cluster.PhaseSteady, cluster.PhaseHandoff:
		return r.Primary
	case cluster.PhasePromoting:
		if f, _, ok := l.saidBy(r.Primary, in); ok && f.Serving >= r.Epoch {
			return r.Primary
		}
	}
	return r.Previous
}

// quietFor is for how many beats a node may have said nothing, while others were
// heard, before readers are not led to it any more.
const quietFor = 4

// readable reports whether clients that read may be led to a node, and how far it is
// behind. One that receives nothing may while it is not too far behind: when the primary
// dies, no replica receives anything.
func (l *loop) readable(n cluster.NodeName, in reconcile.Input, maxLag time.Duration) (behind time.Duration, ok bool) {
	f, at, ok := l.saidBy(n, in)
	if !ok || l.heardStore.Sub(at) > quietFor*l.Settings.Beat || notReadable(n, f, reconcile.GateMode(f.Gate), in) != "" {
		return 0, false
	}
	// Where the primary is was heard from the store, too.
	applied, known := l.lag.AppliedAt(f.Server.Executed)
	behind = min(at, l.heardStore).Sub(applied)
	return behind, known && behind <= maxLag
}
