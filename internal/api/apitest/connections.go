package apitest

import (
	"context"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/timeline"
)

// Ledger has two clients; of a broken cluster it is old, and not complete.
func (c *Cluster) Ledger(context.Context) (api.Ledger, error) {
	snap := c.Snapshot()
	l := api.Ledger{Node: "db1", Age: timeline.Millis(400 * time.Millisecond), Limit: 50_000, Connections: []api.Connection{
		{Client: "10.77.0.21:40000", Address: "10.77.0.50:3306", Known: timeline.Millis(90 * time.Minute)},
		{Client: "[fd77::21]:40001", Address: "[fd77::50]:3306", Known: timeline.Millis(3 * time.Second)},
	}}
	if snap.Record.Primary == "" {
		l.Age, l.Beyond, l.Why = timeline.Millis(2*time.Minute), 7, "nobody leads the clients now"
	}
	return l, nil
}
