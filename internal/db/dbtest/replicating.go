package dbtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/db"
)

func replicating(t *testing.T, d Driver) {
	n := nodes(t, d, 2)
	db1, db2 := n[0], n[1]
	db1.promote()
	db1.Exec(t, "INSERT INTO app.t VALUES (1)")
	db2.follow(db1, false)
	db2.has(1)

	t.Run("following again changes nothing", func(t *testing.T) {
		db2.follow(db1, false)
		db1.Exec(t, "INSERT INTO app.t VALUES (2)")
		db2.has(2)
	})

	t.Run("acknowledging is switched on and off while replicating", func(t *testing.T) {
		db1.do(func(ctx context.Context, s db.Session) error { return s.SourceSemiSync(ctx, true, 1) })
		client := db1.inBackground("INSERT INTO app.t VALUES (3)")
		db1.untilWaiting(1)
		if o := db1.observe().Server.SemiSrc; !o.Enabled || !o.Active || o.Clients != 0 || o.Waiting != 1 {
			t.Errorf("one commit waits and nobody acknowledges; got %+v", o)
		}
		want := db1.observe().Server.Executed
		db2.until("it has received what it does not acknowledge", func(o db.Observation) bool { return o.Server.Executed.Contains(want) })
		db1.awaitAnswer("writing behind it", db.AckWait)
		db2.do(func(ctx context.Context, s db.Session) error { return s.ReplicaSemiSync(ctx, true) })
		// It holds what is waited for, and acknowledges only what comes later:
		// nothing more can be committed, so nothing would.
		db1.awaitAnswer("writing when the replica is back", db.AckWait)
		db2.do(func(ctx context.Context, s db.Session) error { return s.AcknowledgeAgain(ctx) })
		if err := client(); err != nil {
			t.Errorf("the commit that waited: %v", err)
		}
		db1.wantAnswer("writing in the end", db1.probe(db1.db.WriteProbe), db.Done)
		want = db1.executed()
		db2.until("replication goes on", func(o db.Observation) bool { return o.Server.Executed.Contains(want) && o.Server.Replica.Receiver })
		if !db2.observe().Server.Replica.SemiSync {
			t.Error("it acknowledges and does not say so")
		}
		db2.do(func(ctx context.Context, s db.Session) error { return s.ReplicaSemiSync(ctx, false) })
		if db2.observe().Server.Replica.SemiSync {
			t.Error("it was told not to acknowledge and says that it does")
		}
		db1.do(func(ctx context.Context, s db.Session) error { return s.SourceSemiSync(ctx, false, 0) })
	})

	t.Run("a setting that lets commits through unacknowledged is named, and set right", func(t *testing.T) {
		db1.do(func(ctx context.Context, s db.Session) error { return s.SourceSemiSync(ctx, true, 1) })
		if o := db1.observe().Server.SemiSrc; !o.Waits() {
			t.Fatalf("got %+v", o)
		}
		name := "rpl_semi_sync_source_timeout"
		if db1.observe().Server.Flavor == "mariadb" {
			name = "rpl_semi_sync_master_timeout"
		}
		db1.Exec(t, "SET GLOBAL "+name+" = 10000")
		if o := db1.observe().Server.SemiSrc; o.Waits() || o.Weak != name+" is 10000" {
			t.Errorf("got %+v", o)
		}
		db1.do(func(ctx context.Context, s db.Session) error { return s.SourceSemiSync(ctx, true, 1) })
		if o := db1.observe().Server.SemiSrc; !o.Waits() {
			t.Errorf("got %+v", o)
		}
		db1.do(func(ctx context.Context, s db.Session) error { return s.SourceSemiSync(ctx, false, 0) })
	})

	t.Run("replicas that connected before count once their source waits for them", func(t *testing.T) {
		db2.follow(db1, true)
		db1.do(func(ctx context.Context, s db.Session) error { return s.SourceSemiSync(ctx, true, 1) })
		db1.Exec(t, "INSERT INTO app.t VALUES (4)")
		if o := db1.observe().Server.SemiSrc; o.Clients != 1 || !o.Active {
			t.Errorf("got %+v", o)
		}
	})

	t.Run("what the receiver held when it stopped is exact", func(t *testing.T) {
		var held db.Held
		db2.do(func(ctx context.Context, s db.Session) (err error) { held, err = s.StopReceiver(ctx); return err })
		if want := db1.executed(); !held.Received.Contains(want) || !want.Contains(held.Received) {
			t.Errorf("it received %s; its source had %s", held.Received, want)
		}
		db1.do(func(ctx context.Context, s db.Session) error { return s.SourceSemiSync(ctx, false, 0) })
		db1.Exec(t, "INSERT INTO app.t VALUES (5)")
		if r := db2.observe().Server.Replica; r.Started || r.Receiver || !r.Applier || r.Received.Contains(db1.executed()) {
			t.Errorf("a stopped receiver receives nothing, and the applier runs; got %+v", r)
		}
	})

	t.Run("a switch there and back", func(t *testing.T) {
		db2.follow(db1, true)
		want := db1.executed()
		db1.do(func(ctx context.Context, s db.Session) error { return s.SetReadOnly(ctx, true, time.Second) })
		var seen []gtid.Set
		db2.do(func(ctx context.Context, s db.Session) error {
			return s.WaitApplied(ctx, want, func(at gtid.Set) { seen = append(seen, at) })
		})
		if len(seen) == 0 || !seen[len(seen)-1].Contains(want) {
			t.Errorf("progress ends with what was wanted; got %v", seen)
		}
		db2.promote()
		if r := db2.observe().Server.Replica; r.Source != "" || r.Foreign != "" || r.Started {
			t.Errorf("a promoted server follows nobody; got %+v", r)
		}
		db2.Exec(t, "INSERT INTO app.t VALUES (6)")
		db1.follow(db2, true) // it wrote on its own, and its position as a replica is empty
		db1.has(6)

		db2.do(func(ctx context.Context, s db.Session) error { return s.SetReadOnly(ctx, true, time.Second) })
		want = db2.executed()
		db1.do(func(ctx context.Context, s db.Session) error { return s.WaitApplied(ctx, want, nil) })
		db1.promote()
		db1.Exec(t, "INSERT INTO app.t VALUES (7)")
		db2.follow(db1, true)
		db2.has(7)
		if a, b := db1.executed(), db2.executed(); !a.Contains(b) || !b.Contains(a) {
			t.Errorf("db1 has %s, db2 %s", a, b)
		}
	})

	t.Run("an applier that cannot go on is told at once", func(t *testing.T) {
		db2.Unlogged(t, "INSERT INTO app.t VALUES (8)")
		db1.Exec(t, "INSERT INTO app.t VALUES (8)")
		want := db1.executed()
		s := db2.session()
		err := s.WaitApplied(within(t), want, nil)
		var applier *db.ApplierError
		if !errors.As(err, &applier) || applier.Code != 1062 || errors.Is(err, db.ErrSessionBroken) {
			t.Fatalf("a row is there already; got %v", err)
		}
		if r := db2.observe().Server.Replica; r.Error == "" || r.Applier {
			t.Errorf("got %+v", r)
		}
		db2.Unlogged(t, "DELETE FROM app.t WHERE v = 8")
		if err := s.WaitApplied(within(t), want, nil); err != nil {
			t.Errorf("once the row is out of the way: %v", err)
		}
		db2.has(8)
	})
}
