package sim

import (
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// oldReplica: a replica whose agent is dead goes on acknowledging to the one that
// was primary when it was told to. That one comes back without counting on it.
func oldReplica(t *telling) {
	w, p := t.w, t.p
	next, old := t.others[0], t.others[1]
	t.do("the agent of a replica dies", func() { old.sicken(); old.killAgent(); t.later(old.startAgent) })
	t.move(next)
	t.until(10*time.Second, "that replica leaves", func() bool { return t.members() == string(p.name) })
	t.pass(2 * time.Second)
	t.move(p)
	t.pass(time.Second)
	t.perhaps(0, func() bool { return t.members() == string(next.name) })
	t.do("the other replica gets nothing any more", func() { w.store.leader = old.i; t.apart(p.i, next.i) })
	t.pass(600 * ms)
	t.do("the primary dies", func() { t.power(p) })
	t.pass(8 * time.Second)
	t.point()
}

// gapsInPositions: a replica that was away for a reign, and lags, is the only one
// that has the last writes.
func gapsInPositions(t *telling) {
	w, first := t.w, t.p
	second, away := t.others[0], t.others[1]
	t.move(second)
	t.pass(1500 * ms)
	t.do("a replica is away", func() { t.power(away) })
	t.pass(2 * time.Second)
	t.move(first)
	t.pass(1500 * ms)
	t.move(second)
	t.pass(1500 * ms)
	t.do("it comes back, and lags", func() { away.srv.lagging = true; away.start(); away.srv.start() })
	t.until(15*time.Second, "it acknowledges", func() bool {
		rep := &away.srv.replica
		return rep.acks && rep.connected && len(rep.relay) > 5 && t.members() == t.both(first, away)
	})
	t.do("the other gets nothing any more", func() { w.store.leader = away.i; t.apart(first.i, second.i) })
	t.pass(700 * ms)
	t.do("the primary dies", func() { t.power(second) })
	t.pass(20 * time.Second)
	t.point()
}

// both is an ack set of two.
func (t *telling) both(a, b *host) string {
	if a.i > b.i {
		a, b = b, a
	}
	return string(a.name) + " " + string(b.name)
}

// silentPromise: the only one that has the last writes promises before it has
// applied them, and falls silent; then, or once it has applied them and said so. It is
// waited for.
func silentPromise(t *telling, applies bool) {
	w, p := t.w, t.p
	other, sole := t.others[0], t.others[1]
	t.onlyOneGetsIt(p, other, sole)
	epoch := t.record().Epoch
	t.do("the primary dies, and the server of the one that has nothing stands still", func() {
		t.power(p)
		other.sicken()
		other.srv.hung = true
		w.after(5*time.Second, other.srv.goOn)
	})
	said := func() *cluster.Promise { return w.store.facts[sole.name].value.Promise }
	t.perhaps(5*time.Second, func() bool { q := said(); return q != nil && q.Epoch > epoch && !q.Executed.Contains(q.Received) })
	if applies {
		t.do("the one that has it promises and applies it", func() { sole.srv.lagging = false })
		t.perhaps(2*time.Second, func() bool { return w.store.facts[sole.name].value.Server.Executed.Contains(said().Received) })
		t.pass(100 * ms) // until everybody has heard of it
	}
	t.do("the one that has it falls silent", func() { t.freeze(sole, 8*time.Second) })
	t.pass(15 * time.Second)
	t.point()
}

// onlyOneGetsIt has the last writes be received by one replica only, which has not
// applied them.
func (t *telling) onlyOneGetsIt(p, other, sole *host) {
	t.do("one replica lags", func() { sole.srv.lagging = true; t.later(func() { sole.srv.lagging = false }) })
	t.pass(700 * ms)
	t.do("the other gets nothing any more", func() { t.w.store.leader = sole.i; t.apart(p.i, other.i) })
	t.pass(500 * ms)
	t.perhaps(0, func() bool { return len(sole.srv.replica.relay) > 0 })
}

// receivedOnly: the only one that has the last writes has received them, and
// servers forget what they are told to forget.
func receivedOnly(t *telling) {
	t.do("servers obey", func() { t.w.stage.bare = true })
	t.onlyOneGetsIt(t.p, t.others[0], t.others[1])
	t.do("the primary dies", func() { t.power(t.p) })
	t.pass(25 * time.Second)
	t.point()
}

// leavesTooEarly: one of two replicas that acknowledge is missed and is to leave. The
// other still seems to receive, and lacks the last writes: the set must not shrink to
// it before it has them.
func leavesTooEarly(t *telling) {
	w, p := t.w, t.p
	leaves, stays := t.others[0], t.others[1]
	t.agentDies(leaves)
	t.pass(w.settings.AckLeave - 700*ms)
	t.do("the other gets nothing any more", func() { w.store.leader = leaves.i; t.apart(p.i, stays.i) })
	t.cutOff(leaves)
	t.pass(200 * ms)
	t.do("the primary dies", func() { t.power(p) })
	t.pass(8 * time.Second)
	t.point()
}

// oldWord: a replica's server restarts and has lost what it had received and not
// applied. What its agent said before that arrives after what it says of it: the ack
// set must not shrink to that one because of it.
func oldWord(t *telling) {
	w, p := t.w, t.p
	leaves, loses := t.others[0], t.others[1]
	t.do("a replica lags", func() { loses.srv.lagging = true; t.later(func() { loses.srv.lagging = false }) })
	t.pass(3 * time.Second)
	t.do("clients pause", func() { w.stage.quiet = true })
	t.agentDies(leaves)
	cut := w.now + int64(w.settings.AckLeave)
	underWay := false
	t.do("a word of the one that lags is under way for long", func() {
		w.store.leader = leaves.i
		w.stage.late = func(h *host, o operation) time.Duration {
			if h != loses || o != putsFact || underWay {
				return 0
			}
			underWay = true
			return time.Duration(cut-w.now) + 250*ms
		}
	})
	t.perhaps(w.settings.Beat+100*ms, func() bool { return underWay })
	t.pass(2 * w.settings.Call)
	received := loses.srv.received()
	t.do("its server restarts, and receives nothing any more", func() {
		t.apart(p.i, loses.i)
		loses.srv.crash("")
		loses.srv.start()
	})
	t.perhaps(0, func() bool { return !loses.srv.received().Contains(received) })
	t.cutOff(leaves)
	t.perhaps(500*ms, func() bool { return w.store.facts[loses.name].value.Server.Held().Contains(received) })
	t.pass(30 * ms)
	t.do("the primary dies", func() { t.power(p) })
	t.pass(8 * time.Second)
	t.point()
}

// agentDies has the agent of a replica die, and waits until the primary misses its
// word. Its server goes on acknowledging until it is cut off, a while later.
func (t *telling) agentDies(h *host) {
	t.do("the agent of a replica dies", func() { h.sicken(); h.killAgent(); t.later(h.startAgent) })
	t.until(5*time.Second, "it is missed", func() bool { return t.p.agent.n.AckSilent[h.name] != 0 })
}

// cutOff waits until the primary has cut a replica off; if the store was silent to it
// meanwhile, it goes on waiting for a word.
func (t *telling) cutOff(h *host) {
	t.perhaps(2*time.Second, func() bool { return slices.Contains(t.p.gate.cut, h.name) })
}
