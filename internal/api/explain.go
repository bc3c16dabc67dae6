package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/health"
	"github.com/baton-db/baton/internal/timeline"
)

// ExplanationSchema is the version of the Explanation document; see StatusSchema.
const ExplanationSchema = 1

// Explanation is what GET /v1/explain answers: why the cluster is as it is, and
// what would become of it.
type Explanation struct {
	Schema   int              `json:"schema"`
	Cluster  string           `json:"cluster"`
	Node     cluster.NodeName `json:"node"` // who says all this
	At       string           `json:"at"`   // wall clock, RFC 3339
	Epoch    cluster.Epoch    `json:"epoch"`
	Phase    cluster.Phase    `json:"phase"`
	Primary  cluster.NodeName `json:"primary,omitempty"`
	Headline string           `json:"headline"`

	// Verdict is why nothing else is done now. With no reason, all is well.
	Verdict Verdict `json:"verdict"`
	// Meaning is what that reason means, what Baton does and what is left to do.
	Meaning health.Row `json:"meaning"`
	// Evidence is what speaks for the primary and against it, as seen from here.
	Evidence []string  `json:"evidence,omitempty"`
	Waiting  []Waiting `json:"waiting,omitempty"`

	// IfGone is what would become of the cluster if the primary's host were gone
	// now; nil while there is no primary.
	IfGone *IfGone `json:"if_primary_gone,omitempty"`
	// Switchover is what a planned switch asked for now would do; nil before
	// there is a record.
	Switchover     *Plan `json:"switchover,omitempty"`
	SwitchoverTook *Took `json:"switchover_takes,omitempty"`
}

// IfGone is the loss of the primary, thought through.
type IfGone struct {
	// Held is what would keep the cluster from replacing it by itself.
	Held *Verdict `json:"held,omitempty"`
	// Promoted is who would become primary; empty if the election would wait,
	// and then Stuck says for what.
	Promoted cluster.NodeName `json:"promoted,omitempty"`
	By       cluster.Reason   `json:"by,omitempty"`
	Stuck    *Verdict         `json:"stuck,omitempty"`
	// Forced is who `baton failover --force` would promote then.
	Forced cluster.NodeName `json:"forced,omitempty"`
	// Passed are the other data nodes.
	Passed []Alternative `json:"passed,omitempty"`

	// Loses is how many transactions would be lost that clients may have seen
	// acknowledged, at most and going by the newest readings: of an asynchronous
	// cluster, or by force. Lost names them.
	Loses uint64 `json:"loses"`
	Lost  string `json:"lost,omitempty"`
	// Needed are nodes that must not be lost as well: without any one of them
	// nobody would be elected.
	Needed []cluster.NodeName `json:"needed,omitempty"`
	Took   Took               `json:"takes"`
	// Risks say in words what would be at risk.
	Risks []string `json:"risks"`
}

// Took is how long a switch would take.
type Took struct {
	// Lease is how long the others wait until a primary that has fallen silent
	// has surely stopped serving; zero in a planned switch.
	Lease timeline.Millis `json:"lease_ms,omitempty"`
	// History is how long the rest took before; of no runs if nothing is known.
	History timeline.Typical `json:"history"`
	// ToApply is how many transactions the new primary would have to apply
	// first, and Apply about how long that takes at its pace of late; nil if the
	// pace is not known.
	ToApply uint64           `json:"to_apply"`
	Apply   *timeline.Millis `json:"apply_ms,omitempty"`
	// Total is the sum; nil if a part of it is not known.
	Total *timeline.Millis `json:"total_ms,omitempty"`
}

// ExplanationOf makes the document of a snapshot and the cluster's history.
func ExplanationOf(s Snapshot, past []timeline.Switch) Explanation {
	st := StatusOf(s)
	e := Explanation{
		Schema: ExplanationSchema, Cluster: st.Cluster, Node: st.Node, At: st.At, Epoch: st.Epoch, Phase: st.Phase, Primary: st.Primary,
		Headline: st.Headline(), Verdict: s.Verdict, Evidence: evidence(s, st), Waiting: s.Waiting,
	}
	e.Meaning, _ = health.Explain(s.Verdict.Reason)
	if s.World != nil {
		if o, ok := decide.IfPrimaryWereGone(*s.World, s.WorldAt); ok {
			gone := ifGone(s, o, past)
			e.IfGone = &gone
		}
	}
	if s.Preview != nil {
		plan := s.Preview.Switchover
		e.Switchover = &plan
		if plan.Refused == "" && plan.Candidate != "" {
			var left uint64
			for _, r := range st.Nodes {
				if r.Name == plan.Candidate && r.Behind != nil {
					left = *r.Behind
				}
			}
			took := takes(0, timeline.TypicalOf(past, timeline.WholeSwitchover), left, s.Pace[plan.Candidate])
			e.SwitchoverTook = &took
		}
	}
	return e
}

