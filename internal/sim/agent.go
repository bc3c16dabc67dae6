package sim

import (
	"fmt"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/core/detect"
	"github.com/baton-db/baton/internal/core/node"
	"github.com/baton-db/baton/internal/core/reconcile"
)

// agent joins the production code of one node to the simulated world, as
// package agent joins it to a real one.
type agent struct {
	w    *world
	h    *host
	dead bool

	n       node.Node
	keeper  node.Keeper
	hearing node.Hearing
	lanes   node.Lanes
	judge   node.Judge

	running  map[reconcile.Lane]*job
	facts    outbox[cluster.Fact]
	views    outbox[cluster.View]
	swapping bool
	wake     int // the newest timer; older ones are void

	reading bool
	waiting []func(cluster.ServerFact, error) // for the next reading
	failing cluster.Instant                   // writes have been failing since
	watched []*watcher
}

// outbox is a value to be written: one write at a time, the newest next.
type outbox[T any] struct {
	next *T
	busy bool
}

// startAgent starts an agent on this host.
func (h *host) startAgent() {
	if h.agent != nil || !h.up {
		return
	}
	h.agents++
	w, s := h.w, h.w.settings
	a := &agent{w: w, h: h, running: map[reconcile.Lane]*job{}, judge: node.Judge{Window: node.ReceivingWindow(s)}}
	name := fmt.Sprintf("%s#%d", h.name, h.agents)
	a.n = node.Node{Self: h.name, Agent: name, Mode: cluster.Active, Settings: s, Config: "same", Board: node.NewBoard(), Conditions: node.Conditions{}}
	a.n.Board.Newest = h.memory
	a.n.Host.Startable = h.data && w.draw.start
	a.keeper = node.Keeper{Settings: s, Self: h.name, Agent: name}
	a.keeper.Failsafe(a.n.Config, w.otherData(h))
	a.n.Pledge = node.PledgeAtStart(h.pledge, h.pledged, s)
	h.agent, h.frozen = a, 0
	w.trace(string(h.name), "the agent starts, remembering epoch %d", h.memory)
	if h.data {
		a.n.Host.Addresses = 1
		if h.memory > 0 && h.mode() != reconcile.GateOpenLeased {
			h.gate.mode = reconcile.GateClosed // it was managed before
		}
		a.every(time.Second, a.lookAround)
		a.every(s.Renew, a.observeNow)
		a.every(w.draw.limits.Normal, a.proveWriting)
		a.every(s.Renew, a.renew)
		a.every(s.Renew/2, a.ask)
		a.lookAround()
		a.observeNow()
	}
	for _, o := range w.nodes {
		if o != h && o.data {
			a.watch(o)
		}
	}
	a.every(s.Renew/2, a.listen)
	a.look()
}

// deliver lets the agent take something in: at once, or when it moves again.
func (a *agent) deliver(f func()) {
	switch {
	case a.dead:
	case a.h.frozen > a.w.now:
		a.w.at(a.h.frozen, func() { a.deliver(f) })
	default:
		f()
	}
}

// after runs f when a timer of this host has run off.
func (a *agent) after(d time.Duration, f func()) {
	a.w.after(a.h.wait(d), func() { a.deliver(f) })
}

// every runs f again and again.
func (a *agent) every(d time.Duration, f func()) {
	a.after(d, func() {
		a.every(d, f)
		f()
	})
}

