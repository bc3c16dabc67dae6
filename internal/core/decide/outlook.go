package decide

import (
	"fmt"
	"maps"
	"slices"

	"github.com/baton-db/baton/internal/core/candidate"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

// Outlook is what would become of a cluster if its primary were gone now with
// its whole host, the worst that a single failure does. It is no prophecy of
// its own: the decision itself is asked, about a world that is imagined.
type Outlook struct {
	Primary cluster.NodeName // who is imagined to be gone

	// Held is what would keep the cluster from taking the role away by itself,
	// with the evidence; Nothing if nothing would.
	Held       cluster.Reason
	HeldDetail string

	// Choice is how the election would end. Without a Winner it would wait, and
	// Stuck and StuckDetail say for what.
	Choice      candidate.Choice
	Stuck       cluster.Reason
	StuckDetail string
	// Forced is who a person's --force would promote out of being stuck; empty
	// if not even that would help.
	Forced cluster.NodeName

	// Promised are the nodes that would promise.
	Promised []cluster.NodeName
	// Unheard is what the primary has executed and whoever would be promoted, if
	// need be by force, would not have, going by the newest facts.
	Unheard gtid.Set
	// Proven says that the promises would show every acknowledged write.
	Proven bool
	// ToApply is how many transactions the winner would have to apply.
	ToApply uint64
	// Needed are the others of whom none may be lost as well: without it the
	// election would wait. Empty if it waits already.
	Needed []cluster.NodeName
}

// IfPrimaryWereGone thinks the loss of the primary through. It reports false
// where there is none to lose.
func IfPrimaryWereGone(w World, now cluster.Instant) (Outlook, bool) {
	p := w.Record.Primary
	if w.RecordRev == 0 || p == "" || w.Unreadable != "" || w.Record.Schema > cluster.Schema {
		return Outlook{}, false
	}
	o := Outlook{Primary: p}
	gone := failed{why: cluster.LeaseExpired, closed: true, detail: fmt.Sprintf("%s is gone", p)}
	held := limits(w, gone, now)
	o.Held, o.HeldDetail = held.Why, held.Detail

	w.Requests = nil
	for _, n := range w.Settings.DataNodes() {
		if n != p && w.alive(n, now) && !w.observes(n) && w.fact(n).Held == "" {
			o.Promised = append(o.Promised, n)
		}
	}
	out := w.without(now, false, p)
	if out.Next == nil {
		o.Stuck, o.StuckDetail = out.Why, out.Detail
		if out.Choice != nil {
			o.Choice = *out.Choice
		}
		out = w.without(now, true, p)
	}
	if out.Next == nil {
		o.Unheard = w.fact(p).Server.Executed
		return o, true
	}
	winner := out.Choice.Winner
	o.Unheard = w.fact(p).Server.Executed.Subtract(out.Choice.Required)
	o.ToApply = out.Choice.Required.Subtract(w.fact(winner).Server.Executed).Count()
	if o.Stuck != cluster.Nothing {
		o.Forced = winner
		return o, true
	}
	o.Choice = *out.Choice
	o.Proven = !slices.ContainsFunc(w.Record.Quorums, func(q cluster.AckQuorum) bool { return q.K == 0 })
	for _, n := range o.Promised {
		if w.without(now, false, p, n).Next == nil {
			o.Needed = append(o.Needed, n)
		}
	}
	return o, true
}

// without imagines the election that would follow the loss of some nodes.
func (w World) without(now cluster.Instant, force bool, gone ...cluster.NodeName) *Outcome {
	next := *endReign(w, failed{why: cluster.LeaseExpired, closed: true}).Next
	next.Force = force
	w.Facts = maps.Clone(w.Facts)
	for _, n := range gone {
		delete(w.Facts, n)
	}
	return w.foresee(next, now)
}
