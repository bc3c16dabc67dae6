package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/detect"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/endpoint/vip"
	"github.com/baton-db/baton/internal/fence"
	"github.com/baton-db/baton/internal/realtime"
)

// hostParts are the parts of an agent that touch its host.
type hostParts struct {
	witness  bool
	observes bool // mode observe: nothing of the host is changed
	lock     *os.File

	gate     Gate
	fenceMu  sync.Mutex
	fence    *fence.Gate // nil without nftables, and before the gate is needed
	vip      Addresses
	set      *vip.Set // nil without virtual addresses
	database db.Server
	process  *serverProcess
	observer *observer
	hands    *hands
	cloner   *cloner
	auditor  *auditor
	roads    *roads     // endpoints beside the addresses; nil if this node only observes
	heater   *preheater // nil on a witness
	clients  *clients   // nil where no ledger is kept
	takeover *takeover  // nil on a node that only observes, too

	outside   *vip.Asker // nil without virtual addresses
	outsiders *outsiders // nil on a witness, on a node that only observes, and without a direct link

	readers    *readerAddresses // nil on a witness, on a node that only observes, and where there are none
	readersSet *vip.Set

	deadLogs *deadLogs
	logs     *logKeeper
	probes   *clientProbes // nil on a witness
	realtime realtime.Granted

	disk         atomic.Pointer[detect.Disk] // of the server's data, as it was seen last
	writeTook    atomic.Int64                // how long the last write that was made took, in nanoseconds; 0: there was none in this reign
	writesSilent atomic.Bool                 // the last write of the primary did not come back
}

// openHost opens what the agent needs of its host. Only the gate changes
// something, and only on a host that Baton has managed before or manages now.
func openHost(ctx context.Context, a *Agent) (h *hostParts, err error) {
	c := a.Config
	h = &hostParts{witness: c.Self().Role == cluster.Witness, observes: c.Mode == cluster.Observe, gate: noGate{}, vip: noAddresses{}}
	if h.lock, err = lockHost(c); err != nil {
		return nil, err
	}
	if c.Realtime && !h.observes {
		h.realtime = realtime.Enable(0)
		if err := errors.Join(h.realtime.Scheduling, h.realtime.Memory); err != nil {
			a.Log.Warn("not everything of real-time was granted", "err", err)
		}
	}
	if !h.observes {
		if h.roads, err = openRoads(a); err != nil {
			return nil, err
		}
	}
	h.openOutside(a)
	if h.witness {
		return h, nil
	}
	if err := h.openServer(a); err != nil {
		return nil, err
	}
	if h.observes {
		var wanted []netip.Addr
		for _, addr := range c.Addresses {
			wanted = append(wanted, addr.Address)
		}
		h.vip = lookedAtAddresses{wanted: wanted}
		return h, nil
	}
	if err := h.openGate(ctx, a); err != nil {
		return nil, err
	}
	if err := h.openAddresses(a); err != nil {
		return nil, err
	}
	return h, h.openReaders(a)
}

// lockHost makes sure that one agent of a cluster runs on a host at a time.
func lockHost(c *config.Config) (*os.File, error) {
	for _, dir := range []string{c.RunDir, c.StateDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make the agent's directory: %w", err)
		}
	}
	path := filepath.Join(c.RunDir, c.Cluster+".lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the agent's lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another agent of cluster %s runs on this host (it holds %s): %w", c.Cluster, path, err), f.Close())
	}
	return f, nil
}

