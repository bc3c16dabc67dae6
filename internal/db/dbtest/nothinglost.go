package dbtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/db"
)

// receivedOnly writes rows that the replica receives and
// does not apply, and returns what the source has then.
func receivedOnly(t *testing.T, source, replica *node, rows ...string) gtid.Set {
	t.Helper()
	replica.Exec(t, replica.kind.stopApplier)
	for _, v := range rows {
		source.Exec(t, "INSERT INTO app.t VALUES ("+v+")")
	}
	want := source.executed()
	replica.until("it has received what it does not apply", func(o db.Observation) bool { return o.Server.Replica.Received.Contains(want) })
	return want
}

func wantUnapplied(t *testing.T, what string, err error, missing gtid.Set) {
	t.Helper()
	var unapplied *db.UnappliedError
	if !errors.As(err, &unapplied) || errors.Is(err, db.ErrSessionBroken) {
		t.Fatalf("%s: %v, want a refusal", what, err)
	}
	if !unapplied.Missing.Contains(missing) {
		t.Errorf("%s: %v is missing, want %s", what, unapplied.Missing, missing)
	}
}

// nothingLost: what a replica received outlives whatever is done to it, while
// its source is dead.
func nothingLost(t *testing.T, d Driver) {
	n := nodes(t, d, 2)
	db1, db2 := n[0], n[1]
	db1.promote()
	db2.follow(db1, true)

	t.Run("an applier at rest is started before the receiver stops", func(t *testing.T) {
		want := receivedOnly(t, db1, db2, "1", "2")
		s := db2.session()
		if held, err := s.StopReceiver(within(t)); err != nil || !held.Received.Contains(want) {
			t.Fatalf("it holds %+v, %v; want %s", held, err, want)
		}
		if err := s.WaitApplied(within(t), want, nil); err != nil {
			t.Fatal(err)
		}
		db2.has(2)
		db2.follow(db1, true)
	})

	t.Run("with both threads at rest and the source gone", func(t *testing.T) {
		want := receivedOnly(t, db1, db2, "3", "4")
		missing := want.Subtract(db2.executed())
		db2.Exec(t, db2.kind.stopReplica)
		db1.Freeze(t)
		defer db1.Thaw(t)
		s := db2.session()
		wantUnapplied(t, "following another", s.Follow(within(t), db.Source{Node: "db3", Host: "127.0.0.1", Port: 1, Account: replication}), missing)
		wantUnapplied(t, "being promoted", s.Detach(within(t)), missing)
		if err := s.WaitApplied(within(t), want, nil); err != nil {
			t.Fatal(err)
		}
		db2.has(4)
		if err := s.Detach(within(t)); err != nil {
			t.Errorf("being promoted once all is applied: %v", err)
		}
	})
	db2.follow(db1, true)

	t.Run("after a crash of the replica and the source gone", func(t *testing.T) {
		// A relay log of several files, longer than what is read at once.
		db2.Exec(t, "SET GLOBAL max_relay_log_size = 65536")
		rows := []string{"5", "6"}
		for v := range 600 {
			rows = append(rows, strconv.Itoa(1000+v))
		}
		want := receivedOnly(t, db1, db2, rows...)
		missing := want.Subtract(db2.executed())
		db2.Kill(t)
		db2.Up(t)
		db1.Freeze(t)
		defer db1.Thaw(t)
		if o := db2.until("it has read its relay log", func(o db.Observation) bool { return o.Problem == "" }); !o.Server.Replica.Received.Contains(want) {
			t.Errorf("it still holds %s in its relay log, and says %s", want, o.Server.Replica.Received)
		}
		s := db2.session()
		if held, err := s.StopReceiver(within(t)); err != nil || !held.Received.Contains(want) {
			t.Fatalf("it holds %+v, %v; want %s", held, err, want)
		}
		wantUnapplied(t, "being promoted", s.Detach(within(t)), missing)
		if err := s.WaitApplied(within(t), want, nil); err != nil {
			t.Fatal(err)
		}
		db2.has(1599)
	})
	db2.follow(db1, true)
	db1.Exec(t, "INSERT INTO app.t VALUES (7)")
	db2.has(7)

	t.Run("a position in the relay log that is older than the data does no harm", func(t *testing.T) {
		if !db2.kind.stalePosition {
			t.Skip("it is a part of the data")
		}
		want := receivedOnly(t, db1, db2, "8", "9")
		db2.Exec(t, "STOP SLAVE")
		staleRelayPosition(t, db2)
		db2.has(8)
		s := db2.session()
		if err := s.WaitApplied(within(t), want, nil); err != nil {
			t.Fatal(err)
		}
		db2.has(9)
		if err := s.Follow(within(t), db1.source(true)); err != nil {
			t.Fatal(err)
		}
	})
	db1.do(func(ctx context.Context, s db.Session) error { return s.SourceSemiSync(ctx, true, 1) })
	db1.Exec(t, "INSERT INTO app.t VALUES (10)")
	db2.has(10)
	t.Run("half a transaction is not held, and holds up no promotion", func(t *testing.T) {
		db1.do(func(ctx context.Context, s db.Session) error { return s.SourceSemiSync(ctx, false, 0) })
		db1.Exec(t, "CREATE TABLE app.big (v LONGBLOB) ENGINE=InnoDB")
		before := db1.executed()
		db2.until("it has the table", func(o db.Observation) bool { return o.Server.Executed.Contains(before) })
		way := pathTo(t, db1)
		db2.do(func(ctx context.Context, s db.Session) error {
			source := db1.source(true)
			source.Port = way.port
			return s.Follow(ctx, source)
		})
		db2.until("it receives over the way", func(o db.Observation) bool { return o.Server.Replica.Receiver })
		way.allow(1_000_000) // a quarter of what follows
		db1.Exec(t, "INSERT INTO app.big WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 40) SELECT REPEAT('x', 100000) FROM n")
		Until(t, func() bool { return relayLogSize(t, db2) > 500_000 }, func() string { return "the transaction does not come in" })
		s := db2.session()
		held, err := s.StopReceiver(within(t))
		if err != nil {
			t.Fatal(err)
		}
		if !before.Contains(held.Received) {
			t.Errorf("it claims %s, of which it has only a part", held.Received.Subtract(before))
		}
		if err := calledOff(t, db2, s); err != nil {
			s = db2.session()
		}
		if err := s.Detach(within(t)); err != nil {
			t.Fatal(err)
		}
		if n := db2.Value(t, "SELECT COUNT(*) FROM app.big"); n != "0" {
			t.Errorf("%s rows of half a transaction are there", n)
		}
	})
	t.Run("killed with its workers apart, it follows again", func(t *testing.T) {
		if d.Flavor != MySQL {
			t.Skip("only MySQL minds")
		}
		db2.follow(db1, false)
		db1.Exec(t, "INSERT INTO app.t VALUES (21), (22)")
		db2.has(22)
		workersApart(t, db1, db2)
		db2.Kill(t)
		db2.Up(t)
		db2.until("it has read its relay log", func(o db.Observation) bool { return o.Problem == "" })
		if err := db2.session().Follow(within(t), db1.source(false)); err != nil {
			t.Fatal(err)
		}
		db2.Await(t, "0", "SELECT COUNT(*) FROM app.t WHERE v IN (21, 22)")
	})
}

