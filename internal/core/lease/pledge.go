package lease

import (
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Pledge is a node's word to the primary of Epoch, given while the store was
// silent: until Until it takes part in no newer reign. It does not promise in an
// election, takes no lease and opens nothing. The zero value binds nobody.
//
// A primary that has the word of every other data node may serve on without the
// store: whoever could be its successor has promised to wait. design.md,
// section 5, Failsafe.
type Pledge struct {
	Epoch cluster.Epoch
	Until cluster.Instant
}

// Pledged is a pledge to the primary of epoch, whose lease has this length,
// received at now. It lasts longer than the primary counts on it, who counts from
// before it asked. A pledge to an older reign that still binds is kept as long.
func (p Pledge) Pledged(epoch cluster.Epoch, length time.Duration, now cluster.Instant, s cluster.Settings) Pledge {
	until := now.Add(PledgeLasts(length, s))
	if p.Until > until {
		until = p.Until
	}
	if p.Until > now && p.Epoch < epoch {
		epoch = p.Epoch
	}
	return Pledge{Epoch: epoch, Until: until}
}

// PledgeLasts is for how long a pledge binds from its receipt.
func PledgeLasts(length time.Duration, s cluster.Settings) time.Duration {
	length = min(max(length, s.Lease), longest)
	return time.Duration(float64(length)*(1+s.Drift)) + s.Margin
}

// Binds reports whether the node may not take part in epoch yet.
func (p Pledge) Binds(epoch cluster.Epoch, now cluster.Instant) bool {
	return epoch > p.Epoch && now < p.Until
}
