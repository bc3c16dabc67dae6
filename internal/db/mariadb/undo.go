package mariadb

import (
	"context"
	"errors"
	"fmt"

	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/wire"
)

var _ db.Undoing = (*session)(nil)

// Undo implements db.Undoing. Row events are carried out by BINLOG statements,
// which take part in the transaction around them; foreign keys are not looked at,
// because the events bring everything back that was there before.
func (s *session) Undo(ctx context.Context, events func(func(string) error) error, check func(db.Ask) error) error {
	return s.Step(ctx, "undo transactions", func() error {
		if err := s.Exec(ctx, "SET SESSION sql_log_bin = 0, foreign_key_checks = 0, unique_checks = 0", "START TRANSACTION"); err != nil {
			return err
		}
		refused := events(func(statement string) error {
			if err := s.Exec(ctx, statement); err != nil {
				return fmt.Errorf("undo a row event: %w", err)
			}
			return nil
		})
		if refused == nil {
			refused = check(func(query string) ([]map[string]string, error) { return s.Link.Query(ctx, query) })
		}
		end := "COMMIT"
		if refused != nil {
			end = "ROLLBACK"
		}
		if err := s.Exec(ctx, end, "SET SESSION sql_log_bin = 1, foreign_key_checks = 1, unique_checks = 1"); err != nil {
			return errors.Join(refused, err)
		}
		if refused != nil {
			return wire.Refusal(refused.Error()) // rolled back: the session is as it was
		}
		return nil
	})
}

// Ask implements db.Undoing.
func (s *session) Ask(ctx context.Context, query string) (rows []map[string]string, err error) {
	err = s.Step(ctx, "ask for rows", func() error {
		rows, err = s.Link.Query(ctx, query)
		return err
	})
	return rows, err
}

// LoggedState implements db.Undoing.
func (s *session) LoggedState(ctx context.Context) (state string, err error) {
	err = s.Step(ctx, "read the binary log's state", func() error {
		state, err = s.Link.Value(ctx, "SELECT @@global.gtid_binlog_state")
		return err
	})
	return state, err
}

// ToDisk implements db.Undoing.
func (s *session) ToDisk(ctx context.Context) error {
	return s.Step(ctx, "write everything to the disk", func() error { return s.Exec(ctx, "FLUSH LOCAL ENGINE LOGS") })
}

// LoggedState is what the server has in its binary logs, read on a connection of
// its own: for a copy of it.
func (s *Server) LoggedState(ctx context.Context) (state string, err error) {
	err = s.Look.Use(ctx, func(l *wire.Link) error {
		state, err = l.Value(ctx, "SELECT @@global.gtid_binlog_state")
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read the binary log's state: %w", wire.InOurWords(err))
	}
	return state, nil
}

// Reseed implements db.Undoing. gtid_binlog_state can be set only while the
// binary log is empty, and gtid_slave_pos not to less than the log has: so the
// order is given. RESET MASTER is refused while somebody sets up replication.
func (s *session) Reseed(ctx context.Context, state string) error {
	return s.Step(ctx, "begin a new binary log", func() error {
		r, err := replicationStatus(ctx, s.Link)
		if err != nil {
			return err
		}
		if r.Configured {
			return wire.Refusal("it is set up as a replica: what it received would be lost")
		}
		applied, err := s.Link.Value(ctx, "SELECT @@global.gtid_slave_pos")
		if err != nil {
			return err
		}
		return s.Exec(ctx, "RESET MASTER",
			"SET GLOBAL gtid_binlog_state = "+wire.Quote(state),
			"SET GLOBAL gtid_slave_pos = "+wire.Quote(write(newest(state, applied))))
	})
}
