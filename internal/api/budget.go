package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/timeline"
)

// BudgetSchema is the version of the Budget document; see StatusSchema.
const BudgetSchema = 1

// Budget is what GET /v1/budget answers: what an outage would be made of, whatever
// causes it, and what would make it shorter.
type Budget struct {
	Schema  int              `json:"schema"`
	Cluster string           `json:"cluster"`
	Node    cluster.NodeName `json:"node"` // who says all this
	At      string           `json:"at"`   // wall clock, RFC 3339
	Epoch   cluster.Epoch    `json:"epoch"`
	Primary cluster.NodeName `json:"primary,omitempty"`

	Ways []Way `json:"ways"`
	// Roads are what has to be led to a new primary besides its addresses, beside
	// everything else: what a client that goes by it waits for on top.
	Roads []Road `json:"roads,omitempty"`
	// Last are the newest switches that ended, the newest first.
	Last []LastSwitch `json:"last,omitempty"`
	// Advice is what would shorten it, what saves most first.
	Advice []Advice `json:"advice,omitempty"`
}

// Way is one way in which clients can come to be without a primary.
type Way struct {
	Name  string    `json:"name"`
	Parts []Stretch `json:"parts"`
	// Total is the sum of the parts; nil if one of them is not known.
	Total *timeline.Millis `json:"total_ms,omitempty"`
	// Real is how long it took when that happened, as far as the history goes back.
	Real timeline.Typical `json:"real"`
}

// Planned is the name of the way that somebody asks for.
const Planned = "a planned switch"

// Stretch is one thing that takes time.
type Stretch struct {
	Name string `json:"name"`
	// Takes is how long, typically or at most; nil: not known. Worst is the longest in
	// the history, where the part is known from there.
	Takes *timeline.Millis `json:"takes_ms,omitempty"`
	Worst *timeline.Millis `json:"worst_ms,omitempty"`
	From  string           `json:"from"` // where that is known from
}

// Road is something that clients connect through besides the addresses.
type Road struct {
	Name   string           `json:"name"`
	Kind   string           `json:"kind"`
	Led    timeline.Typical `json:"led"` // how long it took to lead it to a new primary
	Cached *timeline.Millis `json:"cached_ms,omitempty"`
}

// Advice is one thing that would shorten an outage.
type Advice struct {
	Saves timeline.Millis `json:"saves_ms"` // at most; 0: not known
	Text  string          `json:"text"`
}

// RoadSetting is an endpoint as it is configured.
type RoadSetting struct {
	Name string
	Kind string
	// Cached is for how long clients may go on with what it said before; 0: not at all.
	Cached time.Duration
}

// mostLast is how many of the last switches are shown beside what is to be expected.
const mostLast = 5

// BudgetOf makes the document of a snapshot and the cluster's history.
func BudgetOf(s Snapshot, past []timeline.Switch) Budget {
	x := ExplanationOf(s, past)
	b := Budget{Schema: BudgetSchema, Cluster: x.Cluster, Node: x.Node, At: x.At, Epoch: x.Epoch, Primary: x.Primary}
	if g := x.IfGone; g != nil && g.Stuck == nil {
		b.Ways = failures(s.Settings, g.Took, past)
	}
	if t := x.SwitchoverTook; t != nil {
		b.Ways = append(b.Ways, handover(*t, past))
	}
	for _, r := range s.Roads {
		road := Road{Name: r.Name, Kind: r.Kind, Led: timeline.TypicalOf(past, timeline.Leading(timeline.Step("endpoint "+r.Name)))}
		if r.Cached > 0 {
			cached := timeline.Millis(r.Cached)
			road.Cached = &cached
		}
		b.Roads = append(b.Roads, road)
	}
	for _, old := range slices.Backward(past) {
		if old.Ended && old.Kind != timeline.Bootstrap && len(b.Last) < mostLast {
			b.Last = append(b.Last, LastOf(old))
		}
	}
	b.Advice = advice(s, b)
	return b
}