// workersApart has a replica apply a later transaction before an earlier one, which
// waits for a row that somebody has locked, and write down neither. It goes by places
// in the source's log, as while it acknowledges again.
func workersApart(t *testing.T, source, replica *node) {
	t.Helper()
	s := replica.rows("SHOW REPLICA STATUS")[0]
	replica.Exec(t, "STOP REPLICA", "SET GLOBAL super_read_only = OFF", "SET GLOBAL replica_parallel_workers = 4", "SET GLOBAL replica_preserve_commit_order = OFF", "SET GLOBAL replica_checkpoint_period = 3600000",
		"CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION = 0, SOURCE_LOG_FILE = '"+s["Relay_Source_Log_File"]+"', SOURCE_LOG_POS = "+s["Exec_Source_Log_Pos"],
		"START REPLICA")
	sessions := replica.open()
	t.Cleanup(func() { sessions.Close() })
	tx, err := sessions.BeginTx(within(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(within(t), "SELECT v FROM app.t WHERE v = 21 FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	source.Exec(t, "DELETE FROM app.t WHERE v = 21", "DELETE FROM app.t WHERE v = 22")
	replica.Await(t, "21", "SELECT GROUP_CONCAT(v) FROM app.t WHERE v IN (21, 22)")
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	replica.Await(t, "0", "SELECT COUNT(*) FROM app.t WHERE v IN (21, 22)")
}

// calledOff detaches, and calls that off as soon as the server is seen to stop its
// applier. Whatever was done by then, the server must not be kept busy with it.
func calledOff(t *testing.T, n *node, s db.Session) error {
	t.Helper()
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Detach(ctx) }()
	Until(t, func() bool {
		return len(ended) > 0 || n.Value(t, "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '"+n.kind.stopApplier+"%'") != "0"
	}, func() string { return "it does not stop its applier" })
	cancel()
	return <-ended
}

// staleRelayPosition applies the first of the transactions that wait, and puts
// the place to go on from back to before it, as a crash leaves relay-log.info.
func staleRelayPosition(t *testing.T, n *node) {
	t.Helper()
	status := n.rows("SHOW SLAVE STATUS")[0]
	file, pos := status["Relay_Log_File"], status["Relay_Log_Pos"]
	var begins []string
	for _, e := range n.rows("SHOW RELAYLOG EVENTS IN '" + file + "' FROM " + pos) {
		if e["Event_type"] == "Gtid" {
			begins = append(begins, e["Pos"])
		}
	}
	if len(begins) != 2 {
		t.Fatalf("two transactions wait; got %v", begins)
	}
	back := "CHANGE MASTER TO MASTER_USE_GTID = no, RELAY_LOG_FILE = '" + file + "', RELAY_LOG_POS = " + pos
	n.Exec(t, back, "START SLAVE SQL_THREAD UNTIL RELAY_LOG_FILE = '"+file+"', RELAY_LOG_POS = "+begins[1])
	Until(t, func() bool { return n.rows("SHOW SLAVE STATUS")[0]["Slave_SQL_Running"] == "No" }, func() string { return "the applier goes on" })
	n.Exec(t, "STOP SLAVE", back)
}

func relayLogSize(t *testing.T, n *node) (size int64) {
	files, err := filepath.Glob(filepath.Join(n.data(), "*relay-bin.0*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if at, err := os.Stat(f); err == nil {
			size += at.Size()
		}
	}
	return size
}
