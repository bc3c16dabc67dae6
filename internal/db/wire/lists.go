package wire

import (
	"context"
	"fmt"
	"time"

	"github.com/baton-db/baton/internal/db"
)

// AckWait is how the server says that a commit waits for an acknowledgement.
const AckWait = "Waiting for semi-sync ACK%"

// systemUsers are the server's own sessions, which nobody ends or waits for.
const systemUsers = "'system user', 'event_scheduler', 'mysql.session'"

// OpenTransactions implements db.Serving. MariaDB refreshes its list at most
// ten times a second.
func (s *Session) OpenTransactions(ctx context.Context) (open []db.Transaction, err error) {
	err = s.Step(ctx, "list open transactions", func() error {
		got, err := s.Link.Query(ctx, `SELECT t.trx_id AS trx, t.trx_mysql_thread_id AS id, p.user AS user, p.host AS host, p.command AS command, p.info AS info,
			TIMESTAMPDIFF(SECOND, t.trx_started, NOW()) AS age, t.trx_rows_modified + t.trx_rows_locked > 0 AS writes
			FROM information_schema.innodb_trx t JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
			WHERE p.user NOT IN (`+systemUsers+`, ?, ?) AND p.id <> CONNECTION_ID() ORDER BY t.trx_started`,
			s.server.Agent.User, s.server.Writer.User)
		if err != nil {
			return err
		}
		for _, row := range got {
			open = append(open, db.Transaction{
				ID: row["trx"] + "@" + row["id"], Thread: Number(row["id"]), User: row["user"], Host: row["host"],
				Age:    time.Duration(Number(row["age"])) * time.Second,
				Writes: IsOn(row["writes"]), Idle: row["command"] == "Sleep", Query: row["info"],
			})
		}
		return nil
	})
	return open, err
}

// Waiters implements db.Serving.
func (s *Session) Waiters(ctx context.Context) (waiters []db.Waiter, err error) {
	err = s.Step(ctx, "list commits that wait", func() error {
		waiters, err = ListWaiters(ctx, s.Link, AckWait)
		return err
	})
	return waiters, err
}

// ListWaiters lists the clients' sessions in a state that is like one of these.
func ListWaiters(ctx context.Context, l *Link, states ...string) ([]db.Waiter, error) {
	var waiters []db.Waiter
	for _, state := range states {
		got, err := l.Query(ctx, `SELECT id AS id, user AS user, host AS host, info AS info FROM information_schema.processlist
			WHERE state LIKE ? AND user <> 'system user' ORDER BY id`, state)
		if err != nil {
			return nil, err
		}
		for _, row := range got {
			waiters = append(waiters, db.Waiter{Thread: Number(row["id"]), User: row["user"], Host: row["host"], Query: row["info"]})
		}
	}
	return waiters, nil
}

// KillClients implements db.Serving.
func (s *Session) KillClients(ctx context.Context) (killed int, err error) {
	err = s.Step(ctx, "end the clients' sessions", func() error {
		got, err := s.Link.Query(ctx, `SELECT id AS id FROM information_schema.processlist
			WHERE user NOT IN (`+systemUsers+`, ?, ?) AND id <> CONNECTION_ID()
			AND command NOT LIKE 'Binlog Dump%' AND command <> 'Daemon'`, s.server.Agent.User, s.server.Writer.User)
		if err != nil {
			return err
		}
		for _, row := range got {
			if err := Kill(ctx, s.Link, Number(row["id"])); err != nil {
				return err
			}
			killed++
		}
		return nil
	})
	return killed, err
}

// ReplicasHere lists who replicates from this server: its own list of streams,
// and what the dialect's statement says of those that registered.
func (s *Server) ReplicasHere(ctx context.Context) (db.Replicas, error) {
	var found db.Replicas
	err := s.Look.Use(ctx, func(l *Link) error {
		streams, err := l.Query(ctx, `SELECT id AS id, user AS user, host AS host, state AS state FROM information_schema.processlist
			WHERE command LIKE 'Binlog Dump%' ORDER BY id`)
		if err != nil {
			return err
		}
		for _, row := range streams {
			found.Streams = append(found.Streams, db.Stream{Thread: Number(row["id"]), User: row["user"], Peer: row["host"], State: row["state"]})
		}
		registered, err := l.Query(ctx, s.dialect.Registered)
		for _, row := range registered {
			found.Registered = append(found.Registered, db.Registered{ID: uint32(Number(row["Server_id"] + row["Server_Id"])), Host: row["Host"], Port: int(Number(row["Port"]))})
		}
		return err
	})
	if err != nil {
		return db.Replicas{}, fmt.Errorf("list who replicates from the server at %s: %w", s.Socket, err)
	}
	return found, nil
}

// Batch runs several statements in one round trip, of which at least so many
// must be answered. That Baton's schema is missing ends the results early and is
// no error; to an account without rights to it a server calls it denied.
func Batch(ctx context.Context, l *Link, statements string, atLeast int) (results [][]map[string]string, err error) {
	r, err := l.Conn.QueryContext(ctx, statements)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for more := true; more; more = r.NextResultSet() {
		got, err := rows(r)
		if err != nil {
			return nil, err
		}
		results = append(results, got)
	}
	if err := r.Err(); err != nil {
		switch v := Verdict(err); {
		case v == db.NoSchema, v == db.Denied && len(results) >= atLeast:
		default:
			return nil, err
		}
	}
	if len(results) < atLeast {
		return nil, fmt.Errorf("only %d of %d results came", len(results), atLeast)
	}
	return results, nil
}
