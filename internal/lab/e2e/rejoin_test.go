package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/lab"
)

// TestANodeGetsNewData: a server that has what nobody else has, and one that has
// nothing at all, get a copy of a replica's data and follow; what cannot be meant
// is refused and changes nothing.
func TestANodeGetsNewData(t *testing.T) { getsNewData(t, config.MariaDB) }

// needCopies skips where MariaDB's own program for copies is missing.
func needCopies(t *testing.T, flavor string) {
	t.Helper()
	if _, err := exec.LookPath("mariadb-backup"); err != nil && flavor == config.MariaDB {
		t.Skip("SKIPPED, NOTHING WAS TESTED: there is no mariadb-backup on this machine (package mariadb-backup; scripts/setup.sh test installs it)")
	}
}

func getsNewData(t *testing.T, flavor string) {
	needCopies(t, flavor)
	l, ctx := shared(t, flavor), inTime(t)
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	primary := primaryOf(t, l)
	node := replicas(l, primary)[1]
	for name, args := range map[string][]string{
		"no data node":     {"rejoin", "db9", "--reclone", "--yes"},
		"baton switchover": {"rejoin", primary, "--reclone", "--yes"},
		"follows by":       {"rejoin", node},
		"nothing to undo":  {"rejoin", node, "--rewind", "--yes"},
	} {
		refused(t, l, primary, name, args...)
	}

	errant(t, l, node)
	// The two transactions may have been noticed one after the other.
	err := l.WaitStatus(ctx, "a new table with a row is written down", []string{node}, func(api.Status) error {
		var all []api.Lost
		if err := json.Unmarshal([]byte(baton(t, l, node, "lost", "-o", "json")), &all); err != nil {
			return err
		}
		for _, found := range all {
			if found.Statements == 1 && found.Rows == 1 && found.InTheWay != "" && found.Acknowledged == "possibly" && found.Since != nil && found.Since.NotCompared == 1 {
				return nil
			}
		}
		return fmt.Errorf("there is %+v", all)
	})
	if err != nil {
		t.Fatal(err)
	}
	written(t, l, node, 0) // and its agent has said so
	why := "is logged as a statement and not as rows: CREATE TABLE app.stray"
	if flavor == config.MySQL {
		why = "MySQL cannot undo"
	}
	refused(t, l, primary, why, "rejoin", node, "--rewind", "--yes")
	refused(t, l, primary, "--drop-old", "rejoin", node, "--reclone", "--drop-old", "--yes")
	plan := baton(t, l, primary, "rejoin", node, "--reclone", "--dry-run")
	if !strings.Contains(plan, "reclone from "+replicas(l, primary)[0]) || !strings.Contains(plan, "would be kept as") {
		t.Errorf("the dry run says:\n%s", plan)
	}
	said := baton(t, l, primary, "rejoin", node, "--reclone", "--yes")
	if !strings.Contains(said, node+" follows again") || !strings.Contains(said, "the old data is kept in") {
		t.Errorf("the reclone said: %s", said)
	}
	alike(t, l, primary, node)
	if n, err := l.Ask(ctx, node, "SELECT COUNT(*) FROM information_schema.tables WHERE table_name = 'stray'"); err != nil || n != "0" {
		t.Errorf("what only %s had is still there: %s, %v", node, n, err)
	}
	oldData(t, l, node)

	if os.Getenv(mysqlVar) != "all" {
		return // left to make test-all
	}
	if err := l.WipeServer(ctx, node); err != nil {
		t.Fatal(err)
	}
	baton(t, l, primary, "rejoin", node, "--reclone", "--drop-old", "--yes")
	alike(t, l, primary, node)
	oldData(t, l, node)
}

// TestANewNodeOfMySQLGetsItsData: an empty data directory is all there is. It is
// the end of getsNewData, without the rest of that.
func TestANewNodeOfMySQLGetsItsData(t *testing.T) {
	if os.Getenv(mysqlVar) != "all" {
		t.Skip("left to make test-all")
	}
	l, ctx := shared(t, config.MySQL), inTime(t)
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	primary := primaryOf(t, l)
	node := replicas(l, primary)[1]
	if err := l.WipeServer(ctx, node); err != nil {
		t.Fatal(err)
	}
	plan := baton(t, l, primary, "rejoin", node, "--reclone", "--dry-run")
	if !strings.Contains(plan, "reclone from "+replicas(l, primary)[0]) {
		t.Errorf("the dry run says:\n%s", plan)
	}
	baton(t, l, primary, "rejoin", node, "--reclone", "--drop-old", "--yes")
	alike(t, l, primary, node)
	oldData(t, l, node)
}

