package agent

import (
	"sync"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/node"
)

// hearing is node.Hearing for several goroutines.
type hearing struct {
	mu sync.Mutex
	h  node.Hearing
}

func (h *hearing) heard(now cluster.Instant, limit time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.h.Heard(now, limit)
}

func (h *hearing) missed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.h.Missed()
}

func (h *hearing) state(now cluster.Instant, limit time.Duration) (silent bool, back cluster.Instant) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.h.State(now, limit)
}

func (h *hearing) quiet(now cluster.Instant) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.h.Quiet(now)
}
