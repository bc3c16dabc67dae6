package command_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/command"
)

func sh(script string) command.Command {
	return command.Command{Args: []string{"sh", "-c", script}, Limit: time.Minute, Env: []string{"BATON_X=1"}, Hidden: []string{"hunter2"}}
}

func TestWhatACommandIsGivenAndWhatItPrints(t *testing.T) {
	t.Setenv("AGENTS_OWN", "x")
	c := sh(`cat; echo " $BATON_X $AGENTS_OWN $PWD"; echo oops >&2`)
	c.Input = []byte(`{"epoch":7}`)
	got, err := c.Run(t.Context())
	if want := `{"epoch":7} 1 / oops`; err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func TestWhatACommandPrintsIsBoundedAndHidden(t *testing.T) {
	got, err := sh(`echo my password is hunter2; head -c 10000000 /dev/zero | tr '\0' x; exit 3`).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "run sh: exit status 3: it says: my password is (secret) xxx") || len(got) > 5000 || !strings.HasSuffix(got, "x …") {
		t.Errorf("it prints %d bytes, %.100v", len(got), err)
	}
}

func TestACommandThatCannotBeRun(t *testing.T) {
	dir := t.TempDir()
	plain, broken := filepath.Join(dir, "plain"), filepath.Join(dir, "broken")
	for path, mode := range map[string]os.FileMode{plain: 0o644, broken: 0o755} {
		if err := os.WriteFile(path, []byte("#!/no/such/interpreter\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for args, want := range map[string]error{"baton-no-such-program": exec.ErrNotFound, "/no/such/file": fs.ErrNotExist, plain: fs.ErrPermission, broken: fs.ErrNotExist, "": nil} {
		c := command.Command{Limit: time.Minute}
		if args != "" {
			c.Args = []string{args}
		}
		if _, err := c.Run(t.Context()); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", args, err, want)
		}
	}
}

// A command that hangs is killed with what it has started, and the file that its
// child holds a lock on is free afterwards.
func TestACommandThatHangsIsKilledWithItsChildren(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	ready := filepath.Join(t.TempDir(), "ready")
	if err := unix.Mkfifo(ready, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := sh(fmt.Sprintf(`trap "" TERM INT; sleep 1000 & echo $$ $! > %s; echo hunter2 is stuck; echo > %s; wait`, pids, ready)).Run(ctx)
		done <- err
	}()
	if _, err := os.ReadFile(ready); err != nil { // until it has begun
		t.Fatal(err)
	}
	text, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	var alive []unix.PollFd
	for _, p := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(p)
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		alive = append(alive, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	if len(alive) != 2 {
		t.Fatalf("it has written %q", text)
	}
	cancel(command.ErrTooLong)
	if err := <-done; !errors.Is(err, command.ErrTooLong) || !strings.HasSuffix(err.Error(), "it says: (secret) is stuck") {
		t.Errorf("got %v", err)
	}
	for _, one := range alive { // killed; the kernel may take a moment to end it
		n, err := unix.Poll([]unix.PollFd{one}, 30_000)
		for err == unix.EINTR {
			n, err = unix.Poll([]unix.PollFd{one}, 30_000)
		}
		if n != 1 || err != nil {
			t.Errorf("a process of it still runs (%d, %v)", n, err)
		}
	}
}

func TestALimitIsKept(t *testing.T) {
	c := sh("exec sleep 1000")
	c.Limit = 20 * time.Millisecond
	if _, err := c.Run(t.Context()); !errors.Is(err, command.ErrTooLong) || !strings.Contains(err.Error(), "limit 20ms") {
		t.Errorf("got %v", err)
	}
}

// What a reload leaves running, with its output open, is no failure and is left alone.
func TestWhatLivesOnIsWaitedForNoLonger(t *testing.T) {
	got, err := sh(`sleep 1000 & echo $!`).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(got)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Errorf("it lives on no longer: %v", err)
	}
}

func TestAllOfWhatACommandPrints(t *testing.T) {
	got, err := sh(`i=0; while [ $i -lt 2000 ]; do echo "  $i"; i=$((i+1)); done`).Output(t.Context())
	if err != nil || strings.Count(got, "\n") != 2000 || !strings.HasPrefix(got, "  0\n  1\n") {
		t.Errorf("%d lines, %.20q, %v", strings.Count(got, "\n"), got, err)
	}
	if _, err := sh(`head -c 5000000 /dev/zero | tr '\0' x`).Output(t.Context()); err == nil || !strings.Contains(err.Error(), "prints more than") {
		t.Errorf("5 MB: %v", err)
	}
	quiet := sh(`echo something; exit 3`)
	quiet.Quiet = true
	if _, err := quiet.Output(t.Context()); err == nil || strings.Contains(err.Error(), "something") {
		t.Errorf("one that is quiet: %v", err)
	}
	if got, err := sh(`echo hunter2; exit 3`).Output(t.Context()); got != "" || err == nil || !strings.Contains(err.Error(), "exit status 3: it says: (secret)") {
		t.Errorf("one that fails: %q, %v", got, err)
	}
}