// errant writes on a replica what nobody else has, as an administrator may.
func errant(t *testing.T, l *lab.Lab, node string) {
	t.Helper()
	if err := unguarded(t, l, node, "CREATE TABLE app.stray (id INT PRIMARY KEY) ENGINE=InnoDB", "INSERT INTO app.stray VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	err := l.WaitStatus(inTime(t), node+" is held", l.DataNodes(), func(st api.Status) error {
		for _, r := range st.Nodes {
			if string(r.Name) == node && r.Errant == "" {
				return errors.New("nobody has noticed that it has what the primary lacks")
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// unguarded writes on a read-only server, as an administrator may.
func unguarded(t *testing.T, l *lab.Lab, node string, statements ...string) error {
	t.Helper()
	if l.Flavor == config.MySQL { // where super_read_only binds administrators, too
		statements = append([]string{"SET GLOBAL super_read_only = OFF"}, append(statements, "SET GLOBAL super_read_only = ON")...)
	}
	return l.Do(inTime(t), node, statements...)
}

// refused runs a command that must be turned down for a reason, and see that
// nothing comes of it.
func refused(t *testing.T, l *lab.Lab, at, why string, args ...string) {
	t.Helper()
	args = append(args, "--socket", l.ControlSocket(at))
	out, err := exec.CommandContext(inTime(t), rig.binary, args...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), why) {
		t.Errorf("baton %v: %v, want a refusal that says %q:\n%s", args, err, why, out)
	}
	st, err := l.ClusterStatus(inTime(t), at)
	if err != nil || st.Rejoin != nil {
		t.Errorf("a rejoin has begun all the same: %+v, %v", st.Rejoin, err)
	}
}

// alike waits until the cluster is steady with all its replicas, and compares rows.
func alike(t *testing.T, l *lab.Lab, primary, node string) {
	t.Helper()
	if err := l.Do(inTime(t), primary, "CREATE TABLE IF NOT EXISTS app.after (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(50)) ENGINE=InnoDB", "INSERT INTO app.after (v) VALUES ('written afterwards')"); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitSteady(inTime(t)); err != nil {
		t.Fatal(err)
	}
	a, errA := l.Checksum(inTime(t), primary, "app.after")
	b, errB := l.Checksum(inTime(t), node, "app.after")
	if err := errors.Join(errA, errB); err != nil || a != b {
		t.Errorf("the rows of app.after: %s on %s, %s on %s, %v", a, primary, b, node, err)
	}
	for _, query := range []string{
		"SELECT GROUP_CONCAT(CONCAT_WS('|', id, v) ORDER BY id) FROM app.after",
		"SELECT GROUP_CONCAT(CONCAT_WS('.', table_schema, table_name) ORDER BY 1) FROM information_schema.tables WHERE table_schema IN ('app', 'baton')",
	} {
		a, errA := l.Ask(inTime(t), primary, query)
		b, errB := l.Ask(inTime(t), node, query)
		if err := errors.Join(errA, errB); err != nil || a != b || a == "" {
			t.Errorf("%s: %s has %q, %s has %q, %v", query, primary, a, node, b, err)
		}
	}
}

// oldData removes what a reclone kept, and sees that nothing else is left.
func oldData(t *testing.T, l *lab.Lab, node string) {
	t.Helper()
	kept, err := l.OldData(node)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range kept {
		if !strings.Contains(dir, ".before-reclone-") {
			t.Errorf("%s was left behind", dir)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}
}

// TestADonorThatDiesLeavesTheOldDataAsItWas holds the copy up in the middle, kills
// the donor's server, and copies from another one afterwards.
func TestADonorThatDiesLeavesTheOldDataAsItWas(t *testing.T) {
	if os.Getenv(mysqlVar) != "all" {
		t.Skip("left to make test-all")
	}
	needCopies(t, config.MariaDB)
	l, ctx := shared(t, config.MariaDB), inTime(t)
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	primary := primaryOf(t, l)
	donor, node := replicas(l, primary)[0], replicas(l, primary)[1]
	errant(t, l, node)
	starts, err := l.Starts(node)
	if err != nil {
		t.Fatal(err)
	}
	release, err := l.Keep(ctx, donor, "BACKUP STAGE START")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	baton(t, l, primary, "rejoin", node, "--reclone", "--from", donor, "--yes", "--wait=false")
	waitRejoin(t, l, "the copy is under way", func(st api.Status) error {
		if st.Rejoin == nil || !strings.Contains(st.Rejoin.Progress, "copied") {
			return fmt.Errorf("it is %+v", st.Rejoin)
		}
		return nil
	})
	out, err := exec.CommandContext(ctx, rig.binary, "rejoin", node, "--reclone", "--yes", "--socket", l.ControlSocket(primary)).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "one rejoin at a time") {
		t.Errorf("a second one while it lasts: %v, %s", err, out)
	}
	crash, err := lab.FaultByName("crash")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Inject(ctx, crash, donor); err != nil {
		t.Fatal(err)
	}
	waitRejoin(t, l, "it has failed", func(st api.Status) error {
		if st.Rejoin != nil || st.Rejoined == nil || st.Rejoined.Failed == "" {
			return fmt.Errorf("it is %+v, %+v", st.Rejoin, st.Rejoined)
		}
		return nil
	})
	if n, err := l.Ask(ctx, node, "SELECT COUNT(*) FROM app.stray"); err != nil || n != "1" {
		t.Errorf("the old data of %s is not as it was: %s, %v", node, n, err)
	}
	if now, err := l.Starts(node); err != nil || now != starts {
		t.Errorf("its server was started %d times, %d before; %v", now, starts, err)
	}
	oldData(t, l, node)
	release()
	if _, err := l.Heal(ctx); err != nil {
		t.Fatal(err)
	}
	baton(t, l, primary, "rejoin", node, "--reclone", "--yes")
	alike(t, l, primary, node)
	oldData(t, l, node)
}

func waitRejoin(t *testing.T, l *lab.Lab, what string, check func(api.Status) error) {
	t.Helper()
	if err := l.WaitStatus(inTime(t), what, l.DataNodes()[:1], check); err != nil {
		t.Fatal(err)
	}
}

// TestADivergedPrimaryIsRecloned: the whole story of a primary that was cut off.
func TestADivergedPrimaryIsRecloned(t *testing.T) {
	if os.Getenv(mysqlVar) != "all" {
		t.Skip("left to make test-all")
	}
	for _, flavor := range []string{config.MariaDB, config.MySQL} {
		t.Run(flavor, func(t *testing.T) {
			needCopies(t, flavor)
			l := up(t, lab.Options{Async: true, Flavor: flavor})
			old, primary := diverge(t, l, func(old, _ string) error {
				return unguarded(t, l, old, "UPDATE app.kept SET v = 'lost' WHERE id = 2", "INSERT INTO app.kept VALUES (4, 'lost')")
			})
			if found := written(t, l, old, 2); found.Transactions < 2 || found.Rows != 2 || len(found.Findings) != 0 || found.Since == nil || found.Since.Unchanged != 2 {
				t.Errorf("written down is %+v", found)
			}
			waitHeld(t, l, old)
			refused(t, l, primary, old+" cannot take over: diverged", "switchover", "--to", old)
			refused(t, l, primary, "baton rejoin "+old, "switchover", "--to", old)
			if flavor == config.MySQL {
				refused(t, l, primary, "MySQL cannot undo transactions: give "+old+" new data instead", "rejoin", old, "--rewind", "--yes")
			}
			baton(t, l, primary, "rejoin", old, "--reclone", "--yes")
			alike(t, l, primary, old)
			query := "SELECT GROUP_CONCAT(CONCAT_WS('|', id, v) ORDER BY id) FROM app.kept"
			a, errA := l.Ask(inTime(t), primary, query)
			b, errB := l.Ask(inTime(t), old, query)
			if err := errors.Join(errA, errB); err != nil || a != b || strings.Contains(a, "lost") {
				t.Errorf("%s has %s, %s has %s, %v", primary, a, old, b, err)
			}
		})
	}
}

func waitHeld(t *testing.T, l *lab.Lab, node string) {
	t.Helper()
	err := l.WaitStatus(inTime(t), node+" is held", l.DataNodes(), func(st api.Status) error {
		for _, r := range st.Nodes {
			if r.Name == cluster.NodeName(node) && r.Errant == "" {
				return errors.New("it is not")
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
