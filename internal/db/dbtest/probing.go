package dbtest

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/db"
)

// probe asks with a deadline that a working server keeps.
func (n *node) probe(ask func(context.Context) db.Answer) db.Answer {
	ctx, cancel := context.WithTimeout(n.t.Context(), Patience)
	defer cancel()
	return ask(ctx)
}

// stuck asks with a deadline that passes.
func (n *node) stuck(ask func(context.Context) db.Answer) db.Answer {
	ctx, cancel := context.WithTimeout(n.t.Context(), time.Second)
	defer cancel()
	return ask(ctx)
}

// awaitAnswer returns once a write that is stuck gives this answer. On a busy
// machine there may be no time left to ask where it is stuck.
func (n *node) awaitAnswer(what string, want db.Verdict) {
	n.t.Helper()
	var got db.Answer
	Until(n.t, func() bool {
		got = n.stuck(n.db.WriteProbe)
		return got.Verdict != db.NoAnswer
	}, func() string { return what + ": " + got.Detail })
	n.wantAnswer(what, got, want)
}

func (n *node) wantAnswer(what string, got db.Answer, want db.Verdict) {
	n.t.Helper()
	if got.Verdict != want {
		n.t.Errorf("%s: %s (%s), want %s", what, got.Verdict, got.Detail, want)
	}
}

func probing(t *testing.T, d Driver) {
	n := nodes(t, d, 2)
	db1, db2 := n[0], n[1]

	db1.wantAnswer("reading", db1.probe(db1.db.ReadProbe), db.Done)
	db1.do(func(ctx context.Context, s db.Session) error { return s.SetReadOnly(ctx, false, time.Second) })
	db1.wantAnswer("writing before there is a schema", db1.probe(db1.db.WriteProbe), db.NoSchema)
	db1.promote()
	db1.wantAnswer("writing", db1.probe(db1.db.WriteProbe), db.Done)
	db1.wantAnswer("writing again", db1.probe(db1.db.WriteProbe), db.Done)
	businessProbe(db1)

	// What a read-only server refuses must leave no trace, or it would be errant.
	db1.do(func(ctx context.Context, s db.Session) error { return s.SetReadOnly(ctx, true, time.Second) })
	before := db1.executed()
	db1.wantAnswer("writing on a read-only server", db1.probe(db1.db.WriteProbe), db.ReadOnly)
	if after := db1.executed(); !after.Equal(before) {
		t.Errorf("the probe wrote %s on a read-only server", after.Subtract(before))
	}
	db1.do(func(ctx context.Context, s db.Session) error { return s.SetReadOnly(ctx, false, time.Second) })

	t.Run("a lock that a backup holds is an answer", func(t *testing.T) { lockedProbe(t, db1) })
	t.Run("a commit that waits for its acknowledgement is no hang", func(t *testing.T) { waitingProbe(t, db1, db2) })
	t.Run("a frozen server does not answer", func(t *testing.T) {
		db1.Freeze(t)
		db1.wantAnswer("reading", db1.stuck(db1.db.ReadProbe), db.NoAnswer)
		db1.wantAnswer("writing", db1.stuck(db1.db.WriteProbe), db.NoAnswer)
		db1.Thaw(t)
		db1.wantAnswer("reading once it is thawed", db1.probe(db1.db.ReadProbe), db.Done)
		db1.wantAnswer("writing once it is thawed", db1.probe(db1.db.WriteProbe), db.Done)
	})
	t.Run("used up slots are told from a dead server", func(t *testing.T) { usedUp(t, db1) })
	t.Run("a server that is gone has lost the connection", func(t *testing.T) {
		db1.Kill(t)
		db1.wantAnswer("reading", db1.probe(db1.db.ReadProbe), db.Lost)
		db1.wantAnswer("writing", db1.probe(db1.db.WriteProbe), db.Lost)
		db1.Up(t)
		db1.wantAnswer("reading after its restart", db1.probe(db1.db.ReadProbe), db.Done)
		db1.wantAnswer("writing after its restart", db1.probe(db1.db.WriteProbe), db.ReadOnly)
	})
}

func lockedProbe(t *testing.T, db1 *node) {
	ctx := within(t)
	backup, err := db1.root.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer backup.Close()
	for _, lock := range []string{"FLUSH TABLES WITH READ LOCK", "LOCK TABLES baton.probe WRITE"} {
		if _, err := backup.ExecContext(ctx, lock); err != nil {
			t.Fatal(err)
		}
		db1.wantAnswer(lock, db1.probe(db1.db.WriteProbe), db.LockWait)
		client := func() error { return nil }
		if strings.HasPrefix(lock, "FLUSH") {
			client = db1.inBackground("INSERT INTO app.t VALUES (252)")
			db1.untilLocked(1)
		}
		if _, err := backup.ExecContext(ctx, "UNLOCK TABLES"); err != nil {
			t.Fatal(err)
		}
		if err := client(); err != nil {
			t.Errorf("a write that waited for the lock: %v", err)
		}
		db1.untilLocked(0)
	}
}

// untilLocked returns once so many sessions wait for locks of tables.
func (n *node) untilLocked(sessions int) {
	n.t.Helper()
	var got db.Load
	Until(n.t, func() bool {
		var err error
		if got, err = n.db.Load(within(n.t)); err != nil {
			n.t.Fatal(err)
		}
		return got.Locked == sessions
	}, func() string { return fmt.Sprintf("%d sessions were to wait for a lock: %+v", sessions, got) })
	if got.Connections < 1 || got.MaxConnections != 40 {
		n.t.Errorf("some of the 40 connections are in use, and it says %+v", got)
	}
}

