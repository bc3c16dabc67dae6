package decide

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/baton-db/baton/internal/core/cluster"
)

// RejoinPlan is one rejoin, thought through and not begun.
type RejoinPlan struct {
	Node   cluster.NodeName     `json:"node"`
	Method cluster.RejoinMethod `json:"method,omitempty"`
	// Refused is why it would be turned down, and what to do instead; empty if it
	// would begin.
	Refused string `json:"refused,omitempty"`
	// Donor is whose data a reclone copies, and DonorWhy why it is that one.
	Donor    cluster.NodeName `json:"donor,omitempty"`
	DonorWhy string           `json:"donor_why,omitempty"`
	// Warnings are what a person should know before saying yes.
	Warnings []string `json:"warnings,omitempty"`
}

// PlanRejoin thinks a request to rejoin through.
func PlanRejoin(w World, q cluster.Request, now cluster.Instant) RejoinPlan {
	p := RejoinPlan{Node: q.Node, Method: q.Method}
	if p.Refused = w.mayRejoin(q, now); p.Refused != "" {
		return p
	}
	f := w.fact(q.Node)
	if p.Method == "" {
		if f.Errant.IsZero() {
			p.Refused = fmt.Sprintf("%s has nothing that the primary lacks: it follows by itself once its server runs. To give it new data all the same: baton rejoin %s --reclone", q.Node, q.Node)
			return p
		}
		p.Method = w.rejoinPolicy(f)
	}
	switch p.Method {
	case cluster.Hold:
	case cluster.Rewind:
		p.Refused = w.mayRewind(q, f)
		if !f.Errant.IsZero() {
			p.Warnings = append(p.Warnings, fmt.Sprintf("it has %s", f.Lost))
		}
	case cluster.Reclone:
		w.planReclone(q, now, &p)
	default:
		p.Refused = fmt.Sprintf("there is no way to rejoin that is called %q: use rewind, reclone or hold", p.Method)
	}
	return p
}

// mayRejoin says why a node cannot rejoin at all now; empty if it can.
func (w World) mayRejoin(q cluster.Request, now cluster.Instant) string {
	r := w.Record
	n, ok := w.Settings.Node(q.Node)
	switch {
	case !ok || n.Role != cluster.Data:
		return fmt.Sprintf("%q is no data node of this cluster; there are %s", q.Node, list(w.Settings.DataNodes()))
	case q.Node == r.Primary:
		return fmt.Sprintf("%s is the primary: its data is the data of the cluster, and there is nothing that it could rejoin. Hand the role over first (baton switchover)", q.Node)
	case q.Method == cluster.Hold:
		return "" // that is always possible
	case r.Phase != cluster.PhaseSteady:
		return fmt.Sprintf("a switch is going on (%s at epoch %d): wait for it to end", r.Phase, r.Epoch)
	case r.Rejoin != nil:
		return fmt.Sprintf("one rejoin at a time: there is the %s. Wait for it to end (baton status), or call it off (baton rejoin %s --hold)", r.Rejoin, r.Rejoin.Node)
	case r.Paused != nil:
		return "the cluster is paused, so the node would not follow afterwards: baton resume first"
	case r.Maintained(q.Node) != nil:
		return fmt.Sprintf("somebody works on %s, and it is left alone: baton maintenance %s off first", q.Node, q.Node)
	case !w.fresh(q.Node, now, w.staleAfter()):
		return fmt.Sprintf("nothing is heard of the agent of %s, which would have to do it: start it (systemctl start baton)", q.Node)
	case w.observes(q.Node):
		return fmt.Sprintf("the agent of %s only observes: write mode: active into its file and restart it", q.Node)
	case w.fact(r.Primary).Serving != r.Epoch:
		return fmt.Sprintf("%s does not serve now, so there is nobody to follow: see `baton status`", r.Primary)
	}
	return ""
}

// rejoinPolicy is the way back that the configuration has for a diverged server.
func (w World) rejoinPolicy(f cluster.Fact) cluster.RejoinMethod {
	if f.Lost.Unacknowledged {
		return cmp.Or(w.Settings.Rejoin.Unacknowledged, cluster.Hold)
	}
	return cmp.Or(w.Settings.Rejoin.Acknowledged, cluster.Hold)
}

