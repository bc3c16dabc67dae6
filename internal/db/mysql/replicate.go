package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/wire"
)

// StopReceiver implements db.Replication.
//
// Measured on 9.7: 15 ms, also if the source is frozen or its path is rejected;
// but 2 s if the receiver is about to connect to a frozen source and waits for
// its greeting. A path that is rejected after that does not help, a destroyed
// connection does: 15 ms (design.md, section 6).
func (s *session) StopReceiver(ctx context.Context) (held db.Held, err error) {
	err = s.Step(ctx, "stop receiving", func() error {
		if err := s.stopReceiver(ctx); err != nil {
			return err
		}
		held, _, err = s.held(ctx)
		return err
	})
	return held, err
}

func (s *session) stopReceiver(ctx context.Context) error {
	r, err := replicationStatus(ctx, s.Link)
	if err != nil || r.ReceiverStopped() {
		return err
	}
	if err := s.Exec(ctx, "STOP REPLICA IO_THREAD"); err != nil {
		return err
	}
	if r, err = replicationStatus(ctx, s.Link); err != nil {
		return err
	}
	if !r.ReceiverStopped() {
		return wire.Refusal("the receiver was stopped and is " + r.Receiver)
	}
	return nil
}

// allApplied stops the receiver and refuses the step if anything received is not applied.
func (s *session) allApplied(ctx context.Context, step string) (replication, error) {
	return wire.AllApplied(ctx, step, s.held, s.stopReceiver)
}

// patience is how long an applier may take to stop by itself.
const patience = 200 * time.Millisecond

// killing bounds how long its workers are tried to be killed.
const killing = 2 * time.Second

// stopApplier stops the applier once everything that was received whole is
// applied. It may stand in the middle of a transaction whose rest never came,
// which is rolled back: but with several workers it hopes for the rest for a
// minute first (measured on 9.7: 61 s), unless a worker is killed (then 13 ms).
//
// A server goes on stopping when the one who asked for it is gone, and refuses all
// else about replication meanwhile: so its workers are killed also, and at once, if
// ctx ends.
func (s *session) stopApplier(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	stopping, stopped := context.WithCancel(context.WithoutCancel(ctx))
	defer stopped()
	var watch sync.WaitGroup
	var kills error
	watch.Go(func() { kills = s.server.endWorkers(stopping, ctx.Done()) })
	err := s.Exec(ctx, "STOP REPLICA SQL_THREAD")
	if ctx.Err() == nil {
		stopped()
	}
	watch.Wait()
	if err != nil {
		return errors.Join(err, kills)
	}
	return nil
}

// endWorkers kills the applier's workers after patience, or when hurry is closed,
// unless ctx ends before.
func (s *Server) endWorkers(ctx context.Context, hurry <-chan struct{}) error {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-late.C:
	case <-hurry:
	case <-ctx.Done():
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, killing)
	defer cancel()
	return s.Look.Use(ctx, func(l *wire.Link) error {
		workers, err := l.Query(ctx, `SELECT t.processlist_id AS id FROM performance_schema.replication_applier_status_by_worker w
			JOIN performance_schema.threads t ON t.thread_id = w.thread_id WHERE w.channel_name = ''`)
		if err != nil {
			return fmt.Errorf("list the applier's workers: %w", err)
		}
		for _, w := range workers {
			if err := wire.Kill(ctx, l, wire.Number(w["id"])); err != nil {
				return fmt.Errorf("end a worker of the applier: %w", err)
			}
		}
		return nil
	})
}

// WaitApplied implements db.Replication. A relay log outlives its threads, so
// the applier may be started at any time; with relay_log_recovery it does not
// outlive the server.
func (s *session) WaitApplied(ctx context.Context, want gtid.Set, progress func(applied gtid.Set)) error {
	return s.Step(ctx, "apply what was received", func() error { return s.waitApplied(ctx, want, progress) })
}

