package sim

import (
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/scenario"
)

const ms = time.Millisecond

var stories = []staged{
	{"a renewal that the others have not seen", scenario.Cluster{Servers: 3}, unseenRenewal},
	{"fenced, and serving again", scenario.Cluster{Servers: 3}, fencedAndServing},
	{"a word that comes too late", scenario.Cluster{Servers: 3}, lateWord},
	{"a candidate that nobody hears of", scenario.Cluster{Servers: 3, Async: true}, silentCandidate},
	{"an old replica of a primary that comes back", scenario.Cluster{Servers: 3}, oldReplica},
	{"positions with gaps", scenario.Cluster{Servers: 3}, gapsInPositions},
	{"gates that are still shut", scenario.Cluster{Servers: 5, Async: true}, gatesStillShut},
	{"a promise of one that falls silent", scenario.Cluster{Servers: 3}, silentPromise},
	{"received and not applied", scenario.Cluster{Servers: 3}, receivedOnly},
	{"what the restarted primary dropped", scenario.Cluster{Servers: 2, Witness: true}, droppedAndKnown},
	{"numbers given twice", scenario.Cluster{Servers: 2, Witness: true}, numbersGivenTwice},
	{"a primary that restarts while it is promoted", scenario.Cluster{Servers: 3}, restartsWhilePromoted},
	{"a machine that stands still with its clock", scenario.Cluster{Servers: 3}, func(t *telling) { machineStandsStill(t, true) }},
	{"a machine that stands still with its clock, async", scenario.Cluster{Servers: 3, Async: true}, func(t *telling) { machineStandsStill(t, true) }},
	{"a machine that stands still", scenario.Cluster{Servers: 3, Async: true}, func(t *telling) { machineStandsStill(t, false) }},
	{"a clock that is an hour ahead", scenario.Cluster{Servers: 3}, func(t *telling) { clockIsOff(t, time.Hour) }},
	{"a clock that is an hour behind", scenario.Cluster{Servers: 3}, func(t *telling) { clockIsOff(t, -time.Hour) }},
	{"everything is carried out twice", scenario.Cluster{Servers: 3}, carriedOutTwice},
	{"receivers that are slow to stop", scenario.Cluster{Servers: 3}, slowToStop},
	{"a store that is away", scenario.Cluster{Servers: 3}, storeAway},
}

// unseenRenewal: the primary's renewals fail but for the last possible one, of
// which the news are late. The others conclude that the lease is over; the swap
// must fail, for it is not.
func unseenRenewal(t *telling) {
	w, p := t.w, t.p
	newest := w.store.lease.rev
	t.until(time.Second, "a renewal", func() bool { return w.store.lease.rev != newest })
	t.pass(20 * ms) // until the answer is there
	t.do("its renewals get lost, and it stands still until just before its lease ends", func() {
		w.stage.late = func(h *host, o operation) time.Duration {
			if h == p && o == renews && h.frozen == 0 {
				return -1
			}
			return 0
		}
		// What is sent before the freeze gets lost; what is sent after it arrives.
		left := p.agent.keeper.Held.Until.Sub(p.clock())
		w.after(left/2, func() { p.frozen = w.now + int64(left/2-8*ms) })
	})
	t.do("the others hear late of a renewal, and it hears nothing", func() {
		w.store.leader = t.others[0].i
		w.stage.news = func(h *host, n news) time.Duration {
			switch {
			case h == p:
				return 3 * time.Second
			case n.lease != nil:
				return 150 * ms
			}
			return 0
		}
	})
	newest = w.store.lease.rev
	t.perhaps(time.Second, func() bool { return w.store.lease.rev != newest })
	epoch := t.record().Epoch
	if t.comes(140*ms, func() bool { return t.record().Epoch > epoch }) {
		t.do("it is cut off", func() { t.isolate(p) })
		t.pass(time.Second)
	}
	t.point()
}

