package sim

import (
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/node"
	"github.com/baton-db/baton/internal/core/reconcile"
)

// otherData are all data nodes but h.
func (w *world) otherData(h *host) (names []cluster.NodeName) {
	for _, n := range w.settings.DataNodes() {
		if n != h.name {
			names = append(names, n)
		}
	}
	return names
}

// ask asks the other data nodes for their promises, if that is needed: there is
// no store between them. A question or an answer may come late, or never.
func (a *agent) ask() {
	w, sent := a.w, a.h.clock()
	q, needed := a.keeper.Asks(sent)
	if !needed {
		return
	}
	for _, name := range a.keeper.Others() {
		o := w.node(name)
		if !w.net.open(a.h.i, o.i) {
			continue
		}
		w.after(w.net.delay(a.h.i, o.i), func() {
			if o.up && o.agent != nil {
				o.agent.deliver(func() { o.agent.asked(a, q, sent) })
			}
		})
	}
}

// asked answers a primary: the promise is on disk before the answer leaves.
func (a *agent) asked(by *agent, q node.Ask, sent cluster.Instant) {
	w := a.w
	answer := a.n.Asked(q, a.senses(a.h.clock()))
	if answer.Pledged {
		a.h.pledge, a.h.pledged = a.n.Pledge, true
		w.noteGrant(by.h, a.h, sent)
		if w.chaos.over == 0 && w.chance(0.02) {
			w.after(w.between(0, w.settings.Lease/2), func() { w.chaos.backElsewhere(by.h, a.h) })
		}
	}
	if !w.net.open(a.h.i, by.h.i) {
		return
	}
	w.after(w.net.delay(a.h.i, by.h.i), func() {
		by.deliver(func() {
			kept := by.keeper.Answered(a.h.name, q.Epoch, sent, by.h.clock(), answer)
			if kept.Extend {
				w.result.Promised++
				by.h.extend(by.keeper.Until())
			}
			if kept.Changed {
				by.look()
			}
		})
	})
}

// backElsewhere has the store come back to all but a primary that serves by
// promises, at the moment at which the agent of one who promised restarts.
func (c *chaos) backElsewhere(p, promised *host) {
	w, l := c.w, c.w.settings.Lease
	w.trace("***", "the store is back for all but %s, and the agent of %s restarts", p.name, promised.name)
	c.storeDown = w.now
	w.store.unreached[p.i]++
	p.sicken()
	c.lasts(l, 4*l, func() { w.store.unreached[p.i]--; p.sicken() })
	promised.sicken()
	promised.killAgent()
	c.lasts(time.Millisecond, l/4, promised.startAgent)
}

// noteGrant notes for the invariants that o promised h to wait, in answer to a
// question that was sent at sent.
func (w *world) noteGrant(h, o *host, sent cluster.Instant) {
	if h.grants == nil {
		h.grants = map[cluster.NodeName]cluster.Instant{}
	}
	h.grants[o.name] = max(h.grants[o.name], sent)
}

// checkPromised holds a primary that serves without the store to what its clients
// see: nothing else is wrong, so they are answered.
func (w *world) checkPromised() {
	p := w.node(w.store.record.value.Primary)
	if p == nil || p.agent == nil || w.chaos.over > 0 || w.store.record.value.Phase != cluster.PhaseSteady || time.Duration(w.now-w.chaos.served) < 4*time.Second {
		return
	}
	for _, h := range w.nodes {
		if h.data && (h.agent == nil || h.frozen > w.now || !h.srv.answers() || !w.calm(h)) {
			return
		}
	}
	if rests, _ := p.agent.keeper.Promised(p.clock()); rests && p.mode() == reconcile.GateOpenLeased {
		w.violate("%s serves without the store, all servers and links are well, and no client was answered since %.3f s; %s", p.name, time.Duration(w.chaos.served).Seconds(), w.waits())
	}
}

// calm reports that a host and its links have long been in order.
func (w *world) calm(h *host) bool {
	for i := range w.net.cut {
		if w.net.cut[h.i][i]+w.net.cut[i][h.i]+w.net.slow[h.i][i]+w.net.slow[i][h.i] > 0 {
			return false
		}
	}
	return w.now-h.sick > int64(4*w.settings.Lease+w.settings.Hang+w.settings.AckLeave+5*time.Second)
}

// granted is when the oldest of the newest questions was sent that all other data
// nodes have promised upon; 0 if one has not.
func (w *world) granted(h *host) cluster.Instant {
	oldest := h.clock()
	for _, n := range w.otherData(h) {
		oldest = min(oldest, h.grants[n])
	}
	return oldest
}
