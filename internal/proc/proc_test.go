package proc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	helperVar = "BATON_PROC_HELPER"
	patience  = 30 * time.Second
)

// TestMain: the test binary is also the processes that the tests look at.
func TestMain(m *testing.M) {
	what, arg, _ := strings.Cut(os.Getenv(helperVar), " ")
	if what == "" {
		os.Exit(m.Run())
	}
	if err := runHelper(what, arg); err != nil {
		fmt.Fprintln(os.Stderr, "helper:", err)
		os.Exit(1)
	}
}

func runHelper(what, arg string) error {
	switch what {
	case "touch": // so many MiB of memory
		mib, err := strconv.Atoi(arg)
		if err != nil {
			return err
		}
		b, err := unix.Mmap(-1, 0, mib<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return err
		}
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
	case "listen": // on a unix socket
		ln, err := net.Listen("unix", arg)
		if err != nil {
			return err
		}
		defer ln.Close()
	case "orphan": // start a process and leave it to whoever adopts it
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), helperVar+"=touch 1")
		cmd.Stdin = os.Stdin
		if err := cmd.Start(); err != nil {
			return err
		}
		fmt.Println(cmd.Process.Pid)
		return nil
	}
	fmt.Println("ready")
	_, err := io.Copy(io.Discard, os.Stdin) // until the test ends
	return err
}

// startHelper starts a process that waits to be killed. The first line that it
// says is returned with it.
func startHelper(t testing.TB, what string, env ...string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), helperVar+"="+what), env...)
	cmd.Dir = t.TempDir()
	stdin, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	return cmd, strings.TrimSpace(line)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func identify(t testing.TB, cmd *exec.Cmd) ID {
	t.Helper()
	id, err := Identify(cmd.Process.Pid)
	must(t, err)
	return id
}

func watch(t testing.TB, id ID) <-chan Event {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	events, err := Watch(ctx, id, time.Millisecond)
	must(t, err)
	return events
}

func next(t testing.TB, events <-chan Event) Kind {
	t.Helper()
	select {
	case e, ok := <-events:
		if !ok {
			t.Fatal("the watch ended")
		}
		return e.Kind
	case <-time.After(patience):
		t.Fatalf("nothing seen for %v", patience)
	}
	return ""
}

func wantNext(t testing.TB, events <-chan Event, want Kind) {
	t.Helper()
	if got := next(t, events); got != want {
		t.Fatalf("seen %s, want %s", got, want)
	}
}

// The death of a large process is seen while its memory is being freed. How
// long that takes is the machine's business, so one success in a few tries is
// asked for; without the flags there would be none.
func TestTheDeathOfALargeProcessIsSeenBeforeItsEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		signal syscall.Signal
		env    []string
	}{
		"killed":           {syscall.SIGKILL, nil},
		"crashed, dumping": {syscall.SIGABRT, []string{"GOTRACEBACK=crash"}},
	} {
		t.Run(name, func(t *testing.T) {
			for range 10 {
				cmd, _ := startHelper(t, "touch 400", tt.env...)
				id := identify(t, cmd)
				must(t, unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_CORE, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}, nil))
				events := watch(t, id)
				wantNext(t, events, Running)
				must(t, Signal(id, tt.signal))
				kind := next(t, events)
				if kind == Exiting {
					wantNext(t, events, Gone)
					if _, open := <-events; open {
						t.Fatal("the watch goes on after the end")
					}
					return
				}
			}
			t.Fatal("never seen exiting before it was gone")
		})
	}
}

func TestAStoppedProcessIsSeenStoppedAndRunningAgain(t *testing.T) {
	cmd, _ := startHelper(t, "touch 1")
	id := identify(t, cmd)
	events := watch(t, id)
	wantNext(t, events, Running)
	must(t, Signal(id, syscall.SIGSTOP))
	wantNext(t, events, Stopped)
	must(t, Signal(id, syscall.SIGCONT))
	wantNext(t, events, Running)
}

func TestAWatchThatBeginsLateStartsWithThePresentState(t *testing.T) {
	cmd, _ := startHelper(t, "touch 1")
	id := identify(t, cmd)
	must(t, Signal(id, syscall.SIGSTOP))
	first := watch(t, id)
	for next(t, first) != Stopped { // the signal is on its way
	}
	wantNext(t, watch(t, id), Stopped)
}

func kill(id ID) error { return Signal(id, syscall.SIGKILL) }

