package agent

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/audit"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/dbtest"
	"github.com/baton-db/baton/internal/db/mariadb"
)

// diverged is a real server with transactions that nobody else has, spoken to by
// the account that Baton asks for.
type diverged struct {
	*dbtest.Server
	t      *testing.T
	driver db.Server
	r      *rewinder

	rows, state string // as they were before
	errant      gtid.Set
}

func newDiverged(t *testing.T, args ...string) *diverged {
	t.Helper()
	s := dbtest.Start(t, dbtest.Options{ID: 3, Args: args})
	agent, prober := db.Account{User: "baton", Password: "a"}, db.Account{User: "baton_probe", Password: "p"}
	s.Unlogged(t, mariadb.LeastPrivilegeSQL(db.Accounts{Agent: agent, Probe: prober, Replication: db.Account{User: "baton_repl", Password: "r"}})...)
	driver, err := mariadb.Open(db.Config{Socket: s.Socket, Agent: agent, Writer: prober, NodeOf: func(string, int) (cluster.NodeName, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { driver.Close() })
	return &diverged{Server: s, t: t, driver: driver}
}

// fresh has the server write some rows, and then some that nobody else has.
func (d *diverged) fresh(t *testing.T, statements ...string) {
	t.Helper()
	d.t = t
	d.Exec(t, "CREATE OR REPLACE DATABASE app", "CREATE TABLE app.t (id INT PRIMARY KEY, v VARCHAR(50), f FLOAT) ENGINE=InnoDB", "CREATE TABLE app.keyless (v INT) ENGINE=InnoDB",
		"CREATE TABLE app.old (id INT PRIMARY KEY) ENGINE=MyISAM", "INSERT INTO app.t VALUES (1, 'one', 1.1), (2, 'two', 3.1415927), (3, 'three', NULL)")
	d.rows, d.state = d.sums(), d.logged()
	d.Exec(t, statements...)
	d.errant = gtid.MustParse(d.logged()).Subtract(gtid.MustParse(d.state))
	log := slog.New(slog.DiscardHandler)
	dir := t.TempDir()
	a := &auditor{cluster: "shop", node: "db3", dir: filepath.Join(dir, "lost"), flavor: audit.MariaDB, program: "mariadb-binlog", database: d.driver, log: log, wake: make(chan struct{}, 1)}
	d.r = &rewinder{dir: dir, auditor: a, database: d.driver, log: log}
	div := divergence{errant: d.errant, epoch: 7, primary: "db1"}
	a.look(div)
	if found := a.audit(within(t), div); found.err != nil {
		t.Fatal(found.err)
	}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func (d *diverged) logged() string { return d.Value(d.t, "SELECT @@global.gtid_binlog_state") }

func (d *diverged) sums() string {
	return d.Value(d.t, "SELECT CONCAT((SELECT GROUP_CONCAT(id, COALESCE(HEX(v), '-'), COALESCE(CAST(f AS DOUBLE), '-') ORDER BY id) FROM app.t), '|', (SELECT COUNT(*) FROM app.keyless), '|', (SELECT COUNT(*) FROM app.old))")
}

func (d *diverged) session() db.Session {
	d.t.Helper()
	s, err := d.driver.Session(within(d.t))
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { s.Close() })
	return s
}

func (d *diverged) rewind() (string, error) { return d.r.run(within(d.t), d.session()) }

// isBack: the server is where it was before the transactions, and its logs are
// kept.
func (d *diverged) isBack() {
	d.t.Helper()
	if got := d.sums(); got != d.rows {
		d.t.Errorf("the rows are %s, they were %s", got, d.rows)
	}
	if got := d.logged(); !gtid.MustParse(got).Equal(gtid.MustParse(d.state)) {
		d.t.Errorf("logged is %s, it was %s", got, d.state)
	}
	if why := d.r.unfinished(); why != "" {
		d.t.Error(why)
	}
	kept, err := filepath.Glob(filepath.Join(d.r.auditor.dir, "7", audit.EvidenceDir, "bin.0*"))
	if err != nil || len(kept) == 0 {
		d.t.Errorf("no log is kept, %v", err)
	}
}

var lostRows = []string{"UPDATE app.t SET v = 'zwei', f = 2.7182817 WHERE id = 2", "DELETE FROM app.t WHERE id = 3", "FLUSH BINARY LOGS", "INSERT INTO app.t VALUES (4, 'four', 4)", "UPDATE app.t SET v = 'again' WHERE id = 2"}

func TestARewindTakesTransactionsBackFromWhereverItWasInterrupted(t *testing.T) {
	d := newDiverged(t)
	// far takes it so far and no further.
	for name, far := range map[string]func(){
		"not interrupted": func() {},
		"before the rows were changed": func() {
			in, err := d.r.intend(within(d.t))
			if err == nil {
				err = d.r.keep(in)
			}
			if err != nil {
				d.t.Fatal(err)
			}
		},
		"after the rows were changed": func() {
			in, err := d.r.intend(within(d.t))
			if err == nil {
				_, err = d.r.undo(within(d.t), d.session().(db.Undoing), in)
			}
			if err != nil {
				d.t.Fatal(err)
			}
		},
		"when the log was removed and nothing was set": func() {
			in, err := d.r.intend(within(d.t))
			if err == nil {
				_, err = d.r.undo(within(d.t), d.session().(db.Undoing), in)
			}
			if in.Undone = true; err == nil {
				err = errors.Join(d.r.keep(in), audit.Keep(nil, filepath.Join(in.Audit, audit.EvidenceDir)))
			}
			if err != nil {
				d.t.Fatal(err)
			}
			d.Exec(d.t, "RESET MASTER")
		},
		"when all was set and that was not noted": func() {
			if _, err := d.rewind(); err != nil {
				d.t.Fatal(err)
			}
			state := gtid.MustParse(d.state)
			data := filepath.Join(d.Dir, "data", systemTablespace)
			is, err := fileIs(data)
			if err == nil {
				err = d.r.keep(intent{Errant: d.errant, State: state, Audit: filepath.Join(d.r.auditor.dir, "7"), Undone: true, Data: data, Is: is})
			}
			if err != nil {
				d.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			d.fresh(t, lostRows...)
			far()
			// The session that it goes on with is of the server's earlier life.
			h := &hands{database: d.driver, rewinder: d.r, log: d.r.log, observe: func(context.Context) (cluster.ServerFact, error) { return cluster.ServerFact{}, nil }}
			if _, err := h.openSession(within(t)); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(h.closeSession)
			if name != "not interrupted" {
				if name != "before the rows were changed" && d.sums() != d.rows {
					t.Fatalf("the test did not come so far: %s", d.sums())
				}
				if d.r.unfinished() == "" {
					t.Error("nobody would know that a rewind is under way")
				}
				if strings.Contains(name, "after") || strings.Contains(name, "removed") {
					d.Kill(t)
					d.Up(t)
				}
			}
			did, err := h.rewind(within(t), reconcile.Step{Kind: reconcile.Rewind})
			if err != nil {
				t.Fatal(err)
			}
			t.Log(did)
			d.isBack()
			d.Exec(t, "INSERT INTO app.t VALUES (5, 'after', 5)") // the log goes on from there
			if got := gtid.MustParse(d.logged()).Subtract(gtid.MustParse(d.state)); got.Count() != 1 {
				t.Errorf("the next transaction is %s", got)
			}
		})
	}
}

func TestARewindThatCannotBeDoneChangesNothing(t *testing.T) {
	d := newDiverged(t)
	for name, tt := range map[string]struct {
		lost  []string
		spoil func(t *testing.T)
		want  string
	}{
		"a table was made":              {lost: append([]string{"CREATE TABLE app.new (id INT PRIMARY KEY)"}, lostRows...), want: "is logged as a statement and not as rows: CREATE TABLE app.new"},
		"rows without a key":            {lost: []string{"INSERT INTO app.keyless VALUES (1)"}, want: "app.keyless, which 0-3-"},
		"a table that cannot roll back": {lost: []string{"INSERT INTO app.old VALUES (1)"}, want: "app.old is no InnoDB table (MyISAM)"},
		"a row was changed without a trace": {lost: lostRows, want: "where `id` <=> 4 is neither as the transactions left it nor as they found it",
			spoil: func(t *testing.T) { d.Unlogged(t, "UPDATE app.t SET v = 'FOUR' WHERE id = 4") }},
		"half of the rows were put back by hand": {lost: lostRows, want: "1 as they found them: something changed them",
			spoil: func(t *testing.T) { d.Unlogged(t, "DELETE FROM app.t WHERE id = 4") }},
		"somebody wrote more": {lost: lostRows, want: "somebody has written here since",
			spoil: func(t *testing.T) { d.Exec(t, "UPDATE app.t SET v = 'more' WHERE id = 1") }},
		"the server takes writes": {lost: lostRows, want: "not read-only",
			spoil: func(t *testing.T) { d.Exec(t, "SET GLOBAL read_only = 0") }},
	} {
		t.Run(name, func(t *testing.T) {
			d.fresh(t, tt.lost...)
			d.Exec(t, "SET GLOBAL read_only = 1")
			if tt.spoil != nil {
				tt.spoil(t)
			}
			rows, state := d.sums(), d.logged()
			_, err := d.rewind()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("it says %v; want %q", err, tt.want)
			}
			var refused cannotRewind
			if final := errors.As(err, &refused); final == (name == "the server takes writes") {
				t.Errorf("tried again would come to the same: %t", final)
			}
			if d.sums() != rows || d.logged() != state {
				t.Errorf("it is now %s with %s, it was %s with %s", d.sums(), d.logged(), rows, state)
			}
			if _, err := os.Stat(filepath.Join(d.r.dir, intentFile)); err == nil {
				t.Error("a rewind is under way, it is said")
			}
		})
	}
}

func TestARewindIsForgottenOnceTheDataIsAnother(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, systemTablespace)
	if err := os.WriteFile(data, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	is, err := fileIs(data)
	if err != nil {
		t.Fatal(err)
	}
	r := &rewinder{dir: dir, log: slog.New(slog.DiscardHandler)}
	if err := r.keep(intent{Errant: gtid.MustParse("0-1-5"), Data: data, Is: is}); err != nil {
		t.Fatal(err)
	}
	if why := r.unfinished(); !strings.Contains(why, "0-1-5") {
		t.Errorf("under way: %q", why)
	}
	if err := os.Rename(data, data+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(data, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if why := r.unfinished(); why != "" {
		t.Errorf("under way on other data: %q", why)
	}
	if err := os.WriteFile(filepath.Join(dir, intentFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r.unfinished() == "" {
		t.Error("a file that cannot be read means that something may be under way")
	}
}
