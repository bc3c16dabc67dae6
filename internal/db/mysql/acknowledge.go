package mysql

import (
	"context"
	"fmt"
	"time"

	"github.com/baton-db/baton/internal/db/wire"
)

// acknowledge says whether this server acknowledges what it receives, from its
// receiver's next connection on.
func (s *session) acknowledge(ctx context.Context, on bool) error {
	err := s.Exec(ctx, fmt.Sprintf("SET GLOBAL rpl_semi_sync_replica_enabled = %t", on))
	if !on && wire.Code(err) == wire.ErUnknownVariable {
		return nil // no plugin, which acknowledges nothing
	}
	return err
}

// ReplicaSemiSync implements db.Replication.
func (s *session) ReplicaSemiSync(ctx context.Context, on bool) error {
	return s.Step(ctx, fmt.Sprintf("acknowledge %t", on), func() error {
		if err := s.acknowledge(ctx, on); err != nil {
			return err
		}
		r, err := replicationStatus(ctx, s.Link)
		if err != nil || r.ReceiverStopped() {
			return err
		}
		// The receiver looks at the setting when it connects.
		if err := s.stopReceiver(ctx); err != nil {
			return err
		}
		return s.Exec(ctx, "START REPLICA IO_THREAD")
	})
}

// AcknowledgeAgain implements db.Replication.
//
// A source counts the place that a replica connects with as acknowledged, but
// by GTIDs that is the beginning of a log (tried on 9.7): waiting commits stay
// where they are, and hold up all later ones. Connecting once by file and
// position frees them.
func (s *session) AcknowledgeAgain(ctx context.Context) error {
	return s.Step(ctx, "acknowledge again", func() error {
		on, err := s.Link.Value(ctx, "SELECT @@global.rpl_semi_sync_replica_enabled")
		if wire.Code(err) == wire.ErUnknownVariable {
			return nil
		}
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
		// The place is where whole transactions end: what was received of the
		// next one is fetched anew.
		if r.sourceFile != "" {
			err := s.Exec(ctx, fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION = 0, SOURCE_LOG_FILE = %s, SOURCE_LOG_POS = %d",
				wire.Quote(r.sourceFile), r.sourcePos), "START REPLICA")
			if err != nil {
				return err
			}
			if err := s.untilConnected(ctx); err != nil {
				return err
			}
			if _, err = s.quiet(ctx); err != nil {
				return err
			}
		}
		return s.Exec(ctx, "CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION = 1", "START REPLICA")
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
	return r, s.stopApplier(ctx)
}

// connecting bounds how long a source may take to take a connection in.
const connecting = 5 * time.Second

// untilConnected returns once the source has taken the connection in.
func (s *session) untilConnected(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, connecting, fmt.Errorf("the source has not taken the connection in for %s", connecting))
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	before, err := s.heartbeats(ctx)
	if err != nil {
		return err
	}
	for {
		now, err := s.heartbeats(ctx)
		if err != nil {
			return err
		}
		r, err := replicationStatus(ctx, s.Link)
		switch {
		case err != nil:
			return err
		case r.Receiver == "Yes" && now != before:
			return nil
		case r.ReceiverStopped():
			return wire.Refusal("the receiver stopped: " + r.IOError)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// heartbeats changes with every heartbeat that comes in, and with every
// transaction.
func (s *session) heartbeats(ctx context.Context) (string, error) {
	return s.Link.Value(ctx, `SELECT CONCAT(count_received_heartbeats, ' ', received_transaction_set)
		FROM performance_schema.replication_connection_status WHERE channel_name = ''`)
}
