package agent

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/node"
	"github.com/baton-db/baton/internal/health"
	"github.com/baton-db/baton/internal/proc"
	"github.com/baton-db/baton/internal/timeline"
)

// loop is where core and the edges meet: it observes, decides, swaps and has
// steps carried out. One goroutine owns it; it never waits for the store, the
// server or the kernel. Everything that takes time runs elsewhere and comes
// back as an event.
type loop struct {
	node.Node // what this node has seen and done, and what follows from it
	log       *slog.Logger
	wall      func() time.Time

	hearing  *hearing
	keeper   *keeper
	lanes    *lanes
	timeline *timeline.Recorder
	swapper  *swapper
	facts    *publisher[cluster.Fact]
	views    *publisher[cluster.View]
	kick     func() // observe the server again, now

	memory   memory
	remember func(memory) error
	auditor  *auditor // nil on a witness
	heater   *preheater
	clients  *clients  // nil where no ledger is kept
	takeover *takeover // nil where nobody is told anything

	outsiders *outsiders // nil where nobody is asked to look
	blamed    map[cluster.Reason]map[string]string
	passed    int // how often something has passed that is shown for a while
	deadLogs  *deadLogs
	left      func() // called once this node has no role any more while leaving

	hooks      *hooks            // nil if there are none
	notices    *notices          // nil if nobody is told
	roads      *roads            // nil if this node leads no endpoints
	word       *word             // nil where there is no link to the other agents
	suspected  *timeline.Running // a sign that the primary has failed
	storeLooks api.Store
	lastSwitch *api.LastSwitch
	live       *api.Live
	window     *window          // nil where nobody looks in
	names      *names           // nil if this node answers for no zone
	readers    *readerAddresses // nil if there are none, and where none are taken
	lag        node.Lag
	heardStore cluster.Instant // with what can be believed
	situation  situation
	explained  explained
	saidWhy    cluster.Reason
	said       map[cluster.Reason]bool // conditions
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
	if f.err != nil {
		l.StepFailed(f.step)
	}
	if f.done != nil {
		f.done(l)
	}
}

// step looks once: what is so, what should be, what is to be done.
func (l *loop) step(ctx context.Context) time.Duration {
	now := clock.Now()
	l.suspect()
	senses := l.senses(now)
	l.failsafe(now, senses.StoreSilent)
	look := l.Look(senses)
	if look.Fact != nil {
		l.facts.put(*look.Fact)
	}
	if look.View != nil {
		l.views.put(*look.View)
	}
	l.sayWhy()
	l.sayConditions()
	wake := look.WakeAt
	if l.Mode == cluster.Active {
		if l.hooks.delays() {
			l.askHooks(look.World, now)
		}
		l.swapper.try(ctx, look.Outcome, look.World)
		l.keeper.want(look.Plan.Lease, l.Board.RecordRev, l.Board.Record.Phase == cluster.PhaseSteady && look.World.Unreadable == "")
		if at := l.lanes.want(ctx, look.Plan.Steps, now); at != 0 {
			wake = min(wake, at)
		}
	}
	if l.takeover != nil {
		l.takeover.tend(look.Input)
	}
	if l.outsiders != nil {
		l.outsiders.tend(look.Input)
	}
	if l.word != nil {
		l.word.tend(ctx, look.Input) // before what this node leads, which is work
	}
	l.leadEndpoints(look.Input, look.World)
	l.SettledSteps(l.lanes.Settled(look.Plan.Steps))
	l.explain(look.World, look.Input, now)
	l.audit()
	l.situation.set(l.Board.Record, look.Input.Peers)
	l.show(look.Input, look.World)
	l.hearStore(look.Input, look.World)
	l.name(look.Input)
	l.tendReaders(look.Input)
	l.live.Publish(l.snapshot(look.World, look.Input.Own, now))
	if l.notices != nil {
		l.notices.look(look.World, look.Input.Own, look.Outcome, now, l.wall())
	}
	if l.Leaving && l.Board.Record.Primary != l.Self && !l.lanes.Busy() {
		l.left()
	}
	return max(wake.Sub(clock.Now()), time.Millisecond)
}

// senses are what a look at now rests on besides what the loop has taken in.
func (l *loop) senses(now cluster.Instant) node.Senses {
	held, _ := l.keeper.state()
	silent, back := l.hearing.state(now, l.silenceLimit())
	return node.Senses{Now: now, Wall: l.wall(), Lease: held, Extends: l.keeper.extends(), StoreSilent: silent, HeardAt: back, Running: l.lanes.Running()}
}

// silenceLimit is how long the store may be quiet before nothing is concluded
// from it any more.
func (l *loop) silenceLimit() time.Duration { return node.SilenceLimit(l.Settings) }

// sayWhy logs the reason of a decision, or for leaving things alone, when it
// changes.
func (l *loop) sayWhy() {
	if l.Outcome.Next != nil || l.Outcome.Why == l.saidWhy {
		return
	}
	l.saidWhy = l.Outcome.Why
	if l.Outcome.Why != cluster.Nothing {
		l.log.Log(context.Background(), loudness(l.Outcome.Why), "nothing is decided now", "why", l.Outcome.Why, "detail", l.Outcome.Detail, "phase", l.Board.Record.Phase, "epoch", l.Board.Record.Epoch)
	}
}

// sayConditions logs what has come to be out of order here, and what is right
// again.
func (l *loop) sayConditions() {
	if l.said == nil {
		l.said = map[cluster.Reason]bool{}
	}
	for reason, c := range l.Conditions {
		if !l.said[reason] {
			l.said[reason] = true
			l.log.Log(context.Background(), loudness(reason), "out of order", "what", reason, "detail", c.Detail)
		}
	}
	for reason := range l.said {
		if _, is := l.Conditions[reason]; !is {
			delete(l.said, reason)
			l.log.Info("in order again", "what", reason)
		}
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

// sawRecord takes in a record from the watch or from the own swap.
func (l *loop) sawRecord(r cluster.Record, rev cluster.Revision) {
	before, said := l.Board.Record, l.Board.WentBack
	switch l.SawRecord(r, rev, clock.Now()) {
	case node.Known:
		return
	case node.TooOld:
		if l.Board.WentBack != said {
			l.log.Error("the store has gone back: its record is not believed", "epoch", r.Epoch, "seen", l.Board.Newest)
		}
		return
	}
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
	if l.heater != nil {
		l.heater.saw(r)
	}
	if l.hooks != nil {
		l.hooks.saw(before, r)
	}
	if l.clients != nil {
		l.clients.saw(r)
	}
	l.kick()
}

// observed takes in what the server looks like now.
func (l *loop) observed(s cluster.ServerFact) {
	if s.Start != l.Server.Start && l.Server.Start != "" && s.Start != "" {
		l.log.Warn("the server has restarted", "was", l.Server.Start, "is", s.Start)
	}
	l.Observed(s)
}

// sawProcess takes in what became of the server's process, before any reading
// could notice it.
func (l *loop) sawProcess(k proc.Kind) {
	switch k {
	case proc.Exiting:
		l.ServerGone(cluster.ServerExiting)
	case proc.Gone:
		l.ServerGone(cluster.ServerStopped)
	default:
		return
	}
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

// sawGate takes in the gate as it was read from the kernel.
func (l *loop) sawGate(s GateState) { l.SawGate(s.Mode, s.Cut, s.Blocked) }
