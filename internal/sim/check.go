package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reconcile"
)

// check holds the promises that can be seen at any moment against the world.
func (w *world) check() {
	writers, owners := 0, 0
	for _, h := range w.nodes {
		if !h.data {
			continue
		}
		// One that stood still with its clock may think that its lease goes on. What
		// it writes is acknowledged by nobody, or told of (checkHolds, unreported).
		if h.srv.writable() && h.passes() && w.now >= h.astray {
			writers++
		}
		if _, announced := h.has(); announced {
			owners++
		}
	}
	if writers > 1 {
		w.violate("%s take writes from clients", strings.Join(w.names(func(h *host) bool { return h.srv.writable() && h.passes() }), " and "))
	}
	if owners > 1 {
		for _, h := range w.nodes {
			// The kernel drops an address within the second in which the lease ends.
			if _, announced := h.has(); announced && h.clock() > h.gate.until.Add(w.settings.Margin+time.Second) {
				w.violate("%s has the address although its lease ended, and another has it, too", h.name)
			}
		}
	}
}

func (w *world) names(which func(*host) bool) (names []string) {
	for _, h := range w.nodes {
		if h.data && which(h) {
			names = append(names, string(h.name))
		}
	}
	return names
}

// checkGrant holds what an agent hands to its kernel against what the store
// granted, or all other data nodes: no gate is open for longer than L after a
// renewal, or the question that they promised upon, was sent.
func (w *world) checkGrant(h *host, until cluster.Instant) {
	sent, ever := w.store.sent[h.name]
	if g := w.granted(h); g > sent {
		sent, ever = g, true
	}
	if !ever || until > sent.Add(w.settings.Lease-w.settings.Margin) {
		w.violate("%s opens its gate for %s longer than its lease lasts", h.name, until.Sub(sent.Add(w.settings.Lease-w.settings.Margin)))
	}
}

// checkHolds holds the data of a server that begins to take writes against what
// clients were told.
func (w *world) checkHolds(s *server) {
	if w.settings.Durability != cluster.Lossless || w.result.Forced {
		return
	}
	if missing := w.missing(s); len(missing) > 0 {
		v := missing[len(missing)-1]
		w.violate("%s takes writes, and lacks %d that clients saw acknowledged; the newest is number %d, acknowledged by %s at %.6f s",
			s.h.name, len(missing), v.n, v.by, time.Duration(v.at).Seconds())
	}
}

// missing returns the acknowledged writes that a server has not got.
func (w *world) missing(s *server) (missing []*write) {
	held := make([]bool, len(w.writes))
	for _, t := range s.log {
		if t.write != nil {
			held[t.write.n] = true
		}
	}
	for _, v := range w.writes {
		if v.acked && !held[v.n] {
			missing = append(missing, v)
		}
	}
	return missing
}

// told notes the acknowledged writes that are in a log and not on the primary: they
// have been reported, and the log is about to go.
func (w *world) told(log []txn, primary *server) {
	for _, t := range log {
		if t.write != nil && t.write.acked && !primary.holds(t.write) {
			w.reported[t.write] = true
		}
	}
}

func (s *server) holds(v *write) bool {
	return slices.ContainsFunc(s.log, func(t txn) bool { return t.write == v })
}

// checkTold holds what asynchronous replication has lost against what was told of it:
// every write is still in the log of a server whose agent says so (unwell), or was when
// that log went.
func (w *world) checkTold(primary *server) {
	missing := w.missing(primary)
	w.result.Lost = len(missing)
	for _, v := range missing {
		if !w.reported[v] && !slices.ContainsFunc(w.nodes, func(h *host) bool { return h.data && h.srv.holds(v) }) {
			w.violate("write %d, acknowledged by %s at %.6f s, is gone, and nobody has told of it", v.n, v.by, time.Duration(v.at).Seconds())
		}
	}
}

