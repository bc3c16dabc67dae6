package agent

import (
	"sync"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// hearing keeps whether the store answers this node. A store that has no
// leader must not look like a primary that does not renew: whoever cannot hear
// the store concludes nothing from its silence.
type hearing struct {
	mu     sync.Mutex
	last   cluster.Instant // the store last proved that it is alive
	back   cluster.Instant // it last came back after a silence
	failed bool            // a read has failed since last
}

// heard notes that the store answered or sent news at now. A gap longer than
// limit counts as a silence although no read failed: this process may have
// been frozen.
func (h *hearing) heard(now cluster.Instant, limit time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now < h.last {
		return
	}
	if h.failed || h.last != 0 && now.Sub(h.last) > limit {
		h.back = now
	}
	h.last, h.failed = now, false
}

// missed notes that a read of the store failed.
func (h *hearing) missed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = true
}

// state reports whether the store is silent at now, and when it last came back.
func (h *hearing) state(now cluster.Instant, limit time.Duration) (silent bool, back cluster.Instant) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failed || h.last == 0 || now.Sub(h.last) > limit, h.back
}

// quiet reports for how long the store has not been heard.
func (h *hearing) quiet(now cluster.Instant) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return now.Sub(h.last)
}