// failures are the ways in which a primary can be lost. They differ in how long it
// takes until it has surely stopped; what comes then is the same.
func failures(set cluster.Settings, t Took, past []timeline.Switch) []Way {
	silent := []cluster.Reason{cluster.LeaseExpired, cluster.PrimaryUnreachable}
	died := []cluster.Reason{cluster.PrimaryResigned}
	hung := []cluster.Reason{cluster.PrimaryHung, cluster.PrimaryCannotWrite, cluster.PrimaryDiskFull, cluster.PrimaryDiskReadOnly, cluster.PrimaryDiskStuck}

	lease := Stretch{Name: "until its lease has surely run out", Takes: &t.Lease, From: fmt.Sprintf("timing.lease %s, renewed every %s", set.Lease, set.Renew)}
	noticed := before("until its agent has seen it, and clients are shut out", timeline.TypicalOf(past, timeline.Stopping(died...)), "such failures")
	silence := timeline.Millis(set.Hang)
	hangs := Stretch{Name: "until it counts as hung", Takes: &silence, From: "timing.hang"}
	fenced := before("until clients are shut out", timeline.TypicalOf(past, beyond(silence, timeline.Stopping(hung...))), "such failures")

	whole := func(reasons []cluster.Reason) timeline.Typical {
		return timeline.TypicalOf(past, timeline.Whole(reasons...))
	}
	rest := elected(t, past)
	return []Way{
		way("the host is gone, or cut off", whole(silent), lease, rest),
		way("the server dies, and its agent does not", whole(died), noticed, rest),
		way("the server hangs", whole(hung), hangs, append([]Stretch{fenced}, rest...)),
	}
}

// beyond leaves out of a measure what is accounted for already.
func beyond(known timeline.Millis, took func(timeline.Switch) (timeline.Millis, bool)) func(timeline.Switch) (timeline.Millis, bool) {
	return func(s timeline.Switch) (timeline.Millis, bool) {
		t, ok := took(s)
		return max(t-known, 0), ok
	}
}

// elected are the parts of a failover from when the old primary has surely stopped.
func elected(t Took, past []timeline.Switch) []Stretch {
	return []Stretch{
		before("election", timeline.TypicalOf(past, timeline.Reaching(timeline.Failover, timeline.Promised, timeline.Chosen)), "failovers"),
		applies(t),
		alike("promotion", past, timeline.Promoted, timeline.LeaseHeld),
		alike("gate and addresses", past, timeline.GateOpen, timeline.Addressed),
	}
}

// alike is a part that failovers and planned switches have in common: where no
// failover tells of it, a planned switch does.
func alike(name string, past []timeline.Switch, milestones ...string) Stretch {
	if t := timeline.TypicalOf(past, timeline.Reaching(timeline.Failover, milestones...)); t.Runs > 0 {
		return before(name, t, "failovers")
	}
	return before(name, timeline.TypicalOf(past, timeline.Reaching(timeline.Switchover, milestones...)), "switches")
}

// handover is a planned switch. Clients write until the old primary is drained.
func handover(t Took, past []timeline.Switch) Way {
	return way(Planned, timeline.TypicalOf(past, timeline.WholeSwitchover),
		before("drain; clients write until it begins to refuse", timeline.TypicalOf(past, timeline.Reaching(timeline.Switchover, timeline.Drained)), "switchovers"),
		[]Stretch{
			before("the new primary is chosen", timeline.TypicalOf(past, timeline.Reaching(timeline.Switchover, timeline.Applied, timeline.Chosen)), "switchovers"),
			applies(t),
			before("promotion", timeline.TypicalOf(past, timeline.Reaching(timeline.Switchover, timeline.Promoted, timeline.LeaseHeld)), "switchovers"),
			before("gate and addresses", timeline.TypicalOf(past, timeline.Reaching(timeline.Switchover, timeline.GateOpen, timeline.Addressed)), "switchovers"),
		})
}

// backlog names the part that depends on what a replica has to apply at this moment.
const backlog = "what is left to apply"

func applies(t Took) Stretch {
	p := Stretch{Name: backlog, Takes: t.Apply}
	switch {
	case t.ToApply == 0:
		p.From = "nothing now"
	case t.Apply == nil:
		p.From = fmt.Sprintf("%d transactions, at a pace that is not known", t.ToApply)
	default:
		p.From = fmt.Sprintf("%d transactions, at its pace of late", t.ToApply)
	}
	return p
}

