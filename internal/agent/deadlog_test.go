package agent

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/audit"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

// deadLogOf is what an agent keeps of a server's log.
func deadLogOf(t *testing.T, d *diverged, limit int64) (*deadLogs, *string) {
	t.Helper()
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	var told string
	a := &auditor{cluster: "shop", node: "db3", dir: filepath.Join(dir, "lost"), flavor: audit.MariaDB, program: "mariadb-binlog", database: d.driver, log: log,
		wake: make(chan struct{}, 1), rowsAt: func(_ context.Context, _ cluster.NodeName, q asked) (r rowStates, err error) {
			for range q.Rows {
				r.States = append(r.States, audit.AsBefore)
			}
			return r, nil
		}}
	return &deadLogs{dir: filepath.Join(dir, "dead-log"), auditor: a, limit: func() int64 { return limit }, log: log, wake: make(chan struct{}, 1),
		kept: map[string]bool{}, found: func(detail string) { told = detail }}, &told
}

// sign is what the loop would say of the server.
func (d *diverged) sign(t *testing.T, settled bool, others ...gtid.Set) lifeSign {
	t.Helper()
	o, err := d.driver.Observe(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return lifeSign{divergence: divergence{epoch: 7, primary: "db1", serverID: 3, reign: reign{Epoch: 5, Life: o.Server.Start}}, self: "db3", up: true,
		life: o.Server.Start, held: o.Server.Held(), settled: settled, others: others}
}

// TestWhatCrashRecoveryDropsIsWrittenDown: a primary's server is killed with a
// transaction in its log that recovery takes off again (init_rpl_role). Nobody
// else has it, and afterwards neither has the server: it is written down from the
// copy that was made before the start.
func TestWhatCrashRecoveryDropsIsWrittenDown(t *testing.T) {
	d := newDivergedWith(t, "--init-rpl-role=SLAVE")
	d.Exec(t, "SET GLOBAL read_only = 0", "CREATE DATABASE app", "CREATE TABLE app.t (id INT PRIMARY KEY, v VARCHAR(50)) ENGINE=InnoDB", "INSERT INTO app.t VALUES (1, 'one')")
	primary := gtid.MustParse(d.logged())
	logs, told := deadLogOf(t, d, 1<<20)
	s := d.sign(t, true, primary)
	logs.look(s)
	if err := logs.turn(within(t)); err != nil {
		t.Fatal(err)
	}

	// A commit that waits for an acknowledgement that never comes is in the log, and
	// no more than prepared in the engine.
	d.Exec(t, "SET GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC", "SET GLOBAL rpl_semi_sync_master_wait_no_slave = ON", "SET GLOBAL rpl_semi_sync_master_timeout = 3600000", "SET GLOBAL rpl_semi_sync_master_enabled = ON")
	waiting := d.Client(t, "baton_loader", "l")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = waiting.ExecContext(context.Background(), "INSERT INTO app.t VALUES (2, 'acknowledged by nobody')")
	}()
	d.Await(t, "1", "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for semi-sync ACK%'")
	d.Kill(t)
	<-ended

	dead := s
	dead.up = false
	logs.look(dead)
	logs.keep(within(t))
	if kept, err := logs.copies(); err != nil || len(kept) != 1 || !logs.has(s.reign.Life) {
		t.Fatalf("kept is %v, %v", kept, err)
	}
	d.Up(t)
	if n := d.Value(t, "SELECT COUNT(*) FROM app.t"); n != "1" {
		t.Fatalf("recovery dropped nothing: %s rows", n)
	}
	back := d.sign(t, false, primary)
	back.reign = s.reign
	logs.look(back)
	if err := logs.turn(within(t)); err != nil || *told != "" {
		t.Errorf("nothing can be said yet, %q is: %v", *told, err)
	}
	back.settled = true
	logs.look(back)
	if err := logs.turn(within(t)); err != nil {
		t.Fatal(err)
	}
	all, err := audits(logs.auditor.dir)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d audits, %v", len(all), err)
	}
	sum := all[0].sum
	if !sum.Dropped || sum.Transactions != 1 || sum.Rows != 1 || sum.Acknowledged() != audit.MaybeAnswered || !strings.Contains(sum.AckWhy, "async") || !strings.Contains(sum.Undo.InTheWay, "crash recovery") {
		t.Errorf("written down is %+v", sum)
	}
	report, err := os.ReadFile(filepath.Join(all[0].dir, audit.ReportFile))
	if err != nil || !strings.Contains(string(report), "'acknowledged by nobody'") || !strings.Contains(string(report), "took them out of its binary log") {
		t.Errorf("the report says, %v:\n%s", err, report)
	}
	if now, err := readSince(filepath.Join(all[0].dir, sinceFile)); err != nil || now.Unchanged != 1 {
		t.Errorf("compared with the primary: %+v, %v", now, err)
	}
	if !strings.Contains(*told, all[0].dir) {
		t.Errorf("a person is told %q", *told)
	}
	if kept, err := logs.copies(); err != nil || len(kept) != 0 {
		t.Errorf("the copy is there still: %v, %v", kept, err)
	}
	if err := os.RemoveAll(all[0].dir); err != nil {
		t.Fatal(err)
	}
	if err := logs.turn(within(t)); err != nil || *told != "" {
		t.Errorf("it was put away, and a person is told %q, %v", *told, err)
	}
}

