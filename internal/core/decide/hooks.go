package decide

import "github.com/baton-db/baton/internal/core/cluster"

// Hooks are the commands that a person wants to be run before a planned switch
// begins. The primary's agent runs them; nobody else begins one then. A request
// that waits for them keeps nothing else waiting: neither a failover nor a pause.
type Hooks struct {
	Wanted bool
	// Said is what came of them, by the request's id: empty if the switch may begin,
	// otherwise why it may not. Only the primary's agent knows it.
	Said map[string]string
}

// AwaitsHooks returns the switchover that would begin now if its hooks had been
// run, and the record that it would begin with.
func AwaitsHooks(w World, now cluster.Instant) (q cluster.Request, next cluster.Record, ok bool) {
	if !w.Hooks.Wanted || w.Self != w.Record.Primary || w.RecordRev == 0 || w.Record.Phase != cluster.PhaseSteady {
		return q, next, false
	}
	for _, seen := range w.Requests {
		if q := seen.Value; q.Refused == "" && q.Kind == cluster.RequestSwitchover {
			out := request(w, q, now)
			if _, said := w.Hooks.Said[q.ID]; out.Next != nil && !said {
				return q, *out.Next, true
			}
		}
	}
	return q, next, false
}

// judge lets a switchover that could begin wait for its hooks, or turns it down if
// they do.
func (h Hooks) judge(q cluster.Request, out Outcome) (judged Outcome, waits bool) {
	if !h.Wanted || q.Kind != cluster.RequestSwitchover || out.Next == nil {
		return out, false
	}
	switch why, said := h.Said[q.ID]; {
	case !said:
		return out, true
	case why != "":
		return refuse(q, why), false
	}
	return out, false
}