// join ties the host's parts to the loop.
func (h *hostParts) join(a *Agent, l *loop) {
	l.Realtime = a.Config.Realtime && h.realtime.Scheduling == nil
	l.roads = h.roads
	if h.witness {
		h.joinOutside(a, l)
		return
	}
	h.hands.gate, h.hands.vip, h.hands.keeper = h.gate, h.vip, l.keeper
	h.hands.sockets = socketsOf{scopeOf(a.Config)}
	h.hands.situation = l.situation.get
	_, l.Host.NoCut = h.gate.(*weakGate)
	l.Host.Rewinding = h.hands.rewinder.unfinished()
	l.lanes.perform = h.hands.perform
	l.auditor, l.deadLogs = h.auditor, h.deadLogs
	l.kick, l.heater = h.observer.kick, h.heater
	if l.clients = h.clients; h.clients != nil && !h.observes {
		h.takeover = newTakeover(h.clients, func(epoch cluster.Epoch) bool {
			held, _ := l.keeper.state()
			return held.Valid(epoch, clock.Now())
		}, func() bool { return a.inForce().config.Conns.Tickle }, a.recorder)
		l.takeover = h.takeover
	}
	h.cloner.seen.Store(&l.situation)
	l.Host.Unfinished = h.cloner.resume()
	l.Host.Startable = len(a.Config.ServerOf(a.Config.Node).Start) > 0
	if h.set != nil {
		macs, err := h.set.MACs()
		if err != nil {
			a.Log.Warn("read the link-layer addresses", "err", err)
		}
		l.MACs = macs
	}
	h.joinOutside(a, l)
	h.joinReaders(a, l)
}

// spawn starts what runs beside the loop.
func (h *hostParts) spawn(ctx context.Context, a *Agent) {
	if h.roads != nil {
		h.roads.run(ctx, a.spawn)
	}
	h.spawnOutside(ctx, a)
	if h.witness {
		return
	}
	h.spawnReaders(ctx, a)
	a.spawn(func() { h.process.run(ctx) })
	a.spawn(func() { h.observer.run(ctx) })
	a.spawn(func() { h.lookAround(ctx, a) })
	a.spawn(func() { h.auditor.run(ctx) })
	if h.heater != nil {
		a.spawn(func() { h.heater.run(ctx) })
	}
	if h.clients != nil {
		a.spawn(func() { h.clients.run(ctx) })
	}
	if h.takeover != nil {
		a.spawn(func() { h.takeover.run(ctx) })
	}
	if !h.observes { // the probe writes
		a.spawn(func() { h.deadLogs.run(ctx) })
		a.spawn(func() { h.proveWriting(ctx, a) })
		a.spawn(func() { trackNetworks(ctx, a) })
	}
	a.spawn(func() { h.watchDisk(ctx, a) })
	a.spawn(func() { h.watchStrains(ctx, a) })
	a.spawn(func() { h.probes.run(ctx) })
	if h.set != nil {
		a.spawn(func() {
			if err := h.set.Run(ctx); err != nil && ctx.Err() == nil {
				a.Log.Error("announce and watch the addresses", "err", err)
			}
		})
		a.spawn(func() { h.watchAddresses(ctx, a) })
	}
	a.spawn(func() { h.watchGate(ctx, a) })
}

// close removes what Baton put on the host: a clean stop leaves nothing but a
// gate that is still needed.
func (h *hostParts) close(ctx context.Context) error {
	var errs []error
	if h.set != nil {
		errs = append(errs, h.set.Drop(ctx), h.set.Close())
	}
	if h.outside != nil {
		errs = append(errs, h.outside.Close())
	}
	if h.readersSet != nil {
		errs = append(errs, h.readersSet.Drop(ctx), h.readersSet.Close())
	}
	if f := h.firewall(); f != nil && h.harmless(ctx) {
		errs = append(errs, f.Remove(ctx))
	} else if f != nil {
		// Whoever stops this agent must not open the port to a writable server:
		// the gate stays, and its timers run.
		f.Leave()
	}
	if h.roads != nil {
		errs = append(errs, h.roads.close())
	}
	if h.database != nil {
		errs = append(errs, h.database.Close())
	}
	if h.lock != nil {
		errs = append(errs, h.lock.Close())
	}
	return errors.Join(errs...)
}

// bootID identifies the present boot of this host.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}