// fencedAndServing: an agent fences itself, says so and is killed. The next one
// takes the lease up again, and its first word is late.
func fencedAndServing(t *telling) {
	w, p := t.w, t.p
	epoch := t.record().Epoch
	t.do("the others stand still, and the agent is told to stop", func() {
		for _, h := range t.others {
			t.freeze(h, 400*ms)
		}
		p.agent.deliver(func() { p.agent.n.Leaving = true; p.agent.look() })
	})
	t.until(300*ms, "it says that it is fenced", func() bool { return w.store.facts[p.name].value.Fenced == epoch })
	t.do("it is killed, and started again", func() {
		p.killAgent()
		w.stage.late = func(h *host, o operation) time.Duration {
			switch {
			case h == p && o == putsFact:
				return -1
			case h == p && o == swaps:
				return 60 * ms
			}
			return 0
		}
		p.startAgent()
	})
	t.perhaps(350*ms, func() bool { return takes(p) })
	t.pass(400 * ms)
	t.perhaps(0, func() bool { return takes(p) && t.record().Epoch == epoch })
	t.do("a person takes the role away, of which it does not hear", func() {
		w.store.leader = t.others[0].i
		t.deaf(p)
		_ = t.ask(scenario.Failover, t.others[0].name)
	})
	t.until(time.Second, "its reign ends", func() bool { return t.record().Epoch > epoch })
	t.do("it is cut off", func() { t.isolate(p) })
	t.pass(2 * time.Second)
	t.point()
}

// lateWord: an agent fences itself and is killed while its word is under way. When
// that arrives, the next agent has taken the lease up again and serves.
func lateWord(t *telling) {
	w, p := t.w, t.p
	epoch, first := t.record().Epoch, p.agent
	t.do("its word comes late from now on, and the agent is told to stop", func() {
		w.store.leader = t.others[0].i
		w.stage.late = func(h *host, o operation) time.Duration {
			switch {
			case h == p && o == putsFact && first != nil && first.n.Fenced == epoch:
				return 400 * ms
			case h == p && o == swaps:
				return -1
			}
			return 0
		}
		first.deliver(func() { first.n.Leaving = true; first.look() })
	})
	t.until(300*ms, "it has fenced itself", func() bool { return first.n.Fenced == epoch })
	t.pass(8 * ms)
	t.do("it is killed, and started again", func() {
		p.killAgent()
		first = nil
		p.startAgent()
	})
	t.perhaps(350*ms, func() bool { return takes(p) })
	t.do("it does not hear of what becomes of that", func() { t.deaf(p) })
	t.perhaps(600*ms, func() bool { return w.store.facts[p.name].value.Fenced == epoch })
	if t.comes(200*ms, func() bool { return t.record().Epoch > epoch }) {
		t.do("it is cut off", func() { t.isolate(p) })
		t.pass(time.Second)
	}
	t.point()
}

// silentCandidate: a candidate takes the lease and serves, but its word does not
// arrive: it is given up, and must be fenced.
func silentCandidate(t *telling) {
	w := t.w
	t.do("the primary's server dies", func() { t.p.sicken(); t.p.srv.crash(""); t.later(t.p.srv.start) })
	t.until(5*time.Second, "somebody is promoted", func() bool { return t.record().Phase == cluster.PhasePromoting })
	c, epoch := w.node(t.record().Primary), t.record().Epoch
	t.do("its word does not arrive", func() {
		w.stage.late = func(h *host, o operation) time.Duration {
			if h == c && (o == putsFact || o == swaps) {
				return -1
			}
			return 0
		}
		w.store.leader = t.p.i
	})
	t.perhaps(5*time.Second, func() bool { return c != nil && takes(c) })
	t.do("nor does it hear anything", func() { t.deaf(c) })
	t.until(10*time.Second, "it is given up", func() bool { return t.record().Epoch > epoch })
	t.do("it is cut off", func() { t.isolate(c) })
	t.pass(2 * time.Second)
	t.point()
}

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

// gatesStillShut: after a failover the agents of replicas that lag restart. Their
// own paths are still blocked: what they see is no evidence.
func gatesStillShut(t *telling) {
	w := t.w
	next, lagging := t.others[0], t.others[1:]
	t.do("three replicas lag", func() {
		for _, h := range lagging {
			h.srv.lagging = true
			t.later(func() { h.srv.lagging = false })
		}
	})
	t.pass(3 * time.Second)
	t.do("clients pause", func() { w.stage.quiet = true })
	t.pass(500 * ms)
	t.do("a person takes the role away", func() { _ = t.ask(scenario.Failover, next.name) })
	t.until(5*time.Second, "another is promoted", func() bool { return t.record().Phase == cluster.PhasePromoting })
	t.perhaps(0, func() bool { return t.record().Primary == next.name })
	t.do("the old primary's server dies", func() { t.p.sicken(); t.p.srv.crash(""); t.later(t.p.srv.start) })
	t.do("the agents of those that lag are restarted", func() {
		for _, h := range lagging {
			h.killAgent()
			w.after(20*ms, h.startAgent)
		}
	})
	t.until(5*time.Second, "the reign begins", func() bool { return t.record().Phase == cluster.PhaseSteady })
	epoch := t.record().Epoch
	t.do("clients write", func() { w.stage.quiet = false })
	t.pass(3 * time.Second)
	t.never("a primary to which nothing happened is replaced", t.record().Epoch != epoch || t.record().Phase != cluster.PhaseSteady)
	t.point()
}

