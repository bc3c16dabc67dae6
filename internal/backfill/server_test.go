package backfill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/dbtest"
	"github.com/baton-db/baton/internal/db/flavor"
	"github.com/baton-db/baton/internal/db/mariadb"
	"github.com/baton-db/baton/internal/db/mysql"
)

var replication = db.Account{User: "baton_repl", Password: "r"}

// node is a real server, spoken to by the account that Baton asks for.
type node struct {
	*dbtest.Server
	flavor string
	db     db.Server
}

func start(t testing.TB, kind string, id uint32, args ...string) *node {
	t.Helper()
	s := dbtest.Start(t, dbtest.Options{ID: id, Flavor: kind, Args: args})
	agent, prober := db.Account{User: "baton", Password: "a"}, db.Account{User: "baton_probe", Password: "p"}
	accounts := db.Accounts{Agent: agent, Probe: prober, Replication: replication, From: []string{"127.0.0.1"}}
	if kind == MySQL {
		s.Unlogged(t, mysql.LeastPrivilegeSQL(accounts)...)
	} else {
		s.Unlogged(t, mariadb.LeastPrivilegeSQL(accounts)...)
	}
	driver, err := flavor.Of(kind)
	if err != nil {
		t.Fatal(err)
	}
	open, err := driver.Open(db.Config{Socket: s.Socket, Agent: agent, Writer: prober, NodeOf: func(string, int) (cluster.NodeName, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { open.Close() })
	return &node{Server: s, flavor: kind, db: open}
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// do takes steps in a session of their own.
func (n *node) do(t testing.TB, steps func(context.Context, db.Session) error) {
	t.Helper()
	ctx := within(t)
	s, err := n.db.Session(ctx)
	if err == nil {
		err = errors.Join(steps(ctx, s), s.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (n *node) has(t testing.TB) gtid.Set {
	t.Helper()
	o, err := n.db.Observe(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return o.Server.Executed
}

// pair are a primary, and a replica that stopped receiving before the end.
type pair struct{ primary, replica *node }

func newPair(t testing.TB, kind string, args ...string) pair {
	t.Helper()
	p := pair{start(t, kind, 1, args...), start(t, kind, 2, args...)}
	p.primary.do(t, func(ctx context.Context, s db.Session) error { return s.SetReadOnly(ctx, false, time.Second) })
	p.follow(t)
	return p
}

// follow has the replica catch up.
func (p pair) follow(t testing.TB) {
	t.Helper()
	want := p.primary.has(t)
	p.replica.do(t, func(ctx context.Context, s db.Session) error {
		source := db.Source{Node: "db1", Host: "127.0.0.1", Port: p.primary.Port, Account: replication}
		err := s.Follow(ctx, source)
		for unapplied := new(db.UnappliedError); errors.As(err, &unapplied); err = s.Follow(ctx, source) {
			if err := s.WaitApplied(ctx, unapplied.Missing, nil); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		return s.WaitApplied(ctx, want, nil)
	})
}

// behind has the replica receive no more.
func (p pair) behind(t testing.TB) {
	t.Helper()
	p.replica.do(t, func(ctx context.Context, s db.Session) error { _, err := s.StopReceiver(ctx); return err })
}

func (n *node) log(t testing.TB) Log {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(n.Dir, "data", "bin.[0-9]*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no binary logs", err)
	}
	return Log{Flavor: n.flavor, Files: files}
}

// fill brings over what the log of the dead one holds.
func (n *node) fill(t testing.TB, log Log) Tail {
	t.Helper()
	r, w := io.Pipe()
	have := n.has(t)
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	sending := make(chan error, 1)
	go func() {
		err := log.Send(ctx, have, w)
		w.CloseWithError(err)
		sending <- err
	}()
	in, err := Receive(r)
	if err != nil {
		t.Fatal(err)
	}
	source, err := NewSource(in, n.flavor, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	serving := make(chan error, 1)
	go func() { serving <- source.Serve(ctx) }()
	n.do(t, func(ctx context.Context, s db.Session) error {
		from := db.Source{Node: "db1", Host: "127.0.0.1", Port: source.Addr().Port, Account: db.Account{User: source.User, Password: source.Password}, Silence: time.Hour}
		if err := s.Follow(ctx, from); err != nil {
			return err
		}
		if err := s.WaitApplied(ctx, in.Tail.Set, source.Applied); err != nil {
			o, _ := n.db.Observe(ctx)
			return fmt.Errorf("%w: %s", err, o.Server.Replica.Error)
		}
		return s.Detach(ctx)
	})
	cancel()
	if err := errors.Join(<-serving, <-sending); err != nil {
		t.Error(err)
	}
	return in.Tail
}

// rows is everything in the schema app, and how its tables are made.
func (n *node) rows(t testing.TB) string {
	t.Helper()
	var all []string
	for _, table := range strings.Fields(n.Value(t, "SELECT GROUP_CONCAT(table_name ORDER BY table_name SEPARATOR ' ') FROM information_schema.tables WHERE table_schema = 'app'")) {
		columns := n.Value(t, "SELECT GROUP_CONCAT(CONCAT('COALESCE(HEX(`', column_name, '`), 0)') ORDER BY ordinal_position) FROM information_schema.columns WHERE table_schema = 'app' AND table_name = ?", table)
		sum := n.Value(t, "SELECT COALESCE(SHA2(GROUP_CONCAT(CONCAT_WS(',', "+columns+") ORDER BY 1 SEPARATOR ';'), 256), 'empty') FROM (SELECT * FROM app."+table+" ORDER BY 1) AS x")
		count := n.Value(t, "SELECT COUNT(*) FROM app."+table)
		all = append(all, table+" ("+columns+"): "+count+" rows, "+sum)
	}
	return strings.Join(all, "\n")
}

// TestOnRealServers brings over what a killed primary had and its replica lacked.
func TestOnRealServers(t *testing.T) {
	for _, kind := range []string{MariaDB, MySQL} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dbtest.Need(t, kind)
			p := newPair(t, kind)
			p.primary.Exec(t, "CREATE DATABASE app", "CREATE TABLE app.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200), b LONGBLOB) ENGINE=InnoDB", "INSERT INTO app.t (v) VALUES ('before')")
			p.follow(t)
			p.behind(t)
			had := p.primary.has(t)
			p.primary.Exec(t, "INSERT INTO app.t (v) VALUES ('ä ''quoted'' \\\\ /*!*/; ')", "FLUSH BINARY LOGS",
				"CREATE TABLE app.u (id INT PRIMARY KEY, t TIMESTAMP NULL, s VARCHAR(100) COMMENT '\n/*!*/;\nDROP DATABASE app\n/*!*/;') ENGINE=InnoDB",
				"INSERT INTO app.u VALUES (1, NOW(), 'x'), (2, NULL, NULL)", "UPDATE app.t SET v = CONCAT(v, '!')", "ALTER TABLE app.u ADD COLUMN c DECIMAL(10,3) DEFAULT 1.5",
				"FLUSH BINARY LOGS", "FLUSH BINARY LOGS",
				"INSERT INTO app.t (v, b) VALUES ('big', REPEAT('x', 3000000))", "DELETE FROM app.u WHERE id = 1",
				"CREATE TABLE app.m (i INT) ENGINE=MyISAM", "INSERT INTO app.m VALUES (1), (2)", "FLUSH BINARY LOGS")
			for i := range 50 {
				p.primary.Exec(t, fmt.Sprintf("INSERT INTO app.t (v) VALUES ('row %d')", i))
			}
			has, rows := p.primary.has(t), p.primary.rows(t)
			p.primary.Kill(t)
			log := p.primary.log(t)
			finds(t, log, had, has)
			tail := p.replica.fill(t, log)
			if want := has.Subtract(had); !tail.Set.Equal(want) || tail.Transactions != want.Count() {
				t.Errorf("%d transactions are brought over, %s; they are %d, %s", tail.Transactions, tail.Set, want.Count(), want)
			}
			if got := p.replica.rows(t); got != rows {
				t.Errorf("the rows are\n%s\nthey were\n%s", got, rows)
			}
			if got := p.replica.has(t); !got.Contains(has) || !has.Contains(got) {
				t.Errorf("the replica has %s, the primary had %s", got, has)
			}
		})
	}
}

// finds looks for things in the log of the dead primary as it might be.
func finds(t *testing.T, log Log, had, has gtid.Set) {
	t.Helper()
	first := log.Files[0]
	last := log.Files[len(log.Files)-1]
	stray := gtid.MustParse("0-9-99999")
	if log.Flavor == MySQL {
		stray = gtid.MustParse("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5")
	}
	all := has.Subtract(had)
	look := func(files []string, have gtid.Set, had gtid.Set) (Tail, error) {
		return Log{Flavor: log.Flavor, Files: files, Had: had}.Find(t.Context(), have, nil)
	}
	if tail, err := look(log.Files, has, gtid.Set{}); err != nil || tail.Transactions != 0 || tail.Torn != "" {
		t.Errorf("who has everything lacks %d transactions, %v", tail.Transactions, err)
	}
	if tail, err := look(log.Files, had, gtid.Set{}); err != nil || !tail.Set.Equal(all) || tail.Transactions != all.Count() || tail.Torn != "" {
		t.Errorf("%d transactions are lacking, %s, %v; want %s", tail.Transactions, tail.Set, err, all)
	}
	if _, err := look(log.Files, had.Union(stray), gtid.Set{}); !errors.Is(err, ErrDiverged) {
		t.Errorf("who has something else: %v", err)
	}
	if tail, err := look(log.Files, had.Union(stray), stray); err != nil || !tail.Set.Equal(all) {
		t.Errorf("what the server had, although its log does not tell: %v", err)
	}
	if _, err := look(log.Files[1:], had, gtid.Set{}); !errors.Is(err, ErrPurged) {
		t.Errorf("the first of the files is gone: %v", err)
	}
	if _, err := look(nil, had, gtid.Set{}); !errors.Is(err, ErrUnreadable) {
		t.Errorf("there is no file: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := log.Send(ctx, had, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody wants it any more: %v", err)
	}

	// Cut off anywhere, what is whole is found, and never more.
	b, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), filepath.Base(last))
	before, torn := all.Count(), false
	for n := len(b); n > len(b)-1500; n -= 7 {
		if err := os.WriteFile(cut, b[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		tail, err := look(append(slices.Clone(log.Files[:len(log.Files)-1]), cut), had, gtid.Set{})
		if err != nil || tail.Transactions > before || tail.Set.Count() != tail.Transactions || !all.Contains(tail.Set) {
			t.Fatalf("cut off at %d of %d bytes: %d transactions, %s, %v", n, len(b), tail.Transactions, tail.Set, err)
		}
		before, torn = tail.Transactions, torn || tail.Torn != ""
	}
	if before == all.Count() || !torn {
		t.Errorf("the whole log has %d transactions, the shortest %d; torn %t", all.Count(), before, torn)
	}
	// Whatever a crash left behind the end.
	if err := os.WriteFile(cut, append(slices.Clone(b), make([]byte, 4096)...), 0o600); err != nil {
		t.Fatal(err)
	}
	if tail, err := look(append(slices.Clone(log.Files[:len(log.Files)-1]), cut), had, gtid.Set{}); err != nil || !tail.Set.Equal(all) || tail.Torn == "" {
		t.Errorf("zeros at the end: %s, torn %q, %v", tail.Set, tail.Torn, err)
	}
	if err := os.WriteFile(cut, append([]byte("\xfdbin"), b[4:]...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := look([]string{first, cut}, had, gtid.Set{}); !errors.Is(err, ErrUnreadable) {
		t.Errorf("an encrypted file: %v", err)
	}
}

// TestATornTransactionIsNotHandedOver: the last one is cut off in its middle, and
// the server that replicates what is whole has nothing of it.
func TestATornTransactionIsNotHandedOver(t *testing.T) {
	p := newPair(t, MariaDB)
	p.primary.Exec(t, "CREATE DATABASE app", "CREATE TABLE app.t (id INT PRIMARY KEY, v VARCHAR(200)) ENGINE=InnoDB")
	p.follow(t)
	p.behind(t)
	p.primary.Exec(t, "INSERT INTO app.t VALUES (1, 'whole')")
	whole, rows := p.primary.has(t), p.primary.rows(t)
	p.primary.Exec(t, "INSERT INTO app.t VALUES (2, 'torn'), (3, 'torn')")
	p.primary.Kill(t)
	log := p.primary.log(t)
	last := log.Files[len(log.Files)-1]
	info, err := os.Stat(last)
	if err == nil {
		err = os.Truncate(last, info.Size()-10) // the commit is not whole
	}
	if err != nil {
		t.Fatal(err)
	}
	if tail := p.replica.fill(t, log); tail.Transactions != 1 || !strings.Contains(tail.Torn, "0-1-") {
		t.Errorf("%d transactions, torn: %s", tail.Transactions, tail.Torn)
	}
	if got := p.replica.rows(t); got != rows {
		t.Errorf("the rows are\n%s\nwanted are\n%s", got, rows)
	}
	if got := p.replica.has(t); !whole.Contains(got) || !got.Contains(whole) {
		t.Errorf("the replica has %s, whole is %s", got, whole)
	}
}

// BenchmarkBackFill brings transactions of one row over.
func BenchmarkBackFill(b *testing.B) {
	for _, kind := range []string{MariaDB, MySQL} {
		for _, n := range []int{100, 10_000} {
			b.Run(fmt.Sprintf("%s/%d", kind, n), func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					p := newPair(b, kind)
					p.primary.Exec(b, "CREATE DATABASE app", "CREATE TABLE app.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200)) ENGINE=InnoDB")
					p.follow(b)
					p.behind(b)
					for range n {
						p.primary.Exec(b, "INSERT INTO app.t (v) VALUES (REPEAT('x', 100))")
					}
					p.primary.Kill(b)
					b.StartTimer()
					p.replica.fill(b, p.primary.log(b))
					b.StopTimer()
					p.replica.Kill(b)
					b.StartTimer()
				}
			})
		}
	}
}

// BenchmarkBigLog brings a log of a gigabyte over (BATON_BIG=1; otherwise of 40 MiB),
// in transactions of 20 MiB, and reports how much memory that took on both sides. One
// such event is longer than a packet of the protocol.
func BenchmarkBigLog(b *testing.B) {
	rows := 2
	if os.Getenv("BATON_BIG") != "" {
		rows = 51
	}
	for _, kind := range []string{MariaDB, MySQL} {
		b.Run(kind, func(b *testing.B) {
			p := newPair(b, kind, "--max-allowed-packet=64M", map[string]string{MariaDB: "--innodb-log-file-size=256M", MySQL: "--innodb-redo-log-capacity=512M"}[kind])
			p.primary.Exec(b, "CREATE DATABASE app", "CREATE TABLE app.t (id INT PRIMARY KEY AUTO_INCREMENT, v LONGBLOB) ENGINE=InnoDB")
			p.follow(b)
			p.behind(b)
			for range rows {
				p.primary.Exec(b, "INSERT INTO app.t (v) VALUES (REPEAT('x', 20 << 20))")
			}
			sum := p.primary.Value(b, "SELECT SUM(CRC32(v)) FROM app.t")
			p.primary.Kill(b)
			var most uint64
			for b.Loop() {
				most = max(most, dbtest.Peak(func() { p.replica.fill(b, p.primary.log(b)) }))
			}
			if got := p.replica.Value(b, "SELECT SUM(CRC32(v)) FROM app.t"); got != sum {
				b.Errorf("the rows are %s, they were %s", got, sum)
			}
			b.ReportMetric(float64(most)/(1<<20), "peak-MiB")
		})
	}
}