// look is one turn of the agent's loop: observe, decide, swap, have steps
// carried out.
func (a *agent) look() {
	if a.dead {
		return
	}
	w, now := a.w, a.h.clock()
	look := a.n.Look(a.senses(now))
	w.result.Steps++
	if look.Fact != nil {
		a.facts.next = look.Fact
		a.writeFact()
	}
	if look.View != nil {
		a.views.next = look.View
		a.writeView()
	}
	a.trySwap(look)
	a.keeper.Steady(a.n.Board.Record.Phase == cluster.PhaseSteady)
	if a.keeper.Want(look.Plan.Lease, a.n.Board.RecordRev) && a.h.data {
		a.after(50*time.Microsecond, a.renew)
	}
	turn := a.lanes.Want(look.Plan.Steps, now)
	for _, lane := range turn.Cancel {
		a.running[lane].cancelled = true
	}
	for _, s := range turn.Start {
		a.begin(s)
	}
	a.n.SettledSteps(a.lanes.Settled(look.Plan.Steps))
	at := look.WakeAt
	if turn.WakeAt != 0 {
		at = min(at, turn.WakeAt)
	}
	a.wake++
	wake := a.wake
	a.after(max(at.Sub(now), time.Millisecond), func() {
		if wake == a.wake {
			a.look()
		}
	})
	if a.n.Leaving && a.n.Board.Record.Primary != a.n.Self && !a.lanes.Busy() {
		a.left()
	}
}

func (a *agent) senses(now cluster.Instant) node.Senses {
	silent, back := a.hearing.State(now, node.SilenceLimit(a.w.settings))
	return node.Senses{Now: now, Wall: a.w.wall().Add(a.h.wallOff), Lease: a.keeper.Held, Extends: a.keeper.Open, StoreSilent: silent, HeardAt: back, Running: a.lanes.Running()}
}

// left ends an agent that was told to stop.
func (a *agent) left() {
	if a.w.chaos.over > 0 {
		a.w.after(100*time.Millisecond, a.h.startAgent)
	}
	a.h.killAgent()
	if srv := a.h.srv; srv != nil {
		a.h.addr = address{}
		if !srv.up || srv.answers() && srv.readOnly {
			a.h.gate = gate{mode: reconcile.GateMissing} // harmless
		}
	}
}

func (a *agent) trySwap(look node.Look) {
	out := look.Outcome
	if out.Next == nil && len(out.Refused) == 0 || a.swapping {
		return
	}
	a.swapping = true
	for _, q := range out.Refused {
		a.w.store.call(a, putsOther, a.w.settings.Lease/2, func() (cluster.Revision, error) {
			if _, there := a.w.store.requests[q.ID]; !there {
				return 0, errGuard
			}
			return a.w.store.putRequest(q)
		}, func(cluster.Revision, error) {})
	}
	if out.Next == nil {
		a.after(time.Millisecond, func() { a.swapping = false })
		return
	}
	next := *out.Next
	next.By = a.n.Self
	a.w.store.call(a, swaps, a.w.settings.Lease/2, a.w.store.swap(look.World.RecordRev, out.LeaseRev, next, out.Why, out.Done), func(rev cluster.Revision, err error) {
		a.swapping = false
		if err == nil {
			a.w.trace(string(a.h.name), "swapped: %s, %s", out.Why, out.Detail)
			a.sawRecord(next, rev)
		}
		a.look()
	})
}

func (a *agent) writeFact() {
	if a.facts.busy || a.facts.next == nil {
		return
	}
	f := *a.facts.next
	a.facts.next, a.facts.busy = nil, true
	a.w.store.call(a, putsFact, 2*a.w.settings.Call, a.w.store.putFact(f), func(rev cluster.Revision, err error) {
		a.facts.busy = false
		if err == nil {
			a.n.Board.SawFact(f.Node, f, rev, a.h.clock())
			a.writeFact()
			a.look()
			return
		}
		if a.facts.next == nil {
			a.facts.next = &f
		}
		a.after(a.w.settings.Call/4, a.writeFact)
	})
}

func (a *agent) writeView() {
	if a.views.busy || a.views.next == nil {
		return
	}
	v := *a.views.next
	a.views.next, a.views.busy = nil, true
	a.w.store.call(a, putsView, 2*a.w.settings.Call, a.w.store.putView(v), func(_ cluster.Revision, err error) {
		a.views.busy = false
		if err == nil {
			a.writeView()
			return
		}
		if a.views.next == nil {
			a.views.next = &v
		}
		a.after(a.w.settings.Call/4, a.writeView)
	})
}