// mayRewind says why what only a node's server has cannot be undone; empty if it
// can, or if undoing it has begun.
func (w World) mayRewind(q cluster.Request, f cluster.Fact) string {
	instead := fmt.Sprintf("give %s new data instead, baton rejoin %s --reclone", q.Node, q.Node)
	switch {
	case f.Errant.IsZero() && f.Held == "":
		return fmt.Sprintf("%s has nothing that the primary lacks, so there is nothing to undo", q.Node)
	case f.Server.Flavor == "mysql":
		return "MySQL cannot undo transactions: " + instead
	case f.Errant.IsZero():
		return ""
	case f.Lost.See == "" && f.Lost.InTheWay == "":
		return fmt.Sprintf("its agent is still writing down what %s did: ask again in a moment", f.Errant)
	case !f.Lost.Undoable:
		return fmt.Sprintf("they cannot be undone: %s. So %s", f.Lost.InTheWay, instead)
	}
	return ""
}

// rejoinByPolicy begins the way back of a diverged node that the configuration
// has for it. One that failed is left to a person.
func rejoinByPolicy(w World, now cluster.Instant) Outcome {
	for _, n := range w.Settings.DataNodes() {
		f := w.fact(n)
		if f.Errant.IsZero() || f.Lost.See == "" || slices.Contains(w.Record.Held, n) {
			continue
		}
		q := cluster.Request{ID: fmt.Sprintf("policy-%d-%s", w.RecordRev, n), Kind: cluster.RequestRejoin, Node: n}
		p := PlanRejoin(w, q, now)
		if p.Refused != "" || p.Method == cluster.Hold {
			continue
		}
		next := w.Record
		next.Rejoin = &cluster.Rejoin{ID: q.ID, Node: n, Method: p.Method, Donor: p.Donor}
		next.Rejoined = nil
		return swap(next, w.Record.Reason, w.Record.Detail).because(cluster.RejoinBegan, next.Rejoin.String()+", as the configuration says")
	}
	return Outcome{}
}

// planReclone chooses the donor and counts the copies that are left meanwhile.
func (w World) planReclone(q cluster.Request, now cluster.Instant, p *RejoinPlan) {
	f := w.fact(q.Node)
	if p.Donor, p.DonorWhy, p.Refused = w.donor(q, now); p.Refused != "" {
		return
	}
	if !f.Errant.IsZero() {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s has transactions that the primary does not have: %s; they are in its old data only", q.Node, f.Errant))
		if q.Drop {
			p.Refused = fmt.Sprintf("the old data of %s has transactions that nobody else has (%s): keep it (without --drop-old) until they have been looked at", q.Node, f.Errant)
			return
		}
	}
	acks := w.Record.Acks().Members
	if w.Settings.Durability == cluster.Lossless && slices.Contains(acks, q.Node) && len(acks) == 1 {
		if w.Settings.Alone == cluster.AloneWait {
			p.Refused = fmt.Sprintf("%s is the only one that acknowledges, and commits wait for it (durability.alone: wait): bring another replica back first", q.Node)
			return
		}
		alone := fmt.Sprintf("%s is the only one that acknowledges: until it is back, %s has the only copy of the newest writes", q.Node, w.Record.Primary)
		if !q.Force {
			p.Refused = alone + "; bring another replica back first, or say --force"
			return
		}
		p.Warnings = append(p.Warnings, alone)
	}
	if p.Donor == w.Record.Primary {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s is the primary: reading all of its data costs it disk and network bandwidth", p.Donor))
	}
}

// donor chooses whose data is copied: a replica rather than the primary, which
// has clients to serve; one that is not to be promoted anyway, then one that
// nobody waits for, then one of the same site; then by name.
func (w World) donor(q cluster.Request, now cluster.Instant) (donor cluster.NodeName, why, refused string) {
	r := w.Record
	fit := func(n cluster.NodeName) string {
		f := w.fact(n)
		node, _ := w.Settings.Node(n)
		switch {
		case n == q.Node:
			return "it is the one that gets the data"
		case node.Role != cluster.Data:
			return "it has no data"
		case !w.alive(n, now):
			return "its server or its agent is not well"
		case n != r.Primary && !w.follows(n, now):
			return fmt.Sprintf("it does not replicate from %s", r.Primary)
		case w.observes(n):
			return "its agent only observes"
		case f.Held != "" || !f.Errant.IsZero():
			return "it is held itself"
		}
		return ""
	}
	if q.To != "" {
		if _, ok := w.Settings.Node(q.To); !ok {
			return "", "", fmt.Sprintf("%q is no node of this cluster; there are %s", q.To, list(w.Settings.DataNodes()))
		}
		if not := fit(q.To); not != "" {
			return "", "", fmt.Sprintf("%s cannot give its data: %s. Leave --from out, or name another one", q.To, not)
		}
		return q.To, "it was named", ""
	}
	var able []cluster.NodeName
	for _, n := range w.Settings.DataNodes() {
		if fit(n) == "" {
			able = append(able, n)
		}
	}
	if len(able) == 0 {
		return "", "", "there is no server whose data it could get: " + passedDonors(w.Settings.DataNodes(), fit)
	}
	self, _ := w.Settings.Node(q.Node)
	cost := func(n cluster.NodeName) [4]int {
		node, _ := w.Settings.Node(n)
		return [4]int{yes(n == r.Primary), yes(!node.Never), yes(slices.Contains(r.Acks().Members, n)), yes(node.Site != self.Site)}
	}
	best := slices.MinFunc(able, func(a, b cluster.NodeName) int {
		x, y := cost(a), cost(b)
		return cmp.Or(slices.Compare(x[:], y[:]), cmp.Compare(a, b))
	})
	c := cost(best)
	switch {
	case c[0] == 1:
		why = "it is the primary, and no replica is fit for it: " + passedDonors(w.Settings.DataNodes(), fit)
	case c[1] == 0:
		why = "a replica that is never promoted"
	case c[2] == 0:
		why = "a replica that nobody waits for"
	default:
		why = "a replica"
	}
	return best, why, ""
}