// TestALogThatHeldNothingElseIsNotKept: the copy goes once it is known that the
// server came back with all of it.
func TestALogThatHeldNothingElseIsNotKept(t *testing.T) {
	d := newDivergedWith(t)
	d.Exec(t, "SET GLOBAL read_only = 0", "CREATE DATABASE app", "CREATE TABLE app.t (id INT PRIMARY KEY) ENGINE=InnoDB")
	primary := gtid.MustParse(d.logged())
	d.Exec(t, "INSERT INTO app.t VALUES (1)") // nobody else has it, but the server has after the crash
	logs, told := deadLogOf(t, d, 1<<20)
	s := d.sign(t, true, primary)
	logs.look(s)
	if err := logs.turn(within(t)); err != nil {
		t.Fatal(err)
	}
	d.Kill(t)
	dead := s
	dead.up = false

	for name, of := range map[string]func() *lifeSign{
		"it was no primary in that life":    func() *lifeSign { x := dead; x.reign.Life = "another"; return &x },
		"it was never primary":              func() *lifeSign { x := dead; x.reign = reign{}; return &x },
		"its reign ended, and it followed":  func() *lifeSign { x := dead; x.reign.Ended, x.source = primary, "db1"; return &x },
		"the configuration says keep_log 0": func() *lifeSign { logs.limit = func() int64 { return 0 }; x := dead; return &x },
	} {
		logs.look(*of())
		logs.keep(within(t))
		if kept, err := logs.copies(); err != nil || len(kept) != 0 {
			t.Errorf("%s, and the log was kept: %v, %v", name, kept, err)
		}
		logs.limit, logs.kept = func() int64 { return 1 << 20 }, map[string]bool{}
	}
	logs.look(dead)
	logs.keep(within(t))
	if kept, err := logs.copies(); err != nil || len(kept) != 1 {
		t.Fatalf("kept is %v, %v", kept, err)
	}
	d.Up(t)
	back := d.sign(t, true, primary)
	back.reign = s.reign
	logs.look(back)
	if err := logs.turn(within(t)); err != nil {
		t.Fatal(err)
	}
	if kept, err := logs.copies(); err != nil || len(kept) != 0 || *told != "" {
		t.Errorf("kept is %v, told %q, %v", kept, *told, err)
	}
}

// TestALogThatCannotBeKeptIsSaid: the server is started all the same, and every
// later audit says that something may be missing.
func TestALogThatCannotBeKeptIsSaid(t *testing.T) {
	logs, _ := deadLogOf(t, &diverged{}, 1<<20)
	logs.look(lifeSign{divergence: divergence{reign: reign{Epoch: 5, Life: "first"}}, self: "db3", life: "first"})
	logs.keep(within(t))
	kept, err := logs.copies()
	if err != nil || len(kept) != 1 {
		t.Fatalf("noted is %v, %v", kept, err)
	}
	for _, k := range kept {
		if len(k.Logs) != 0 || len(k.Notes) != 1 || !strings.Contains(k.Notes[0], "could not be kept: find its binary logs") {
			t.Errorf("noted is %+v", k)
		}
	}
	again := &deadLogs{dir: logs.dir, kept: map[string]bool{}}
	if err := again.load(); err != nil || !again.has("first") {
		t.Errorf("an agent that starts knows nothing of it: %v", err)
	}
	if n := (reign{Unkept: true}).note(); len(n) != 1 || len((reign{}).note()) != 0 {
		t.Errorf("a server that somebody else started again: %v", n)
	}
	for range mostKeptLogs + 2 {
		logs.now.reign.Life += "x"
		logs.now.life = logs.now.reign.Life
		logs.keep(within(t))
	}
	if kept, err := logs.copies(); err != nil || len(kept) > mostKeptLogs {
		t.Errorf("%d copies are kept, %v", len(kept), err)
	}
}

// newDivergedWith is a real server with options, not read-only, and an account
// for a client.
func newDivergedWith(t *testing.T, args ...string) *diverged {
	t.Helper()
	d := newDiverged(t, args...)
	d.t = t
	d.Unlogged(t, "CREATE USER baton_loader IDENTIFIED BY 'l'", "GRANT ALL ON *.* TO baton_loader")
	return d
}
