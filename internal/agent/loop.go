package agent

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/health"
	"github.com/baton-db/baton/internal/proc"
	"github.com/baton-db/baton/internal/timeline"
)

// loop is where core and the edges meet: it observes, decides, swaps and has
// steps carried out. One goroutine owns it; it never waits for the store, the
// server or the kernel. Everything that takes time runs elsewhere and comes
// back as an event.
type loop struct {
	self     cluster.NodeName
	agent    string // incarnation
	mode     cluster.Mode
	build    string
	settings cluster.Settings
	sites    []string
	config   string // hash of the settings
	log      *slog.Logger

	board    board
	hearing  *hearing
	keeper   *keeper
	lanes    *lanes
	timeline *timeline.Recorder
	swapper  *swapper
	facts    *publisher[cluster.Fact]
	views    *publisher[cluster.View]
	kick     func() // observe the server again, now

	// What this host looks like, as observed.
	server    cluster.ServerFact
	host      reconcile.Host
	addresses []string
	macs      []string
	realtime  bool

	memory   memory
	remember func(memory) error
	left     func() // called once this node has no role any more while leaving

	wantRealtime bool
	leaving      bool // this agent is being stopped: it gives up whatever it has

	// What this host has done, as the steps reported it.
	promise   *cluster.Promise
	fenced    cluster.Epoch
	drained   *cluster.Position
	muted     cluster.Epoch
	marked    cluster.Epoch
	endpoints cluster.Epoch
	cutAt     gtid.Set
	cutFor    []cluster.NodeName // whose cut cutAt was read after
	unsure    uint64             // the reading from which on a step that failed has surely had its effect or none
	acted     cluster.Revision   // newest record that no step of an earlier one is on its way against
	// cannotWrite says how writes have been failing for the hang limit.
	cannotWrite string
	progress    string
	network     cluster.LayerView // the clients', as it is tracked here

	divergence reconcile.Divergence
	ackSilent  map[cluster.NodeName]cluster.Instant
	conditions conditions
	view       map[cluster.NodeName]cluster.NodeView
	viewNews   bool
	viewSeq    uint64

	suspected  *timeline.Running // a sign that the primary has failed
	storeLooks api.Store
	lastSwitch *api.LastSwitch
	live       *api.Live

	situation situation

	seq     uint64
	outcome decide.Outcome
	plan    reconcile.Plan
	saidWhy cluster.Reason
}

// event is something that the loop has to take in.
type event func(*loop)

// run takes in events until ctx ends.
func (l *loop) run(ctx context.Context, events <-chan event) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			l.lanes.all.Wait()
			return
		case e := <-events:
			e(l)
		case f := <-l.lanes.results:
			l.finished(f)
		case <-l.keeper.changed:
		case <-timer.C:
		}
		l.drain(events)
		wake := l.step(ctx)
		timer.Reset(wake)
	}
}

// drain takes in what has arrived meanwhile, so that one look serves for all.
func (l *loop) drain(events <-chan event) {
	for range 100 {
		select {
		case e := <-events:
			e(l)
		case f := <-l.lanes.results:
			l.finished(f)
		default:
			return
		}
	}
}

func (l *loop) finished(f finished) {
	l.lanes.finish(f, clock.Now())
	if f.err != nil && f.step.Lane == reconcile.LaneServer {
		// It may have taken effect all the same. The reading under way may be
		// older than that; the one after it is not.
		l.unsure = l.server.Reading + 2
	}
	if f.done != nil {
		f.done(l)
	}
}

