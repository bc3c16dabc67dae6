package decide

import (
	"fmt"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// failed says that a reign must end, and why.
type failed struct {
	why    cluster.Reason
	detail string
	// closed says that the primary surely cannot serve any more, so that
	// nothing is left to be fenced.
	closed bool
	// blameless says that the primary itself is not at fault: it may be chosen
	// again at once.
	blameless bool
	// byPerson says that a person asked: limits do not apply.
	byPerson bool
}

// failure confirms that the primary must be replaced, or says why not although
// something is wrong. The rules are those of design.md, section 7.
func failure(w World, now cluster.Instant) (failed, Outcome) {
	f := confirmed(w, now)
	if f.why == cluster.Nothing {
		return failed{}, suspicion(w, now)
	}
	if held := limits(w, f, now); held.Why != cluster.Nothing {
		return failed{}, held
	}
	return f, Outcome{}
}

// confirmed applies the rules in order of what each rests on: the primary's own
// word, the lease, then the word of others.
func confirmed(w World, now cluster.Instant) failed {
	r := w.Record
	p, f := r.Primary, w.fact(r.Primary)
	if f.Fenced >= r.Epoch && w.saidSinceLease(p) {
		up := f.Server.State == cluster.ServerUp
		return failed{why: cluster.PrimaryResigned, closed: true, blameless: up && f.Server.CannotWrite == "",
			detail: fmt.Sprintf("%s gave the role up and is fenced (server %s)", p, f.Server.State)}
	}
	holds := w.Lease.Holder == p && (r.Phase != cluster.PhasePromoting || w.Lease.Epoch == r.Epoch)
	if holds && w.Lease.Expired(now, w.Settings) {
		return failed{why: cluster.LeaseExpired, closed: true, blameless: w.alive(p, now),
			detail: fmt.Sprintf("%s has not renewed its lease for %s", p, now.Sub(w.Lease.SeenAt).Round(time.Millisecond))}
	}
	if r.Phase == cluster.PhasePromoting && f.Serving != r.Epoch {
		return failed{} // it does not serve yet: judged by its progress alone
	}
	if !w.fresh(p, now, w.staleAfter()) {
		return failed{}
	}
	if f.Server.CannotWrite != "" {
		return failed{why: cannotWrite(f.Server), detail: fmt.Sprintf("%s: %s", p, f.Server.CannotWrite)}
	}
	down := w.seenDown(p, now, func(v cluster.NodeView) bool { return notUp(v.Server) })
	if f.Server.State == cluster.ServerHung && len(down)+1 >= w.Settings.Majority() {
		return failed{why: cluster.PrimaryHung, detail: fmt.Sprintf("the server of %s answers neither its own agent nor %s", p, list(down))}
	}
	if down := w.seenDown(p, now, unreachable); len(down) >= w.Settings.Majority() && len(w.receivingFrom(p, now)) == 0 && w.someoneAlive(p, now) {
		return failed{why: cluster.PrimaryUnreachable, detail: fmt.Sprintf("%s cannot reach the server of %s, and no replica receives from it", list(down), p)}
	}
	if f.Network.State == cluster.Down && w.someoneReachable(p, now) {
		return failed{why: cluster.NetworkLost, detail: fmt.Sprintf("%s: %s", p, f.Network.Evidence)}
	}
	for _, check := range w.Settings.FailOverOn {
		if s := f.Strained(check); s != nil && w.someoneUnstrained(p, check, now) {
			return failed{why: cluster.PrimaryDegraded, detail: fmt.Sprintf("%s: %s", p, s.Detail)}
		}
	}
	return failed{}
}

// saidSinceLease reports that what n's fact says is newer than n's newest renewal.
// A fact may be under way for long: one of an agent that was killed may arrive when
// the next agent has taken the lease up. Only the agent that renewed last knows what
// has become of it since.
func (w World) saidSinceLease(n cluster.NodeName) bool {
	l := w.Lease
	return w.Facts[n].Rev > l.Rev && (l.Holder != n || l.Agent == "" || l.Agent == w.fact(n).Agent)
}

// someoneUnstrained reports whether another data node could take over to which
// the same check finds nothing wrong. If there is none, moving would mend nothing.
func (w World) someoneUnstrained(p cluster.NodeName, check string, now cluster.Instant) bool {
	return slices.ContainsFunc(w.Settings.Nodes, func(n cluster.Node) bool {
		return w.fact(n.Name).Strained(check) == nil && w.couldServe(n, p, now)
	})
}

// cannotWrite is the reason for replacing a primary whose writes do not come back.
func cannotWrite(s cluster.ServerFact) cluster.Reason {
	switch s.CannotWriteWhy {
	case cluster.PrimaryDiskFull, cluster.PrimaryDiskReadOnly, cluster.PrimaryDiskStuck:
		return s.CannotWriteWhy
	}
	return cluster.PrimaryCannotWrite
}

// suspicion explains why nothing is done although some node has trouble.
func suspicion(w World, now cluster.Instant) Outcome {
	p := w.Record.Primary
	o := stay(cluster.Nothing, "")
	if down := w.seenDown(p, now, unreachable); len(down) > 0 {
		receiving := w.receivingFrom(p, now)
		switch {
		case len(receiving) > 0:
			o = stay(cluster.ObserversCutOff, fmt.Sprintf("%s cannot reach the server of %s, but %s still receives from it", list(down), p, list(receiving)))
		case len(down) < w.Settings.Majority():
			o = stay(cluster.NoMajority, fmt.Sprintf("only %s of %d nodes cannot reach the server of %s", list(down), len(w.Settings.Nodes), p))
		}
	}
	return o.wake(w.Lease.ExpiresAt(w.Settings))
}

// limits says why a confirmed failure is left to a person; Why is Nothing if it
// is not. A primary that has stopped serving is replaced however short ago the
// last failover was: the cool-down is for those that could go on.
func limits(w World, f failed, now cluster.Instant) Outcome {
	if w.Record.Paused != nil {
		return stay(cluster.IsPaused, fmt.Sprintf("paused by %s; otherwise: %s, %s", w.Record.Paused.By, f.why, f.detail))
	}
	if differ := w.differing(now); len(differ) > 0 {
		return stay(cluster.ConfigDiffers, fmt.Sprintf("%s runs with other settings than %s; otherwise: %s, %s", list(differ), w.Self, f.why, f.detail))
	}
	recent := past(w.Record.Switches, w.Wall)
	if n := len(recent); !f.closed && n > 0 && w.Wall-recent[n-1] < int64(w.Settings.CoolDown.Seconds()) {
		why := fmt.Sprintf("the last failover was %d s ago and the cool-down is %s", w.Wall-recent[n-1], w.Settings.CoolDown)
		return heldBack(cluster.CoolingDown, f, why, recent[n-1]+int64(w.Settings.CoolDown.Seconds())).wake(now.Add(w.Settings.Beat))
	}
	hour, limit := withinHour(recent, w.Wall), w.Settings.MaxPerHour
	if n := len(hour); limit > 0 && n >= limit {
		why := fmt.Sprintf("there were %d automatic failovers within the last hour and the limit is %d", n, limit)
		return heldBack(cluster.TooManyFailovers, f, why, hour[n-limit]+3600).wake(now.Add(w.Settings.Beat))
	}
	return Outcome{}
}

// heldBack says in words what is held, until when it holds by itself, and how a
// person releases it. The time is wall clock, as the limits are.
func heldBack(why cluster.Reason, f failed, because string, until int64) Outcome {
	return stay(why, fmt.Sprintf("held until %s, or until somebody runs `baton failover`: %s (%s), and %s",
		time.Unix(until, 0).UTC().Format(time.RFC3339), f.detail, f.why, because))
}

// past returns the times that were written by a clock that is not far ahead of
// this one: a node whose wall clock was wrong must not hold the others up.
func past(times []int64, wall int64) []int64 {
	return slices.DeleteFunc(slices.Clone(times), func(t int64) bool { return t > wall+60 })
}

// withinHour returns the times of the last hour before wall.
func withinHour(times []int64, wall int64) []int64 {
	return slices.DeleteFunc(past(times, wall), func(t int64) bool { return wall-t >= 3600 })
}

// endReign returns the outcome that takes the role away from the primary.
func endReign(w World, f failed) Outcome {
	r := w.Record
	next := r
	next.Epoch++
	next.Phase = cluster.PhaseFencing
	if f.closed {
		next.Phase = cluster.PhaseElecting
	}
	next.Previous, next.Primary, next.Candidate = r.Primary, "", ""
	next.Planned, next.Request, next.Force, next.Joining = false, "", false, ""
	if n := len(r.Quorums); r.Phase == cluster.PhasePromoting && n > 1 && r.Quorums[n-1].Epoch == r.Epoch && w.Lease.Epoch != r.Epoch {
		// It never took the lease (this swap is guarded), so it never served:
		// nothing was acknowledged in its reign.
		next.Quorums = slices.Clone(r.Quorums[:n-1])
	}
	if !f.blameless && !slices.Contains(r.Failed, r.Primary) {
		next.Failed = append(slices.Clone(r.Failed), r.Primary)
	}
	if !f.byPerson {
		next.Switches = append(slices.Clone(withinHour(r.Switches, w.Wall)), w.Wall)
	}
	return swap(next, f.why, f.detail).guarded(w)
}

// notUp reports a layer that failed at its last look.
func notUp(l cluster.LayerView) bool { return l.State == cluster.Down || l.State == cluster.Suspect }

// unreachable reports a server that an observer is sure it cannot talk to.
func unreachable(v cluster.NodeView) bool {
	return v.Server.State == cluster.Down || v.Port.State == cluster.Down
}

// blocked reports that a gate may stand between n and p: n promised in this epoch
// and does not follow p yet, so it has blocked its own path; or p has cut n off.
// What n sees of p proves nothing then.
func (w World) blocked(n, p cluster.NodeName) bool {
	f := w.fact(n)
	return slices.Contains(w.fact(p).AckCut, n) || f.Promise != nil && f.Promise.Epoch == w.Record.Epoch && f.Server.Replica.Source != p
}

// seenDown returns the other nodes heard of lately whose view of p says so.
func (w World) seenDown(p cluster.NodeName, now cluster.Instant, says func(cluster.NodeView) bool) []cluster.NodeName {
	var names []cluster.NodeName
	for _, n := range w.Settings.Nodes {
		seen, ok := w.Views[n.Name]
		if n.Name == p || !ok || w.blocked(n.Name, p) || now.Sub(max(seen.At, w.HeardAt)) > w.staleAfter() {
			continue
		}
		if says(seen.Value.Of[p]) {
			names = append(names, n.Name)
		}
	}
	return names
}

// receivingFrom returns the replicas that still receive from p.
func (w World) receivingFrom(p cluster.NodeName, now cluster.Instant) []cluster.NodeName {
	var names []cluster.NodeName
	for _, n := range w.Settings.DataNodes() {
		f := w.fact(n)
		if n != p && w.fresh(n, now, w.staleAfter()) && f.Server.Replica.Source == p && f.Server.Replica.Receiving {
			names = append(names, n)
		}
	}
	return names
}

// someoneAlive reports whether another data node could take over.
func (w World) someoneAlive(p cluster.NodeName, now cluster.Instant) bool {
	return slices.ContainsFunc(w.Settings.Nodes, func(n cluster.Node) bool { return w.couldServe(n, p, now) })
}

// someoneReachable reports whether another data node could take over to which
// the clients' network looks well. If it does to none, the gateway is what is
// broken.
func (w World) someoneReachable(p cluster.NodeName, now cluster.Instant) bool {
	return slices.ContainsFunc(w.Settings.Nodes, func(n cluster.Node) bool {
		return !notUp(w.fact(n.Name).Network) && w.couldServe(n, p, now)
	})
}

func (w World) couldServe(n cluster.Node, p cluster.NodeName, now cluster.Instant) bool {
	return n.Name != p && n.Role == cluster.Data && !n.Never && w.Record.Maintained(n.Name) == nil && w.alive(n.Name, now) && !w.observes(n.Name) && w.fact(n.Name).Held == "" && w.fact(n.Name).Errant.IsZero()
}
