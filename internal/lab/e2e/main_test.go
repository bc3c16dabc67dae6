package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/db/dbtest"
	"github.com/baton-db/baton/internal/lab"
)

// The environment that the Makefile sets.
const (
	binaryVar = "BATON_BINARY"     // the baton to test; otherwise one is built
	logsVar   = "BATON_E2E_LOGS"   // where logs go after a failure; otherwise a temporary directory
	runsVar   = "BATON_E2E_RUNS"   // how often each fault is tried; otherwise once
	deathsVar = "BATON_E2E_DEATHS" // "all": agents die at every step; otherwise at a few
	mysqlVar  = "BATON_E2E_MYSQL"  // "all": every test runs on MySQL, too; otherwise the most important faults
)

var rig struct {
	binary string
	lab    *lab.Lab     // shared by all tests on one flavor, made when the first one asks
	own    atomic.Int32 // labs that were made for one test
}

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "be2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if rig.binary = os.Getenv(binaryVar); rig.binary == "" {
		rig.binary = filepath.Join(dir, "baton")
		build := exec.Command("go", "build", "-o", rig.binary, "github.com/baton-db/baton/cmd/baton")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build baton: %v\n%s", err, out)
			return 1
		}
	}
	code := m.Run()
	if rig.lab != nil {
		if err := rig.lab.Down(context.Background()); err != nil {
			fmt.Fprintf(os.Stderr, "take the lab down: %v\n", err)
			return 1
		}
	}
	return code
}

// up builds a lab of its own for one test, which may be parallel to others.
func up(t *testing.T, o lab.Options) *lab.Lab {
	t.Helper()
	needLab(t, o.Flavor)
	dir, err := os.MkdirTemp("", "be2e")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	o.Name, o.Dir, o.Binary = fmt.Sprintf("x%dn%d", os.Getpid(), rig.own.Add(1)%100), filepath.Join(dir, "lab"), rig.binary
	l, err := lab.Up(inTime(t), o, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			autopsy(t, l)
		}
		if err := l.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return l
}

func needLab(t *testing.T, flavor string) {
	t.Helper()
	if flavor == config.MySQL {
		dbtest.Need(t, flavor) // which may be asked for
	}
	if err := lab.Check(lab.Options{Binary: rig.binary, Flavor: flavor}); err != nil {
		t.Skipf("END-TO-END TESTS NEED A LAB, and this machine lacks something:\n%s", err)
	}
}

// shared returns the lab that all tests on a flavor use one after the other,
// steady. When the test fails, its logs are kept and the next test gets a new lab.
// It is not for parallel tests.
func shared(t *testing.T, flavor string) *lab.Lab {
	t.Helper()
	needLab(t, flavor)
	if err := inTime(t).Err(); err != nil {
		t.Fatalf("the time of the whole test run is used up, so this was not tried: %v", err)
	}
	if rig.lab != nil && rig.lab.Flavor != flavor {
		sharedDown(t)
	}
	if rig.lab == nil {
		dir, err := os.MkdirTemp("", "be2e")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(dir); err != nil { // only its name is wanted
			t.Fatal(err)
		}
		rig.lab, err = lab.Up(inTime(t), lab.Options{Name: fmt.Sprintf("e%d", os.Getpid()), Dir: dir, Binary: rig.binary, Flavor: flavor, Disks: lab.CanDisks() == nil}, t.Output())
		if err != nil {
			t.Fatal(err)
		}
	}
	l := rig.lab
	t.Cleanup(func() {
		if t.Failed() {
			autopsy(t, l)
			rig.lab = nil
			if err := l.Down(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
	return l
}

func sharedDown(t *testing.T) {
	t.Helper()
	if rig.lab == nil {
		return
	}
	l := rig.lab
	rig.lab = nil
	if err := l.Down(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// cleanUp is kept free at the end: a test binary that runs out of time ends
// without cleaning up.
const cleanUp = 90 * time.Second

// inTime is the test's context, ending early enough to clean up.
func inTime(t *testing.T) context.Context {
	t.Helper()
	end, ok := t.Deadline()
	if !ok {
		return t.Context()
	}
	ctx, cancel := context.WithDeadline(t.Context(), end.Add(-cleanUp))
	t.Cleanup(cancel)
	return ctx
}

// autopsy keeps what a failure left to be read.
func autopsy(t *testing.T, l *lab.Lab) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), cleanUp/3)
	defer cancel()
	if err := l.Autopsy(ctx); err != nil {
		t.Error(err)
	}
	dir := os.Getenv(logsVar)
	if dir != "" {
		dir = filepath.Join(dir, filepath.FromSlash(t.Name()))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Errorf("save the logs: %v", err)
			return
		}
	}
	saved, err := l.SaveLogs(dir)
	if err != nil {
		t.Errorf("save the logs: %v", err)
		return
	}
	t.Logf("LOGS of all agents and servers: %s", saved)
}

// runs is how often each fault is tried.
func runs(t *testing.T) int {
	t.Helper()
	text := os.Getenv(runsVar)
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is no number of runs", runsVar, text)
	}
	return n
}
