package audit

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/db/dbtest"
)

// server is a real one whose transactions are audited.
type server struct {
	*dbtest.Server
	flavor, bin string // bin: where its programs are; empty: on the PATH
	root        *sql.DB
}

// pair are the server that has transactions and the primary that lacks them.
type pair struct {
	flavor        string
	lost, primary *server
}

// fresh gives both the same tables, and returns what the one has by then.
func (p pair) fresh(t *testing.T) gtid.Set {
	t.Helper()
	for _, s := range []*server{p.lost, p.primary} {
		s.run(t, "DROP DATABASE IF EXISTS app; "+every(p.flavor))
	}
	return p.lost.executed(t)
}

// TestOnRealServers runs one test after the other on the same two servers of
// each flavor.
func TestOnRealServers(t *testing.T) {
	for _, flavor := range []string{MariaDB, MySQL} {
		t.Run(flavor, func(t *testing.T) {
			t.Parallel()
			p := pair{flavor, start(t, flavor), start(t, flavor)}
			for _, test := range []struct {
				name string
				run  func(*testing.T, pair)
			}{
				{"what is reported can be carried out elsewhere", replays},
				{"a replay stops at a row that has changed", replayStops},
				{"rows are compared to the byte", comparesRows},
				{"what cannot be undone is named", namesWhatIsInTheWay},
				{"row events are undone, and nothing else changes", undoes},
				{"statements are replayed", replaysStatements},
				{"a log that is cut off says so", saysWhatIsCutOff},
				{"a damaged log is read to where that goes", endsWhateverIsInTheLog},
				{"a table that the decoder cannot read is said", saysWhatItCannotRead},
				{"the end of a dead server's log is kept and read", keepsTheEnd},
				{"only the wanted transactions are reported", reportsWhatIsWanted}, // removes old logs from sight: the last
			} {
				t.Run(test.name, func(t *testing.T) { test.run(t, p) })
			}
		})
	}
}

func start(t testing.TB, flavor string, args ...string) *server {
	t.Helper()
	program, _ := dbtest.Need(t, flavor)
	s := &server{Server: dbtest.Start(t, dbtest.Options{ID: 7, Flavor: flavor, Args: args}), flavor: flavor}
	if filepath.IsAbs(program) {
		s.bin = filepath.Dir(program)
	}
	c := mysql.NewConfig()
	c.User, c.Net, c.Addr, c.Logger = "root", "unix", s.Socket, &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		t.Fatal(err)
	}
	s.root = sql.OpenDB(connector)
	t.Cleanup(func() { s.root.Close() })
	s.writable(t)
	return s
}

func (s *server) writable(t testing.TB) {
	t.Helper()
	if s.flavor == MySQL {
		s.Exec(t, "SET GLOBAL super_read_only = 0")
	}
	s.Exec(t, "SET GLOBAL read_only = 0")
}

// program is one that comes with the server.
func (s *server) program(mariadb, mysql string) string {
	if s.flavor == MariaDB {
		return mariadb
	}
	return filepath.Join(s.bin, mysql)
}

// client runs a script through the server's own client, as a person would.
func (s *server) client(script string) error {
	cmd := exec.Command(s.program("mariadb", "mysql"), "--no-defaults", "--user=root", "--socket="+s.Socket, "--default-character-set=utf8mb4")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func (s *server) run(t testing.TB, script string) {
	t.Helper()
	if err := s.client(script); err != nil {
		t.Fatal(err)
	}
}

func (s *server) executed(t testing.TB) gtid.Set {
	t.Helper()
	query := "SELECT @@global.gtid_binlog_state"
	if s.flavor == MySQL {
		query = "SELECT @@global.gtid_executed"
	}
	set, err := gtid.Parse(s.Value(t, query))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// job audits what was written since.
func (s *server) job(t testing.TB, since gtid.Set) Job {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.Dir, "data", "bin.[0-9]*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no binary logs", err)
	}
	return Job{
		Program: s.program("mariadb-binlog", "mysqlbinlog"), Flavor: s.flavor, Files: files, Want: s.executed(t).Subtract(since),
		Cluster: "shop", Node: "db1", Primary: "db2", Epoch: 7, At: time.Unix(1700000000, 0), Columns: s.columns,
	}
}

