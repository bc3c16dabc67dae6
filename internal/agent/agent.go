// Package agent runs one node: the one place where core and the edges meet. It
// observes, decides, swaps the record, and carries out what its host has to do.
//
// It decides nothing itself: package decide says what the record becomes,
// package reconcile what this host does. The rule that must not be broken: the
// loop never waits for the store, the server or the kernel, and the renewal of
// the lease never waits for the loop.
package agent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/node"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/dnsserver"
	"github.com/baton-db/baton/internal/peer"
	"github.com/baton-db/baton/internal/timeline"
)

// Options say what to run.
type Options struct {
	Config *config.Config
	Build  string // version, for people
	Log    *slog.Logger
	// Lacks says what would keep an active agent from starting on this host: asked
	// again and again in mode observe. It may be nil.
	Lacks func(context.Context) []string
	// Successor is what may replace this process in place; nil: nothing may.
	Successor Successor
	// DieAt is, for tests, the file that names the point at which this agent kills
	// itself; empty: there is none.
	DieAt string
	// Wall reads the wall clock, for people and for the limits on automatic
	// failovers, on which the nodes agree; nil: time.Now.
	Wall func() time.Time
	// Ready is called once the agent watches the store and its own server.
	Ready func()
	// Reload has the configuration's file read anew, and Reloaded is called with
	// what is in force then.
	Reload   <-chan os.Signal
	Reloaded func(*config.Config)
}

// Agent is one node, running.
type Agent struct {
	Options
	id       string // this incarnation
	settings cluster.Settings
	events   chan event
	live     *api.Live
	recorder *timeline.Recorder
	hearing  *hearing
	loop     *loop
	parts    sync.WaitGroup

	memory   memory
	pledges  pledges
	joined   sync.Mutex // guards store, for the API, which is up before it
	store    *shared
	host     *hostParts
	listener net.Listener
	link     *peer.Link // to the other agents; nil if there are no certificates for it
	notices  *notices   // nil if nobody is told
	watchers []*watcher
	rewatch  chan []*watcher
	current  atomic.Pointer[inForce]
	lates    atomic.Int64 // late renewals
	window   window
	names    *dnsserver.Server // nil if this node answers for no zone
}

// Run runs the agent until ctx ends, then gives up whatever it holds. Errors
// are those of the start; nothing has been changed on the host then.
func Run(ctx context.Context, o Options) error {
	a, err := start(ctx, o)
	if err != nil {
		return err
	}
	return a.run(ctx)
}

// newIncarnation names one run of an agent.
func newIncarnation() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func start(ctx context.Context, o Options) (a *Agent, err error) {
	c := o.Config
	if o.Wall == nil {
		o.Wall = time.Now
	}
	a = &Agent{Options: o, id: newIncarnation(), settings: c.Settings(), events: make(chan event, 1024), live: &api.Live{}, hearing: &hearing{}, rewatch: make(chan []*watcher, 1)}
	a.window.live, a.window.late = a.live, &a.lates
	a.Log = o.Log.With("node", string(c.Node), "cluster", c.Cluster)
	a.recorder = timeline.NewRecorder(timeline.Options{Node: c.Node, Clock: bootID(), Now: clock.Now})
	a.names = openNames(c, a.Log)
	a.pledges = pledges{dir: c.StateDir(), boot: bootID()}
	m, err := remember(c.StateDir())
	if err != nil {
		return nil, err
	}
	a.memory = m
	if err := a.force(c); err != nil {
		return nil, err
	}
	if a.watchers, err = newWatchers(a, c); err != nil {
		return nil, err
	}
	if a.notices, err = newNotices(a); err != nil {
		return nil, err
	}
	if a.host, err = openHost(ctx, a); err != nil {
		return nil, err
	}
	if a.listener, err = a.listenAPI(); err != nil {
		return nil, errors.Join(err, a.host.close(ctx))
	}
	if a.link, err = a.listenPeers(ctx); err != nil {
		return nil, errors.Join(err, a.listener.Close(), a.host.close(ctx))
	}
	return a, nil
}