func passedDonors(nodes []cluster.NodeName, fit func(cluster.NodeName) string) string {
	var text string
	for _, n := range nodes {
		if not := fit(n); not != "" {
			if text != "" {
				text += "; "
			}
			text += string(n) + ": " + not
		}
	}
	return text
}

func yes(is bool) int {
	if is {
		return 1
	}
	return 0
}

// rejoin begins a node's way back, or says why not.
func rejoin(w World, q cluster.Request, now cluster.Instant) Outcome {
	p := PlanRejoin(w, q, now)
	if p.Refused != "" {
		return refuse(q, p.Refused)
	}
	next := w.Record
	next.Held = slices.DeleteFunc(slices.Clone(next.Held), func(n cluster.NodeName) bool { return n == q.Node })
	if p.Method == cluster.Hold {
		return carriedOut(q, hold(next, q))
	}
	next.Rejoin = &cluster.Rejoin{ID: q.ID, Node: q.Node, Method: p.Method, Donor: p.Donor, Drop: q.Drop, By: q.By, At: q.At}
	next.Rejoined = nil
	return carriedOut(q, swap(next, w.Record.Reason, w.Record.Detail).because(cluster.RejoinBegan, next.Rejoin.String()))
}

// hold leaves a node as it is, and calls a rejoin off that has begun.
func hold(next cluster.Record, q cluster.Request) Outcome {
	detail := fmt.Sprintf("%s is left as it is, asked by %s", q.Node, q.By)
	if j := next.RejoinOf(q.Node); j != nil {
		next.Rejoined = &cluster.Rejoined{ID: j.ID, Node: j.Node, Method: j.Method, Failed: "called off by " + q.By}
		next.Rejoin = nil
		detail += "; its " + string(j.Method) + " is called off"
	} else {
		next.Rejoined = &cluster.Rejoined{ID: q.ID, Node: q.Node, Method: cluster.Hold}
	}
	next.Held = append(next.Held, q.Node)
	slices.Sort(next.Held)
	return swap(next, next.Reason, next.Detail).because(cluster.RejoinHeld, detail)
}

// rejoinOver ends a rejoin whose node follows, or says that it has failed.
func rejoinOver(w World, now cluster.Instant) Outcome {
	j := w.Record.Rejoin
	if j == nil || !j.Left(w.fact(j.Node)) {
		return Outcome{}
	}
	res := w.fact(j.Node).Rejoined
	if res.Failed == "" && !w.follows(j.Node, now) {
		return Outcome{}
	}
	next := w.Record
	next.Rejoin = nil
	next.Rejoined = &cluster.Rejoined{ID: j.ID, Node: j.Node, Method: j.Method, Failed: res.Failed, Detail: res.Detail}
	why, detail := cluster.RejoinEnded, fmt.Sprintf("%s follows again (%s)", j.Node, j.Method)
	if res.Failed != "" {
		why, detail = cluster.RejoinFailed, fmt.Sprintf("%s: %s", j, res.Failed)
		if j.By == "" && !slices.Contains(next.Held, j.Node) {
			next.Held = append(slices.Clone(next.Held), j.Node) // it would come to the same again
			slices.Sort(next.Held)
		}
	}
	return swap(next, w.Record.Reason, w.Record.Detail).because(why, detail)
}
