package mariadb

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/baton-db/baton/internal/db"
)

// SetReadOnly implements db.Serving.
//
// Behind a commit that waits for an acknowledgement SET GLOBAL read_only hangs
// ("Waiting for backup lock") and every other commit hangs behind it, until it
// gives up. A transaction that is open when it succeeds fails at its COMMIT
// with error 1290. (Both tried on 10.11.)
func (s *session) SetReadOnly(ctx context.Context, on bool, lockWait time.Duration) error {
	return s.step(ctx, fmt.Sprintf("set read_only %t", on), func() error {
		// lock_wait_timeout knows whole seconds, and 0 for not waiting at all;
		// max_statement_time cuts it shorter, where 0 means no limit.
		limits := fmt.Sprintf("SET SESSION lock_wait_timeout = %.0f, max_statement_time = %.6f",
			math.Ceil(lockWait.Seconds()), lockWait.Seconds())
		if err := s.exec(ctx, limits); err != nil {
			return err
		}
		setting := s.exec(ctx, fmt.Sprintf("SET GLOBAL read_only = %t", on))
		if breaks(setting) {
			return setting
		}
		if err := s.exec(ctx, "SET SESSION max_statement_time = 0, lock_wait_timeout = 5"); err != nil {
			return err
		}
		if code(setting) == erStatementTimedOut {
			return fmt.Errorf("%w: %w", db.ErrLockWait, setting)
		}
		if setting != nil {
			return setting
		}
		is, err := s.link.value(ctx, "SELECT @@global.read_only")
		if err != nil {
			return err
		}
		if isOn(is) != on {
			return refusal("it was set and reads " + is)
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
	return s.step(ctx, fmt.Sprintf("wait for acknowledgements %t", on), func() error {
		if !on {
			return s.exec(ctx, "SET GLOBAL rpl_semi_sync_master_enabled = OFF")
		}
		if k != 1 {
			return refusal(fmt.Sprintf("%d acknowledgements were asked for: MariaDB waits for one", k))
		}
		const year = 365 * 24 * time.Hour // never falls back to asynchronous
		err := s.exec(ctx,
			fmt.Sprintf("SET GLOBAL rpl_semi_sync_master_timeout = %d", year.Milliseconds()),
			"SET GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC",
			"SET GLOBAL rpl_semi_sync_master_wait_no_slave = ON",
			"SET GLOBAL rpl_semi_sync_master_enabled = ON")
		if err != nil {
			return err
		}
		got, err := s.link.query(ctx, "SHOW GLOBAL STATUS LIKE 'Rpl\\_semi\\_sync\\_master\\_status'")
		if err != nil {
			return err
		}
		if len(got) != 1 || !isOn(got[0]["Value"]) {
			return refusal("it was switched on, and commits do not wait")
		}
		return nil
	})
}

// OpenTransactions implements db.Serving. The server refreshes its list at most
// ten times a second.
func (s *session) OpenTransactions(ctx context.Context) (open []db.Transaction, err error) {
	err = s.step(ctx, "list open transactions", func() error {
		got, err := s.link.query(ctx, `SELECT t.trx_id AS trx, t.trx_mysql_thread_id AS id, p.user, p.host, p.command, p.info,
			TIMESTAMPDIFF(SECOND, t.trx_started, NOW()) AS age, t.trx_rows_modified + t.trx_rows_locked > 0 AS writes
			FROM information_schema.innodb_trx t JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
			WHERE p.user NOT IN ('system user', ?, ?) AND p.id <> CONNECTION_ID() ORDER BY t.trx_started`,
			s.server.config.Agent.User, s.server.config.Writer.User)
		if err != nil {
			return err
		}
		for _, row := range got {
			open = append(open, db.Transaction{
				ID: row["trx"] + "@" + row["id"], Thread: number(row["id"]), User: row["user"], Host: row["host"],
				Age:    time.Duration(number(row["age"])) * time.Second,
				Writes: isOn(row["writes"]), Idle: row["command"] == "Sleep", Query: row["info"],
			})
		}
		return nil
	})
	return open, err
}

// ackWait is how the server says that a commit waits for an acknowledgement.
const ackWait = "Waiting for semi-sync ACK%"

// Waiters implements db.Serving.
func (s *session) Waiters(ctx context.Context) (waiters []db.Waiter, err error) {
	err = s.step(ctx, "list commits that wait", func() error {
		waiters, err = listWaiters(ctx, s.link)
		return err
	})
	return waiters, err
}

func listWaiters(ctx context.Context, l *link) ([]db.Waiter, error) {
	got, err := l.query(ctx, `SELECT id, user, host, info FROM information_schema.processlist
		WHERE state LIKE ? AND user <> 'system user' ORDER BY id`, ackWait)
	if err != nil {
		return nil, err
	}
	var waiters []db.Waiter
	for _, row := range got {
		waiters = append(waiters, db.Waiter{Thread: number(row["id"]), User: row["user"], Host: row["host"], Query: row["info"]})
	}
	return waiters, nil
}

// ReleaseWaiters implements db.Serving. It uses KILL CONNECTION: the client
// loses its connection and the row is in this server's data (tried on 10.11).
// KILL QUERY would answer OK to a commit that nobody acknowledged.
func (s *session) ReleaseWaiters(ctx context.Context) (released int, err error) {
	err = s.step(ctx, "release commits that wait", func() error {
		waiters, err := listWaiters(ctx, s.link)
		for _, w := range waiters {
			if err := kill(ctx, s.link, w.Thread); err != nil {
				return err
			}
			released++
		}
		return err
	})
	return released, err
}

// KillClients implements db.Serving.
func (s *session) KillClients(ctx context.Context) (killed int, err error) {
	err = s.step(ctx, "end the clients' sessions", func() error {
		got, err := s.link.query(ctx, `SELECT id FROM information_schema.processlist
			WHERE user NOT IN ('system user', 'event_scheduler', ?, ?) AND id <> CONNECTION_ID()
			AND command NOT IN ('Binlog Dump', 'Daemon')`, s.server.config.Agent.User, s.server.config.Writer.User)
		if err != nil {
			return err
		}
		for _, row := range got {
			if err := kill(ctx, s.link, number(row["id"])); err != nil {
				return err
			}
			killed++
		}
		return nil
	})
	return killed, err
}

// ReplicasHere implements db.Looker.
func (s *Server) ReplicasHere(ctx context.Context) (db.Replicas, error) {
	var found db.Replicas
	err := s.look.use(ctx, func(l *link) error {
		streams, err := l.query(ctx, `SELECT id, user, host, state FROM information_schema.processlist
			WHERE command LIKE 'Binlog Dump%' ORDER BY id`)
		if err != nil {
			return err
		}
		for _, row := range streams {
			found.Streams = append(found.Streams, db.Stream{Thread: number(row["id"]), User: row["user"], Peer: row["host"], State: row["state"]})
		}
		registered, err := l.query(ctx, "SHOW SLAVE HOSTS")
		for _, row := range registered {
			found.Registered = append(found.Registered, db.Registered{ID: uint32(number(row["Server_id"])), Host: row["Host"], Port: int(number(row["Port"]))})
		}
		return err
	})
	if err != nil {
		return db.Replicas{}, fmt.Errorf("list who replicates from the server at %s: %w", s.config.Socket, err)
	}
	return found, nil
}