// newLoop joins the parts.
func (a *Agent) newLoop(m memory) *loop {
	c := a.Config
	l := &loop{
		Node: node.Node{Self: c.Node, Agent: a.id, Mode: c.Mode, Build: a.Build, Settings: a.settings, Sites: c.Sites, Config: c.Hash(),
			Board: node.NewBoard(), Conditions: node.Conditions{}, WantRealtime: c.Realtime},
		log: a.Log, wall: a.Wall, hearing: a.hearing, timeline: a.recorder, live: a.live,
		kick: func() {}, memory: m, remember: func(m memory) error { return m.keep(c.StateDir()) },
	}
	l.Board.Newest = m.Epoch
	var err error
	if l.Pledge, err = a.pledges.atStart(clock.Now(), a.settings); err != nil {
		a.Log.Error("this node takes part in no new reign for the length of a lease", "err", err)
	}
	l.Host.Addresses = len(c.Addresses)
	l.keeper = &keeper{
		keeps: node.Keeper{Settings: a.settings, Self: c.Node, Agent: a.id}, renew: a.store.renewLease, extend: a.host.extend, log: a.Log,
		ask: a.askPledge, changed: make(chan struct{}, 1), kick: make(chan struct{}, 1),
		onTick: func(now cluster.Instant) { a.hearing.heard(now, l.silenceLimit()) },
		late:   a.renewalLate,
	}
	l.window = &a.window
	if a.names != nil {
		l.names = &names{server: a.names, maxLag: c.DNS.MaxLag, orPrimary: c.DNS.NoReplica == config.ToPrimary}
	}
	a.window.keeper.Store(l.keeper)
	l.keeper.keeps.Failsafe(c.Hash(), slices.DeleteFunc(a.settings.DataNodes(), func(n cluster.NodeName) bool { return n == c.Node }))
	l.swapper = &swapper{self: c.Node, wall: a.Wall, call: a.settings.Lease / 2, swap: a.store.swap, refuse: a.store.refuse, ended: a.swapEnded}
	l.facts = newPublisher(2*a.settings.Call, a.store.PutFact, func(f cluster.Fact, rev cluster.Revision) {
		a.post(func(l *loop) { l.Board.SawFact(f.Node, f, rev, clock.Now()) })
	})
	l.views = newPublisher(2*a.settings.Call, a.store.PutView, func(v cluster.View, rev cluster.Revision) {})
	l.lanes = &lanes{perform: func(context.Context, reconcile.Step) (deed, error) {
		return nil, errors.New("a witness has nothing to do")
	},
		results: make(chan finished, 16), timeline: a.recorder, log: a.Log, cancels: map[reconcile.Lane]context.CancelFunc{}}
	a.host.join(a, l)
	l.word = newWord(a)
	l.hooks = newHooks(a)
	l.Node.Hooks.Wanted = l.hooks.delays()
	l.notices = a.notices
	die := interruptions{file: a.DieAt, log: a.Log}
	l.lanes.perform, l.swapper.swap = die.around(l.lanes.perform), die.aroundSwap(l.swapper.swap)
	return l
}

// post hands an event to the loop.
func (a *Agent) post(e event) { a.events <- e }

// swapEnded takes in what came of an attempt to swap the record.
func (a *Agent) swapEnded(s swapOf, rev cluster.Revision, err error) {
	if err != nil {
		a.Log.Debug("the record was not swapped", "to", s.next.Phase, "epoch", s.next.Epoch, "why", s.out.Why, "err", err)
		a.post(func(*loop) {})
		return
	}
	a.Log.Info("record swapped", "epoch", s.next.Epoch, "phase", s.next.Phase, "primary", s.next.Primary, "why", s.out.Why, "detail", s.out.Detail)
	a.recorder.Swapped(s.next, rev, s.out.Why, s.out.Detail)
	if c := s.out.Choice; c != nil {
		a.recorder.Chose(s.next.Epoch, *c)
	}
	a.post(func(l *loop) { l.sawRecord(s.next, rev) })
}