// columns asks as package db does, which this package may not know.
func (s *server) columns(ctx context.Context, database, table string) (all []Column, err error) {
	rows, err := s.root.QueryContext(ctx, `SELECT column_name, data_type, COALESCE(character_set_name, ''), column_type LIKE '%unsigned%',
		extra LIKE '%STORED GENERATED%' OR extra LIKE '%VIRTUAL GENERATED%', column_key = 'PRI'
		FROM information_schema.columns WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position`, database, table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c Column
		if err := rows.Scan(&c.Name, &c.Type, &c.Charset, &c.Unsigned, &c.Generated, &c.Key); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, rows.Err()
}

func (s *server) ask(query string) ([]map[string]string, error) {
	rows, err := s.root.Query(query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []map[string]string
	for rows.Next() {
		var was, became sql.NullString
		if err := rows.Scan(&was, &became); err != nil {
			return nil, err
		}
		all = append(all, map[string]string{"was": was.String, "became": became.String})
	}
	return all, rows.Err()
}

func audited(t testing.TB, j Job) (Summary, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "lost", "shop", "7")
	s, err := Run(t.Context(), j, dir)
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

func content(t testing.TB, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// every is a table with every common type of column.
func every(flavor string) string {
	own := ""
	if flavor == MariaDB {
		own = ", geo POINT, i6 INET6, uu UUID, js2 JSON"
	}
	return `CREATE DATABASE app DEFAULT CHARACTER SET utf8mb4; USE app; CREATE TABLE every (id INT UNSIGNED PRIMARY KEY, t1 TINYINT, t2 TINYINT UNSIGNED, s SMALLINT,
	m MEDIUMINT UNSIGNED, b BIGINT, bu BIGINT UNSIGNED, d DECIMAL(30,10), f FLOAT, db DOUBLE, c CHAR(10), v VARCHAR(200), vb VARBINARY(50), bi BINARY(8), tx TEXT, bl BLOB,
	dt DATE, ti TIME(3), dtm DATETIME(6), ts TIMESTAMP(6) NULL, ts0 TIMESTAMP NULL, y YEAR, bt BIT(10), en ENUM('a','b','c'), se SET('1','2','3','4','5','6','7','8','9','10'),
	js JSON, l1 VARCHAR(50) CHARACTER SET latin1, u16 VARCHAR(20) CHARACTER SET utf16, g INT GENERATED ALWAYS AS (t1 + 1) STORED, gv INT GENERATED ALWAYS AS (t1 + 2) VIRTUAL,
	lt LONGTEXT` + own + `) ENGINE=InnoDB;
	CREATE TABLE plain (id INT PRIMARY KEY, v VARCHAR(100)) ENGINE=InnoDB;
	INSERT INTO plain VALUES (1, 'one'), (2, 'two'), (3, 'three');
	`
}

// errant changes rows of every kind.
func errant(flavor string) string {
	const insert = `INSERT INTO every (id, t1, t2, s, m, b, bu, d, f, db, c, v, vb, bi, tx, bl, dt, ti, dtm, ts, ts0, y, bt, en, se, js, l1, u16) VALUES `
	script := `USE app; SET NAMES utf8mb4; SET time_zone = '+02:00'; SET sql_mode = '';
	BEGIN; ` + insert + `
	(1, -128, 255, -32768, 16777215, -9223372036854775808, 18446744073709551615, -12345678901234567890.0123456789, 1.5, 3.141592653589793, 'c',
	 'it''s "quoted", \\ back\nnew line\ttab, Zoë 漢 😀', x'00ff27', x'0102', 'text;\n-- not a comment\r\n', x'89504e470d0a1a0a00', '2024-02-29', '-12:34:56.789', '2024-02-29 23:59:59.999999',
	 '2024-02-29 23:59:59.999999', '2024-03-31 02:30:00', 2024, b'1000000001', 'b', '1,9,10', '{"a": [1, "zwei", null], "b": "it''s \\\\ \\n"}', 'Grüße', 'Zoë'),
	(4294967295, 127, 0, 32767, 0, 9223372036854775807, 0, 0.0000000001, -2.25, -1e300, '', '', '', '', '', '', '0000-00-00', '838:59:59', '1000-01-01 00:00:00', '1970-01-01 02:00:01', NULL, 1901, b'0', 'c', '', '[]', '', '');
	INSERT INTO every (id) VALUES (3); COMMIT;
	BEGIN; UPDATE every SET v = 'changed', b = -1, bu = 1, f = 0.25, en = NULL, se = '2', bt = b'11' WHERE id = 1; UPDATE every SET id = 30, t1 = 5 WHERE id = 3; COMMIT;
	UPDATE plain SET v = 'zwei' WHERE id = 2; DELETE FROM plain WHERE id = 3; DELETE FROM every WHERE id = 4294967295;
	`
	if flavor == MariaDB {
		script += "UPDATE every SET geo = ST_GeomFromText('POINT(1.5 -2)'), i6 = '2001:db8::1', uu = '123e4567-e89b-12d3-a456-426655440000', js2 = '{\"x\": 1}' WHERE id = 30;"
	}
	return script
}

const compared = "CHECKSUM TABLE app.every, app.plain"

func (s *server) checksums(t testing.TB) string {
	t.Helper()
	rows, err := s.root.Query(compared)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var table, sum string
		if err := rows.Scan(&table, &sum); err != nil {
			t.Fatal(err)
		}
		all = append(all, table+" "+sum)
	}
	return strings.Join(all, ", ")
}

// replays: every type of column survives the
// way through the decoder and replay.sql, and nothing is carried out twice.
func replays(t *testing.T, p pair) {
	lost, primary, before := p.lost, p.primary, p.fresh(t)
	lost.run(t, errant(p.flavor))
	sum, dir := audited(t, lost.job(t, before))
	if sum.Incomplete != 0 || len(sum.Findings) != 0 || !sum.Missing.IsZero() || sum.Statements != 0 {
		t.Errorf("%+v", sum)
	}
	want := 5
	if p.flavor == MariaDB {
		want++
	}
	if sum.Transactions != want || len(sum.Tables) != 2 {
		t.Errorf("%s; want %d transactions in 2 tables", sum.Headline(), want)
	}
	if err := primary.client(content(t, dir, ReplayFile)); err != nil {
		t.Fatalf("%v\n%s", err, content(t, dir, ReplayFile))
	}
	if got, want := primary.checksums(t), lost.checksums(t); got != want {
		t.Errorf("after the replay %s, on the server that had them %s\n%s", got, want, content(t, dir, ReplayFile))
	}
	if err := primary.client(content(t, dir, ReplayFile)); err == nil {
		t.Error("it was carried out a second time")
	}
	var all struct {
		Transactions []struct {
			GTID    string
			Changes []map[string]any
		}
		Summary Summary
	}
	if err := json.Unmarshal([]byte(content(t, dir, TransactionsFile)), &all); err != nil || len(all.Transactions) != want {
		t.Errorf("%d transactions in the JSON, %v", len(all.Transactions), err)
	}
	report := content(t, dir, ReportFile)
	for _, part := range []string{"db1 has and the primary db2 lacks", "UPDATE app.plain", "'two'  →  'zwei'", "DELETE app.plain", "app.plain: 0 inserted, 1 updated, 1 deleted"} {
		if !strings.Contains(report, part) {
			t.Errorf("the report lacks %q:\n%s", part, report)
		}
	}
	onlyForUs(t, dir)
}

// onlyForUs: the rows are nobody else's business.
func onlyForUs(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{ReportFile, ReplayFile, TransactionsFile, SummaryFile} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%s: %v, %v", dir, info, err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(dir), ".unfinished*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// replayStops: what somebody wrote meanwhile stays.
func replayStops(t *testing.T, p pair) {
	lost, primary, before := p.lost, p.primary, p.fresh(t)
	lost.run(t, "USE app; UPDATE plain SET v = 'eins' WHERE id = 1; BEGIN; UPDATE plain SET v = 'x' WHERE id = 3; UPDATE plain SET v = 'zwei' WHERE id = 2; COMMIT")
	primary.run(t, "UPDATE app.plain SET v = 'deux' WHERE id = 2")
	_, dir := audited(t, lost.job(t, before))
	if err := primary.client(content(t, dir, ReplayFile)); err == nil {
		t.Error("the replay did not notice")
	}
	primary.Await(t, "eins,deux,three", "SELECT GROUP_CONCAT(v ORDER BY id) FROM app.plain")
}

// comparesRows: how each row is now, beside what the
// transactions found and left.
func comparesRows(t *testing.T, p pair) {
	lost, primary, before := p.lost, p.primary, p.fresh(t)
	lost.run(t, errant(p.flavor))
	rows, err := lost.job(t, before).Touched(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 6 { // 1, 4294967295, 3 and 30 of every; 2 and 3 of plain
		t.Errorf("%d rows: %+v", len(rows), rows)
	}
	all := func(s *server, want RowState) {
		t.Helper()
		for _, r := range rows {
			want := want
			state, err := r.State(s.ask)
			if r.Was == r.Became { // inserted and deleted again
				want = Both
			}
			if err != nil || state != want {
				t.Errorf("%s where %s is %s, %v; want %s\nwas %s\nbecame %s", r.Table, r.Key, state, err, want, r.Was, r.Became)
			}
		}
	}
	all(lost, AsAfter)
	all(primary, AsBefore)
	lost.run(t, "UPDATE app.every SET v = 'Changed' WHERE id = 1") // a collation would not tell them apart
	if state, err := rows[0].State(lost.ask); err != nil || state != Other {
		t.Errorf("a letter's case has changed: %s, %v", state, err)
	}
	if _, err := lost.job(t, before).Touched(t.Context(), 3); err == nil {
		t.Error("more rows than allowed")
	}
}

// namesWhatIsInTheWay: the first thing in the way, in words.
func namesWhatIsInTheWay(t *testing.T, p pair) {
	if p.flavor == MySQL {
		before := p.fresh(t)
		p.lost.run(t, "UPDATE app.plain SET v = 'x' WHERE id = 1")
		if sum, _ := audited(t, p.lost.job(t, before)); sum.Undo.InTheWay != "MySQL has no way to undo row events" {
			t.Errorf("in the way: %q", sum.Undo.InTheWay)
		}
		return
	}
	for name, tt := range map[string]struct{ script, want string }{
		"rows alone":               {"UPDATE app.plain SET v = 'x' WHERE id = 1", ""},
		"a new table":              {"UPDATE app.plain SET v = 'x' WHERE id = 1; CREATE TABLE app.other (id INT)", "is logged as a statement and not as rows: CREATE TABLE app.other (id INT)"},
		"statements":               {"SET SESSION binlog_format = 'STATEMENT'; UPDATE app.plain SET v = 'x' WHERE id = 1", "is logged as a statement and not as rows: UPDATE app.plain SET v = 'x' WHERE id = 1"},
		"row images of keys alone": {"SET SESSION binlog_row_image = 'MINIMAL'; UPDATE app.plain SET v = 'x' WHERE id = 1", "changed app.plain, and its row images are not full"},
		"a user":                   {"CREATE OR REPLACE USER somebody", "is logged as a statement and not as rows: CREATE OR REPLACE USER somebody"},
	} {
		t.Run(name, func(t *testing.T) {
			s, before := p.lost, p.fresh(t)
			s.run(t, tt.script)
			sum, dir := audited(t, s.job(t, before))
			if got := sum.Undo.InTheWay; (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("in the way: %q, want %q", got, tt.want)
			}
			if tt.want != "" && !strings.Contains(content(t, dir, ReportFile), "not possible") {
				t.Error("the report does not say so")
			}
		})
	}
}

// undoes: over two log files, with rows that several transactions changed; the
// server has afterwards what it had before, to the byte.
func undoes(t *testing.T, p pair) {
	if p.flavor == MySQL {
		return // cannot
	}
	lost, before := p.lost, p.fresh(t)
	was, state := lost.checksums(t), lost.Value(t, "SELECT @@global.gtid_binlog_state")
	lost.run(t, errant(p.flavor)+`FLUSH BINARY LOGS; UPDATE app.every SET f = 3.1415927, v = 'a literal \\\\x0a' WHERE id = 30;
		UPDATE app.plain SET v = 'again' WHERE id = 2; INSERT INTO app.plain VALUES (9, 'nine')`)
	j := lost.job(t, before)
	sum, _ := audited(t, j)
	if sum.Undo.InTheWay != "" || !sum.Undo.State.Equal(gtid.MustParse(state)) {
		t.Fatalf("%+v, want the state %s", sum.Undo, state)
	}
	rows, err := j.Touched(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	script, statements := "SET sql_log_bin = 0; BEGIN;\n", 0
	err = j.Inverse(t.Context(), sum.Undo, func(statement string) error {
		statements++
		script += statement + ";\n"
		return nil
	})
	if err != nil || statements < 8 {
		t.Fatalf("%d statements, %v", statements, err)
	}
	lost.run(t, script+"COMMIT;")
	if got := lost.checksums(t); got != was {
		t.Errorf("undone it is %s, before it was %s", got, was)
	}
	for _, r := range rows {
		if state, err := r.State(lost.ask); err != nil || state != AsBefore && state != Both {
			t.Errorf("%s where %s is %s, %v", r.Table, r.Key, state, err)
		}
	}
	if got := lost.executed(t); !got.Subtract(before).Equal(j.Want) {
		t.Errorf("undoing left a trace: %s", got)
	}
}

// replaysStatements: what was logged as text is carried out as text.
func replaysStatements(t *testing.T, p pair) {
	lost, primary, before := p.lost, p.primary, p.fresh(t)
	lost.run(t, "USE app; CREATE TABLE other (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(10));\nDELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT 1; SELECT ';'; END//\nDELIMITER ;\n"+
		"SET SESSION binlog_format = 'STATEMENT'; INSERT INTO other (v) VALUES ('a;b'), ('c'); SET SESSION binlog_format = 'ROW'; INSERT INTO other (v) VALUES ('d')")
	sum, dir := audited(t, lost.job(t, before))
	if sum.Transactions != 4 || sum.Statements != 3 || sum.Incomplete != 0 {
		t.Errorf("%+v", sum)
	}
	primary.run(t, content(t, dir, ReplayFile))
	primary.Await(t, "1 a;b,2 c,3 d", "SELECT GROUP_CONCAT(CONCAT(id, ' ', v) ORDER BY id) FROM app.other")
	primary.Await(t, "1", "SELECT COUNT(*) FROM information_schema.routines WHERE routine_schema = 'app'")
}

// saysWhatIsCutOff: wherever it ends, nothing crashes, and what is not
// whole is said to be.
func saysWhatIsCutOff(t *testing.T, p pair) {
	s, before := p.lost, p.fresh(t)
	s.run(t, "USE app; UPDATE plain SET v = 'x' WHERE id = 1; BEGIN; "+strings.Repeat("UPDATE plain SET v = CONCAT(v, '.') WHERE id = 2;", 5)+" COMMIT")
	j := s.job(t, before)
	whole, err := os.ReadFile(j.Files[len(j.Files)-1])
	if err != nil {
		t.Fatal(err)
	}
	sum, _ := audited(t, j)
	begin := int(sum.Undo.Position)
	for i := range 16 {
		cut := filepath.Join(t.TempDir(), filepath.Base(j.Files[len(j.Files)-1]))
		if err := os.WriteFile(cut, whole[:begin+(len(whole)-begin)*i/16], 0o600); err != nil {
			t.Fatal(err)
		}
		j.Files = []string{cut}
		sum, dir := audited(t, j)
		if len(sum.Findings) == 0 || sum.Undo.InTheWay == "" {
			t.Errorf("%d sixteenths: nothing is said: %+v", i, sum)
		}
		if sum.Incomplete == 1 && !strings.Contains(content(t, dir, ReportFile), "in the middle of a transaction") {
			t.Errorf("%d sixteenths: %+v", i, sum)
		}
		if sum.Incomplete == 1 && i > 8 && !strings.Contains(content(t, dir, ReplayFile), "ROLLBACK; -- its end is not in the log") {
			t.Errorf("%d sixteenths: half a transaction would be carried out:\n%s", i, content(t, dir, ReplayFile))
		}
	}
}

// endsWhateverIsInTheLog: bytes of a real log are damaged, one after another. The
// server's own decoder complains, gives up or makes something else of them; the
// audit always ends, in time, with files that say what was found.
func endsWhateverIsInTheLog(t *testing.T, p pair) {
	s, before := p.lost, p.fresh(t)
	s.run(t, "FLUSH BINARY LOGS; USE app; UPDATE plain SET v = 'x' WHERE id = 1; BEGIN; UPDATE plain SET v = 'y' WHERE id = 2; DELETE FROM plain WHERE id = 1; COMMIT")
	j := s.job(t, before)
	whole, err := os.ReadFile(j.Files[len(j.Files)-1])
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	const damages = 24
	noticed := 0
	for i := range damages {
		log := bytes.Clone(whole)
		at := len(log) * (2*i + 1) / (2 * damages)
		for k := at; k < min(at+1+i%5, len(log)); k++ {
			log[k] ^= 0xa5
		}
		if i%4 == 3 { // and there is no more of it
			log = log[:min(at+40, len(log))]
		}
		path := filepath.Join(dir, fmt.Sprintf("bin.%06d", i+1))
		if err := os.WriteFile(path, log, 0o600); err != nil {
			t.Fatal(err)
		}
		j.Files = []string{path}
		sum, to := audited(t, j)
		if len(sum.Findings) > 0 || sum.Undo.InTheWay != "" {
			noticed++
		}
		if !json.Valid([]byte(content(t, to, TransactionsFile))) || !strings.Contains(content(t, to, ReportFile), "GTIDs") {
			t.Errorf("damaged at %d: the files are not whole", at)
		}
		if _, err := j.Logged(t.Context(), before); err != nil {
			t.Errorf("damaged at %d: %v", at, err)
		}
		if _, _, err := j.Beyond(t.Context(), before); err != nil {
			t.Errorf("damaged at %d: %v", at, err)
		}
	}
	t.Logf("%d of %d damages were noticed", noticed, damages)
	// The description of the log, at its beginning, may be damaged in what nobody needs.
	if noticed < damages-2 {
		t.Error("wrong rows would be taken for right ones")
	}
}

// saysWhatItCannotRead: mysqlbinlog knows no geometry, and says nothing of the
// columns after it. Nothing is made up instead.
func saysWhatItCannotRead(t *testing.T, p pair) {
	if p.flavor == MariaDB {
		return // reads it
	}
	p.fresh(t)
	p.lost.run(t, "CREATE TABLE app.places (id INT PRIMARY KEY, at POINT, v VARCHAR(10))")
	before := p.lost.executed(t)
	p.lost.run(t, "INSERT INTO app.places VALUES (1, ST_GeomFromText('POINT(1 2)'), 'x')")
	sum, dir := audited(t, p.lost.job(t, before))
	if len(sum.Findings) == 0 || !strings.Contains(content(t, dir, ReplayFile), "NOT HERE") || !strings.Contains(content(t, dir, TransactionsFile), `"cut":true`) {
		t.Errorf("nothing is said of it: %+v\n%s", sum, content(t, dir, ReplayFile))
	}
}

// reportsWhatIsWanted: over several log files, among
// others, whose rows are not even read.
func reportsWhatIsWanted(t *testing.T, p pair) {
	p.fresh(t)
	s := p.lost
	for range 3 {
		s.run(t, "UPDATE app.plain SET v = CONCAT(v, 'old') WHERE id = 1; FLUSH BINARY LOGS")
	}
	before := s.executed(t)
	s.run(t, "UPDATE app.plain SET v = 'wanted' WHERE id = 1; FLUSH BINARY LOGS; UPDATE app.plain SET v = 'wanted too' WHERE id = 1")
	wanted := s.executed(t).Subtract(before)
	s.run(t, "UPDATE app.plain SET v = 'afterwards' WHERE id = 1")
	j := s.job(t, before)
	j.Want = wanted
	files, _, err := j.relevant(t.Context())
	if err != nil || len(files) != 2 {
		t.Errorf("%d of %d files are read, %v", len(files), len(j.Files), err)
	}
	sum, dir := audited(t, j)
	report := content(t, dir, ReportFile)
	if sum.Transactions != 2 || strings.Contains(report, "→  'afterwards'") || !strings.Contains(report, "'wanted'  →  'wanted too'") {
		t.Errorf("%+v\n%s", sum, report)
	}
	if p.flavor == MariaDB && !strings.Contains(sum.Undo.InTheWay, "came after") {
		t.Errorf("in the way: %q", sum.Undo.InTheWay)
	}
	// The oldest ones are gone.
	j.Files = j.Files[len(j.Files)-1:]
	if sum, _ := audited(t, j); len(sum.Findings) == 0 || sum.Undo.InTheWay == "" {
		t.Errorf("part of them is gone: %+v", sum)
	}
}

// big writes about so many MiB of rows into the log, in one transaction.
func (s *server) big(t testing.TB, mib int) {
	t.Helper()
	s.run(t, "CREATE DATABASE IF NOT EXISTS big; CREATE TABLE IF NOT EXISTS big.t (id INT PRIMARY KEY, v MEDIUMTEXT) ENGINE=InnoDB;")
	var script bytes.Buffer
	script.WriteString("USE big; BEGIN;\n")
	for i := range mib {
		fmt.Fprintf(&script, "INSERT INTO t VALUES (%d, REPEAT('0123456789abcdef', 65536)); DELETE FROM t WHERE id = %d;\n", i, i)
	}
	script.WriteString("COMMIT;")
	s.run(t, script.String())
}