// silentPromise: the only one that has the last writes promises before it has
// applied them, and falls silent. It is waited for.
func silentPromise(t *telling) {
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
	t.perhaps(5*time.Second, func() bool {
		q := w.store.facts[sole.name].value.Promise
		return q != nil && q.Epoch > epoch
	})
	t.do("the one that has it promises and falls silent", func() { t.freeze(sole, 8*time.Second) })
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

// storeAway: everything but the store is well. Clients notice nothing.
func storeAway(t *telling) {
	w := t.w
	t.do("the store is away", func() { w.chaos.storeDown = w.now + int64(time.Minute); t.later(func() { w.chaos.storeDown = w.now }) })
	for range 20 {
		acked := w.result.Written
		t.until(3*time.Second, "a client is answered", func() bool { return w.result.Written > acked })
		t.pass(300 * ms)
	}
	t.do("it is back", func() { w.chaos.storeDown = w.now })
	t.pass(5 * time.Second)
	t.never("the primary was replaced", t.record().Primary != t.p.name)
	t.point()
}

// machineStandsStill: the primary's machine is paused for longer than its lease and
// goes on when another one serves. If its clock stood still, too, its lease looks
// valid for as long as it was when that began.
func machineStandsStill(t *telling, clockToo bool) {
	w, p := t.w, t.p
	epoch := t.record().Epoch
	t.do("its machine is paused", func() { p.pause(4*time.Second, clockToo) })
	t.until(4*time.Second, "another one serves", func() bool {
		r := t.record()
		return r.Epoch > epoch && r.Primary != "" && r.Primary != p.name && takes(w.node(r.Primary))
	})
	t.until(4*time.Second, "it goes on", func() bool { return p.frozen <= w.now })
	acked := len(w.writes)
	t.pass(3 * time.Second)
	for _, v := range w.writes[min(acked, len(w.writes)):] {
		t.never("a client was told by the one that had stood still that its write is committed, and the primary lacks it",
			v.acked && v.by == p.name && w.settings.Durability == cluster.Lossless)
	}
	t.never("clients can write there", takes(p))
	t.point()
}

// clockIsOff: one node's wall clock jumps. Nothing moves for that, failures of two
// primaries in a row are dealt with all the same, and so is one after the clock was
// set right.
func clockIsOff(t *telling, by time.Duration) {
	w := t.w
	t.do("its wall clock jumps", func() { t.p.wallOff = by })
	epoch := t.record().Epoch
	t.pass(5 * time.Second)
	t.never("the role moved", t.record().Epoch != epoch)
	for range 3 {
		epoch = t.record().Epoch
		dead := w.node(t.record().Primary)
		t.do("the primary's server dies", func() { dead.sicken(); dead.srv.crash("") })
		t.until(5*time.Second, "another one serves", func() bool {
			r := t.record()
			return r.Epoch > epoch && r.Phase == cluster.PhaseSteady && takes(w.node(r.Primary))
		})
		t.do("its server is started", dead.srv.start)
		t.until(15*time.Second, "all is well again", func() bool { return w.unwell() == "" && len(t.record().Acks().Members) == 2 })
		t.do("the clock is set right", func() { t.p.wallOff = 0 })
	}
	t.point()
}

// carriedOutTwice: answers of the store get lost, and what was asked is sent again,
// and carried out again although it had been.
func carriedOutTwice(t *telling) {
	w := t.w
	t.do("all is carried out twice", func() { w.stage.twice = true })
	t.move(t.others[0])
	t.pass(2 * time.Second)
	epoch := t.record().Epoch
	t.do("the primary dies", func() { t.power(t.others[0]) })
	t.until(5*time.Second, "another one serves", func() bool {
		r := t.record()
		return r.Epoch > epoch && r.Phase == cluster.PhaseSteady && takes(w.node(r.Primary))
	})
	t.pass(3 * time.Second)
	t.never("the role moved once more", t.record().Epoch != epoch+1)
	t.point()
}

// slowToStop: receivers take two seconds to stop. The election waits for them, and
// ends.
func slowToStop(t *telling) {
	w := t.w
	t.do("receivers stop slowly", func() { w.stage.slowStop = 2 * time.Second })
	epoch := t.record().Epoch
	t.do("the primary dies", func() { t.power(t.p) })
	t.until(6*time.Second, "another one serves", func() bool {
		r := t.record()
		return r.Epoch > epoch && r.Phase == cluster.PhaseSteady && takes(w.node(r.Primary))
	})
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