// recordChanged looks at every change of the record.
func (w *world) recordChanged(before, next cluster.Record) {
	w.trace("REC", "epoch %d %s, primary %s, candidate %s, acks %v: %s, %s", next.Epoch, next.Phase, next.Primary, next.Candidate, next.Acks().Members, next.Reason, next.Detail)
	if w.tracing && next.Phase == cluster.PhasePromoting && next.Phase != before.Phase {
		w.trace("REC", "required %s from %q, quorums %+v", next.Required, next.Source, before.Quorums)
		for _, h := range w.nodes {
			if p := w.store.facts[h.name].value.Promise; p != nil {
				w.trace("REC", "%s promised epoch %d at %s: received %s, executed %s, marker %d; it is at %s", h.name, p.Epoch, p.Start, p.Received, p.Executed, p.Marker, w.store.facts[h.name].value.Server.Executed)
			}
		}
	}
	if before.Phase == cluster.PhasePromoting && next.Phase == cluster.PhaseSteady && next.Epoch == before.Epoch && next.Epoch > 1 {
		w.result.Switches++
	}
	if w.chaos.over == 0 && w.now > int64(3*time.Second) && w.chance(0.2) {
		w.after(w.between(0, 40*time.Millisecond), w.chaos.strikeNow) // in the midst of it
	}
	if next.Epoch < before.Epoch {
		w.violate("the record went back from epoch %d to %d", before.Epoch, next.Epoch)
	}
	ends := before.Phase == cluster.PhaseSteady && (next.Phase == cluster.PhaseFencing || next.Phase == cluster.PhaseElecting)
	if p := w.node(before.Primary); ends && next.Reason != cluster.FailoverForced && w.well(p) {
		w.violate("%s is replaced although nothing is wrong with it: %s, %s", p.name, next.Reason, next.Detail)
	}
}

// well reports that a host, its links and the store have long been in order.
func (w *world) well(h *host) bool {
	long := int64(4*w.settings.Lease + w.settings.Hang + 5*time.Second)
	c := &w.chaos
	for i := range w.net.cut {
		if w.net.cut[h.i][i]+w.net.cut[i][h.i]+w.net.slow[h.i][i]+w.net.slow[i][h.i] > 0 {
			return false
		}
	}
	if c.storeLoss > 0 || c.storeSlow > 0 || h.agent == nil || h.agent.n.Leaving || !h.srv.answers() || h.srv.full || !w.store.majority(h.i) {
		return false
	}
	return w.now-h.sick > long && w.now-c.storeSick > long
}

// settle waits, once the faults are over, for the cluster to be well again.
func (w *world) settle() {
	wrong := w.unwell()
	w.helpOut()
	if wrong == "" {
		if p := w.node(w.store.record.value.Primary); w.settings.Durability == cluster.Lossless {
			w.checkHolds(p.srv)
		} else {
			w.checkTold(p.srv)
		}
		w.ended = true
		return
	}
	bound := 60*time.Second + 20*w.settings.Lease + 4*w.settings.PromoteStall
	if time.Duration(w.now-w.chaos.over) > bound {
		w.violate("%s after the faults ended the cluster is not well: %s", bound, wrong)
		return
	}
	w.after(500*time.Millisecond, w.settle)
}

// unwell says what is wrong with the cluster; empty if nothing is.
func (w *world) unwell() string {
	r := w.store.record.value
	p := w.node(r.Primary)
	switch {
	case r.Phase != cluster.PhaseSteady:
		return fmt.Sprintf("the record is at epoch %d, %s; %s", r.Epoch, r.Phase, w.waits())
	case !p.srv.writable() || p.mode() != reconcile.GateOpenLeased:
		return fmt.Sprintf("%s takes no writes; %s", p.name, w.waits())
	case time.Duration(w.now-w.chaos.served) > 2*time.Second:
		return fmt.Sprintf("no client was answered since %.3f s; %s", time.Duration(w.chaos.served).Seconds(), w.waits())
	}
	for _, h := range w.nodes {
		if !h.data || h == p {
			continue
		}
		f := w.store.facts[h.name].value
		rep := &h.srv.replica
		if f.Held == "" && !(h.srv.up && rep.source == p && rep.connected && rep.problem == "") {
			return fmt.Sprintf("%s does not follow %s (%s); %s", h.name, p.name, rep.problem, w.waits())
		}
		if why := w.unreported(h.srv, p.srv, f); why != "" {
			return why
		}
	}
	return ""
}

// unreported says what a server has of acknowledged writes that the primary has
// not, and its agent does not tell.
func (w *world) unreported(s, p *server, f cluster.Fact) string {
	for _, t := range s.log {
		if t.write == nil || !t.write.acked || p.holds(t.write) {
			continue
		}
		if !f.Errant.OfServer(t.server).IsZero() {
			continue
		}
		return fmt.Sprintf("%s has write %d (0-%d-%d), which was acknowledged and %s has not, and does not say so", s.h.name, t.write.n, t.server, t.seq, p.h.name)
	}
	return ""
}

// waits is what every agent waits for.
func (w *world) waits() string {
	var b strings.Builder
	for _, h := range w.nodes {
		if h.agent == nil {
			fmt.Fprintf(&b, "%s: no agent. ", h.name)
			continue
		}
		n := &h.agent.n
		fmt.Fprintf(&b, "%s: %s %s; %s; steps %v. ", h.name, n.Outcome.Why, n.Outcome.Detail, n.Plan.Waits, n.Plan.Steps)
	}
	return b.String()
}
