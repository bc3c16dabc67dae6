package wire

import (
	"context"
	"fmt"

	"github.com/baton-db/baton/internal/db"
)

// Load implements db.Looker. It asks over the connection of the read probe, so
// that a long list of sessions holds up no observation.
func (s *Server) Load(ctx context.Context) (db.Load, error) {
	var load db.Load
	err := s.Read.Use(ctx, func(l *Link) error {
		most, err := l.Value(ctx, "SELECT @@global.max_connections")
		if err != nil {
			return err
		}
		load = db.Load{MaxConnections: int(Number(most))}
		counters, err := l.Query(ctx, `SHOW GLOBAL STATUS WHERE Variable_name IN
			('Threads_connected', 'Aborted_connects', 'Aborted_clients', 'Connection_errors_max_connections')`)
		if err != nil {
			return err
		}
		for _, row := range counters {
			switch n := Number(row["Value"]); row["Variable_name"] {
			case "Threads_connected":
				load.Connections = int(n)
			default:
				// A refusal is no aborted connect; what is counted twice is none.
				load.Failed += n
			}
		}
		// "Waiting for table metadata lock", "… backup lock", "… global read lock",
		// "… table flush": not those of rows, which the engine knows.
		waits, err := l.Query(ctx, `SELECT COUNT(*) AS locked, COALESCE(MAX(time), 0) AS longest FROM information_schema.processlist
			WHERE state LIKE 'Waiting for % lock' OR state = 'Waiting for table flush'`)
		if err != nil {
			return err
		}
		for _, row := range waits {
			load.Locked, load.LongestLocked = int(Number(row["locked"])), int(Number(row["longest"]))
		}
		return nil
	})
	if err != nil {
		return db.Load{}, fmt.Errorf("read the load of the server at %s: %w", s.Socket, err)
	}
	return load, nil
}
