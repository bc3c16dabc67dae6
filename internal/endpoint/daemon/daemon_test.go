package daemon_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/endpoint/daemon"
)

func TestAProcessIsWhatItIsAndNotItsNumber(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	self, mine := strconv.Itoa(os.Getpid()), func(p daemon.Process) bool { return p.PID == os.Getpid() && p.Args[0] == os.Args[0] && p.Name != "" }
	for name, tt := range map[string]struct {
		holds  string
		is     func(daemon.Process) bool
		says   string
		absent bool
	}{
		"this one":           {self + "\n", mine, "", false},
		"another program's":  {self, func(daemon.Process) bool { return false }, "thing does not run: process " + self + " of " + file + " is ", true},
		"one that is gone":   {strconv.Itoa(gone.Process.Pid), mine, "thing does not run: process " + strconv.Itoa(gone.Process.Pid) + " of " + file + " is gone", true},
		"nothing":            {"\n", mine, "thing does not run: " + file + " is empty", true},
		"no number":          {"x", mine, `find thing: ` + file + ` holds "x", which is no process`, false},
		"the number of all":  {"-1", mine, `holds "-1", which is no process`, false},
		"the number of init": {"1", mine, `holds "1", which is no process`, false},
		"a number past all":  {"99999999999999999999", mine, "which is no process", false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(tt.holds), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := daemon.Find("thing", file, tt.is)
			if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) || errors.Is(err, daemon.ErrNotRunning) != tt.absent {
				t.Errorf("it says %v", err)
			}
		})
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := daemon.Find("thing", file, mine); !errors.Is(err, daemon.ErrNotRunning) || !strings.Contains(err.Error(), "there is no "+file) {
		t.Errorf("without a file: %v", err)
	}
}

func TestWhoeverBeginsAfterANoteBeganAfterIt(t *testing.T) {
	placed := daemon.Beside(filepath.Join(t.TempDir(), "state", "web.json"))
	if filepath.Base(placed.File) != "web-loaded.json" {
		t.Errorf("the note is %s", placed.File)
	}
	if since, err := placed.Since(); since != 0 || err != nil {
		t.Errorf("without a note: %d, %v", since, err)
	}
	now := daemon.Ticks()
	if err := placed.Write(now); err != nil {
		t.Fatal(err)
	}
	if since, err := placed.Since(); since != now || err != nil {
		t.Errorf("noted %d, and it says %d, %v", now, since, err)
	}
	if began, err := daemon.BeganAt(os.Getpid()); began > now || err != nil {
		t.Errorf("this process began at %d, after now, %d (%v)", began, now, err)
	}
	if err := daemon.NextTick(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	child := exec.Command("cat")
	in, err := child.StdinPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer in.Close()
	if began, err := daemon.BeganAt(child.Process.Pid); began <= now || err != nil {
		t.Errorf("a process that began after %d began at %d (%v)", now, began, err)
	}
	for name, text := range map[string]string{"a torn note counts as just now": `{"boot":"`, "one of an earlier boot says that all have read it": `{"boot":"another","ticks":7}`} {
		if err := os.WriteFile(placed.File, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		since, err := placed.Since()
		if torn := strings.HasPrefix(name, "a torn"); err != nil || torn && since <= now || !torn && since != 0 {
			t.Errorf("%s: %d, %v", name, since, err)
		}
	}
}
