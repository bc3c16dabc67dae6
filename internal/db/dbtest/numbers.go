package dbtest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/db"
)

// numbers: a server that may have lost what its replica has received gives none of
// those numbers to another transaction, and the one that leaves them out is the
// marker of its reign.
func numbers(t *testing.T, d Driver) {
	n := nodes(t, d, 2)
	db1, db2 := n[0], n[1]
	db1.promote()
	db2.follow(db1, true)
	epoch := cluster.Epoch(50)
	number := func() uint64 { // the newest that the binary log has come to
		t.Helper()
		fields := strings.Split(db1.Value(t, "SELECT @@global.gtid_binlog_pos"), "-")
		seq, err := strconv.ParseUint(fields[len(fields)-1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return seq
	}
	skip := func(ctx context.Context, s db.Session) (unmarked string, err error) {
		t.Helper()
		if d.Flavor != MariaDB {
			return s.SkipNumbers(ctx, epoch, "db1")
		}
		before := number()
		unmarked, err = s.SkipNumbers(ctx, epoch, "db1")
		if after := number(); err == nil && after != before+1_000_000_000 {
			t.Errorf("one transaction leaves numbers out; from %d it came to %d", before, after)
		}
		return unmarked, err
	}
	again := func(semiSync bool) (unmarked string) {
		t.Helper()
		epoch++
		db1.do(func(ctx context.Context, s db.Session) (err error) {
			if err = s.SetReadOnly(ctx, true, time.Second); err != nil {
				return err
			}
			if err = s.SourceSemiSync(ctx, semiSync, 1); err != nil {
				return err
			}
			if unmarked, err = skip(ctx, s); err != nil {
				return err
			}
			if o := db1.observe(); o.Server.SemiSrc.Waits() != semiSync || !o.Server.ReadOnly {
				t.Errorf("it is left as it was; got %s", describe(o))
			}
			return s.SetReadOnly(ctx, false, 0)
		})
		return unmarked
	}

	// A replica that lacks nothing follows on, whether commits wait for it or not.
	for i, semiSync := range []bool{false, true} {
		if unmarked := again(semiSync); unmarked != "" {
			t.Errorf("with the privileges that Baton asks for it writes the marker; got %s", unmarked)
		}
		db1.Exec(t, fmt.Sprintf("INSERT INTO app.t VALUES (%d)", 300+i))
		db2.until("it has what came after", func(o db.Observation) bool {
			return o.Server.Replica.Receiver && o.Server.Executed.Contains(db1.executed())
		})
		db2.has(300 + i)
		if d.Flavor == MariaDB && db2.observe().Server.Marker != epoch {
			t.Errorf("the marker of epoch %d came with it; got %s", epoch, describe(db2.observe()))
		}
	}
	if d.Flavor != MariaDB {
		return // it loses nothing that a replica has received
	}
	if _, err := db1.session().SkipNumbers(within(t), epoch, "db1"); err == nil {
		t.Error("numbers were skipped on a server that takes writes: some are given already")
	}

	// Where the marker cannot be written, numbers are left out all the same.
	for why, statement := range map[string]string{"the account may not write it": "REVOKE INSERT ON baton.* FROM baton@localhost", "the schema is not there yet": "RENAME TABLE baton.epochs TO baton.elsewhere"} {
		db1.Unlogged(t, statement)
		for _, semiSync := range []bool{false, true} {
			if unmarked := again(semiSync); unmarked == "" {
				t.Errorf("%s, and it says that it did", why)
			}
		}
		db1.Unlogged(t, "GRANT INSERT ON baton.* TO baton@localhost", "RENAME TABLE IF EXISTS baton.elsewhere TO baton.epochs")
	}
	// Nor does it wait for a marker of the same epoch that nobody acknowledges.
	db2.do(func(ctx context.Context, s db.Session) error { _, err := s.StopReceiver(ctx); return err })
	for _, refused := range []bool{false, true} {
		db1.do(func(ctx context.Context, s db.Session) error {
			if !refused {
				if err := errors.Join(s.SetReadOnly(ctx, true, time.Second), s.SourceSemiSync(ctx, true, 1)); err != nil {
					return err
				}
			}
			unmarked, err := skip(ctx, s)
			if (unmarked != "") != refused {
				t.Errorf("the row is locked: %t; got %q", refused, unmarked)
			}
			return err
		})
		if !refused {
			db1.untilWaiting(1)
		}
	}
	release := func() {
		t.Helper()
		db1.do(func(ctx context.Context, s db.Session) error {
			_, err := s.ReleaseWaiters(ctx)
			return errors.Join(err, s.SourceSemiSync(ctx, false, 0))
		})
	}
	release()
	db2.follow(db1, true)
	db2.until("it has all of it", func(o db.Observation) bool { return o.Server.Executed.Contains(db1.executed()) })

	// The replica alone has what the primary wrote last.
	db2.do(func(ctx context.Context, s db.Session) error { _, err := s.StopReceiver(ctx); return err })
	next := strings.Split(db1.Value(t, "SELECT @@global.gtid_binlog_pos"), "-")[2]
	db2.Exec(t, fmt.Sprintf("SET STATEMENT server_id = 1, gtid_seq_no = %s + 1 FOR INSERT INTO app.t VALUES (400)", next))
	again(true) // nobody acknowledges now
	db1.untilWaiting(1)
	release()
	db1.Exec(t, "INSERT INTO app.t VALUES (401)")
	if !db1.executed().Contains(db2.executed()) {
		t.Error("its position alone must not show it, or this shows nothing")
	}
	db2.do(func(ctx context.Context, s db.Session) error { return s.Follow(ctx, db1.source(false)) })
	o := db2.until("the source refuses it", func(o db.Observation) bool { return o.Server.Replica.Error != "" })
	if !strings.Contains(o.Server.Replica.Error, "1236") {
		t.Errorf("got %s", describe(o))
	}
	db2.has(400)
}
