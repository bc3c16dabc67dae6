package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/detect"
	"github.com/baton-db/baton/internal/core/node"
	"github.com/baton-db/baton/internal/core/reach"
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
	// Afterwards are what some clients wait for when the new primary serves already.
	Afterwards []Stretch `json:"afterwards,omitempty"`
	// Last are the newest switches that ended, the newest first.
	Last []LastSwitch `json:"last,omitempty"`
	// Hosts is what was read of every node's host, Notes what that means for a switch,
	// and Usual what is known of devices and systems that cannot be asked.
	Hosts []reach.Host  `json:"hosts,omitempty"`
	Notes []reach.Note  `json:"notes,omitempty"`
	Usual []reach.Known `json:"usual,omitempty"`
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
	// Last is the newest time, next to what would have been foreseen before it.
	Last *LastTime `json:"last,omitempty"`
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

	// took measures it in a switch of the history; nil: it cannot be told apart there.
	took measure
	// learned says that Takes is known from there, and not from a setting.
	learned bool
}

// measure is how long something took in a switch.
type measure = func(timeline.Switch) (timeline.Millis, bool)

// Road is something that clients connect through besides the addresses.
type Road struct {
	Name   string           `json:"name"`
	Kind   string           `json:"kind"`
	Led    timeline.Typical `json:"led"` // how long it took to lead it to a new primary
	Cached *timeline.Millis `json:"cached_ms,omitempty"`
	// Calls is how long its calls took since the agent that leads it started; nil:
	// no agent has made any.
	Calls *reach.Calls `json:"calls,omitempty"`
}

