package sim

import (
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/scenario"
)

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

// lateAnswer: the store accepts the primary's last renewal just before its lease
// ends, and the answer comes when it has fenced itself and said so. The others go by
// that word at once, and so must it.
func lateAnswer(t *telling) {
	w, p := t.w, t.p
	epoch, newest := t.record().Epoch, w.store.lease.rev
	t.until(time.Second, "a renewal", func() bool { return w.store.lease.rev != newest })
	t.pass(20 * ms) // until the answer is there
	t.do("its renewals get lost, and it stands still until shortly before its lease ends", func() {
		w.store.leader = t.others[0].i
		w.stage.late = func(h *host, o operation) time.Duration {
			if h == p && o == renews && h.frozen == 0 {
				return -1
			}
			return 0
		}
		left := p.agent.keeper.Held.Until.Sub(p.clock())
		w.after(left/3, func() { p.frozen = w.now + int64(left*2/3-50*ms) })
	})
	t.do("the answer to the one after that comes late, and it hears nothing else", func() {
		w.stage.answer = func(h *host, o operation) time.Duration {
			if h == p && o == renews {
				return w.settings.Call - 15*ms
			}
			return 0
		}
		t.deaf(p)
	})
	newest = w.store.lease.rev
	t.perhaps(time.Second, func() bool { return w.store.lease.rev != newest })
	t.perhaps(100*ms, func() bool { return w.store.facts[p.name].value.Fenced == epoch })
	t.perhaps(100*ms, func() bool { return t.record().Epoch > epoch })
	t.pass(50 * ms) // the answer comes
	t.do("it is cut off", func() { t.isolate(p) })
	t.pass(2 * time.Second)
	t.never("clients can write there", takes(p))
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
