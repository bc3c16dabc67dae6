package mysql

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/wire"
)

// SetReadOnly implements db.Serving. It is super_read_only, which binds
// administrators too.
//
// Behind a commit that waits for an acknowledgement SET GLOBAL super_read_only
// hangs ("Waiting for commit lock"), and every other commit behind it, until it
// gives up; it cannot be told to give up before a second is over. (Tried on
// 9.7.)
func (s *session) SetReadOnly(ctx context.Context, on bool, lockWait time.Duration) error {
	return s.Step(ctx, fmt.Sprintf("set super_read_only %t", on), func() error { return s.setReadOnly(ctx, on, lockWait) })
}

func (s *session) setReadOnly(ctx context.Context, on bool, lockWait time.Duration) error {
	if err := s.Exec(ctx, fmt.Sprintf("SET SESSION lock_wait_timeout = %.0f", max(1, math.Ceil(lockWait.Seconds())))); err != nil {
		return err
	}
	set := "SET GLOBAL super_read_only = ON" // and read_only with it
	if !on {
		set = "SET GLOBAL read_only = OFF" // and super_read_only with it
	}
	setting := s.Exec(ctx, set)
	if wire.Breaks(setting) {
		return setting
	}
	if err := s.Exec(ctx, "SET SESSION lock_wait_timeout = 5"); err != nil {
		return err
	}
	if setting != nil {
		return setting
	}
	is, err := s.Link.Value(ctx, "SELECT @@global.super_read_only")
	if err != nil {
		return err
	}
	if wire.IsOn(is) != on {
		return wire.Refusal("it was set and reads " + is)
	}
	return nil
}

// DisableEvents implements db.Serving. No event can be altered while the server
// is read-only for administrators too, so it is plainly read-only meanwhile; the
// agent may write then, and so may other administrators.
func (s *session) DisableEvents(ctx context.Context) (disabled []string, err error) {
	super, err := s.superReadOnly(ctx)
	if err != nil {
		return nil, err
	}
	if super {
		n, err := s.countEnabledEvents(ctx)
		if err != nil || n == 0 {
			return nil, err
		}
		s.server.plain.Lock()
		defer s.server.plain.Unlock()
		if err := s.Step(ctx, "make it plainly read-only", func() error { return s.Exec(ctx, "SET GLOBAL super_read_only = OFF") }); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, s.SetReadOnly(ctx, true, time.Second)) }()
	}
	return s.Session.DisableEvents(ctx)
}

func (s *session) superReadOnly(ctx context.Context) (on bool, err error) {
	err = s.Step(ctx, "see whether it is read-only", func() error {
		v, err := s.Link.Value(ctx, "SELECT @@global.super_read_only")
		on = wire.IsOn(v)
		return err
	})
	return on, err
}

func (s *session) countEnabledEvents(ctx context.Context) (n uint64, err error) {
	err = s.Step(ctx, "count the scheduled events", func() error {
		v, err := s.Link.Value(ctx, "SELECT COUNT(*) FROM information_schema.events WHERE status = 'ENABLED'")
		n = wire.Number(v)
		return err
	})
	return n, err
}

// SourceSemiSync implements db.Serving.
//
// Replicas that connected before with acknowledgements switched on count at
// once; they need not connect again (tried on 9.7).
func (s *session) SourceSemiSync(ctx context.Context, on bool, k int) error {
	return s.Step(ctx, fmt.Sprintf("wait for acknowledgements %t", on), func() error {
		if !on {
			err := s.Exec(ctx, "SET GLOBAL rpl_semi_sync_source_enabled = OFF")
			if wire.Code(err) == wire.ErUnknownVariable {
				return nil // no plugin, which waits for nothing
			}
			return err
		}
		if k < 1 {
			return wire.Refusal(fmt.Sprintf("%d acknowledgements were asked for", k))
		}
		return s.sourceOn(ctx, k)
	})
}

func (s *session) sourceOn(ctx context.Context, k int) error {
	const year = 365 * 24 * time.Hour // never falls back to asynchronous
	// One statement: this is on the way to a new primary's first write.
	err := s.Exec(ctx, fmt.Sprintf(`SET GLOBAL rpl_semi_sync_source_timeout = %d, GLOBAL rpl_semi_sync_source_wait_point = AFTER_SYNC,
		GLOBAL rpl_semi_sync_source_wait_no_replica = ON, GLOBAL rpl_semi_sync_source_wait_for_replica_count = %d,
		GLOBAL rpl_semi_sync_source_enabled = ON`, year.Milliseconds(), k))
	if err != nil {
		return err
	}
	got, err := s.Link.Query(ctx, "SHOW GLOBAL STATUS LIKE 'Rpl\\_semi\\_sync\\_source\\_status'")
	if err != nil {
		return err
	}
	if len(got) != 1 || !wire.IsOn(got[0]["Value"]) {
		return wire.Refusal("it was switched on, and commits do not wait")
	}
	return nil
}

// committing are the states of a commit that waits for an acknowledgement, or
// behind one that does.
func committing() []string { return []string{wire.AckWait, "waiting for handler commit"} }

// ReleaseWaiters implements db.Serving. KILL CONNECTION takes the client away,
// and the session goes on waiting; only the end of semi-synchronous replication
// releases it, with an OK that nobody hears (both tried on 9.7). So: everybody
// who is committing loses its client, then the waiting ends, and begins again
// once all of them are gone.
func (s *session) ReleaseWaiters(ctx context.Context) (released int, err error) {
	err = s.Step(ctx, "release commits that wait", func() error {
		waiters, err := wire.ListWaiters(ctx, s.Link, wire.AckWait)
		if err != nil || len(waiters) == 0 {
			return err
		}
		if waiters, err = wire.ListWaiters(ctx, s.Link, committing()...); err != nil {
			return err
		}
		for _, w := range waiters {
			if err := wire.Kill(ctx, s.Link, w.Thread); err != nil {
				return err
			}
			released++
		}
		k, err := s.Link.Value(ctx, "SELECT @@global.rpl_semi_sync_source_wait_for_replica_count")
		if err != nil {
			return err
		}
		if err := s.Exec(ctx, "SET GLOBAL rpl_semi_sync_source_enabled = OFF"); err != nil {
			return err
		}
		if err := s.untilGone(ctx, waiters); err != nil {
			return err
		}
		return s.sourceOn(ctx, int(wire.Number(k)))
	})
	return released, err
}

// untilGone returns once none of these sessions is left.
func (s *session) untilGone(ctx context.Context, waiters []db.Waiter) error {
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for {
		left, err := wire.ListWaiters(ctx, s.Link, committing()...)
		if err != nil {
			return err
		}
		gone := true
		for _, l := range left {
			for _, w := range waiters {
				gone = gone && l.Thread != w.Thread
			}
		}
		if gone {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// SkipNumbers implements db.Serving: there is nothing to do. A server with
// sync_binlog = 1 sends its replicas nothing that is not on its own disk, and what
// is in its binary log it commits when it recovers, acknowledged or not: it loses
// nothing that somebody received. (A number left out would not help here either:
// the next transaction gets the smallest one that is free.)
func (s *session) SkipNumbers(context.Context, cluster.Epoch, cluster.NodeName) (unmarked string, err error) {
	return "", nil
}
