package nginx

import "github.com/baton-db/baton/internal/core/cluster"

// SetClock has an endpoint count its pauses by another clock.
func (e *Endpoint) SetClock(now func() cluster.Instant) { e.now = now }
