package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/detect"
	"github.com/baton-db/baton/internal/core/node"
	"github.com/baton-db/baton/internal/datadir"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/flavor"
	"github.com/baton-db/baton/internal/endpoint/vip"
	"github.com/baton-db/baton/internal/fence"
	"github.com/baton-db/baton/internal/peer"
	"github.com/baton-db/baton/internal/proc"
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

// openGate takes the gate in hand, closed unless a lease still runs in it.
func (h *hostParts) openGate(ctx context.Context, a *Agent) error {
	present, err := fence.Present(ctx, a.Config.Cluster)
	if err == nil && !present && a.memory.Epoch == 0 {
		h.gate = &lazyGate{open: func(ctx context.Context, initial fence.Mode, until cluster.Instant) (Gate, error) {
			return h.openFence(ctx, a, initial, until)
		}}
		return nil
	}
	var gate Gate
	if err == nil {
		gate, err = h.openFence(ctx, a, fence.Closed, 0)
	}
	switch {
	case errors.Is(err, fence.ErrUnavailable):
		a.Log.Error("THIS HOST HAS NO GATE: only read_only and the destruction of sockets hold clients back, and only while this agent lives", "err", err)
		h.gate = &weakGate{}
		return nil
	case err != nil:
		return err
	}
	h.gate = gate
	return nil
}

// openFence takes the cluster's firewall table in hand, or installs it.
func (h *hostParts) openFence(ctx context.Context, a *Agent, initial fence.Mode, until cluster.Instant) (Gate, error) {
	c := a.Config
	g, err := fence.Open(ctx, fence.GateConfig{Cluster: c.Cluster, Scope: scopeOf(c), Initial: initial, Until: until}, a.Log)
	if err != nil {
		return nil, err
	}
	h.fenceMu.Lock()
	h.fence = g
	h.fenceMu.Unlock()
	return gateOf{Gate: g, sources: sourcesOf(c)}, nil
}

// firewall is the table that has been taken in hand; nil if there is none.
func (h *hostParts) firewall() *fence.Gate {
	h.fenceMu.Lock()
	defer h.fenceMu.Unlock()
	return h.fence
}

func (h *hostParts) openAddresses(a *Agent) error {
	cfg, err := addressesOf(a.Config)
	if err != nil {
		return err
	}
	sweep(cfg, a.Log)
	if len(cfg.Addresses) == 0 {
		return nil
	}
	set, err := vip.New(cfg, a.Log)
	if err != nil {
		return err
	}
	h.set = set
	h.vip = &vipOf{Set: set, log: a.Log, blame: func(why cluster.Reason, detail string) {
		a.post(func(l *loop) { l.blame(why, "bind", detail) })
	}}
	return nil
}

