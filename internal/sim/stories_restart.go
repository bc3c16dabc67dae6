package sim

import (
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/scenario"
)

// dropped has a primary that nobody acknowledges crash and lose what its replica
// has received, a write that nobody was told of.
func (t *telling) dropped(p, r *host) *write {
	w := t.w
	v := &write{}
	t.do("the replica is cut off", func() { t.apart(p.i, r.i) })
	t.until(10*time.Second, "nobody acknowledges", func() bool { return t.members() == "" })
	t.do("and comes back", t.heal)
	t.do("clients pause", func() { w.stage.quiet = true })
	t.perhaps(10*time.Second, func() bool { return t.members() == "" && r.srv.replica.connected && len(p.srv.waiting) == 0 })
	before := len(p.srv.log)
	t.do("a client's write is under way", func() {
		v.n = len(w.writes)
		w.writes = append(w.writes, v)
		p.srv.commit(v, 0, func(bool) {})
	})
	t.perhaps(20*ms, func() bool { return len(p.srv.log) > before && r.srv.received().Contains(p.srv.set()) })
	t.do("the primary's server dies and loses it", func() { p.sicken(); p.srv.crash("") })
	t.perhaps(0, func() bool { return len(p.srv.log) <= before && t.members() == "" })
	return v
}

// droppedAndKnown: it is known that the replica has what the primary has lost. It
// is waited for, and nothing is lost.
func droppedAndKnown(t *telling) {
	w, p, r := t.w, t.p, t.others[0]
	v := t.dropped(p, r)
	held := r.srv.received()
	t.perhaps(time.Second, func() bool {
		f := w.store.facts[r.name].value
		return t.record().Phase == cluster.PhaseElecting && f.Epoch == t.record().Epoch && f.Server.Held().Contains(held) && (f.Promise == nil || f.Promise.Epoch < f.Epoch)
	})
	t.do("the agent of the replica stands still", func() { t.freeze(r, 3*time.Second); p.srv.start() })
	t.pass(6 * time.Second)
	t.do("clients write", func() { w.stage.quiet = false })
	t.until(10*time.Second, "all is well again", func() bool { return w.unwell() == "" })
	for _, h := range []*host{p, r} {
		t.never("what the replica had received is gone at "+string(h.name), !slices.ContainsFunc(h.srv.log, func(x txn) bool { return x.write == v }))
	}
	t.point()
}

// numbersGivenTwice: the replica is gone before it could say what it has. What the
// primary writes from then on must not bear the same numbers.
func numbersGivenTwice(t *telling) {
	w, p, r := t.w, t.p, t.others[0]
	t.dropped(p, r)
	t.do("the replica is gone, and the server comes up again", func() { t.power(r); p.srv.start() })
	t.until(10*time.Second, "it is primary again", func() bool { return takes(p) })
	t.do("clients write", func() { w.stage.quiet = false })
	t.pass(2 * time.Second)
	t.do("the replica comes back", func() { r.start(); r.srv.start() })
	if t.comes(5*time.Second, func() bool { return t.members() == string(r.name) }) {
		t.pass(time.Second)
		t.do("the primary dies", func() { t.power(p) })
		t.pass(5 * time.Second)
	}
	t.point()
}

// diesBeforeItsMarker: a primary dies with writes that nobody acknowledged. The one
// promoted after it leaves numbers out, which writes a transaction, and dies before
// its marker. Each of them has what the other lacks; no person is needed to tell which
// of it counts, for that transaction is the marker, too.
func diesBeforeItsMarker(t *telling) {
	p, r := t.p, t.others[0]
	t.do("its replica gets nothing any more", func() { t.w.store.leader = len(t.w.nodes) - 1; t.apart(p.i, r.i) })
	t.pass(2500 * ms)
	before := p.srv.set()
	t.do("the primary dies", func() { p.sicken(); p.crash() })
	t.perhaps(0, func() bool { return !r.srv.received().Contains(p.srv.set()) && p.srv.set().Contains(r.srv.received()) })
	t.until(10*time.Second, "the other leaves numbers out", func() bool { return r.srv.set().Count() > before.Count()+skipped/2 })
	t.do("and dies", func() { r.sicken(); r.crash() })
	t.perhaps(0, func() bool { return r.srv.set().Count() > skipped/2 })
	t.do("both come back", func() { t.heal(); p.start(); r.start() })
	t.until(20*time.Second, "one serves", func() bool { return t.record().Phase == cluster.PhaseSteady && takes(t.w.node(t.record().Primary)) })
	t.point()
}

// restartsWhilePromoted: a new primary serves, and before the record says so its
// server and its agent restart. What clients were told meanwhile may be gone there.
func restartsWhilePromoted(t *telling) {
	w := t.w
	epoch := t.record().Epoch
	t.do("a person takes the role away", func() { _ = t.ask(scenario.Failover, t.others[0].name) })
	t.until(5*time.Second, "another one is promoted", func() bool { return t.record().Phase == cluster.PhasePromoting && t.record().Epoch > epoch })
	c := w.node(t.record().Primary)
	t.do("nobody changes the record", func() {
		w.stage.late = func(_ *host, o operation) time.Duration {
			if o == swaps {
				return -1
			}
			return 0
		}
	})
	t.perhaps(2*time.Second, func() bool { return takes(c) })
	t.pass(600 * ms)
	t.perhaps(0, func() bool { return len(t.record().Acks().Members) > 0 && takes(c) })
	t.do("it restarts, and its agent, too", func() {
		c.sicken()
		c.killAgent()
		c.srv.crash("")
		c.srv.start()
		c.startAgent()
	})
	t.pass(300 * ms)
	t.do("the record is changed again", func() { w.stage.late = nil })
	t.pass(5 * time.Second)
	t.point()
}
