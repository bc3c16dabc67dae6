package decide

import (
	"fmt"
	"slices"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

// Next returns what the record should become, seen from w.Self at now.
func Next(w World, now cluster.Instant) Outcome {
	switch {
	case w.StoreSilent:
		return stay(cluster.StoreSilent, "no majority of the store answers this node")
	case w.WentBack != "":
		return stay(cluster.StoreWentBack, w.WentBack)
	case w.Unreadable != "":
		return stay(cluster.NewerSchema, w.Unreadable)
	case w.RecordRev == 0:
		return bootstrap(w, now)
	case w.Record.Schema > cluster.Schema:
		return stay(cluster.NewerSchema, fmt.Sprintf("the record has schema %d, this build knows %d", w.Record.Schema, cluster.Schema))
	}
	switch w.Record.Phase {
	case cluster.PhaseSteady:
		return steady(w, now)
	case cluster.PhaseHandoff:
		return handoff(w, now)
	case cluster.PhaseFencing:
		return fencing(w, now)
	case cluster.PhaseElecting:
		return electing(w, now)
	case cluster.PhasePromoting:
		return promoting(w, now)
	}
	return stay(cluster.NewerSchema, fmt.Sprintf("the record's phase %q is not known to this build", w.Record.Phase))
}

// steady: a primary serves. Requests first, then failures, then the ack set.
func steady(w World, now cluster.Instant) Outcome {
	if out, acted := requests(w, now); acted {
		return out
	}
	f, held := failure(w, now)
	if f.why != cluster.Nothing {
		return endReign(w, f)
	}
	if out := acks(w, now); out.Next != nil {
		return out
	}
	if out := rejoinOver(w, now); out.Next != nil {
		return out
	}
	if held.Why == cluster.Nothing {
		if out := rejoinByPolicy(w, now); out.Next != nil {
			return out
		}
	}
	return held
}

// fencing waits until the previous primary surely cannot serve.
func fencing(w World, now cluster.Instant) Outcome {
	if out, acted := requests(w, now); acted {
		return out
	}
	r := w.Record
	next := r
	next.Phase = cluster.PhaseElecting
	if f := w.fact(r.Previous); f.Fenced+1 >= r.Epoch && f.Fenced > 0 && w.saidSinceLease(r.Previous) {
		return swap(next, r.Reason, r.Detail).because(cluster.PrimaryFenced, fmt.Sprintf("%s reports that it is fenced", r.Previous)).guarded(w)
	}
	if w.neverLeased() && !r.Force {
		return stay(cluster.AwaitingFence, fmt.Sprintf("%s was writable before it ever held a lease, so no lease's end stops it: it must report that it is fenced, or a person must say that it is gone (baton failover --force)", r.Previous))
	}
	if w.Lease.Expired(now, w.Settings) {
		return swap(next, r.Reason, r.Detail).because(cluster.LeaseExpired, fmt.Sprintf("%s has not renewed for %s", r.Previous, now.Sub(w.Lease.SeenAt))).guarded(w)
	}
	return stay(cluster.AwaitingFence, fmt.Sprintf("%s may still hold its lease", r.Previous)).wake(w.Lease.ExpiresAt(w.Settings))
}

// neverLeased reports that the primary to be fenced was adopted as it was,
// writable, and that nobody has held a lease since. A candidate is read-only
// until it holds one.
func (w World) neverLeased() bool {
	s := w.fact(w.Record.Previous).Server
	return w.Lease.Rev == 0 && (s.State == cluster.ServerUp || s.State == cluster.ServerHung) && !s.ReadOnly
}

// because keeps the record's own reason and gives the step its own.
func (o Outcome) because(why cluster.Reason, detail string) Outcome {
	o.Why, o.Detail = why, detail
	return o
}

// electing waits for promises and chooses.
func electing(w World, now cluster.Instant) Outcome {
	if out, acted := requests(w, now); acted {
		return out
	}
	promised := w.promised()
	standing := w.standing(promised, now)
	for i, q := range w.quorums() {
		if !q.Satisfied(standing) && !w.Record.Force {
			return stay(cluster.AwaitingPromises, awaited(w, w.Record.Quorums[i], standing, now)).wake(now.Add(w.Settings.Renew))
		}
	}
	if len(promised) == 0 {
		return stay(cluster.AwaitingPromises, "no node has promised yet")
	}
	if n, lost := w.lostButHeldElsewhere(promised, now); n != "" && !w.Record.Force {
		return stay(cluster.AwaitingPromises, fmt.Sprintf("%s has lost %s since its reign, and %s has received it: it is waited for", w.Record.Acks().Primary, lost, n)).wake(now.Add(w.Settings.Renew))
	}
	if until := w.PhaseAt.Add(w.Settings.PromiseWait); now < until && !w.Record.Force && w.blamelessStillSilent(promised, now) {
		return stay(cluster.AwaitingPromises, fmt.Sprintf("%s lost its lease through no fault of its own and may promise, too", w.Record.Previous)).wake(until)
	}
	if (w.Record.Acks().K == 0 || w.soleWord(promised)) && !w.Record.Force {
		if until, more := w.morePromises(promised, now); more {
			return stay(cluster.AwaitingPromises, "more nodes may promise").wake(until)
		}
	}
	choice, ok := choose(w, w.Record.Candidate, now)
	wishedUntil := w.PhaseAt.Add(w.Settings.PromoteStall)
	if !ok && w.Record.Candidate != "" {
		if now < wishedUntil {
			o := stay(cluster.NobodyToPromote, passedOver(choice)).wake(wishedUntil)
			o.Choice = &choice
			return o
		}
		choice, ok = choose(w, "", now) // anybody is better than nobody
	}
	if !ok {
		o := stay(cluster.NobodyToPromote, passedOver(choice))
		o.Choice = &choice
		return o
	}
	if until := w.PhaseAt.Add(w.Settings.Lease); now < until && !w.Record.Force && w.lastResort(choice.Winner) {
		if n := w.betterStillSilent(promised, now); n != "" {
			return stay(cluster.AwaitingPromises, fmt.Sprintf("%s could serve but is not well placed to, and %s may promise, too", choice.Winner, n)).wake(until)
		}
	}
	next := begin(w, choice, now)
	detail := fmt.Sprintf("%s chosen (%s)", choice.Winner, choice.Decided)
	if w.Record.Force {
		next.Forced = next.Epoch
		detail = fmt.Sprintf("%s, forced by a person with promises of %s only", detail, list(promised))
	}
	o := swap(next, w.Record.Reason, w.Record.Detail).because(cluster.PromisesIn, detail)
	o.Choice = &choice
	return o
}

// blamelessStillSilent reports that the primary before is well, is not to blame
// for the end of its reign (the store was away), and has not promised yet.
// Without waiting for it the role would move although nothing is wrong there.
// That it said it is fenced shows that it lived when its lease had ended.
func (w World) blamelessStillSilent(promised []cluster.NodeName, now cluster.Instant) bool {
	p := w.Record.Previous
	f := w.fact(p)
	return p != "" && !slices.Contains(w.Record.Failed, p) && !slices.Contains(promised, p) &&
		w.alive(p, now) && f.Fenced+1 >= w.Record.Epoch && f.Fenced > 0 && f.Held == ""
}

// lastResort reports a node that should serve only if nobody else can: it failed
// in this switch, clients do not reach it, or it would be replaced for a strain.
func (w World) lastResort(n cluster.NodeName) bool {
	strained := slices.ContainsFunc(w.Settings.FailOverOn, func(check string) bool { return w.fact(n).Strained(check) != nil })
	return slices.Contains(w.Record.Failed, n) || notUp(w.fact(n).Network) || strained
}

// betterStillSilent returns a living node that is no last resort and has not
// promised yet. Where one promise is enough to know every acknowledged write,
// the old primary's own comes first, and it must not be elected for that.
func (w World) betterStillSilent(promised []cluster.NodeName, now cluster.Instant) cluster.NodeName {
	for _, n := range w.Settings.Nodes {
		if w.couldServe(n, w.Record.Previous, now) && !slices.Contains(promised, n.Name) && !w.lastResort(n.Name) {
			return n.Name
		}
	}
	return ""
}

// soleWord reports that an election rests on the word of a primary that nobody
// acknowledged and whose server has restarted since. It may have dropped what
// replicas received of it, and would give the same numbers to other transactions.
func (w World) soleWord(promised []cluster.NodeName) bool {
	q := w.Record.Acks()
	p := w.fact(q.Primary).Promise
	return len(q.Members) == 0 && q.Start != "" && slices.Contains(promised, q.Primary) && p.Start != q.Start
}

// lostButHeldElsewhere returns a node that had received what such a primary has
// dropped, and what that is, unless one of the promised has it and is alive.
func (w World) lostButHeldElsewhere(promised []cluster.NodeName, now cluster.Instant) (cluster.NodeName, gtid.Set) {
	if !w.soleWord(promised) {
		return "", gtid.Set{}
	}
	var held gtid.Set
	for _, n := range promised {
		if w.fresh(n, now, w.electing(false)) && w.alive(n, now) {
			held = held.Union(w.fact(n).Promise.Held())
		}
	}
	id := w.fact(w.Record.Acks().Primary).Server.ID
	for _, n := range w.Settings.DataNodes() {
		f := w.fact(n)
		if id == 0 || f.Held != "" || !f.Errant.IsZero() {
			continue
		}
		if lost := f.Server.Held().Subtract(held).OfServer(id); !lost.IsZero() {
			return n, lost
		}
	}
	return "", gtid.Set{}
}

// morePromises reports, for an election that any promise may decide, whether a living replica
// has not promised yet and how long that is worth waiting for.
func (w World) morePromises(promised []cluster.NodeName, now cluster.Instant) (cluster.Instant, bool) {
	until := w.PhaseAt.Add(w.Settings.PromiseWait)
	if now >= until {
		return 0, false
	}
	for _, n := range w.Settings.DataNodes() {
		if n != w.Record.Previous && !slices.Contains(promised, n) && w.alive(n, now) && !w.observes(n) {
			return until, true
		}
	}
	return 0, false
}

// quorums are those of the record, without the primary's own word where its
// server has restarted since: MariaDB's recovery as a replica throws away what the
// engine had not committed for good, answered or not. If nobody acknowledged, its
// data is all there is.
func (w World) quorums() []cluster.AckQuorum {
	all := slices.Clone(w.Record.Quorums)
	for i, q := range all {
		p := w.fact(q.Primary).Promise
		if q.Start != "" && len(q.Members) > 0 && p != nil && p.Start != q.Start {
			all[i].Primary = ""
		}
	}
	return all
}

// standing returns those of the promised whose promise is still worth what it
// says. What a node had received and not applied is gone if its server died, and
// out of reach while nothing is heard of it; it may be the only one that has it.
func (w World) standing(promised []cluster.NodeName, now cluster.Instant) []cluster.NodeName {
	return slices.DeleteFunc(slices.Clone(promised), func(n cluster.NodeName) bool {
		f := w.fact(n)
		p := f.Promise
		lives := w.fresh(n, now, w.electing(false)) && f.Server.State == cluster.ServerUp && f.Server.Start == p.Start
		return !lives && !p.Executed.Union(f.Server.Executed).Contains(p.Received)
	})
}

// awaited says in words which promises an election lacks.
func awaited(w World, q cluster.AckQuorum, promised []cluster.NodeName, now cluster.Instant) string {
	if len(q.Members) == 0 {
		return fmt.Sprintf("nobody acknowledged %s's last writes, so only its own data may be elected; it has not promised yet", q.Primary)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the reign of %s at epoch %d was acknowledged by %s; needed are the promises of %d of them, or of %s itself; missing: ",
		q.Primary, q.Epoch, list(q.Members), max(1, len(q.Members)-q.K+1), q.Primary)
	for i, m := range q.Missing(promised) {
		if i > 0 {
			b.WriteString(", ")
		}
		state := "server " + string(w.fact(m).Server.State)
		switch {
		case !w.fresh(m, now, w.staleAfter()):
			state = "its agent is silent"
		case w.observes(m):
			state = "its agent only observes: mode: observe"
		}
		fmt.Fprintf(&b, "%s (%s)", m, state)
	}
	return b.String()
}

// promoting waits until the new primary serves, or is known not to.
func promoting(w World, now cluster.Instant) Outcome {
	if out, acted := requests(w, now); acted {
		return out
	}
	r := w.Record
	c, f := r.Primary, w.fact(r.Primary)
	serving := f.Serving == r.Epoch
	if fail, _ := failure(w, now); fail.why != cluster.Nothing {
		return endReign(w, fail)
	}
	if !serving {
		if why, detail, at := stalled(w, now); why != cluster.Nothing {
			return endReign(w, failed{why: why, detail: detail})
		} else {
			return stay(cluster.AwaitingCatchUp, fmt.Sprintf("%s: %s", c, f.Progress)).wake(at)
		}
	}
	if out := acks(w, now); out.Next != nil {
		return out
	}
	if f.Marked != r.Epoch {
		return stay(cluster.AwaitingMarker, fmt.Sprintf("%s serves; nobody has acknowledged its reign yet", c))
	}
	grace := w.PhaseAt.Add(w.Settings.PromoteStall)
	if f.Endpoints != r.Epoch && now < grace {
		return stay(cluster.AwaitingEndpoints, fmt.Sprintf("%s serves; not every endpoint is verified", c)).wake(grace)
	}
	next := r
	next.Phase = cluster.PhaseSteady
	next.Quorums = slices.Clone(r.Quorums[max(0, len(r.Quorums)-1):])
	if len(next.Quorums) > 0 {
		next.Quorums[0].Start = f.Server.Start // it may have restarted before it served
	}
	next.Failed = nil
	next.Source = ""
	return swap(next, r.Reason, r.Detail).because(cluster.ReignBegan, fmt.Sprintf("%s serves at epoch %d", c, r.Epoch))
}

// stalled judges a candidate that does not serve yet.
func stalled(w World, now cluster.Instant) (cluster.Reason, string, cluster.Instant) {
	c := w.Record.Primary
	seen := w.Facts[c]
	if w.observes(c) {
		return cluster.CandidateLost, fmt.Sprintf("the agent of %s only observes now (mode: observe)", c), 0
	}
	heard := max(seen.At, w.PhaseAt, w.HeardAt)
	silentAt := heard.Add(2 * w.Settings.Lease)
	if now >= silentAt {
		return cluster.CandidateLost, fmt.Sprintf("nothing heard from %s for %s", c, now.Sub(heard)), 0
	}
	moved := max(seen.MovedAt, w.PhaseAt, w.HeardAt)
	stallAt := moved.Add(w.Settings.PromoteStall)
	if now >= stallAt {
		return cluster.CandidateStalled, fmt.Sprintf("%s stands at %q for %s", c, seen.Value.Progress, now.Sub(moved)), 0
	}
	return cluster.Nothing, "", min(silentAt, stallAt)
}

func list(names []cluster.NodeName) string {
	if len(names) == 0 {
		return "nobody"
	}
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = string(n)
	}
	return strings.Join(parts, ", ")
}
