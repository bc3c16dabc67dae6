package decide

import (
	"fmt"
	"slices"

	"github.com/baton-db/baton/internal/core/cluster"
)

// requests deals with the oldest open request, if there is one. Several are
// dealt with one after another, each against the record that the one before
// it made.
func requests(w World, now cluster.Instant) (Outcome, bool) {
	for _, seen := range w.Requests {
		if seen.Value.Refused != "" {
			continue
		}
		if out, waits := w.Hooks.judge(seen.Value, request(w, seen.Value, now)); !waits {
			return out, true
		}
	}
	return Outcome{}, false
}

func request(w World, q cluster.Request, now cluster.Instant) Outcome {
	r := w.Record
	switch {
	case q.Kind == cluster.RequestPause:
		next := r
		next.Paused = &cluster.Pause{By: q.By, Why: q.Why, At: q.At}
		return carriedOut(q, swap(next, r.Reason, r.Detail).because(cluster.PausedByRequest, "asked by "+q.By))
	case q.Kind == cluster.RequestResume:
		next := r
		next.Paused = nil
		return carriedOut(q, swap(next, r.Reason, r.Detail).because(cluster.ResumedByRequest, "asked by "+q.By))
	case q.Kind == cluster.RequestMaintenance, q.Kind == cluster.RequestMaintenanceEnd:
		return maintenance(w, q)
	case q.Epoch != 0 && q.Epoch != r.Epoch:
		return refuse(q, fmt.Sprintf("the cluster is at epoch %d, you looked at epoch %d: look again with `baton status`", r.Epoch, q.Epoch))
	}
	if q.To != "" {
		if n, ok := w.Settings.Node(q.To); !ok || n.Role != cluster.Data {
			return refuse(q, fmt.Sprintf("%q is no data node of this cluster; there are %s", q.To, list(w.Settings.DataNodes())))
		}
	}
	if q.To != "" && w.observes(q.To) {
		return refuse(q, fmt.Sprintf("the agent of %s only observes and would not promote it: write mode: active into its file and restart it", q.To))
	}
	switch q.Kind {
	case cluster.RequestSwitchover:
		return switchover(w, q, now)
	case cluster.RequestFailover:
		return failover(w, q)
	case cluster.RequestRejoin:
		return rejoin(w, q, now)
	}
	return refuse(q, fmt.Sprintf("this build does not know requests of kind %q", q.Kind))
}

// maintenance takes a node out of the running because a person works on it, or
// back in.
func maintenance(w World, q cluster.Request) Outcome {
	r := w.Record
	if _, ok := w.Settings.Node(q.Node); !ok {
		return refuse(q, fmt.Sprintf("%q is no node of this cluster; there are %s", q.Node, list(names(w.Settings.Nodes))))
	}
	next, why := r.WithoutMaintenance(q.Node), cluster.MaintenanceEnded
	if q.Kind == cluster.RequestMaintenance {
		switch q.Node {
		case r.Primary:
			return refuse(q, fmt.Sprintf("%s is the primary: hand the role over first (baton switchover), or stop all automatic changes (baton pause)", q.Node))
		case r.Candidate:
			return refuse(q, fmt.Sprintf("%s is about to become primary: wait for the switch to end", q.Node))
		}
		next, why = r.WithMaintenance(cluster.Maintenance{Node: q.Node, By: q.By, Why: q.Why, At: q.At}), cluster.MaintenanceBegan
	}
	return carriedOut(q, swap(next, r.Reason, r.Detail).because(why, fmt.Sprintf("%s, asked by %s", q.Node, q.By)))
}

func carriedOut(q cluster.Request, o Outcome) Outcome {
	o.Done = append(o.Done, q.ID)
	return o
}

func refuse(q cluster.Request, why string) Outcome {
	q.Refused = why
	return Outcome{Refused: []cluster.Request{q}, Why: cluster.RequestRefused, Detail: why}
}

// switchover begins a planned switch, or says why not.
func switchover(w World, q cluster.Request, now cluster.Instant) Outcome {
	r := w.Record
	if r.Phase != cluster.PhaseSteady {
		return refuse(q, fmt.Sprintf("a switch is going on already (%s at epoch %d): wait for it to end", r.Phase, r.Epoch))
	}
	if q.To == r.Primary {
		return refuse(q, fmt.Sprintf("%s is the primary already: nothing has to be done, or name another node", q.To))
	}
	if f := w.fact(r.Primary); f.Serving != r.Epoch || w.Lease.Expired(now, w.Settings) {
		return refuse(q, fmt.Sprintf("%s does not serve now, so nothing can be handed over: see `baton status`", r.Primary))
	}
	choice, ok := Preview(w, q.To, now)
	if !ok {
		if q.To != "" {
			return refuse(q, cannotTakeOver(q.To, choice))
		}
		return refuse(q, passedOver(choice))
	}
	if why := w.Behind(choice.Winner); why != "" {
		return refuse(q, why)
	}
	next := r
	next.Epoch++
	next.Phase = cluster.PhaseHandoff
	next.Candidate = choice.Winner
	next.Previous = ""
	next.Request = q.ID
	next.Failed = nil
	next.Joining = ""
	o := carriedOut(q, swap(next, cluster.SwitchoverAsked, "asked by "+q.By).guarded(w))
	o.Choice = &choice
	return o
}

// failover takes the role from the primary because a person said so, or, while
// an election lacks promises, lets it be decided with those there are.
func failover(w World, q cluster.Request) Outcome {
	r := w.Record
	switch {
	case r.Phase == cluster.PhaseFencing || r.Phase == cluster.PhaseElecting:
		if !q.Force {
			return refuse(q, fmt.Sprintf("a failover is going on already (%s at epoch %d); --force decides it with the promises that there are and may lose acknowledged writes", r.Phase, r.Epoch))
		}
		next := r
		next.Force, next.Candidate, next.Request = true, q.To, q.ID
		return carriedOut(q, swap(next, r.Reason, r.Detail).because(cluster.FailoverForced, "forced by "+q.By))
	case q.To == r.Primary:
		return refuse(q, fmt.Sprintf("%s is the primary already", q.To))
	}
	o := endReign(w, failed{why: cluster.FailoverForced, detail: "asked by " + q.By, byPerson: true})
	o.Next.Candidate, o.Next.Force, o.Next.Request = q.To, q.Force, q.ID
	o.Next.Failed = append(slices.Clone(r.Failed), r.Primary)
	return carriedOut(q, o)
}
