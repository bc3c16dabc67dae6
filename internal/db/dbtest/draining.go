package dbtest

import (
	"testing"
	"time"

	"github.com/baton-db/baton/internal/db"
)

// drainWaitsFor holds what counts as an open transaction that writes against a
// sentence about a client's session. db2 replicates from db1 all the time.
func drainWaitsFor(t *testing.T, db1 *node) {
	ctx := within(t)
	clients := db1.Client(t, "app", "app")
	clients.SetMaxIdleConns(0) // a session ends with its case
	if _, err := clients.ExecContext(ctx, "INSERT INTO app.t VALUES (50), (51)"); err != nil {
		t.Fatal(err)
	}
	s := db1.session()
	apart := time.NewTicker(db.TransactionsApart)
	defer apart.Stop()
	writers := func() (n int) { // no more often than the list is made anew
		select {
		case <-apart.C:
		case <-ctx.Done():
			t.Fatal(ctx.Err())
		}

		open, err := s.OpenTransactions(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range open {
			if o.Writes {
				n++
			}
		}
		return n
	}
	for name, tt := range map[string]struct {
		session []string // what the session has said
		want    int
	}{
		"a session that has done nothing":                    {nil, 0},
		"an idle session that wrote and committed":           {[]string{"UPDATE app.t SET v = 52 WHERE v = 51", "UPDATE app.t SET v = 51 WHERE v = 52"}, 0},
		"a transaction in which nothing has been done":       {[]string{"BEGIN"}, 0},
		"a transaction that has only read":                   {[]string{"START TRANSACTION WITH CONSISTENT SNAPSHOT", "SELECT * FROM app.t"}, 0},
		"an idle transaction that has written":               {[]string{"BEGIN", "DELETE FROM app.t WHERE v = 50"}, 1},
		"an idle transaction that has locked rows to write":  {[]string{"BEGIN", "SELECT * FROM app.t WHERE v = 50 FOR UPDATE"}, 1},
		"a transaction that has written and was rolled back": {[]string{"BEGIN", "DELETE FROM app.t WHERE v = 50", "ROLLBACK"}, 0},
		"a session without autocommit that has written":      {[]string{"SET autocommit = 0", "DELETE FROM app.t WHERE v = 50"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := clients.Conn(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for _, q := range tt.session {
				if _, err := c.ExecContext(ctx, q); err != nil {
					t.Fatalf("%s: %v", q, err)
				}
			}
			Until(t, func() bool { return writers() == tt.want }, func() string { return "as many as should be" })
			if _, err := c.ExecContext(ctx, "ROLLBACK"); err != nil {
				t.Fatal(err)
			}
		})
	}
	t.Run("a statement that is writing", func(t *testing.T) {
		running := db1.inBackground("DELETE FROM app.t WHERE v = 50 AND SLEEP(2) = 0")
		Until(t, func() bool { return writers() == 1 }, func() string { return "the statement is seen" })
		if err := running(); err != nil {
			t.Error(err)
		}
	})
	t.Run("Baton's own probe", func(t *testing.T) {
		if a := db1.probe(db1.db.WriteProbe); a.Verdict != db.Done {
			t.Fatalf("%+v", a)
		}
		Until(t, func() bool { return writers() == 0 }, func() string { return "nobody writes" })
	})
}
