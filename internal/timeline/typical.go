package timeline

import (
	"slices"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Typical is how long something took in the switches of a history.
type Typical struct {
	Runs   int    `json:"runs"` // that it is known of
	Median Millis `json:"median_ms"`
	Worst  Millis `json:"worst_ms"`
}

// TypicalOf measures all switches that took has an answer for.
func TypicalOf(switches []Switch, took func(Switch) (Millis, bool)) Typical {
	var all []Millis
	for _, s := range switches {
		if t, ok := took(s); ok {
			all = append(all, t)
		}
	}
	if len(all) == 0 {
		return Typical{}
	}
	slices.Sort(all)
	return Typical{Runs: len(all), Median: all[(len(all)-1)/2], Worst: all[len(all)-1]}
}

// WholeSwitchover is how long a planned switch took that went through.
func WholeSwitchover(s Switch) (Millis, bool) {
	return s.Took, s.Kind == Switchover && s.Ended && s.Serving != nil
}

// Election is how long a failover took from when the old primary was surely not
// serving any more until the new one did. How long it took to be sure of that
// depends on what had failed, and is left out.
func Election(s Switch) (Millis, bool) {
	i := slices.IndexFunc(s.Changes, func(c Change) bool { return c.Phase == cluster.PhaseElecting })
	if i < 0 || s.Kind != Failover || !s.Ended || s.Serving == nil || *s.Serving < s.Changes[i].At {
		return 0, false
	}
	return *s.Serving - s.Changes[i].At, true
}

// Reaching is how long switches of a kind, which went through, took to get to each of
// some milestones from the one before it, all together. Of those before it only such
// count as clients wait for: replicas follow, and reigns are marked, beside that.
func Reaching(kind Kind, milestones ...string) func(Switch) (Millis, bool) {
	return func(s Switch) (took Millis, known bool) {
		if s.Kind != kind || !s.Ended || s.Serving == nil {
			return 0, false
		}
		before := s.Began
		for _, m := range s.Milestones {
			switch m.Name {
			case Verified, Marked, NewReign, Following:
				continue
			}
			if slices.Contains(milestones, m.Name) {
				took, known = took+m.At-before, true
			}
			before = m.At
		}
		return took, known
	}
}

// Stopping is how long failovers for one of these reasons took from the first bad sign
// until the old primary was surely not serving any more.
func Stopping(reasons ...cluster.Reason) func(Switch) (Millis, bool) {
	return func(s Switch) (Millis, bool) {
		i := slices.IndexFunc(s.Changes, func(c Change) bool { return c.Phase == cluster.PhaseElecting })
		if i < 0 || s.Kind != Failover || !s.Ended || !slices.Contains(reasons, s.Reason) {
			return 0, false
		}
		return s.Changes[i].At - s.Began, true
	}
}

// Whole is how long failovers for one of these reasons took, from the first bad sign
// until the new primary served.
func Whole(reasons ...cluster.Reason) func(Switch) (Millis, bool) {
	return func(s Switch) (Millis, bool) {
		return s.Took, s.Kind == Failover && s.Ended && s.Serving != nil && slices.Contains(reasons, s.Reason)
	}
}

// Seen is how long after a new primary served the last of the other nodes saw that it
// is led there, with asking them. Those that did not see it are left out.
func Seen(s Switch) (took Millis, known bool) {
	if s.Serving == nil || !s.Ended {
		return 0, false
	}
	for _, sp := range s.Spans {
		if strings.HasPrefix(string(sp.Step), seenFrom) && sp.Outcome == OK {
			took, known = max(took, sp.End()-*s.Serving), true
		}
	}
	return took, known
}

// Leading is how long a step took that led clients to the new primary, in any switch.
func Leading(step Step) func(Switch) (Millis, bool) {
	return func(s Switch) (Millis, bool) {
		sp, ok := lastEnded(s.Spans, func(sp Span) bool { return sp.Step == step && sp.Node == s.To })
		return sp.Took, ok
	}
}
