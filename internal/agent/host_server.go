package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/node"
	"github.com/baton-db/baton/internal/datadir"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/flavor"
	"github.com/baton-db/baton/internal/peer"
	"github.com/baton-db/baton/internal/proc"
	"github.com/baton-db/baton/internal/realtime"
)

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