// before is a part that is known from the history.
func before(name string, t timeline.Typical, of string) Stretch {
	if t.Runs == 0 {
		return Stretch{Name: name, From: "the history has no " + of}
	}
	return Stretch{Name: name, Takes: &t.Median, Worst: &t.Worst, From: fmt.Sprintf("the median of the history's %d", t.Runs)}
}

func way(name string, whole timeline.Typical, first Stretch, rest []Stretch) Way {
	w := Way{Name: name, Parts: append([]Stretch{first}, rest...), Real: whole}
	var total timeline.Millis
	for _, p := range w.Parts {
		if p.Takes == nil {
			return w
		}
		total += *p.Takes
	}
	w.Total = &total
	return w
}

// What is worth an advice.
const (
	quickLease  = 750 * time.Millisecond // that of profile fast
	quickHang   = time.Second
	muchToApply = 100 * time.Millisecond
	slowRoad    = 500 * time.Millisecond
	longCached  = 5 * time.Second
)

// advice says what would shorten an outage, what saves most first.
func advice(s Snapshot, b Budget) []Advice {
	var all []Advice
	say := func(saves time.Duration, format string, args ...any) {
		all = append(all, Advice{Saves: timeline.Millis(saves), Text: fmt.Sprintf(format, args...)})
	}
	set := s.Settings
	if saves := set.Lease - quickLease; saves > 0 {
		say(saves, "timing.lease is %s: with profile fast, which needs a network without longer pauses, it is %s, and the loss of a host is noticed so much sooner", set.Lease, quickLease)
	}
	if saves := set.Hang - quickHang; saves > 0 {
		say(saves, "timing.hang is %s: a server that hangs is taken for busy for so long; profile fast has %s", set.Hang, quickHang)
	}
	if set.Durability == cluster.Async && set.BackFill > 0 {
		say(set.BackFill, "durability is async: after the death of a server alone up to %s (durability.back_fill) go into fetching what only its log has; lossless mode has nothing to fetch", set.BackFill)
	}
	for _, w := range b.Ways[:min(1, len(b.Ways))] {
		for _, p := range w.Parts {
			if p.Takes != nil && p.Name == backlog && p.Takes.D() > muchToApply {
				say(p.Takes.D(), "the next primary has much to apply first (%s): more appliers on the replicas (slave_parallel_threads, replica_parallel_workers), or smaller transactions", p.From)
			}
		}
	}
	for _, r := range b.Roads {
		if r.Cached != nil && r.Cached.D() > longCached {
			say(r.Cached.D()-longCached, "what %s says may be kept by clients for %s: a shorter time to live", r.Name, r.Cached.D())
		}
		if r.Led.Worst.D() > slowRoad {
			say(r.Led.Worst.D(), "leading %s took up to %s: see what it waited for with `baton history`", r.Name, r.Led.Worst.D().Round(time.Millisecond))
		}
	}
	for _, r := range StatusOf(s).Nodes {
		if slices.ContainsFunc(r.Conditions, func(c cluster.Condition) bool { return c.Reason == cluster.NotRealtime }) {
			say(0, "the agent of %s has no real-time priority: on a busy machine it renews and reacts late (failures.md, %s)", r.Name, cluster.NotRealtime)
		}
	}
	if len(b.Ways) > 0 && b.Ways[len(b.Ways)-1].Total == nil {
		say(0, "what a switch takes here is not known: one planned switch (baton switchover) tells most of it")
	}
	slices.SortStableFunc(all, func(a, b Advice) int { return cmp.Compare(b.Saves, a.Saves) })
	return all
}

func (s *Server) budget(w http.ResponseWriter, r *http.Request) error {
	snap, err := s.snapshot()
	if err != nil {
		return err
	}
	past, err := s.readHistory(r.Context())
	if err != nil {
		s.log.InfoContext(r.Context(), "make a budget without the history", "err", err)
	}
	return reply(w, http.StatusOK, BudgetOf(snap, past))
}

// Budget returns what an outage would be made of.
func (c *Client) Budget(ctx context.Context) (Budget, error) {
	return get[Budget](ctx, c, http.MethodGet, "/v1/budget", nil)
}
