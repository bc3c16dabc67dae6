package dbtest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/db"
)

func serving(t *testing.T, d Driver) {
	n := nodes(t, d, 2)
	db1, db2 := n[0], n[1]
	db1.promote()
	db2.follow(db1, true)

	t.Run("a reign's marker reaches the replicas and no read-only server", func(t *testing.T) {
		for range 2 { // a repetition is a transaction too
			before := db1.executed()
			if err := db1.db.WriteMarker(within(t), 3, "db1"); err != nil {
				t.Fatal(err)
			}
			if db1.executed().Equal(before) {
				t.Error("no transaction shows that the marker was acknowledged")
			}
		}
		written := db1.executed()
		db2.until("both markers arrive", func(o db.Observation) bool {
			return o.Server.Marker == 3 && o.Server.Executed.Contains(written)
		})
		before := db2.executed()
		if err := db2.db.WriteMarker(within(t), 4, "db2"); !errors.Is(err, db.ErrReadOnly) {
			t.Errorf("on a read-only server: %v", err)
		}
		if after := db2.executed(); !after.Equal(before) || db2.observe().Server.Marker != 3 {
			t.Errorf("it wrote %s", after.Subtract(before))
		}
	})

	t.Run("a schema that is there is left as it is", func(t *testing.T) {
		before := db1.executed()
		if err := db1.db.EnsureSchema(within(t)); err != nil {
			t.Error(err)
		}
		if after := db1.executed(); !after.Equal(before) {
			t.Errorf("it wrote %s", after.Subtract(before))
		}
	})

	t.Run("what a drain waits for", func(t *testing.T) { drainWaitsFor(t, db1) })
	t.Run("open transactions", func(t *testing.T) { openTransactions(t, db1) })
	t.Run("commits that wait", func(t *testing.T) { waiters(t, db1, db2) })
	t.Run("scheduled events", func(t *testing.T) { events(t, db1, db2) })
	t.Run("no more acknowledgements are promised than can be had", func(t *testing.T) {
		if db1.kind.manyAcks {
			t.Skip("commits can wait for several")
		}
		if err := db1.session().SourceSemiSync(within(t), true, 2); err == nil {
			t.Error("two were promised")
		}
	})
}

func openTransactions(t *testing.T, db1 *node) {
	ctx := within(t)
	clients := db1.Client(t, "app", "app")
	tx, err := clients.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO app.t VALUES (100)"); err != nil {
		t.Fatal(err)
	}
	s := db1.session()
	var open []db.Transaction
	apart := time.NewTicker(db.TransactionsApart)
	defer apart.Stop()
	Until(t, func() bool {
		<-apart.C
		if open, err = s.OpenTransactions(ctx); err != nil {
			t.Fatal(err)
		}
		return len(open) == 1
	}, func() string { return "one transaction is open" })
	if o := open[0]; o.User != "app" || !o.Writes || !o.Idle {
		t.Errorf("got %+v", o)
	}

	if err := s.SetReadOnly(ctx, true, time.Second); err != nil {
		t.Errorf("an idle transaction does not keep a server from turning read-only: %v", err)
	}
	if err := tx.Commit(); err == nil {
		t.Error("it committed on a read-only server")
	}
	if err := s.SetReadOnly(ctx, false, time.Second); err != nil {
		t.Error(err)
	}

	c, err := clients.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if killed, err := s.KillClients(ctx); err != nil || killed == 0 {
		t.Errorf("killed %d, %v", killed, err)
	}
	if err := c.PingContext(ctx); err == nil {
		t.Error("the client is still connected")
	}
	if a := db1.probe(db1.db.WriteProbe); a.Verdict != db.Done {
		t.Errorf("Baton's own probe: %+v", a)
	}
}

