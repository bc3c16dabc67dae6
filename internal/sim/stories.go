package sim

import (
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/scenario"
)

const ms = time.Millisecond

var stories = []staged{
	{"a renewal that the others have not seen", scenario.Cluster{Servers: 3}, unseenRenewal},
	{"an answer that comes after the fence", scenario.Cluster{Servers: 3}, lateAnswer},
	{"fenced, and serving again", scenario.Cluster{Servers: 3}, fencedAndServing},
	{"a word that comes too late", scenario.Cluster{Servers: 3}, lateWord},
	{"a candidate that nobody hears of", scenario.Cluster{Servers: 3, Async: true}, silentCandidate},
	{"an old replica of a primary that comes back", scenario.Cluster{Servers: 3}, oldReplica},
	{"one leaves before the other has caught up", scenario.Cluster{Servers: 3}, leavesTooEarly},
	{"an old word of one that has lost something", scenario.Cluster{Servers: 3}, oldWord},
	{"positions with gaps", scenario.Cluster{Servers: 3}, gapsInPositions},
	{"gates that are still shut", scenario.Cluster{Servers: 5, Async: true}, gatesStillShut},
	{"a promise of one that falls silent", scenario.Cluster{Servers: 3}, func(t *telling) { silentPromise(t, false) }},
	{"a promise of one that falls silent later", scenario.Cluster{Servers: 3}, func(t *telling) { silentPromise(t, true) }},
	{"received and not applied", scenario.Cluster{Servers: 3}, receivedOnly},
	{"what the restarted primary dropped", scenario.Cluster{Servers: 2, Witness: true}, droppedAndKnown},
	{"numbers given twice", scenario.Cluster{Servers: 2, Witness: true}, numbersGivenTwice},
	{"a primary that dies before its marker", scenario.Cluster{Servers: 2, Witness: true}, diesBeforeItsMarker},
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
