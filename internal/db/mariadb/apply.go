package mariadb

import (
	"context"
	"fmt"
	"time"

	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/wire"
)

// How to start an applier (all tried on 10.11).
//
// With MASTER_USE_GTID, whichever replication thread is started while both
// stand still first throws the relay log away: MariaDB means to fetch it again
// from gtid_slave_pos on. Is the source dead, then what was received and not
// applied is lost, acknowledged or not. So:
//
//   - while the receiver's thread exists, be it that it cannot connect, START
//     SLAVE SQL_THREAD keeps the relay log;
//   - while both stand still, the GTID mode is left first, by naming the place
//     in the relay log where to go on: CHANGE MASTER TO MASTER_USE_GTID=no,
//     RELAY_LOG_FILE=…, RELAY_LOG_POS=…. That keeps the relay log, applies it,
//     and goes on counting in gtid_slave_pos. Follow returns to GTIDs. It works
//     after a crash of the replica too, when Gtid_IO_Pos is forgotten.

// WaitApplied implements db.Replication.
func (s *session) WaitApplied(ctx context.Context, want gtid.Set, progress func(gtid.Set)) error {
	return s.Step(ctx, "apply what was received", func() error { return s.waitApplied(ctx, want, progress) })
}

func (s *session) waitApplied(ctx context.Context, want gtid.Set, progress func(gtid.Set)) error {
	var before gtid.Set
	for started := false; ; {
		applied, err := s.executed(ctx)
		if err != nil {
			return err
		}
		if progress != nil && !applied.Equal(before) {
			progress(applied)
			before = applied
		}
		missing := want.Subtract(applied)
		if missing.IsZero() {
			return nil
		}
		if started, err = s.keepApplying(ctx, want, started); err != nil {
			return err
		}
		// Returns as soon as the position is reached, and now and then to see
		// whether the applier still runs.
		const lookAgain = 100 * time.Millisecond
		if _, err := s.Link.Value(ctx, "SELECT MASTER_GTID_WAIT(?, ?)", waitFor(missing), lookAgain.Seconds()); err != nil {
			return err
		}
	}
}

// keepApplying starts an applier that stands still, once, and says why it is of
// no use to wait on.
func (s *session) keepApplying(ctx context.Context, want gtid.Set, started bool) (bool, error) {
	held, r, err := s.held(ctx)
	switch {
	case err != nil:
		return started, err
	case held.Executed.Contains(want):
		return started, nil
	case !r.Configured, r.ReceiverStopped() && !held.Received.Contains(want):
		return started, fmt.Errorf("%w: lacking %s", db.ErrNotReceived, want.Subtract(held.Received))
	case r.ApplierRuns():
		return started, nil
	case started:
		return started, &db.ApplierError{Code: r.SQLErrno, Text: r.SQLError}
	case !r.idle():
		return true, s.Exec(ctx, "START SLAVE SQL_THREAD")
	}
	return true, s.applyRelayLog(ctx, r)
}

// applyRelayLog starts the applier of a replica whose threads both stand still.
func (s *session) applyRelayLog(ctx context.Context, r replication) error {
	scan, err := s.server.scanRelayLog(ctx, s.Link, r, wholeRelayLog)
	if err != nil {
		return err
	}
	pos, err := s.Link.Value(ctx, "SELECT @@global.gtid_slave_pos")
	if err != nil {
		return err
	}
	at, found := scan.firstBeyond(pos)
	if !found {
		return fmt.Errorf("the relay log from %s on: %w", r.relayFile, db.ErrNotReceived)
	}
	return s.Exec(ctx,
		fmt.Sprintf("CHANGE MASTER TO MASTER_USE_GTID = no, RELAY_LOG_FILE = %s, RELAY_LOG_POS = %d", wire.Quote(at.file), at.pos),
		"START SLAVE SQL_THREAD")
}