func waiters(t *testing.T, db1, db2 *node) {
	s := db1.session()
	if err := s.SourceSemiSync(within(t), true, 1); err != nil {
		t.Fatal(err)
	}
	db2.do(func(ctx context.Context, s db.Session) error { _, err := s.StopReceiver(ctx); return err })
	client := db1.inBackground("INSERT INTO app.t VALUES (200)")
	var waiting []db.Waiter
	Until(t, func() bool {
		var err error
		if waiting, err = s.Waiters(within(t)); err != nil {
			t.Fatal(err)
		}
		return len(waiting) == 1
	}, func() string { return "a commit waits" })
	if w := waiting[0]; w.User != "app" {
		t.Errorf("got %+v", w)
	}

	for _, limit := range []time.Duration{100 * time.Millisecond, 0} {
		if err := s.SetReadOnly(within(t), true, limit); !errors.Is(err, db.ErrLockWait) {
			t.Errorf("turning read-only behind it within %v: %v", limit, err)
		}
		if db1.observe().Server.ReadOnly {
			t.Fatalf("it gave up after %v and is read-only", limit)
		}
	}
	if released, err := s.ReleaseWaiters(within(t)); err != nil || released != 1 {
		t.Errorf("released %d, %v", released, err)
	}
	if err := client(); err == nil {
		t.Error("the client was told OK though nobody acknowledged")
	}
	db1.has(200)
	if err := s.SetReadOnly(within(t), true, time.Second); err != nil {
		t.Errorf("turning read-only when nobody waits any more: %v", err)
	}
	if err := s.SourceSemiSync(within(t), false, 0); err != nil {
		t.Error(err)
	}
	if err := s.SetReadOnly(within(t), false, time.Second); err != nil {
		t.Error(err)
	}
	db2.follow(db1, true)
}

func events(t *testing.T, db1, db2 *node) {
	make := func(name, how string) {
		db1.Exec(t, "CREATE DEFINER=app@'127.0.0.1' EVENT app."+name+" ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' "+how+" DO DELETE FROM app.t WHERE v < 0")
	}
	make("runs", "ENABLE")
	make("sleeps", "DISABLE")
	make("goes", "ENABLE")
	record := func(n *node, want bool) {
		t.Helper()
		if changed, err := n.db.RecordEvents(within(t)); err != nil || changed != want {
			t.Errorf("recorded a change: %t, %v; want %t", changed, err, want)
		}
	}
	record(db1, true)
	record(db1, false)
	db1.Exec(t, "DROP EVENT app.goes")
	record(db1, true)
	make("late", "ENABLE") // after the last recording: nobody knows of it
	db2.follow(db1, true)

	// db1 hands over to db2.
	db1.do(func(ctx context.Context, s db.Session) error { return s.SetReadOnly(ctx, true, time.Second) })
	before := db1.executed()
	for range 2 {
		db1.do(func(ctx context.Context, s db.Session) error { _, err := s.DisableEvents(ctx); return err })
	}
	if after := db1.executed(); !after.Equal(before) {
		t.Errorf("disabling events on the old primary wrote %s", after.Subtract(before))
	}
	if s := db2.session(); true {
		if _, _, err := s.EnableEvents(within(t)); !errors.Is(err, db.ErrReadOnly) {
			t.Errorf("on a read-only server: %v", err)
		}
	}
	db2.promote()
	var enabled, unknown []string
	db2.do(func(ctx context.Context, s db.Session) (err error) {
		enabled, unknown, err = s.EnableEvents(ctx)
		return err
	})
	if !slices.Equal(enabled, []string{"app.runs"}) || !slices.Equal(unknown, []string{"app.late"}) {
		t.Errorf("enabled %v, unknown %v", enabled, unknown)
	}
	db1.follow(db2, true)
	there := db2.kind.onReplica
	const list = "SELECT GROUP_CONCAT(event_name, ' ', status, ' ', definer ORDER BY event_name SEPARATOR ', ') FROM information_schema.events"
	db2.Await(t, "late "+there+" app@127.0.0.1, runs ENABLED app@127.0.0.1, sleeps DISABLED app@127.0.0.1", list)
	db1.Await(t, "late "+there+" app@127.0.0.1, runs "+there+" app@127.0.0.1, sleeps "+there+" app@127.0.0.1", list)
}
