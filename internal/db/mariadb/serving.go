package mariadb

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/wire"
)

// SetReadOnly implements db.Serving.
//
// Behind a commit that waits for an acknowledgement SET GLOBAL read_only hangs
// ("Waiting for backup lock") and every other commit hangs behind it, until it
// gives up. A transaction that is open when it succeeds fails at its COMMIT
// with error 1290. (Both tried on 10.11.)
func (s *session) SetReadOnly(ctx context.Context, on bool, lockWait time.Duration) error {
	return s.Step(ctx, fmt.Sprintf("set read_only %t", on), func() error {
		// lock_wait_timeout knows whole seconds, and 0 for not waiting at all;
		// max_statement_time cuts it shorter, where 0 means no limit.
		limits := fmt.Sprintf("SET SESSION lock_wait_timeout = %.0f, max_statement_time = %.6f",
			math.Ceil(lockWait.Seconds()), lockWait.Seconds())
		if err := s.Exec(ctx, limits); err != nil {
			return err
		}
		setting := s.Exec(ctx, fmt.Sprintf("SET GLOBAL read_only = %t", on))
		if wire.Breaks(setting) {
			return setting
		}
		if err := s.Exec(ctx, "SET SESSION max_statement_time = 0, lock_wait_timeout = 5"); err != nil {
			return err
		}
		if wire.Code(setting) == wire.ErStatementTimedOut {
			return fmt.Errorf("%w: %w", db.ErrLockWait, setting)
		}
		if setting != nil {
			return setting
		}
		is, err := s.Link.Value(ctx, "SELECT @@global.read_only")
		if err != nil {
			return err
		}
		if wire.IsOn(is) != on {
			return wire.Refusal("it was set and reads " + is)
		}
		return nil
	})
}

// SourceSemiSync implements db.Serving.
//
// Replicas that connected before with acknowledgements switched on count at
// once; they need not connect again (tried on 10.11). Left on at a replica that
// logs its updates, it stops that replica's own applier.
func (s *session) SourceSemiSync(ctx context.Context, on bool, k int) error {
	return s.Step(ctx, fmt.Sprintf("wait for acknowledgements %t", on), func() error {
		if !on {
			return s.Exec(ctx, "SET GLOBAL rpl_semi_sync_master_enabled = OFF")
		}
		if k != 1 {
			return wire.Refusal(fmt.Sprintf("%d acknowledgements were asked for: MariaDB waits for one", k))
		}
		const year = 365 * 24 * time.Hour // never falls back to asynchronous
		// One statement: this is on the way to a new primary's first write.
		err := s.Exec(ctx, fmt.Sprintf(`SET GLOBAL rpl_semi_sync_master_timeout = %d, GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC,
			GLOBAL rpl_semi_sync_master_wait_no_slave = ON, GLOBAL rpl_semi_sync_master_enabled = ON`, year.Milliseconds()))
		if err != nil {
			return err
		}
		got, err := s.Link.Query(ctx, "SHOW GLOBAL STATUS LIKE 'Rpl\\_semi\\_sync\\_master\\_status'")
		if err != nil {
			return err
		}
		if len(got) != 1 || !wire.IsOn(got[0]["Value"]) {
			return wire.Refusal("it was switched on, and commits do not wait")
		}
		return nil
	})
}

// ReleaseWaiters implements db.Serving. It uses KILL CONNECTION: the client
// loses its connection and the row is in this server's data (tried on 10.11).
// KILL QUERY would answer OK to a commit that nobody acknowledged.
func (s *session) ReleaseWaiters(ctx context.Context) (released int, err error) {
	err = s.Step(ctx, "release commits that wait", func() error {
		waiters, err := wire.ListWaiters(ctx, s.Link, wire.AckWait)
		for _, w := range waiters {
			if err := wire.Kill(ctx, s.Link, w.Thread); err != nil {
				return err
			}
			released++
		}
		return err
	})
	return released, err
}
