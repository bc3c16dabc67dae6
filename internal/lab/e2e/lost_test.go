package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/audit"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/lab"
)

// TestLostTransactionsAreWrittenDownAndTakenBack: where commits wait for nobody, a
// primary that is cut off comes back with transactions that the new one lacks.
// They are written down, with their rows, before anything else happens to them.
// Then a person has them taken back, and the server follows with the same rows as
// the others.
func TestLostTransactionsAreWrittenDownAndTakenBack(t *testing.T) {
	t.Parallel()
	l := up(t, lab.Options{Async: true})
	old, primary := diverge(t, l, func(old, primary string) error {
		if err := l.Do(inTime(t), primary, "UPDATE app.kept SET v = 'zwei' WHERE id = 2"); err != nil {
			return err
		}
		return l.Do(inTime(t), old, "UPDATE app.kept SET v = 'it''s lost' WHERE id = 2", "DELETE FROM app.kept WHERE id = 3", "INSERT INTO app.kept VALUES (4, 'new')")
	})
	lost := written(t, l, old, 3)
	if lost.Transactions < 3 || lost.Acknowledged != "possibly" || len(lost.Findings) != 0 || lost.InTheWay != "" {
		t.Errorf("%+v", lost)
	}
	if now := lost.Since; now == nil || now.Changed != 1 || now.Unchanged != 2 || string(now.Primary) != primary {
		t.Errorf("one row was changed on %s since: %+v", primary, now)
	}
	judgedAnew(t, l, old, primary, lost)
	out := baton(t, l, old, "lost", lost.Name)
	for _, want := range []string{"UPDATE app.kept", `'two'  →  'it\'s lost'`, "DELETE app.kept", "INSERT app.kept", "durability.mode is async", "app.kept where `id` <=> 2: changed by "} {
		if !strings.Contains(out, want) {
			t.Errorf("the report lacks %q:\n%s", want, out)
		}
	}
	var all struct{ Transactions []struct{ GTID string } }
	if err := json.Unmarshal([]byte(baton(t, l, old, "lost", lost.Name, "-o", "json")), &all); err != nil || len(all.Transactions) != lost.Transactions {
		t.Errorf("%d transactions of %d, %v", len(all.Transactions), lost.Transactions, err)
	}
	if _, err := os.Stat(filepath.Join(lost.Directory, audit.ReplayFile)); err != nil {
		t.Error(err)
	}

	t.Log(baton(t, l, primary, "rejoin", old, "--rewind", "--yes"))
	if err := l.WaitSteady(inTime(t)); err != nil {
		t.Fatal(err)
	}
	same(t, l, "app.kept", "1 one,2 zwei,3 three")
	kept, err := filepath.Glob(filepath.Join(lost.Directory, audit.EvidenceDir, "binlog.0*"))
	if err != nil || len(kept) == 0 {
		t.Errorf("its binary logs are not kept, %v", err)
	}
}

// judgedAnew: somebody changes another of the rows on the primary, and a person
// who asks again is told so.
func judgedAnew(t *testing.T, l *lab.Lab, old, primary string, lost api.Lost) {
	t.Helper()
	if err := l.Do(inTime(t), primary, "UPDATE app.kept SET v = 'drei' WHERE id = 3"); err != nil {
		t.Fatal(err)
	}
	var now api.Lost
	if err := json.Unmarshal([]byte(baton(t, l, old, "lost", lost.Name, "--check", "-o", "json")), &now); err != nil || now.Since == nil || now.Since.Changed != 2 || now.Since.Unchanged != 1 {
		t.Errorf("judged anew: %+v, %v", now.Since, err)
	}
	if err := l.Do(inTime(t), primary, "UPDATE app.kept SET v = 'three' WHERE id = 3"); err != nil {
		t.Fatal(err)
	}
	baton(t, l, old, "lost", lost.Name, "--check")
}

// TestWhatNoClientWasToldOfIsTakenBackByItself: a lossless primary that is cut off
// keeps what it had committed and nobody acknowledged. No client was told, so with
// rejoin.unacknowledged: rewind it is back without anybody's doing.
func TestWhatNoClientWasToldOfIsTakenBackByItself(t *testing.T) {
	rare(t)
	l := up(t, lab.Options{Rewind: true})
	if err := l.Do(inTime(t), primaryOf(t, l), "CREATE TABLE app.kept (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(100)) ENGINE=InnoDB"); err != nil {
		t.Fatal(err)
	}
	for try := 1; ; try++ {
		old := primaryOf(t, l)
		cutOffInTheMiddle(t, l, old)
		if err := l.WaitSteady(inTime(t)); err != nil {
			t.Fatal(err)
		}
		rows, err := l.Ask(inTime(t), primaryOf(t, l), "SELECT GROUP_CONCAT(id, ' ', v ORDER BY id) FROM app.kept")
		if err != nil {
			t.Fatal(err)
		}
		same(t, l, "app.kept", rows)
		var all []api.Lost
		if err := json.Unmarshal([]byte(baton(t, l, old, "lost", "-o", "json")), &all); err != nil {
			t.Fatal(err)
		}
		for _, lost := range all {
			if lost.Acknowledged != "no" || lost.InTheWay != "" || len(lost.Findings) > 0 {
				t.Errorf("%+v", lost)
			}
		}
		switch {
		case len(all) > 0:
			return
		case try == 5:
			t.Fatal("whatever it had committed had been received: nothing was tried")
		}
	}
}

