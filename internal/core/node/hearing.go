package node

import (
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Hearing keeps whether the store answers this node. A store that has no
// leader must not look like a primary that does not renew: whoever cannot hear
// the store concludes nothing from its silence.
type Hearing struct {
	last   cluster.Instant // the store last proved that it is alive
	back   cluster.Instant // it last came back after a silence
	failed bool            // a read has failed since last
}

// Heard notes that the store answered or sent news at now. A gap longer than
// limit counts as a silence although no read failed: this process may have
// been frozen.
func (h *Hearing) Heard(now cluster.Instant, limit time.Duration) {
	if now < h.last {
		return
	}
	if h.failed || h.last != 0 && now.Sub(h.last) > limit {
		h.back = now
	}
	h.last, h.failed = now, false
}

// Missed notes that a read of the store failed.
func (h *Hearing) Missed() { h.failed = true }

// State reports whether the store is silent at now, and when it last came back.
func (h *Hearing) State(now cluster.Instant, limit time.Duration) (silent bool, back cluster.Instant) {
	return h.failed || h.last == 0 || now.Sub(h.last) > limit, h.back
}

// Quiet reports for how long the store has not been heard.
func (h *Hearing) Quiet(now cluster.Instant) time.Duration { return now.Sub(h.last) }

// SilenceLimit is how long the store may be quiet before nothing is concluded
// from it any more. It is read every Renew when it sends nothing by itself.
func SilenceLimit(s cluster.Settings) time.Duration { return 2*s.Renew + 2*s.Call }
