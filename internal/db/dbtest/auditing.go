package dbtest

import (
	"os"
	"slices"
	"testing"

	"github.com/baton-db/baton/internal/db"
)

// auditing: what has to be known to say what transactions did.
func auditing(t *testing.T, n *node) {
	n.promote()
	before, err := n.db.BinaryLogs(within(t))
	if err != nil || len(before) == 0 {
		t.Fatalf("binary logs %v, %v", before, err)
	}
	n.Exec(t, "FLUSH BINARY LOGS")
	logs, err := n.db.BinaryLogs(within(t))
	if err != nil || len(logs) != len(before)+1 || !slices.Equal(logs[:len(before)], before) {
		t.Errorf("another log comes last: %v, then %v, %v", before, logs, err)
	}
	for _, path := range logs {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}

	n.Exec(t, "CREATE TABLE app.`a``b` (id BIGINT UNSIGNED, v VARCHAR(10) CHARACTER SET latin1, w INT AS (id + 1) STORED, x INT AS (id + 2) VIRTUAL, d INT DEFAULT (1 + 1), k INT, PRIMARY KEY (k, id)) ENGINE=InnoDB",
		"INSERT INTO app.`a``b` (id, v, k) VALUES (1, 'x', 2)")
	got, err := n.db.DescribeTable(within(t), "app", "a`b")
	want := []db.Column{
		{Name: "id", Type: "bigint", Unsigned: true, Key: true}, {Name: "v", Type: "varchar", Charset: "latin1"}, {Name: "w", Type: "int", Generated: true},
		{Name: "x", Type: "int", Generated: true}, {Name: "d", Type: "int"}, {Name: "k", Type: "int", Key: true},
	}
	if err != nil || got.Engine != "InnoDB" || !slices.Equal(got.Columns, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if got, err := n.db.DescribeTable(within(t), "app", "none"); err != nil || len(got.Columns) > 0 {
		t.Errorf("a table that is not there: %+v, %v", got, err)
	}

	err = n.db.AskRows(within(t), func(ask db.Ask) error {
		rows, err := ask("SELECT v, d FROM app.`a``b`")
		if err != nil || len(rows) != 1 || rows[0]["v"] != "x" || rows[0]["d"] != "2" {
			t.Errorf("%v, %v", rows, err)
		}
		if _, err := ask("UPDATE app.`a``b` SET v = 'y'"); err == nil {
			t.Error("who asks for rows may write")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if _, can := n.session().(db.Undoing); can != (n.options.Flavor == MariaDB) {
		t.Errorf("it says that transactions can be undone: %t", can)
	}
}