func (h *hostParts) openServer(a *Agent) error {
	c := a.Config
	own := c.ServerOf(c.Node)
	passwords := a.inForce().passwords
	driver, err := flavor.Of(own.Flavor)
	if err != nil {
		return fmt.Errorf("server.flavor: %w", err)
	}
	nodes := map[netip.AddrPort]cluster.NodeName{}
	for n, at := range sourcesOf(c) {
		nodes[at] = n
	}
	server, err := driver.Open(db.Config{
		Socket: own.Socket, ExtraPort: own.ExtraPort,
		Agent:  db.Account{User: own.User, Password: passwords.Agent.Reveal()},
		Writer: db.Account{User: own.Writer.User, Password: passwords.Writer.Reveal()},
		Acks:   c.Durability.Acks, // read at start alone, as all that nodes must have the same
		NodeOf: func(host string, port int) (cluster.NodeName, bool) {
			addr, err := netip.ParseAddr(host)
			n, ok := nodes[netip.AddrPortFrom(addr, uint16(port))]
			return n, err == nil && ok
		},
	})
	if err != nil {
		return err
	}
	h.database = server
	h.process = &serverProcess{socket: own.Socket, start: func() []string { return a.inForce().config.ServerOf(c.Node).Start },
		stop:    func() []string { return a.inForce().config.ServerOf(c.Node).Stop },
		mayKill: func() bool { return a.inForce().config.ServerOf(c.Node).KillHung }, every: lookEvery(a.settings.Lease), log: a.Log,
		noticed: func(k proc.Kind) { a.post(func(l *loop) { l.sawProcess(k) }) }, appeared: func() { h.observer.kick() }}
	h.observer = &observer{read: h.read, process: h.process, every: a.settings.Renew, hang: func() time.Duration { return a.inForce().settings.Hang }, log: a.Log,
		report: func(s cluster.ServerFact) { a.post(func(l *loop) { l.observed(s) }) }, kicks: make(chan struct{}, 1), turn: make(chan struct{}, 1),
		judge: node.Judge{Window: node.ReceivingWindow(a.settings)}}
	h.hands = &hands{self: c.Node, settings: func() cluster.Settings { return a.inForce().settings }, log: a.Log, timeline: a.recorder,
		database: server, process: h.process, observe: h.observer.observe, hung: h.observer.hung, silent: h.writesSilent.Load,
		source: func(n cluster.NodeName) db.Source {
			at := sourcesOf(c)[n]
			return db.Source{Node: n, Host: at.Addr().String(), Port: int(at.Port()), Heartbeat: a.settings.Renew,
				Account: db.Account{User: own.Replication.User, Password: a.inForce().passwords.Replication.Reveal()}}
		},
		progressed: func(p string) { a.post(func(l *loop) { l.Progress = p }) },
		rejoined:   func(p string) { a.post(func(l *loop) { l.Rejoining = p }) },
	}
	h.openCloner(a, own)
	h.openPreheater(a)
	h.clients = openClients(a, c)
	h.probes = newClientProbes(a, h)
	h.auditor = &auditor{cluster: c.Cluster, node: c.Node, dir: c.LostDir(), flavor: own.Flavor, program: own.Binlog, database: server, log: a.Log,
		rowsAt: func(ctx context.Context, n cluster.NodeName, q asked) (answer rowStates, err error) {
			if n == c.Node {
				return h.rowsNow(ctx, q) // it is primary itself by now
			}
			if a.link == nil {
				return answer, errors.New("there is no direct link to the other agents (tls)")
			}
			ctx, cancel := context.WithTimeout(ctx, comparingLimit)
			defer cancel()
			return answer, a.link.Call(ctx, n, rowsPath, q, &answer)
		},
		report: func(found lostOf) { a.post(func(l *loop) { l.foundLost(found) }) }, wake: make(chan struct{}, 1)}
	h.deadLogs = &deadLogs{dir: filepath.Join(c.StateDir(), "dead-log"), auditor: h.auditor, log: a.Log, wake: make(chan struct{}, 1), kept: map[string]bool{},
		limit: func() int64 { return int64(a.inForce().config.Rejoin.KeepLog) },
		found: func(detail string) { a.post(func(l *loop) { l.Conditions.Put(cluster.RecoveryDropped, detail) }) }}
	if err := h.deadLogs.load(); err != nil {
		return err
	}
	h.hands.keepLog = h.deadLogs.keep
	h.logs = &logKeeper{flavor: own.Flavor, where: h.deadLogs.where, process: h.process, record: h.cloner.record, log: a.Log}
	h.hands.logs, h.hands.link = h.logs, h.cloner.link
	h.hands.rewinder = &rewinder{dir: c.StateDir(), auditor: h.auditor, database: server, log: a.Log}
	return nil
}

