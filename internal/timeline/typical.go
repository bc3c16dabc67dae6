package timeline

import (
	"slices"

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