// cutOffInTheMiddle has several sessions write on the primary while it is cut off,
// each until its first error, and heals when another one serves.
func cutOffInTheMiddle(t *testing.T, l *lab.Lab, old string) {
	t.Helper()
	if err := l.WaitSteady(inTime(t)); err != nil {
		t.Fatal(err)
	}
	ctx := inTime(t)
	var writers sync.WaitGroup
	var written atomic.Int64
	enough := make(chan struct{})
	for range 4 {
		writers.Go(func() {
			for l.Do(ctx, old, "INSERT INTO app.kept (v) VALUES ('x')") == nil {
				if written.Add(1) == 20 {
					close(enough)
				}
			}
		})
	}
	select {
	case <-enough:
	case <-ctx.Done():
		t.Fatalf("%d writes, then no more", written.Load())
	}
	cut, err := lab.FaultByName("partition")
	if err == nil {
		err = l.Inject(inTime(t), cut, old)
	}
	if err != nil {
		t.Fatal(err)
	}
	anotherServes(t, l, old)
	writers.Wait()
	if _, err := l.Heal(inTime(t)); err != nil {
		t.Fatal(err)
	}
}

// anotherServes waits until a node other than old is primary, and returns it.
func anotherServes(t *testing.T, l *lab.Lab, old string) (primary string) {
	t.Helper()
	err := l.WaitStatus(inTime(t), "another primary", replicas(l, old), func(st api.Status) error {
		if st.Primary == "" || string(st.Primary) == old || st.Phase != cluster.PhaseSteady {
			return fmt.Errorf("it is %s", st.Headline())
		}
		primary = string(st.Primary)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return primary
}

// same: every server has these rows, and they all have the same checksum.
func same(t *testing.T, l *lab.Lab, table, want string) {
	t.Helper()
	sums := map[string]string{}
	for _, n := range l.DataNodes() {
		rows, err := l.Ask(inTime(t), n, "SELECT GROUP_CONCAT(id, ' ', v ORDER BY id) FROM "+table)
		if err != nil || rows != want {
			t.Errorf("%s has %s, %v; want %s", n, rows, err, want)
		}
		if sums[n], err = l.Checksum(inTime(t), n, table); err != nil {
			t.Error(err)
		}
		if sums[n] != sums[l.DataNodes()[0]] {
			t.Errorf("checksums of %s differ: %v", table, sums)
		}
	}
}

// diverge cuts the primary off, has it written to after another one is elected,
// and heals. It returns the old primary and the new one.
func diverge(t *testing.T, l *lab.Lab, write func(old, primary string) error) (old, primary string) {
	t.Helper()
	if err := l.WaitSteady(inTime(t)); err != nil {
		t.Fatal(err)
	}
	old = primaryOf(t, l)
	if err := l.Do(inTime(t), old, "CREATE TABLE app.kept (id INT PRIMARY KEY, v VARCHAR(100)) ENGINE=InnoDB", "INSERT INTO app.kept VALUES (1, 'one'), (2, 'two'), (3, 'three')"); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitSteady(inTime(t)); err != nil { // all have it
		t.Fatal(err)
	}
	cut, err := lab.FaultByName("partition")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Inject(inTime(t), cut, old); err != nil {
		t.Fatal(err)
	}
	primary = anotherServes(t, l, old)
	if err := write(old, primary); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Heal(inTime(t)); err != nil {
		t.Fatal(err)
	}
	return old, primary
}

// written waits until a node's transactions on so many rows are written down. What was
// committed just now may not be among those of a first look.
func written(t *testing.T, l *lab.Lab, node string, rows int) (lost api.Lost) {
	t.Helper()
	err := l.WaitStatus(inTime(t), fmt.Sprintf("its transactions on %d rows are written down", rows), l.DataNodes(), func(st api.Status) error {
		for _, r := range st.Nodes {
			if string(r.Name) != node || !strings.Contains(r.Lost, " since)") {
				continue
			}
			var all []api.Lost
			if err := json.Unmarshal([]byte(baton(t, l, node, "lost", "-o", "json")), &all); err != nil || len(all) == 0 {
				return fmt.Errorf("%d audits, %w", len(all), err)
			}
			if lost = all[0]; lost.Rows < rows {
				return fmt.Errorf("on %d rows: %s", lost.Rows, lost.GTIDs)
			}
			if lost.Since == nil || !strings.HasPrefix(r.Lost, lost.Headline) { // of the one before
				return fmt.Errorf("%s is written down, %q is said", lost.Headline, r.Lost)
			}
			return nil
		}
		return errors.New("nothing is said of them")
	})
	if err != nil {
		t.Fatal(err)
	}
	return lost
}

// baton runs a command against a node's agent.
func baton(t *testing.T, l *lab.Lab, node string, args ...string) string {
	t.Helper()
	args = append(args, "--socket", l.ControlSocket(node))
	cmd := exec.CommandContext(inTime(t), rig.binary, args...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("baton %v: %v: %s", args, err, complaint.String())
	}
	return string(out)
}