// openPreheater prepares for keeping this server's memory like the primary's.
func (h *hostParts) openPreheater(a *Agent) {
	server, can := h.database.(heated)
	if !can || h.observes {
		return
	}
	h.heater = &preheater{self: a.Config.Node, server: server, log: a.Log, config: func() config.Preheat { return a.inForce().config.Preheat },
		say: func(p string) { a.post(func(l *loop) { l.Preheated = p }) },
		ask: func(ctx context.Context, n cluster.NodeName) (io.ReadCloser, error) {
			if a.link == nil {
				return nil, errors.New("there is no direct link to the other agents (tls)")
			}
			return a.link.Stream(ctx, n, pagesPath, nil)
		}}
}

// openCloner prepares for giving and getting copies of data.
func (h *hostParts) openCloner(a *Agent, own config.Server) {
	c := a.Config
	now := func() config.Server { return a.inForce().config.ServerOf(c.Node) }
	h.cloner = &cloner{
		self: c.Node, flavor: own.Flavor, database: h.database, log: a.Log,
		login:   datadir.Login{Socket: own.Socket, User: own.User, Password: a.inForce().passwords.Agent.Reveal()},
		journal: datadir.Journal(filepath.Join(c.StateDir(), "reclone.json")), scratch: filepath.Join(c.StateDir(), "backup"),
		link: func() *peer.Link { return a.link }, source: h.hands.source,
		mysqld: func() []string { return mysqldOf(now()) }, openSeed: openSeed,
		rate:       func() int64 { return int64(a.inForce().config.Rejoin.Rate) },
		configured: func() string { return now().DataDir },
		startable:  func() bool { return len(now().Start) > 0 }, stoppable: func() bool { return len(now().Stop) > 0 },
		start: h.process.Start, stop: h.process.Stop, program: realtime.Start,
		say:        h.hands.rejoined,
		unfinished: func(why string) { a.post(func(l *loop) { l.Host.Unfinished = why }) },
	}
	h.hands.cloner = h.cloner
}

// read observes the server and fills in what the look itself cannot tell.
func (h *hostParts) read(ctx context.Context) (cluster.ServerFact, string, error) {
	o, err := h.database.Observe(ctx)
	if o.Problem != "" && o.Server.Replica.Error == "" {
		o.Server.Replica.Error = o.Problem
	}
	if err == nil {
		h.logs.saw(o.Server)
	}
	return o.Server, o.Tick, err
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

// extend hands the lease to the kernel: the gate's timeout and the addresses'.
func (h *hostParts) extend(ctx context.Context, until cluster.Instant) error {
	if err := h.gate.OpenUntil(ctx, until); err != nil {
		return err
	}
	if err := h.vip.Extend(ctx, until); err != nil && !errors.Is(err, vip.ErrNotBound) {
		return fmt.Errorf("extend the addresses: %w", err)
	}
	return nil
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

// lookAround reads from the kernel, once a second and at the start, what the
// gate and the addresses are, whatever this process believes of them.
func (h *hostParts) lookAround(ctx context.Context, a *Agent) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if gate, err := h.gate.State(ctx); err == nil {
			a.post(func(l *loop) { l.sawGate(gate) })
		}
		if bound, muted, err := h.vip.Observe(ctx); err == nil {
			a.post(func(l *loop) { l.SawAddresses(bound, muted) })
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// watchGate tells when somebody else changed the firewall's table of ours.
func (h *hostParts) watchGate(ctx context.Context, a *Agent) {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	var tampered <-chan fence.Tampering
	for {
		if f := h.firewall(); f != nil {
			tampered = f.Tampered()
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		case t := <-tampered:
			a.post(func(l *loop) { l.Conditions.Put(cluster.GateFlushed, fmt.Sprintf("%+v", t)) })
		}
	}
}

// harmless reports that the server cannot take writes without the gate: it was
// read back as read-only just now, or there is no process.
func (h *hostParts) harmless(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	o, err := h.database.Observe(ctx)
	if err == nil {
		return o.Server.ReadOnly
	}
	_, listens := h.process.find(ctx)
	return !listens && !h.process.Alive()
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