// renew sends a renewal of the lease, if one is to be sent. It waits for none
// before it.
func (a *agent) renew() {
	r := a.keeper.Next(a.h.clock())
	if r.Epoch == 0 {
		return
	}
	sent := a.h.clock()
	a.w.store.call(a, renews, a.w.settings.Call, a.w.store.renew(a.h, r.Record, r.Lease, sent), func(rev cluster.Revision, err error) {
		if err != nil {
			a.look()
			return
		}
		now := a.h.clock()
		a.hearing.Heard(now, node.SilenceLimit(a.w.settings))
		kept := a.keeper.Renewed(r.Epoch, sent, now, rev)
		if kept.Extend {
			a.h.extend(a.keeper.Until())
		}
		if kept.Changed {
			a.look()
		}
	})
}

// listen reads the lease key when the store has been quiet.
func (a *agent) listen() {
	if a.hearing.Quiet(a.h.clock()) < a.w.settings.Renew {
		return
	}
	var seen entry[cluster.Lease]
	a.w.store.call(a, reads, a.w.settings.Call, func() (cluster.Revision, error) { seen = a.w.store.lease; return 0, nil }, func(_ cluster.Revision, err error) {
		if err != nil {
			a.hearing.Missed()
			a.look()
			return
		}
		now := a.h.clock()
		a.hearing.Heard(now, node.SilenceLimit(a.w.settings))
		if seen.rev != 0 {
			a.n.Board.SawLease(seen.value, seen.rev, now)
		}
		a.look()
	})
}

// sawNews takes in what the watch delivered.
func (a *agent) sawNews(n news) {
	now, b := a.h.clock(), &a.n.Board
	a.hearing.Heard(now, node.SilenceLimit(a.w.settings))
	if n.snapshot {
		b.WentBack = ""
	}
	if n.record != nil && n.record.rev != 0 {
		a.sawRecord(n.record.value, n.record.rev)
	}
	for _, id := range n.done {
		delete(b.Requests, id)
	}
	if n.lease != nil && n.lease.rev != 0 {
		b.SawLease(n.lease.value, n.lease.rev, now)
	}
	if n.fact != nil {
		b.SawFact(n.fact.value.Node, n.fact.value, n.fact.rev, now)
	}
	if n.view != nil {
		b.SawView(n.view.value.Observer, n.view.value, n.view.rev, now)
	}
	if n.request != nil {
		b.SawRequest(n.request.value, n.request.rev, now)
	}
	if n.snapshot {
		for name, e := range n.facts {
			b.SawFact(name, e.value, e.rev, now)
		}
		for name, e := range n.views {
			b.SawView(name, e.value, e.rev, now)
		}
		b.Requests = map[string]decide.Seen[cluster.Request]{}
		for _, e := range n.requests {
			b.SawRequest(e.value, e.rev, now)
		}
	}
	a.look()
}

func (a *agent) sawRecord(r cluster.Record, rev cluster.Revision) {
	if a.n.SawRecord(r, rev, a.h.clock()) == node.Newer {
		a.h.memory = max(a.h.memory, r.Epoch)
		if a.h.data {
			a.observeNow()
		}
	}
}

// lookAround reads the gate and the addresses from the kernel.
func (a *agent) lookAround() {
	a.readGate()
	a.readAddresses()
	a.look()
}

func (a *agent) readGate() {
	g := &a.h.gate
	a.n.SawGate(a.h.mode(), append([]cluster.NodeName(nil), g.cut...), append([]cluster.NodeName(nil), g.blocked...))
}

func (a *agent) readAddresses() { a.n.SawAddresses(a.h.boundHere(), a.h.addr.muted) }

func (a *agent) observeNow() { a.observe(func(cluster.ServerFact, error) {}) }

