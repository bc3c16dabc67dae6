package dbtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/db"
)

func looking(t *testing.T, d Driver) {
	n := nodes(t, d, 2)
	db1, db2 := n[0], n[1]

	id, err := db1.db.Identify(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if id.ID != 1 || id.PID != db1.PID() || id.Start == "" || id.Port != db1.Port || !id.BinLog || !id.LogUpdates || !id.SemiSync || id.RowFormat != "ROW" {
		t.Errorf("identity %+v", id)
	}
	if r := id.Restart; !r.Known || !r.ReadOnly || !r.HoldReplication {
		t.Errorf("a server whose option file says read-only and skip-slave-start would come up so; got %+v", r)
	}

	o := db1.observe()
	s := o.Server
	if s.State != cluster.ServerUp || s.Start != id.Start || s.ID != 1 || !s.ReadOnly || !s.BinLog || !s.Executed.IsZero() || s.Marker != 0 || s.Replica.Source != "" || s.Replica.Foreign != "" {
		t.Errorf("a fresh server is read-only and follows nobody; got %+v", s)
	}

	db1.promote()
	if err := db1.db.WriteMarker(within(t), 7, "db1"); err != nil {
		t.Fatal(err)
	}
	db2.follow(db1, true)
	o = db2.observe()
	r := o.Server.Replica
	if r.Source != "db1" || r.Foreign != "" || !r.Receiver || !r.Started || !r.Applier || !r.SemiSync || r.Error != "" || o.Server.Marker != 7 {
		t.Errorf("a replica in good order; got %+v, marker %d", r, o.Server.Marker)
	}
	if !o.Server.Executed.Equal(db1.executed()) {
		t.Errorf("a replica from the start has executed %s, its source %s", o.Server.Executed, db1.executed())
	}
	db2.until("a heartbeat moves the tick though nothing is written", func(now db.Observation) bool { return now.Tick != o.Tick })
	here, err := db1.db.ReplicasHere(within(t))
	if err != nil || len(here.Streams) != 1 || here.Streams[0].User != replication.User || len(here.Registered) != 1 || here.Registered[0].ID != 2 {
		t.Errorf("replicas of db1: %+v, %v", here, err)
	}

	t.Run("what it does about connections", func(t *testing.T) {
		db1.Exec(t, "SET GLOBAL wait_timeout = 77", "SET GLOBAL net_read_timeout = 78")
		got, err := db1.db.Limits(within(t))
		if err != nil {
			t.Fatal(err)
		}
		known := func(name string, v *int64) {
			if want := db1.Value(t, "SELECT @@global."+name); v == nil || fmt.Sprint(*v) != want {
				t.Errorf("%s is %v, want %s", name, v, want)
			}
		}
		known("wait_timeout", got.Wait)
		known("interactive_timeout", got.Interactive)
		known("net_read_timeout", got.NetRead)
		known("net_write_timeout", got.NetWrite)
		known("connect_timeout", got.Connect)
		known("back_log", got.BackLog)
		if mariadb := id.Flavor == "mariadb"; (got.Keepalive != nil) != mariadb {
			t.Errorf("only MariaDB has a keepalive of its own; got %v", got.Keepalive)
		}
	})

	t.Run("a source that is no node is foreign", func(t *testing.T) {
		db1.do(func(ctx context.Context, s db.Session) error {
			return s.Follow(ctx, db.Source{Node: "x", Host: "127.0.0.1", Port: 1, Account: replication})
		})
		o := db1.observe()
		if r := o.Server.Replica; r.Foreign != "127.0.0.1:1" || r.Source != "" || r.Receiver || !r.Started {
			t.Errorf("got %+v", r)
		}
		db1.do(func(ctx context.Context, s db.Session) error { return s.Detach(ctx) })
	})
	t.Run("a frozen server gives no answer", func(t *testing.T) {
		db2.Freeze(t)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := db2.db.Observe(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("observing it: %v", err)
		}
		db2.Thaw(t)
		db2.observe()
	})
	t.Run("what the server would do when started again is asked of its option files", func(t *testing.T) {
		before := db1.observe().Server.Start
		db1.Stop(t)
		db1.options.Args = db1.kind.restart
		db1.Up(t)
		db1.Exec(t, db1.kind.readOnly)
		var id db.Identity
		Until(t, func() bool { id, err = db1.db.Identify(within(t)); return err == nil }, func() string { return fmt.Sprint(err) })
		if r := id.Restart; !r.Known || r.ReadOnly || !r.HoldReplication || r.InitRole != db1.kind.comesUp.InitRole || r.OwnAgain != db1.kind.comesUp.OwnAgain {
			t.Errorf("got %+v", r)
		}
		if id.Start == before {
			t.Errorf("the start identity is still %s after a restart", before)
		}
	})
}

func ownWords(t *testing.T, d Driver) {
	n := nodes(t, d, 1)[0]
	if found, err := n.db.Accounts(within(t)); err != nil || len(found) > 0 {
		t.Errorf("the accounts that Baton asks for have what it needs and no more; got %+v, %v", found, err)
	}
	n.Unlogged(t, "REVOKE RELOAD ON *.* FROM baton@localhost", "GRANT "+n.kind.unbound+" ON *.* TO baton_probe@localhost", "REVOKE INSERT ON baton.* FROM baton_probe@localhost")
	found, err := n.db.Accounts(within(t))
	if err != nil || len(found) != 3 {
		t.Fatalf("three things are wrong; got %+v, %v", found, err)
	}
	for _, f := range found {
		n.Unlogged(t, f.Mend)
	}
	if found, err := n.db.Accounts(within(t)); err != nil || len(found) > 0 {
		t.Errorf("all were mended as proposed; got %+v, %v", found, err)
	}
	t.Run("what an audit asks", func(t *testing.T) { auditing(t, n) })
}