func waitingProbe(t *testing.T, db1, db2 *node) {
	db2.follow(db1, true)
	db1.do(func(ctx context.Context, s db.Session) error { return s.SourceSemiSync(ctx, true, 1) })
	db1.wantAnswer("writing with a replica that acknowledges", db1.probe(db1.db.WriteProbe), db.Done)
	db2.do(func(ctx context.Context, s db.Session) error { _, err := s.StopReceiver(ctx); return err })

	db1.awaitAnswer("writing while nobody acknowledges", db.AckWait)
	db1.awaitAnswer("and again", db.AckWait)
	db1.do(func(ctx context.Context, s db.Session) error {
		waiters, err := s.Waiters(ctx)
		if err == nil && len(waiters) != 1 {
			t.Errorf("only one probe waits, however often it was asked; got %+v", waiters)
		}
		return err
	})
	db2.follow(db1, true)
	db1.wantAnswer("once somebody acknowledges again", db1.probe(db1.db.WriteProbe), db.Done)

	// A client's commit that waits holds up the probe's, which is not the one
	// that waits then.
	db2.do(func(ctx context.Context, s db.Session) error { _, err := s.StopReceiver(ctx); return err })
	client := db1.inBackground("INSERT INTO app.t VALUES (7)")
	db1.untilWaiting(1)
	db1.awaitAnswer("behind a client's commit that waits", db.AckWait)
	db1.do(func(ctx context.Context, s db.Session) error { return s.SourceSemiSync(ctx, false, 0) })
	if err := client(); err != nil {
		t.Errorf("the client's commit, when commits do not wait any more: %v", err)
	}
	db1.wantAnswer("when commits do not wait any more", db1.probe(db1.db.WriteProbe), db.Done)
}

// inBackground runs a client's statement, whose outcome is to be asked for.
func (n *node) inBackground(statement string) (outcome func() error) {
	n.t.Helper()
	client := n.Client(n.t, "app", "app")
	done := make(chan error, 1)
	ctx := within(n.t)
	go func() {
		_, err := client.ExecContext(ctx, statement)
		done <- err
	}()
	return func() error { return <-done }
}

// untilWaiting returns once so many commits wait for their acknowledgement.
func (n *node) untilWaiting(commits int) {
	n.t.Helper()
	s := n.session()
	defer s.Close()
	var got []db.Waiter
	Until(n.t, func() bool {
		var err error
		if got, err = s.Waiters(within(n.t)); err != nil {
			n.t.Fatal(err)
		}
		return len(got) == commits
	}, func() string { return "the waiting commits did not become as many as they should" })
}

func usedUp(t *testing.T, db1 *node) {
	clients := db1.Client(t, "app", "app")
	var held []*sql.Conn
	for {
		c, err := clients.Conn(within(t))
		if err != nil {
			break // no slot is left
		}
		held = append(held, c)
	}
	if len(held) == 0 {
		t.Fatal("no client got in at all")
	}
	defer func() {
		for _, c := range held {
			c.Close()
		}
		clients.Close()
	}()
	db1.wantAnswer("reading over the held connection", db1.probe(db1.db.ReadProbe), db.Done)
	db1.wantAnswer("writing over the held connection", db1.probe(db1.db.WriteProbe), db.Done)
	// An administrator's slot is left for the steps of a switch.
	db1.do(func(ctx context.Context, s db.Session) error { _, err := s.OpenTransactions(ctx); return err })

	// A probe that has to connect anew is told what is wrong. The server gives
	// the slot of a killed session back in its own time: it may be the probe
	// that gets it, and not a client.
	var got db.Answer
	Until(t, func() bool {
		for _, id := range db1.rows("SELECT id FROM information_schema.processlist WHERE user = 'baton_probe'") {
			db1.Exec(t, "KILL CONNECTION "+id["id"])
		}
		db1.Await(t, "0", "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'baton_probe'")
		c, err := clients.Conn(within(t))
		for ; err == nil; c, err = clients.Conn(within(t)) {
			held = append(held, c)
		}
		got = db1.probe(db1.db.WriteProbe)
		return got.Verdict != db.Done
	}, func() string { return "the probe always finds a slot" })
	db1.wantAnswer("writing without a slot", got, db.TooManyConnections)
}

// businessProbe holds the answers to the user's own statement.
func businessProbe(db1 *node) {
	t := db1.t
	db1.Exec(t, "CREATE TABLE app.health (id INT PRIMARY KEY, at TIMESTAMP(6))")
	says := func(statement string) func(context.Context) db.Answer {
		return func(ctx context.Context) db.Answer { return db1.db.BusinessProbe(ctx, statement) }
	}
	const beat = "REPLACE INTO app.health VALUES (1, NOW(6))"
	db1.wantAnswer("a business write without the privilege", db1.probe(says(beat)), db.Denied)
	db1.Unlogged(t, "GRANT INSERT, DELETE ON app.health TO baton_probe@localhost")
	db1.wantAnswer("a business write", db1.probe(says(beat)), db.Done)
	db1.wantAnswer("a business write of a table that is not there", db1.probe(says("REPLACE INTO app.nowhere VALUES (1)")), db.Denied)
	db1.wantAnswer("a business write that is no SQL", db1.probe(says("REPLACE HERE")), db.Failed)

	holder, err := db1.Client(t, "app", "app").BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.ExecContext(t.Context(), "SELECT * FROM app.health FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	db1.wantAnswer("a business write of a row that somebody has locked", db1.probe(says(beat)), db.LockWait)
	if err := holder.Rollback(); err != nil {
		t.Fatal(err)
	}
	db1.wantAnswer("a business write once it is free", db1.probe(says(beat)), db.Done)
}