// evidence is what this node goes by when it judges the primary.
func evidence(s Snapshot, st Status) []string {
	p := s.Record.Primary
	if p == "" {
		return nil
	}
	var said []string
	say := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	age := time.Duration(st.Lease.AgeMS) * time.Millisecond
	switch {
	case st.Lease.Holder == "":
		say("no lease was ever seen here")
	case st.Lease.Holder != p:
		say("the lease is still that of %s", st.Lease.Holder)
	default:
		say("%s renewed its lease %s ago; it counts for %s", p, age, s.Settings.Lease)
	}
	f, known := s.Facts[p]
	switch {
	case !known:
		say("the agent of %s has never been heard of", p)
	case f.Age > silentAfter(s.Settings):
		say("the agent of %s was last heard of %s ago", p, f.Age.Round(time.Millisecond))
	default:
		say("its own agent says that the server is %s", f.Value.Server.State)
		if why := f.Value.Server.CannotWrite; why != "" {
			say("its own agent says that writes do not come back: %s", why)
		}
		if n := f.Value.Network; n.State == cluster.Down || n.State == cluster.Suspect {
			say("its own agent says that the clients' network is %s: %s", n.State, n.Evidence)
		}
	}
	var receive []cluster.NodeName
	for _, n := range slices.Sorted(maps.Keys(s.Facts)) {
		r := s.Facts[n].Value.Server.Replica
		if n != p && s.Facts[n].Age <= silentAfter(s.Settings) && r.Source == p && r.Receiving {
			receive = append(receive, n)
		}
	}
	if len(receive) > 0 {
		say("%s receive%s from it", names(receive), verbS(len(receive)))
	} else {
		say("no replica receives from it")
	}
	for _, r := range st.Nodes {
		if r.Name == p && len(r.Unreachable) > 0 {
			say("%s cannot reach its server; a majority is %d of %d nodes", names(r.Unreachable), s.Settings.Majority(), len(s.Settings.Nodes))
		} else if r.Name == p {
			say("no node says that it cannot reach its server")
		}
	}
	return said
}

func verbS(n int) string {
	if n == 1 {
		return "s"
	}
	return ""
}

func ifGone(s Snapshot, o decide.Outlook, past []timeline.Switch) IfGone {
	g := IfGone{Promoted: o.Choice.Winner, By: o.Choice.Decided, Forced: o.Forced, Needed: o.Needed}
	if o.Held != cluster.Nothing {
		g.Held = &Verdict{Reason: o.Held, Detail: o.HeldDetail}
	}
	if o.Stuck != cluster.Nothing {
		g.Stuck, g.By = &Verdict{Reason: o.Stuck, Detail: o.StuckDetail}, ""
	}
	for _, a := range PlanOf(o.Choice).Passed {
		if a.Node != o.Primary {
			g.Passed = append(g.Passed, a)
		}
	}
	if !o.Proven && !o.Unheard.IsZero() {
		g.Loses, g.Lost = o.Unheard.Count(), o.Unheard.String()
	}
	lease := s.World.Lease
	lease.SeenAt, lease.HeardAt = s.WorldAt, 0
	g.Took = takes(timeline.Millis(lease.ExpiresAt(s.Settings).Sub(s.WorldAt)), timeline.TypicalOf(past, timeline.Election), o.ToApply, s.Pace[o.Choice.Winner])
	g.Risks = risks(s, o, g)
	return g
}

// risks says in words what the loss of the primary would put at risk.
func risks(s Snapshot, o decide.Outlook, g IfGone) []string {
	var said []string
	say := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	switch {
	case g.Stuck != nil && o.Forced == "":
		say("nobody could write until %s or another node with the data is back", o.Primary)
	case g.Stuck != nil:
		say("nobody could write until %s or the missing nodes are back; `baton failover --force` would promote %s and lose up to %d transactions that clients may have seen acknowledged", o.Primary, o.Forced, g.Loses)
	case o.Proven:
		say("no write that a client saw acknowledged would be lost")
	case g.Loses > 0:
		say("up to %d transactions that clients saw acknowledged would be lost: nobody waits for replicas here", g.Loses)
	default:
		say("writes of the last moments may be lost: nobody waits for replicas here")
	}
	switch fill := s.Settings.BackFill; {
	case g.Stuck != nil || o.Proven || s.Settings.Durability != cluster.Async:
	case fill == 0:
		say("so they would be if only its server died, as nothing is fetched from its binary log then (durability.back_fill: 0)")
	default:
		say("if only its server died, %s would first fetch from its binary log what it lacks, for %s at most (durability.back_fill)", o.Choice.Winner, fill)
	}
	if g.Held != nil {
		say("it would be left to a person: %s", g.Held.Reason)
	}
	if len(o.Needed) > 0 && g.Stuck == nil {
		say("if %s were lost as well, nobody could be elected until one of the lost ones is back", anyOf(o.Needed))
	}
	if embedded, without := s.Store.Leader != "", s.Store.Healthy-1; embedded && s.Store.Members > 0 && without < s.Store.Members/2+1 {
		say("the store would have no majority left (%d of %d members), so nothing could be decided", max(without, 0), s.Store.Members)
	}
	return said
}

func anyOf(nodes []cluster.NodeName) string {
	if len(nodes) == 1 {
		return string(nodes[0])
	}
	return "any of " + names(nodes)
}

// takes adds up how long a switch would take. pace is in transactions a second.
func takes(lease timeline.Millis, history timeline.Typical, left uint64, pace float64) Took {
	t := Took{Lease: lease, History: history, ToApply: left}
	switch {
	case left == 0:
		t.Apply = new(timeline.Millis)
	case pace > 0:
		apply := timeline.Millis(float64(left) / max(pace, decide.SlowestPace) * float64(time.Second))
		t.Apply = &apply
	}
	if t.Apply != nil && history.Runs > 0 {
		total := lease + history.Median + *t.Apply
		t.Total = &total
	}
	return t
}

func (s *Server) explain(w http.ResponseWriter, r *http.Request) error {
	snap, err := s.snapshot()
	if err != nil {
		return err
	}
	past, err := s.readHistory(r.Context())
	if err != nil {
		s.log.InfoContext(r.Context(), "explain without the history", "err", err)
	}
	return reply(w, http.StatusOK, ExplanationOf(snap, past))
}

// Explain returns why the cluster is as it is, and what would become of it.
func (c *Client) Explain(ctx context.Context) (Explanation, error) {
	return get[Explanation](ctx, c, http.MethodGet, "/v1/explain", nil)
}