// step looks once: what is so, what should be, what is to be done.
func (l *loop) step(ctx context.Context) time.Duration {
	now := clock.Now()
	l.suspect()
	in := l.input(now)
	l.divergence = l.divergence.Look(in)
	in.Own = l.compose(in)
	l.publish(in.Own, now)
	l.publishView(now)

	w := l.world(now)
	l.ackSilent = decide.TrackAcks(l.ackSilent, w, now)
	w.AckSilentSince = l.ackSilent
	l.outcome = decide.Next(w, now)
	l.sayWhy()
	if l.mode == cluster.Active {
		l.swapper.try(ctx, l.outcome, w)
	}

	in.AckSilent = decide.AckSilent(l.ackSilent, l.settings, now)
	l.plan = reconcile.Next(in)
	l.forgetCuts(l.plan)
	wake := now.Add(l.settings.Renew)
	if l.mode == cluster.Active {
		l.keeper.want(l.plan.Lease, l.board.recordRev)
		wake = sooner(wake, l.lanes.want(ctx, l.plan.Steps, now))
	}
	if l.lanes.settled(l.plan.Steps) && l.server.Reading >= l.unsure {
		l.acted = l.board.recordRev
	}
	l.situation.set(l.board.record, in.Peers)
	l.live.Publish(l.snapshot(w, now))
	wake = sooner(wake, l.outcome.WakeAt)
	wake = sooner(wake, l.plan.WakeAt)
	if l.leaving && l.board.record.Primary != l.self && !l.lanes.busy() {
		l.left()
	}
	if held, _ := l.keeper.state(); held.Valid(l.board.record.Epoch, now) {
		wake = sooner(wake, held.Until)
	}
	return max(wake.Sub(clock.Now()), time.Millisecond)
}

func sooner(a, b cluster.Instant) cluster.Instant {
	if b != 0 && b < a {
		return b
	}
	return a
}

// input is what this host's steps depend on.
func (l *loop) input(now cluster.Instant) reconcile.Input {
	held, _ := l.keeper.state()
	host := l.host
	host.Done = maps.Clone(l.host.Done)
	host.Unextended = host.Gate == reconcile.GateOpenLeased && !l.keeper.extends()
	return reconcile.Input{
		Self: l.self, Settings: l.settings, Record: l.board.record, Rev: l.board.recordRev, PhaseAt: l.board.phaseAt,
		Own: l.own(), Host: host, Lease: held, Peers: l.board.peers(), Leaving: l.leaving, Now: now,
	}
}

// own is this node's fact but for what depends on the rest of the input.
func (l *loop) own() cluster.Fact {
	return cluster.Fact{
		Schema: cluster.Schema, Node: l.self, Agent: l.agent, Mode: l.mode, Config: l.config, Build: l.build,
		Epoch: l.board.record.Epoch, RecordRev: l.acted, Seen: max(l.board.newest, l.memory.Epoch), Server: l.server,
		Promise: l.promise, Fenced: l.fenced, Drained: l.drained, Muted: l.muted, Marked: l.marked, Endpoints: l.endpoints,
		Gate: l.gateShown(), AckCut: l.cutFor, CutAt: l.cutAt, Addresses: l.addresses, MACs: l.macs, Realtime: l.realtime,
		Errant: l.divergence.Errant, Held: l.divergence.Held(),
	}
}

// gateShown is the gate as people see it. One that only remembers what was asked
// of it is none.
func (l *loop) gateShown() string {
	if l.host.NoCut {
		return string(reconcile.GateMissing)
	}
	return string(l.host.Gate)
}

// compose completes the own fact with what follows from the whole input.
func (l *loop) compose(in reconcile.Input) cluster.Fact {
	f := l.own()
	f.Serving = reconcile.Serving(in)
	f.Server.CannotWrite = l.cannotWrite
	f.Network = l.network
	f.Progress = l.progress + "|" + f.Server.Executed.String()
	if f.Serving == 0 && l.board.record.Primary == l.self && l.board.record.Phase == cluster.PhaseSteady {
		f.Progress = l.plan.Waits
	}
	l.assess(f)
	f.Conditions = l.conditions.list()
	return f
}

// world is what this node's decisions rest on.
func (l *loop) world(now cluster.Instant) decide.World {
	silent, back := l.hearing.state(now, l.silenceLimit())
	w := decide.World{
		Self: l.self, Config: l.config, Settings: l.settings, Sites: l.sites,
		Record: l.board.record, RecordRev: l.board.recordRev, PhaseAt: l.board.phaseAt, Lease: l.board.lease,
		Facts: l.knownFacts(), Views: l.board.views, Requests: l.board.asked(),
		WentBack: l.board.wentBack, StoreSilent: silent, HeardAt: back, Wall: time.Now().Unix(),
	}
	w.Lease.HeardAt = back
	if why, bad := l.board.unreadable[recordKey]; bad {
		w.Record.Schema, w.RecordRev = cluster.Schema+1, max(w.RecordRev, 1) // there is one: nothing is to be founded
		l.log.Debug("the record cannot be read", "why", why)
	}
	return w
}