func (s *session) waitApplied(ctx context.Context, want gtid.Set, progress func(gtid.Set)) error {
	var before gtid.Set
	for started := false; ; {
		held, r, err := s.held(ctx)
		if err != nil {
			return err
		}
		if progress != nil && !held.Executed.Equal(before) {
			progress(held.Executed)
			before = held.Executed
		}
		missing := want.Subtract(held.Executed)
		switch {
		case missing.IsZero():
			return nil
		case !r.Configured, r.ReceiverStopped() && !held.Received.Contains(want):
			return fmt.Errorf("%w: lacking %s", db.ErrNotReceived, want.Subtract(held.Received))
		case r.ApplierRuns():
		case started:
			return &db.ApplierError{Code: r.SQLErrno, Text: r.SQLError}
		default:
			if err := s.Exec(ctx, "START REPLICA SQL_THREAD"); err != nil {
				return err
			}
			started = true
		}
		// Returns as soon as the set is applied, and now and then to see whether
		// the applier still runs.
		const lookAgain = 100 * time.Millisecond
		if _, err := s.Link.Value(ctx, "SELECT WAIT_FOR_EXECUTED_GTID_SET(?, ?)", missing.String(), lookAgain.Seconds()); err != nil {
			return err
		}
	}
}

// Detach implements db.Replication.
func (s *session) Detach(ctx context.Context) error {
	return s.Step(ctx, "forget the source", func() error {
		r, err := s.allApplied(ctx, "RESET REPLICA ALL")
		if err != nil || !r.Configured {
			return err
		}
		if err := s.stopApplier(ctx); err != nil {
			return err
		}
		return s.Exec(ctx, "RESET REPLICA ALL")
	})
}

// Follow implements db.Replication. Where to go on is found out by both servers
// from their sets, whoever wrote what.
func (s *session) Follow(ctx context.Context, source db.Source) error {
	return s.Step(ctx, fmt.Sprintf("follow %s", source.Node), func() error {
		r, err := replicationStatus(ctx, s.Link)
		if err != nil {
			return err
		}
		if len(r.Others) > 0 {
			return wire.Refusal("it replicates from others too, which Baton leaves alone: " + strings.Join(r.Others, ", "))
		}
		if _, err := s.allApplied(ctx, "CHANGE REPLICATION SOURCE"); err != nil {
			return err
		}
		if err := s.stopApplier(ctx); err != nil {
			return err
		}
		if err := s.Exec(ctx, fmt.Sprintf("SET GLOBAL replica_net_timeout = %d", wire.Silence(source))); err != nil {
			return err
		}
		if err := s.acknowledge(ctx, source.SemiSync); err != nil {
			return err
		}
		return s.startFollowing(ctx, source)
	})
}

// startFollowing has the server replicate from source. One that was killed while
// several workers applied remembers that, and refuses another source for good,
// although it goes by GTIDs. Everything received is applied (allApplied), so nothing
// is thrown away with its relay log; what its workers had not come to is missing in
// its set, and the source sends it again.
func (s *session) startFollowing(ctx context.Context, source db.Source) error {
	err := s.Exec(ctx, changeSource(source))
	if wire.Code(err) == wire.ErWorkersWereKilled {
		err = s.Exec(ctx, "RESET REPLICA", changeSource(source))
	}
	if err != nil {
		return err
	}
	return s.Exec(ctx, "START REPLICA")
}

func changeSource(source db.Source) string {
	options := []string{
		"SOURCE_HOST = " + wire.Quote(source.Host),
		fmt.Sprintf("SOURCE_PORT = %d", source.Port),
		"SOURCE_USER = " + wire.Quote(source.Account.User),
		"SOURCE_PASSWORD = " + wire.Quote(source.Account.Password),
		"SOURCE_AUTO_POSITION = 1",
		"GET_SOURCE_PUBLIC_KEY = 1", // for the password, where TLS does not hide it
		fmt.Sprintf("SOURCE_HEARTBEAT_PERIOD = %.3f", wire.Heartbeat(source)),
		"SOURCE_CONNECT_RETRY = 1",
		"SOURCE_RETRY_COUNT = 0", // for ever
		fmt.Sprintf("SOURCE_SSL = %d", wire.Bit(source.TLS)),
		"SOURCE_SSL_CA = " + wire.Quote(source.CA),
		fmt.Sprintf("SOURCE_SSL_VERIFY_SERVER_CERT = %d", wire.Bit(source.TLS && source.CA != "")),
	}
	return "CHANGE REPLICATION SOURCE TO " + strings.Join(options, ", ")
}