func TestAZombieIsGone(t *testing.T) {
	cmd, _ := startHelper(t, "touch 1")
	id := identify(t, cmd)
	events := watch(t, id)
	must(t, kill(id))
	for next(t, events) != Gone { // nobody waits for it: its pid stays
	}
	if _, err := Identify(id.PID); !errors.Is(err, ErrGone) {
		t.Fatalf("identify a zombie: %v, want ErrGone", err)
	}
	if err := kill(id); !errors.Is(err, ErrGone) {
		t.Fatalf("kill a zombie: %v, want ErrGone", err)
	}
	if _, err := Watch(t.Context(), id, 0); !errors.Is(err, ErrGone) {
		t.Fatalf("watch a zombie: %v, want ErrGone", err)
	}
}

func TestAProcessThatOnlyHasThePIDIsLeftAlone(t *testing.T) {
	cmd, _ := startHelper(t, "touch 1")
	id := identify(t, cmd)
	for name, other := range map[string]ID{
		"started at another time": {id.PID, id.Start - 1, id.Boot},
		"before a boot":           {id.PID, id.Start, "00000000-0000-0000-0000-000000000000"},
	} {
		if err := kill(other); !errors.Is(err, ErrGone) {
			t.Errorf("%s: kill: %v, want ErrGone", name, err)
		}
		if _, err := Watch(t.Context(), other, 0); !errors.Is(err, ErrGone) {
			t.Errorf("%s: watch: %v, want ErrGone", name, err)
		}
	}
	wantNext(t, watch(t, id), Running)
	must(t, kill(id))
}

func TestAProcessThatIsNoChildIsWatchedAndKilled(t *testing.T) {
	_, said := startHelper(t, "orphan")
	pid, err := strconv.Atoi(said)
	must(t, err)
	id, err := Identify(pid)
	must(t, err)
	events := watch(t, id)
	wantNext(t, events, Running)
	must(t, kill(id))
	for next(t, events) != Gone {
	}
}

func TestTheServerIsFoundByItsSocketEvenWhenFrozen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.sock")
	if _, err := BySocket(t.Context(), path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("no socket: %v, want that it does not exist", err)
	}
	cmd, _ := startHelper(t, "listen "+path)
	want := identify(t, cmd)
	for _, frozen := range []bool{false, true} {
		if frozen {
			must(t, Signal(want, syscall.SIGSTOP))
		}
		got, err := BySocket(t.Context(), path)
		must(t, err)
		if got != want {
			t.Fatalf("found %v, want %v", got, want)
		}
	}
	must(t, kill(want))
	_ = cmd.Wait()
	if _, err := BySocket(t.Context(), path); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("nobody listens any more: %v, want ECONNREFUSED", err)
	}
}

func TestAProgramMayHaveAnyName(t *testing.T) {
	tail := " S 1 2 3 4 5 4194560 7 8 9 10 11 12 13 14 15 16 17 18 987654 20"
	for _, name := range []string{"mariadbd", "a) R (b", ")", ""} {
		got, err := parseStat([]byte("42 (" + name + ")" + tail))
		if want := (stat{state: 'S', flags: 4194560, start: 987654}); err != nil || got != want {
			t.Errorf("%q: read %+v, %v, want %+v", name, got, err, want)
		}
	}
	for _, bad := range []string{"", "42 mariadbd S", "42 (x) S 1"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was read as a state", bad)
		}
	}
}

// BenchmarkLook is the cost of one look: divide by the interval.
func BenchmarkLook(b *testing.B) {
	cmd, _ := startHelper(b, "touch 1")
	id := identify(b, cmd)
	fd, err := unix.Open(statPath(id.PID), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(b, err)
	defer unix.Close(fd)
	w := &watcher{id: id, statFD: fd}
	for b.Loop() {
		if w.look() != Running {
			b.Fatal("not running")
		}
	}
}

// BenchmarkDeath is the time from kill -9 of a process with 256 MiB until it is
// seen exiting, and until it is seen gone.
func BenchmarkDeath(b *testing.B) {
	var seen, gone time.Duration
	n := 0
	for b.Loop() {
		cmd, _ := startHelper(b, "touch 256")
		id := identify(b, cmd)
		events := watch(b, id)
		next(b, events)
		begun := time.Now()
		must(b, kill(id))
		if next(b, events) == Exiting {
			seen += time.Since(begun)
			next(b, events)
			gone += time.Since(begun)
			n++
		}
		_ = cmd.Wait()
	}
	b.ReportMetric(float64(seen.Microseconds())/float64(max(n, 1)), "µs/exiting")
	b.ReportMetric(float64(gone.Microseconds())/float64(max(n, 1)), "µs/gone")
}
