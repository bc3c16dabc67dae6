package agent

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/fence"
)

// explained is what a node that only observes says it would do.
type explained struct {
	would *api.Would
	lacks []string // what would keep an active agent from starting here
	said  string
}

// explain thinks through what would be done now if nobody only observed. What
// it finds goes to people, and nowhere else.
func (l *loop) explain(w decide.World, in reconcile.Input, now cluster.Instant) {
	if l.Mode != cluster.Observe {
		return
	}
	e := decide.Explain(w, now)
	l.explained.would = wouldOf(e)
	l.Would, l.Lacks = rehearse(e, in, now), l.lacking()
	would := l.explained.would
	said := fmt.Sprint(would.Changes, would.Reason, planned(would.Failover), planned(would.IfLost), would.Begin != nil && would.Begin.Primary != "")
	if said == l.explained.said {
		return
	}
	l.explained.said = said
	args := []any{"changes", would.Changes, "why", would.Reason, "detail", would.Detail, "primary", would.Primary}
	if b := would.Begin; b != nil {
		args = append(args, "begin", b.Reason, "begin_detail", b.Detail)
	}
	if p := would.Failover; p != nil {
		args = append(args, "failover_to", p.Candidate, "by", p.By, "refused", p.Refused, "passed", p.Passed)
	}
	if p := would.IfLost; p != nil {
		args = append(args, "if_lost_to", p.Candidate, "by", p.By, "refused", p.Refused, "passed", p.Passed)
	}
	l.log.Log(context.Background(), loudness(would.Reason), "only observing: this is what would be done", args...)
}

func planned(p *api.Plan) string {
	if p == nil {
		return ""
	}
	return fmt.Sprint(p.Candidate, p.By, p.Refused != "")
}

func wouldOf(e decide.Explanation) *api.Would {
	r := e.World.Record
	w := &api.Would{
		Supposed: e.Supposed, Primary: r.Primary, Followers: r.Acks().Members,
		Changes: e.Now.Next != nil && e.World.RecordRev != 0, Reason: e.Now.Why, Detail: e.Now.Detail,
		Failover: foreseen(e.Then), IfLost: foreseen(e.IfLost),
	}
	if w.IfLost != nil { // that the one that is lost is not chosen goes without saying
		w.IfLost.Passed = slices.DeleteFunc(w.IfLost.Passed, func(a api.Alternative) bool { return a.Node == r.Primary })
	}
	if f := e.First; f != nil {
		w.Begin = &api.Begin{Reason: f.Why, Detail: f.Detail}
		if f.Next != nil {
			w.Begin.Primary, w.Begin.Elects = f.Next.Primary, f.Next.Primary == ""
		}
	}
	if src := e.World.Facts[r.Primary].Value.Server.SemiSrc; e.World.Settings.Durability == cluster.Lossless && r.Primary != "" && !(src.Enabled && src.Active) {
		w.Lossy = fmt.Sprintf("commits on %s wait for no acknowledgement: what it had not passed on would be lost (mode: active switches semi-synchronous replication on)", r.Primary)
	}
	return w
}

// foreseen is what an election would lead to; nil if there is none.
func foreseen(o *decide.Outcome) *api.Plan {
	if o == nil {
		return nil
	}
	var p api.Plan
	if o.Choice != nil {
		p = api.PlanOf(*o.Choice)
	}
	if o.Next == nil {
		p.Candidate, p.Refused = "", fmt.Sprintf("%s: %s", o.Why, o.Detail)
	}
	return &p
}

// rehearse lists what this host would do: in the failover that would begin now,
// else when it is taken over.
func rehearse(e decide.Explanation, in reconcile.Input, now cluster.Instant) []string {
	w := e.World
	in.Own.Mode, in.Peers, in.PhaseAt = cluster.Active, map[cluster.NodeName]cluster.Fact{}, now.Add(-time.Hour)
	in.Rev = max(w.RecordRev, 1)
	for n, seen := range w.Facts {
		in.Peers[n] = seen.Value
	}
	at := func(r cluster.Record) (steps []reconcile.Step) {
		in.Record, in.Own.Epoch = r, r.Epoch
		steps, in = reconcile.Rehearse(in)
		return steps
	}
	var steps []reconcile.Step
	switch {
	case e.Then != nil:
		if w.Record.Primary != in.Self {
			at(w.Record) // as it would have been all along
		}
		electing := *e.Now.Next
		electing.Phase = cluster.PhaseElecting
		steps = at(electing)
		if e.Then.Next != nil {
			steps = append(steps, at(*e.Then.Next)...)
		}
	case e.First != nil && e.First.Next != nil:
		steps = at(*e.First.Next)
	case w.RecordRev != 0 && !e.Supposed:
		steps = at(w.Record)
	}
	words := make([]string, len(steps))
	for i, s := range steps {
		words[i] = s.InWords()
	}
	return slices.Compact(words)
}

// lacking is what is in the way of mode: active on this host.
func (l *loop) lacking() []string {
	all := slices.Clone(l.explained.lacks)
	if same := (decide.World{Settings: l.Settings, Facts: l.Board.Facts}).SameServerID(l.Self); same != "" {
		all = append(all, same)
	}
	return all
}

// lookEverySo is how often an observing agent looks at its host and server
// anew for what is in the way of acting.
const lookEverySo = 30 * time.Second

// lookWhatLacks looks for what would keep an active agent from starting here,
// and for a gate that an agent before this one left: it holds clients back as it
// was left, for this one does not touch it.
func (a *Agent) lookWhatLacks(ctx context.Context) {
	tick := time.NewTicker(lookEverySo)
	defer tick.Stop()
	for {
		var lacks []string
		if a.Lacks != nil {
			lacks = a.Lacks(ctx)
		}
		left := ""
		if present, err := fence.Present(ctx, a.Config.Cluster); err == nil && present {
			left = fmt.Sprintf("the firewall table %s of an agent before this one is still on this host, and lets clients in or not as it was left: `nft delete table inet %s` removes it",
				fence.TableName(a.Config.Cluster), fence.TableName(a.Config.Cluster))
		}
		a.post(func(l *loop) {
			l.explained.lacks = lacks
			l.Conditions.Put(cluster.ObserveOnly, left)
		})
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