// knownFacts are the newest facts. What the own one says of cuts counts only for
// as long as they stand: a node may acknowledge again before that is published.
func (l *loop) knownFacts() map[cluster.NodeName]decide.Seen[cluster.Fact] {
	own, published := l.board.facts[l.self]
	if !published {
		return l.board.facts
	}
	facts := maps.Clone(l.board.facts)
	own.Value.AckCut = slices.DeleteFunc(slices.Clone(own.Value.AckCut), func(n cluster.NodeName) bool { return !slices.Contains(l.cutFor, n) })
	facts[l.self] = own
	return facts
}

// forgetCuts notes before it is done that nodes are to be let in again.
func (l *loop) forgetCuts(plan reconcile.Plan) {
	for _, s := range plan.Steps {
		if s.Kind == reconcile.Uncut {
			l.cutFor = without(l.cutFor, s.Nodes...)
		}
	}
}

// silenceLimit is how long the store may be quiet before nothing is concluded
// from it any more. It is read every Renew when it sends nothing by itself.
func (l *loop) silenceLimit() time.Duration { return 2*l.settings.Renew + 2*l.settings.Call }

// publish writes the own fact if something of it matters now, or if it is time
// for the beat. Outside of a switch a new position alone waits for the beat.
func (l *loop) publish(f cluster.Fact, now cluster.Instant) {
	beat := l.settings.Beat
	if l.board.record.Phase != cluster.PhaseSteady || l.board.record.Joining != "" {
		beat = l.settings.Renew
	}
	last, at := l.facts.last()
	calm := l.board.record.Phase == cluster.PhaseSteady
	if now.Sub(at) < beat && reflect.DeepEqual(essence(last, calm), essence(f, calm)) {
		return
	}
	l.seq++
	f.Seq = l.seq
	l.facts.put(f, now)
}

// essence is a fact without what changes all the time.
func essence(f cluster.Fact, calm bool) cluster.Fact {
	f.Seq, f.Server.Reading = 0, 0
	if calm {
		f.Server.Executed, f.Server.Replica.Received, f.Progress = gtid.Set{}, gtid.Set{}, ""
		f.Server.SemiSrc.Waiting = 0
	}
	return f
}

// sayWhy logs the reason of a decision, or for leaving things alone, when it
// changes.
func (l *loop) sayWhy() {
	if l.outcome.Next != nil || l.outcome.Why == l.saidWhy {
		return
	}
	l.saidWhy = l.outcome.Why
	if l.outcome.Why != cluster.Nothing {
		l.log.Log(context.Background(), loudness(l.outcome.Why), "nothing is decided now", "why", l.outcome.Why, "detail", l.outcome.Detail, "phase", l.board.record.Phase, "epoch", l.board.record.Epoch)
	}
}