// run runs all parts until ctx ends, then leaves in order: give up the role,
// stop what watches, close the store, clean the host.
func (a *Agent) run(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	a.spawn(func() { a.serveAPI(work, a.listener) })
	a.spawn(func() { a.servePeers(work) })
	a.spawn(func() { a.answerPublicly(work, listenAgain) })
	a.spawn(func() { a.answerDNS(work, listenAgain) })
	if a.Ready != nil {
		a.Ready() // the gate is shut and people are answered; the server may start
	}
	if err := a.joinStore(ctx); err != nil {
		stop()
		a.parts.Wait()
		return errors.Join(err, a.host.close(context.WithoutCancel(ctx)))
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	a.spawn(func() { a.store.watchMember(work, fail) })
	a.spawn(func() { a.store.follow(work, a.post) })
	a.spawn(func() { a.store.listen(work, a.loop.silenceLimit(), a.post) })
	a.spawn(func() { a.loop.keeper.run(work) })
	for _, p := range a.storePaths() {
		a.spawn(func() { p.run(work) })
	}
	if a.link != nil {
		a.spawn(func() { a.loop.keeper.asks(work) })
	}
	a.spawn(func() { a.loop.facts.run(work) })
	a.spawn(func() { a.loop.views.run(work) })
	a.spawn(func() { a.saveHistory(work) })
	a.spawn(func() { a.watchStore(work) })
	a.host.spawn(work, a)
	if a.notices != nil {
		a.spawn(func() { a.notices.box.Run(work) })
	}
	if a.loop.hooks != nil {
		a.loop.hooks.run(work, a.spawn)
	}
	if a.Config.Mode == cluster.Observe && !a.host.witness {
		a.spawn(func() { a.lookWhatLacks(work) })
	}
	a.spawn(func() { a.watchNodes(work) })
	a.spawn(func() { a.awaitReload(work) })
	looped := make(chan struct{})
	go func() { defer close(looped); a.loop.run(work, a.events) }()
	a.Log.Info("agent runs", "build", a.Build, "mode", a.Config.Mode, "incarnation", a.id, "lease", a.settings.Lease)

	<-ctx.Done()
	a.leave(work)
	stop()
	<-looped
	a.parts.Wait()
	end, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := context.Cause(ctx)
	if errors.Is(err, context.Canceled) {
		err = nil // told to stop
	}
	return errors.Join(err, a.store.close(end), a.host.close(end))
}

// joinStore starts this node's member of the store, or connects to one, and
// joins the parts. The first time a cluster starts it waits for all nodes.
func (a *Agent) joinStore(ctx context.Context) error {
	s, err := openStore(ctx, a)
	if err != nil {
		return err
	}
	a.joined.Lock()
	a.store = s
	a.joined.Unlock()
	a.loop = a.newLoop(a.memory)
	return nil
}

func (a *Agent) spawn(f func()) { a.parts.Go(f) }

// leave gives up the role if this node has it, and waits until the record says
// so, for at most two leases.
func (a *Agent) leave(ctx context.Context) {
	left := make(chan struct{})
	var once sync.Once
	a.post(func(l *loop) {
		l.Leaving = true
		l.left = func() { once.Do(func() { close(left) }) }
	})
	limit := time.NewTimer(2*a.settings.Lease + time.Second)
	defer limit.Stop()
	select {
	case <-left:
		a.Log.Info("agent leaves")
	case <-limit.C:
		a.Log.Warn("agent leaves without having handed the role over: nobody could take it, or the store does not answer")
	case <-ctx.Done():
	}
}

// saveHistory writes this node's part of the timeline as it grows.
func (a *Agent) saveHistory(ctx context.Context) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, p := range a.recorder.Unsaved() {
			call, cancel := context.WithTimeout(ctx, time.Second)
			err := a.store.putHistory(call, p)
			cancel()
			if err != nil {
				a.Log.Debug("save the timeline", "epoch", p.Epoch, "err", err)
				break
			}
			a.recorder.Saved(p)
		}
	}
}
