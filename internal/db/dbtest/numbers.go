package dbtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/db"
)

// numbers: a server that may have lost what its replica has received gives none of
// those numbers to another transaction.
func numbers(t *testing.T, d Driver) {
	n := nodes(t, d, 2)
	db1, db2 := n[0], n[1]
	db1.promote()
	db2.follow(db1, true)
	again := func(semiSync bool) {
		t.Helper()
		db1.do(func(ctx context.Context, s db.Session) error {
			if err := s.SetReadOnly(ctx, true, time.Second); err != nil {
				return err
			}
			if err := s.SourceSemiSync(ctx, semiSync, 1); err != nil {
				return err
			}
			if err := s.SkipNumbers(ctx); err != nil {
				return err
			}
			if o := db1.observe(); o.Server.SemiSrc.Waits() != semiSync || !o.Server.ReadOnly {
				t.Errorf("it is left as it was; got %s", describe(o))
			}
			return s.SetReadOnly(ctx, false, 0)
		})
	}

	// A replica that lacks nothing follows on, whether commits wait for it or not.
	for i, semiSync := range []bool{false, true} {
		again(semiSync)
		db1.Exec(t, fmt.Sprintf("INSERT INTO app.t VALUES (%d)", 300+i))
		db2.until("it has what came after", func(o db.Observation) bool {
			return o.Server.Replica.Receiver && o.Server.Executed.Contains(db1.executed())
		})
		db2.has(300 + i)
	}
	if d.Flavor != MariaDB {
		return // it loses nothing that a replica has received
	}
	if err := db1.session().SkipNumbers(within(t)); err == nil {
		t.Error("numbers were skipped on a server that takes writes: some are given already")
	}

	// The replica alone has what the primary wrote last.
	db2.do(func(ctx context.Context, s db.Session) error { _, err := s.StopReceiver(ctx); return err })
	next := strings.Split(db1.Value(t, "SELECT @@global.gtid_binlog_pos"), "-")[2]
	db2.Exec(t, fmt.Sprintf("SET STATEMENT server_id = 1, gtid_seq_no = %s + 1 FOR INSERT INTO app.t VALUES (400)", next))
	again(true) // nobody acknowledges now
	db1.untilWaiting(1)
	db1.do(func(ctx context.Context, s db.Session) error {
		_, err := s.ReleaseWaiters(ctx)
		return errors.Join(err, s.SourceSemiSync(ctx, false, 0))
	})
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
