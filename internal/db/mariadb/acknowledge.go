package mariadb

import (
	"context"
	"fmt"
	"time"

	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/wire"
)

// ReplicaSemiSync implements db.Replication.
func (s *session) ReplicaSemiSync(ctx context.Context, on bool) error {
	return s.Step(ctx, fmt.Sprintf("acknowledge %t", on), func() error {
		if err := s.Exec(ctx, fmt.Sprintf("SET GLOBAL rpl_semi_sync_slave_enabled = %t", on)); err != nil {
			return err
		}
		r, err := replicationStatus(ctx, s.Link)
		if err != nil || r.ReceiverStopped() {
			return err
		}
		// The receiver looks at the setting when it connects. The applier must
		// run while it is stopped, or the start throws the relay log away;
		// stopReceiver sees to that, and it may have failed.
		if err := s.stopReceiver(ctx); err != nil {
			return err
		}
		if r, err = replicationStatus(ctx, s.Link); err != nil {
			return err
		}
		if !r.ApplierRuns() {
			if _, err := s.allApplied(ctx, "START SLAVE IO_THREAD"); err != nil {
				return err
			}
		}
		return s.Exec(ctx, "START SLAVE IO_THREAD")
	})
}

// AcknowledgeAgain implements db.Replication.
//
// A source counts the position that a replica connects with as acknowledged,
// but with GTIDs that is the beginning of a log (tried on 10.11): waiting
// commits stay where they are, and at AFTER_SYNC no more than two groups of
// commits are under way at once, so that no later one gets as far as to be sent
// and acknowledged. Connecting once by file and offset frees them all.
func (s *session) AcknowledgeAgain(ctx context.Context) error {
	return s.Step(ctx, "acknowledge again", func() error {
		on, err := s.Link.Value(ctx, "SELECT @@global.rpl_semi_sync_slave_enabled")
		if err != nil {
			return err
		}
		r, err := replicationStatus(ctx, s.Link)
		if err != nil || !wire.IsOn(on) || r.Receiver != "Yes" {
			return err
		}
		if r, err = s.quiet(ctx); err != nil {
			return err
		}
		// The receiver may have stopped in the midst of a transaction, whose
		// rest is still to come and is acknowledged then: nothing to tell again.
		if r.sourceFile != "" && r.appliedPos == r.sourcePos && r.appliedFile == r.sourceFile {
			tick := r.tick
			err := s.Exec(ctx, fmt.Sprintf("CHANGE MASTER TO MASTER_USE_GTID = no, MASTER_LOG_FILE = %s, MASTER_LOG_POS = %d, MASTER_HEARTBEAT_PERIOD = %s",
				wire.Quote(r.sourceFile), r.sourcePos, r.heartbeat), "START SLAVE")
			if err != nil {
				return err
			}
			if err := s.untilReceived(ctx, tick); err != nil {
				return err
			}
			if r, err = s.quiet(ctx); err != nil {
				return err
			}
		}
		return s.Exec(ctx, "CHANGE MASTER TO MASTER_USE_GTID = slave_pos, MASTER_HEARTBEAT_PERIOD = "+r.heartbeat, "START SLAVE")
	})
}

// quiet stops receiving, waits until everything received is applied, and stops
// applying. It returns the status of before the last.
func (s *session) quiet(ctx context.Context) (replication, error) {
	if err := s.stopReceiver(ctx); err != nil {
		return replication{}, err
	}
	held, r, err := s.held(ctx)
	if err != nil {
		return r, err
	}
	if err := s.waitApplied(ctx, held.Received, nil); err != nil {
		return r, err
	}
	// The applier's own position comes a moment later than the transactions.
	const moment = 1 // second; it may stand in a part of one, and never come
	if _, err := s.Link.Value(ctx, "SELECT MASTER_POS_WAIT(?, ?, ?)", r.sourceFile, r.sourcePos, moment); err != nil {
		return r, err
	}
	if r, err = replicationStatus(ctx, s.Link); err != nil {
		return r, err
	}
	return r, s.Exec(ctx, "STOP SLAVE")
}

// untilReceived returns once anything came in since tick, and so the source has
// taken the connection in.
func (s *session) untilReceived(ctx context.Context, tick string) error {
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		r, err := replicationStatus(ctx, s.Link)
		switch {
		case err != nil:
			return err
		case r.Receiver == "Yes" && r.tick != tick:
			return nil
		case r.ReceiverStopped():
			return wire.Refusal("the receiver stopped: " + r.IOError)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

var _ db.Replication = (*session)(nil)