// observe reads the server, one reading at a time.
func (a *agent) observe(done func(cluster.ServerFact, error)) {
	if a.reading {
		a.waiting = append(a.waiting, done)
		return
	}
	a.reading = true
	srv, s := a.h.srv, a.w.settings
	finish := func(f cluster.ServerFact, err error) {
		a.reading = false
		a.n.Observed(f)
		done(f, err)
		next := a.waiting
		a.waiting = nil
		for _, d := range next {
			a.observe(d)
		}
		a.look()
	}
	if !srv.listens() {
		a.after(time.Millisecond, func() { finish(a.judge.Silent(srv.up, a.h.clock(), s.Hang), errServerDown) })
		return
	}
	patience := a.judge.Patience(a.h.clock(), s.Hang)
	a.w.after(a.w.between(200*time.Microsecond, 2*time.Millisecond), func() {
		if !srv.answers() {
			a.after(patience, func() { finish(a.judge.Silent(srv.up, a.h.clock(), s.Hang), errServerDown) })
			return
		}
		f, tick := srv.fact()
		a.after(a.w.between(100*time.Microsecond, time.Millisecond), func() { finish(a.judge.Answered(f, tick, a.h.clock()), nil) })
	})
}

// serverGone takes in that the server's process has ended, or is about to.
func (a *agent) serverGone(state cluster.ServerState) {
	a.deliver(func() {
		if !a.h.srv.up {
			a.n.ServerGone(state)
			a.observeNow()
			a.look()
		}
	})
}

// proveWriting has the primary prove that a write comes back.
func (a *agent) proveWriting() {
	r := a.n.Board.Record
	serves := r.Primary == a.n.Self && (r.Phase == cluster.PhaseSteady || r.Phase == cluster.PhasePromoting) && a.h.srv.up
	now := a.h.clock()
	switch {
	case !serves, !a.h.srv.full:
		a.failing, a.n.CannotWrite, a.n.CannotWriteWhy = 0, "", cluster.Nothing
	case a.failing == 0:
		a.failing = now
	case now.Sub(a.failing) >= a.w.settings.Hang:
		a.n.CannotWrite, a.n.CannotWriteWhy = "disk full", cluster.PrimaryDiskFull
		a.look()
	}
}

// watcher looks at another node's server.
type watcher struct {
	of           *host
	port, server detect.Track
}

func (a *agent) watch(of *host) {
	t := &watcher{of: of, port: detect.New(detect.Port, a.w.draw.limits), server: detect.New(detect.Server, a.w.draw.limits)}
	a.watched = append(a.watched, t)
	a.probe(t, &t.port, a.w.draw.timeout, func(v *cluster.NodeView, l cluster.LayerView) { v.Port = l }, of.srv.listens)
	a.probe(t, &t.server, a.w.settings.Hang, func(v *cluster.NodeView, l cluster.LayerView) { v.Server = l }, of.srv.answers)
}

// probe asks one layer, again and again.
func (a *agent) probe(t *watcher, track *detect.Track, timeout time.Duration, put func(*cluster.NodeView, cluster.LayerView), answers func() bool) {
	var said cluster.LayerView
	var ask func()
	ask = func() {
		sent := a.h.clock()
		*track = track.Asked(sent, timeout)
		end := func(o detect.Outcome, why string) func() {
			return func() {
				now := a.h.clock()
				*track = track.Observe(now, detect.Result{Sent: sent, Outcome: o, Latency: now.Sub(sent), Error: why})
				if v := track.Verdict(now); v.State != said.State || v.Evidence != said.Evidence {
					said = v
					a.n.SawLayer(t.of.name, func(nv *cluster.NodeView) { put(nv, v) })
					a.look()
				}
				a.after(track.Next(), ask)
			}
		}
		w := a.w
		there := w.net.delay(a.h.i, t.of.i)
		w.after(there, func() {
			back := w.net.delay(t.of.i, a.h.i)
			switch {
			case !t.of.up || !w.net.both(a.h.i, t.of.i) || there+back > timeout:
				a.after(timeout-min(there, timeout), end(detect.NoAnswer, "no answer"))
			case w.refused(a.h, t.of) || !t.of.srv.listens():
				a.after(back, end(detect.Refused, "connection refused"))
			case answers():
				a.after(back, end(detect.Answered, ""))
			default:
				a.after(timeout-min(there, timeout), end(detect.NoAnswer, "no answer"))
			}
		})
	}
	a.after(a.w.between(0, a.w.draw.limits.Normal), ask)
}