// Advice is one thing that would shorten an outage.
type Advice struct {
	Saves timeline.Millis `json:"saves_ms"`     // at most; 0: not known
	Of    string          `json:"of,omitempty"` // whose wait it is that would be shorter
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
func BudgetOf(s Snapshot, past []timeline.Switch, around Surroundings) Budget {
	x := ExplanationOf(s, past)
	b := Budget{Schema: BudgetSchema, Cluster: x.Cluster, Node: x.Node, At: x.At, Epoch: x.Epoch, Primary: x.Primary, Hosts: around.Hosts, Usual: reach.Usual()}
	if g := x.IfGone; g != nil && g.Stuck == nil {
		b.Ways = failures(s.Settings, around, g.Took, past)
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
		road.Calls = callsOf(around.Hosts, r.Name)
		b.Roads = append(b.Roads, road)
	}
	for _, old := range slices.Backward(past) {
		if old.Ended && old.Kind != timeline.Bootstrap && len(b.Last) < mostLast {
			b.Last = append(b.Last, LastOf(old))
		}
	}
	for _, h := range b.Hosts {
		b.Notes = append(b.Notes, reach.Notes(h)...)
	}
	b.Afterwards = afterwards(s, around, b, past)
	b.Advice = advice(s, around, b, past)
	return b
}

// callsOf are the calls of an endpoint by whose agent has made most of them.
func callsOf(hosts []reach.Host, endpoint string) *reach.Calls {
	var most *reach.Calls
	for _, h := range hosts {
		for _, c := range h.Calls {
			if c.Endpoint == endpoint && (most == nil || c.Set.Count+c.Observe.Count > most.Set.Count+most.Observe.Count) {
				most = &c
			}
		}
	}
	return most
}

// failures are the ways in which a primary can be lost. They differ in how long it
// takes until it has surely stopped; what comes then is the same.
func failures(set cluster.Settings, around Surroundings, t Took, past []timeline.Switch) []Way {
	gone := []cluster.Reason{cluster.LeaseExpired}
	died := []cluster.Reason{cluster.PrimaryResigned}
	hung := []cluster.Reason{cluster.PrimaryHung, cluster.PrimaryCannotWrite, cluster.PrimaryDiskFull, cluster.PrimaryDiskReadOnly, cluster.PrimaryDiskStuck}

	lease := Stretch{Name: "until its lease has surely run out", Takes: &t.Lease, From: fmt.Sprintf("at most: timing.lease %s, renewed every %s", set.Lease, set.Renew), took: timeline.Stopping(gone...)}
	noticed := before("until its agent has seen it, and clients are shut out", timeline.Stopping(died...), past, "such failures")
	silence := timeline.Millis(set.Hang)
	hangs := Stretch{Name: "until it counts as hung", Takes: &silence, From: "timing.hang", took: within(silence, timeline.Stopping(hung...))}
	fenced := before("until clients are shut out", beyond(silence, timeline.Stopping(hung...)), past, "such failures")

	rest := elected(t, past)
	ways := []Way{
		way("the host is gone, or cut off", timeline.Whole(gone...), past, append([]Stretch{lease}, rest...)),
		way("the server dies, and its agent does not", timeline.Whole(died...), past, append([]Stretch{noticed}, rest...)),
		way("the server hangs", timeline.Whole(hung...), past, append([]Stretch{hangs, fenced}, rest...)),
	}
	if around.Limits.Normal == 0 {
		return ways
	}
	unheard := []cluster.Reason{cluster.PrimaryUnreachable}
	probed := probing(set, around)
	shut := before("until clients are shut out", beyond(*probed.Takes, timeline.Stopping(unheard...)), past, "such failures")
	probed.took = within(*probed.Takes, timeline.Stopping(unheard...))
	return append(ways, way("no other node reaches the server, and its agent lives", timeline.Whole(unheard...), past, append([]Stretch{probed, shut}, rest...)))
}

// probing is how long the others take, at most, to be sure that they do not reach a
// server: detect.Limits, each failure after the deadline of a connect; and as long as
// a replica has heard from it of late, they are not.
func probing(set cluster.Settings, around Surroundings) Stretch {
	probes := probesTake(around.Limits, around.Deadline)
	takes := timeline.Millis(max(probes, node.ReceivingWindow(set)))
	l := around.Limits
	return Stretch{Name: "until the others are sure", Takes: &takes,
		From: fmt.Sprintf("at most: detection.normal %s, suspect %s, critical %s, %d failures of %s each", l.Normal, l.Suspect, l.Critical, l.Failures, around.Deadline)}
}

func probesTake(l detect.Limits, deadline time.Duration) time.Duration {
	return l.Normal + l.Suspect + time.Duration(max(l.Failures-2, 0))*l.Critical + time.Duration(l.Failures)*deadline
}

// beyond leaves out of a measure what is accounted for already, and within what is
// not.
func beyond(known timeline.Millis, took measure) measure {
	return func(s timeline.Switch) (timeline.Millis, bool) {
		t, ok := took(s)
		return max(t-known, 0), ok
	}
}

func within(most timeline.Millis, took measure) measure {
	return func(s timeline.Switch) (timeline.Millis, bool) {
		t, ok := took(s)
		return min(t, most), ok
	}
}

// elected are the parts of a failover from when the old primary has surely stopped.
func elected(t Took, past []timeline.Switch) []Stretch {
	return []Stretch{
		before("election", timeline.Reaching(timeline.Failover, timeline.Promised, timeline.Chosen), past, "failovers"),
		applies(t, timeline.Failover),
		alike("promotion", past, timeline.Promoted, timeline.LeaseHeld),
		alike("gate and addresses", past, timeline.GateOpen, timeline.Addressed),
	}
}

// alike is a part that failovers and planned switches have in common: where no
// failover tells of it, a planned switch does.
func alike(name string, past []timeline.Switch, milestones ...string) Stretch {
	failed := timeline.Reaching(timeline.Failover, milestones...)
	if p := before(name, failed, past, "failovers"); p.Takes != nil {
		return p
	}
	p := before(name, timeline.Reaching(timeline.Switchover, milestones...), past, "switches")
	p.took = failed
	return p
}

// handover is a planned switch. Clients write until the old primary is drained.
func handover(t Took, past []timeline.Switch) Way {
	reaching := func(name string, milestones ...string) Stretch {
		return before(name, timeline.Reaching(timeline.Switchover, milestones...), past, "switchovers")
	}
	return way(Planned, timeline.WholeSwitchover, past, []Stretch{
		reaching("until the request is taken up; clients write", timeline.Accepted),
		reaching("drain; clients write until it begins to refuse", timeline.Drained),
		reaching("the new primary is chosen", timeline.Applied, timeline.Chosen),
		applies(t, ""),
		reaching("promotion", timeline.Promoted, timeline.LeaseHeld),
		reaching("gate and addresses", timeline.GateOpen, timeline.Addressed),
	})
}

// backlog names the part that depends on what a replica has to apply at this moment.
const backlog = "what is left to apply"

// applies is that part, in switches of a kind in which it can be told apart.
func applies(t Took, kind timeline.Kind) Stretch {
	p := Stretch{Name: backlog, Takes: t.Apply}
	if kind != "" {
		p.took = timeline.Reaching(kind, timeline.Applied)
	}
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
func before(name string, took measure, past []timeline.Switch, of string) Stretch {
	t := timeline.TypicalOf(past, took)
	if t.Runs == 0 {
		return Stretch{Name: name, From: "the history has no " + of, took: took, learned: true}
	}
	return Stretch{Name: name, Takes: &t.Median, Worst: &t.Worst, From: fmt.Sprintf("the median of the history's %d", t.Runs), took: took, learned: true}
}

func way(name string, whole measure, past []timeline.Switch, parts []Stretch) Way {
	w := Way{Name: name, Parts: parts, Real: timeline.TypicalOf(past, whole), Last: lastTime(whole, past, parts)}
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

func (s *Server) budget(w http.ResponseWriter, r *http.Request) error {
	snap, err := s.snapshot()
	if err != nil {
		return err
	}
	past, err := s.readHistory(r.Context())
	if err != nil {
		s.log.InfoContext(r.Context(), "make a budget without the history", "err", err)
	}
	var around Surroundings
	if s.around != nil {
		around = s.around.Surroundings(r.Context())
	}
	return reply(w, http.StatusOK, BudgetOf(snap, past, around))
}

// Budget returns what an outage would be made of.
func (c *Client) Budget(ctx context.Context) (Budget, error) {
	return get[Budget](ctx, c, http.MethodGet, "/v1/budget", nil)
}
