package wire

import (
	"context"
	"fmt"

	"github.com/baton-db/baton/internal/db"
)

// tables are those of Baton's own schema, in the order in which they are made.
var tables = [...]string{
	// A row for each reign, whose transaction began it. writes grows when the
	// marker is written again.
	`CREATE TABLE IF NOT EXISTS baton.epochs (
		epoch BIGINT UNSIGNED NOT NULL PRIMARY KEY,
		node VARCHAR(255) NOT NULL,
		writes INT UNSIGNED NOT NULL DEFAULT 1,
		at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)
	) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='Baton: the reigns of this cluster'`,
	// The rows that the write probe changes, one for each of its connections.
	`CREATE TABLE IF NOT EXISTS baton.probe (
		id TINYINT UNSIGNED NOT NULL PRIMARY KEY,
		writes BIGINT UNSIGNED NOT NULL,
		at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)
	) ENGINE=InnoDB COMMENT='Baton: proves that writes work'`,
	// Which scheduled events the primary has enabled.
	`CREATE TABLE IF NOT EXISTS baton.events (
		schema_name VARCHAR(64) NOT NULL,
		event_name VARCHAR(64) NOT NULL,
		enabled BOOLEAN NOT NULL,
		PRIMARY KEY (schema_name, event_name)
	) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='Baton: scheduled events of the primary'`,
}

// EnsureSchema implements db.Server. It runs under the writer's account, which
// read_only binds, on a connection of its own.
func (s *Server) EnsureSchema(ctx context.Context) error {
	l, err := s.DialWriter(ctx)
	if err != nil {
		return fmt.Errorf("create Baton's schema: %w", InOurWords(err))
	}
	defer l.Close()
	// Looked at first: CREATE … IF NOT EXISTS is a transaction of its own even
	// where it creates nothing.
	n, err := l.Value(ctx, "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = ? AND table_name IN ('epochs', 'probe', 'events')", db.Schema)
	if err != nil {
		return fmt.Errorf("look for Baton's schema: %w", InOurWords(err))
	}
	if int(Number(n)) == len(tables) {
		return nil
	}
	for _, q := range append([]string{"CREATE DATABASE IF NOT EXISTS " + db.Schema}, tables[:]...) {
		if err := l.Exec(ctx, q); err != nil {
			return fmt.Errorf("create Baton's schema (%.40s…): %w", q, InOurWords(err))
		}
	}
	return nil
}
