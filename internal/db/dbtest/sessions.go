package dbtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/db"
)

func sessions(t *testing.T, d Driver) {
	n := nodes(t, d, 2)
	db1, db2 := n[0], n[1]

	t.Run("a new session ends the one before", func(t *testing.T) {
		first := db1.session()
		if _, err := first.OpenTransactions(within(t)); err != nil {
			t.Fatal(err)
		}
		db1.session().Close()
		if _, err := first.OpenTransactions(within(t)); !errors.Is(err, db.ErrSessionBroken) {
			t.Errorf("the first one: %v", err)
		}
		if err := first.SetReadOnly(within(t), true, time.Second); !errors.Is(err, db.ErrSessionBroken) {
			t.Errorf("the first one, asked once more: %v", err)
		}
	})

	t.Run("a statement that an earlier session left is not carried out later", func(t *testing.T) {
		db1.promote()
		db2.follow(db1, true)
		db1.do(func(ctx context.Context, s db.Session) error { return s.SourceSemiSync(ctx, true, 1) })
		db2.do(func(ctx context.Context, s db.Session) error { _, err := s.StopReceiver(ctx); return err })
		client := db1.inBackground("INSERT INTO app.t VALUES (1)")
		db1.untilWaiting(1)

		// It would turn the server read-only as soon as the client is released.
		abandoned, ctx := db1.session(), within(t)
		gone, cancel := context.WithCancel(ctx)
		left := make(chan error, 1)
		go func() { left <- abandoned.SetReadOnly(gone, true, Patience) }()
		db1.Await(t, "1", "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SET GLOBAL %read_only%' AND state LIKE 'Waiting for%'")
		cancel()
		if err := <-left; !errors.Is(err, db.ErrSessionBroken) {
			t.Errorf("the abandoned step: %v", err)
		}

		db1.session().Close()
		db1.do(func(ctx context.Context, s db.Session) error { return s.SourceSemiSync(ctx, false, 0) })
		if err := client(); err != nil {
			t.Fatal(err)
		}
		if db1.observe().Server.ReadOnly {
			t.Error("the server is read-only: the abandoned statement was carried out after all")
		}
		db1.Exec(t, "INSERT INTO app.t VALUES (2)")
	})

	t.Run("a refusal leaves the session whole", func(t *testing.T) {
		s := db1.session()
		if err := s.WaitApplied(within(t), gtid.MustParse(db1.kind.nobodys), nil); !errors.Is(err, db.ErrNotReceived) || errors.Is(err, db.ErrSessionBroken) {
			t.Errorf("waiting for what nobody sends: %v", err)
		}
		if _, err := s.OpenTransactions(within(t)); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})

	t.Run("a server that dies breaks the session", func(t *testing.T) {
		s := db2.session()
		db2.Kill(t)
		if _, err := s.StopReceiver(within(t)); !errors.Is(err, db.ErrSessionBroken) {
			t.Errorf("got %v", err)
		}
	})
}