// loudness is the level at which a reason for doing nothing is logged. What is
// awaited in every switch stays quiet, however grave it would be if it lasted.
func loudness(why cluster.Reason) slog.Level {
	if waits(why) {
		return slog.LevelInfo
	}
	switch row, _ := health.Explain(why); row.Severity {
	case health.Critical, health.Warning:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// refuse says that a record is of an older epoch than one that this node has
// seen: the store was restored from an old copy, or is another one.
func (l *loop) refuse(r cluster.Record) {
	why := fmt.Sprintf("the record is of epoch %d, and this node has seen epoch %d: the store was restored from an old copy, or is another one; the way out is in docs/failures.md under %s", r.Epoch, l.board.newest, cluster.StoreWentBack)
	if l.board.wentBack != why {
		l.log.Error("the store has gone back: its record is not believed", "epoch", r.Epoch, "seen", l.board.newest)
	}
	l.board.wentBack = why
}

// sawRecord takes in a record from the watch or from the own swap.
func (l *loop) sawRecord(r cluster.Record, rev cluster.Revision) {
	before := l.board.record
	if r.Epoch < l.board.newest {
		l.refuse(r)
		return
	}
	if !l.board.sawRecord(r, rev, clock.Now()) {
		return
	}
	delete(l.board.unreadable, recordKey)
	l.board.wentBack = ""
	if l.suspected != nil && r.Primary != before.Primary {
		l.suspected.End(timeline.OK, "")
		l.suspected = nil
	}
	l.timeline.Saw(r, rev)
	l.log.Info("record", "epoch", r.Epoch, "phase", r.Phase, "primary", r.Primary, "reason", r.Reason, "by", r.By, "acks", r.Acks().Members, "detail", r.Detail)
	if r.Epoch > l.memory.Epoch {
		l.memory.Epoch = r.Epoch
		if err := l.remember(l.memory); err != nil {
			l.log.Error("keep in mind", "err", err)
		}
	}
	if r.Epoch != before.Epoch {
		l.progress = fmt.Sprintf("epoch %d", r.Epoch)
	}
	l.kick()
}

// observed takes in what the server looks like now.
func (l *loop) observed(s cluster.ServerFact) {
	if s.Start != l.server.Start && l.server.Start != "" && s.Start != "" {
		l.log.Warn("the server has restarted", "was", l.server.Start, "is", s.Start)
	}
	if l.promise != nil && l.promise.Start != s.Start && s.State == cluster.ServerUp {
		l.promise = nil // received but unapplied transactions may be gone: promise anew
	}
	l.server = s
}

// sawProcess takes in what became of the server's process, before any reading
// could notice it.
func (l *loop) sawProcess(k proc.Kind) {
	switch k {
	case proc.Exiting:
		l.server.State = cluster.ServerExiting
	case proc.Gone:
		l.server.State = cluster.ServerStopped
	default:
		return
	}
	l.cannotWrite = ""
	l.timeline.Note(timeline.StepDetect, timeline.OK, "the server's process is "+string(k))
	l.kick()
}

// situation is the newest record and facts that the loop acted on, for steps.
type situation struct {
	mu     sync.Mutex
	record cluster.Record
	peers  map[cluster.NodeName]cluster.Fact
}

func (s *situation) set(r cluster.Record, peers map[cluster.NodeName]cluster.Fact) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record, s.peers = r, peers
}

func (s *situation) get() (cluster.Record, map[cluster.NodeName]cluster.Fact) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record, s.peers
}

// done notes that a one-time step has succeeded for an epoch.
func (l *loop) done(kind reconcile.Kind, epoch cluster.Epoch) {
	if l.host.Done == nil {
		l.host.Done = map[reconcile.Kind]cluster.Epoch{}
	}
	l.host.Done[kind] = epoch
}

// conditions are what is out of order here, by reason.
type conditions map[cluster.Reason]cluster.Condition

func (c conditions) set(reason cluster.Reason, detail string) {
	if old, ok := c[reason]; ok && old.Detail == detail {
		return
	}
	c[reason] = cluster.Condition{Reason: reason, Detail: detail, Since: time.Now().UTC().Format(time.RFC3339)}
}

// put sets the condition, or clears it if there is nothing to say.
func (c conditions) put(reason cluster.Reason, detail string) {
	if detail == "" {
		delete(c, reason)
		return
	}
	c.set(reason, detail)
}

func (c conditions) list() []cluster.Condition {
	var all []cluster.Condition
	for _, r := range slices.Sorted(maps.Keys(c)) {
		all = append(all, c[r])
	}
	return all
}

// sawGate takes in the gate as it was read from the kernel.
func (l *loop) sawGate(s GateState) {
	l.host.Gate, l.host.Cut, l.host.Blocked = s.Mode, s.Cut, s.Blocked
	l.cutFor = slices.DeleteFunc(slices.Clone(l.cutFor), func(n cluster.NodeName) bool { return !slices.Contains(s.Cut, n) })
}

// sawAddresses takes in which addresses are bound here.
func (l *loop) sawAddresses(bound []string, muted bool) {
	l.addresses, l.host.Bound, l.host.Muted = bound, len(bound), muted
}
