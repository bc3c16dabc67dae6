package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseStat(t *testing.T) {
	tail := " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20"
	for name, tt := range map[string]struct {
		line string
		want procStat
		bad  bool
	}{
		"a plain name":                   {line: "7 (sh) S" + tail, want: procStat{'S', 3, 4711}},
		"a name with brackets and blank": {line: "7 (a) b) T" + tail, want: procStat{'T', 3, 4711}},
		"no command":                     {line: "7 sh S" + tail, bad: true},
		"cut off":                        {line: "7 (sh) S 1 2", bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseStat([]byte(tt.line))
			if (err != nil) != tt.bad || got != tt.want {
				t.Errorf("parseStat(%q) = %v, %v", tt.line, got, err)
			}
		})
	}
}

// inNamespace makes a network namespace for one test.
func inNamespace(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NEEDS ROOT: starts processes in a network namespace")
	}
	name := fmt.Sprintf("baton-proctest-%d", os.Getpid())
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		t.Fatalf("add namespace: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
			t.Errorf("remove namespace: %v: %s", err, out)
		}
	})
	return name
}

func TestAProcessIsFoundAgainFrozenAndKilled(t *testing.T) {
	ns, lab := inNamespace(t), t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	p, err := Start(Spec{Lab: lab, Name: "db1-server", Namespace: ns, Args: []string{"tail", "-f", "/dev/null"}, Log: filepath.Join(lab, "log")})
	if err != nil {
		t.Fatal(err)
	}
	if q, ok := Recorded(lab, "db1-server"); !ok || q != p {
		t.Fatalf("recorded %v, %v; want %v", q, ok, p)
	}
	if err := p.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for !p.Stopped() {
		if ctx.Err() != nil {
			t.Fatal("not frozen")
		}
	}
	if !p.Alive() {
		t.Error("a frozen process counts as ended")
	}
	if err := p.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	if p.Alive() {
		t.Error("alive after it was killed")
	}
	if err := p.Signal(0); err != nil {
		t.Errorf("a signal to a process that has ended: %v", err)
	}
}

func TestANumberUsedAgainIsNotHit(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stat, err := readStat(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	other := Process{PID: cmd.Process.Pid, Start: stat.start - 1}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := other.Kill(ctx); err != nil {
		t.Errorf("killing a process that has ended: %v", err)
	}
	if !(Process{PID: cmd.Process.Pid, Start: stat.start}).Alive() {
		t.Error("killed a process with the same number")
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("the bystander ended with %v", err)
	}
}

func TestDescendantsAreKilledByTheirMarkAndOthersAreSpared(t *testing.T) {
	ns, lab := inNamespace(t), t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	// The shell leaves two children behind that nobody recorded.
	fifo := filepath.Join(lab, "fifo")
	script := "mkfifo " + fifo + "; cat " + fifo + " & cat " + fifo + " & wait"
	parent, err := Start(Spec{Lab: lab, Name: "db1-agent", Namespace: ns, Args: []string{"sh", "-c", script}, Log: filepath.Join(lab, "log")})
	if err != nil {
		t.Fatal(err)
	}
	other, err := Start(Spec{Lab: t.TempDir(), Name: "x", Namespace: ns, Args: []string{"tail", "-f", "/dev/null"}, Log: filepath.Join(lab, "other")})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Kill(context.Background()) //nolint:errcheck // checked below
	for {
		ps, err := marked(lab, ns)
		if err != nil {
			t.Fatal(err)
		}
		if len(ps) == 3 {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("%d processes are marked, want the shell and its two children", len(ps))
		}
	}
	if err := KillMarked(ctx, lab, ns); err != nil {
		t.Fatal(err)
	}
	if ps, err := marked(lab, ""); err != nil || len(ps) != 0 {
		t.Errorf("left over: %v, %v", ps, err)
	}
	if parent.Alive() {
		t.Error("the parent lives")
	}
	if !other.Alive() {
		t.Error("a process of another lab was killed")
	}
}

// TestAChildWithoutAMarkIsKilledByItsSession: its environment is empty, as that of one
// that has written a title over it, and its parent has ended.
func TestAChildWithoutAMarkIsKilledByItsSession(t *testing.T) {
	ns, lab := inNamespace(t), t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	parent, err := Start(Spec{Lab: lab, Name: "w1-nginx", Namespace: ns, Log: filepath.Join(lab, "log"),
		Args: []string{"sh", "-c", "env -i tail -f /dev/null & echo $! >" + filepath.Join(lab, "pid.new") + "; mv " + filepath.Join(lab, "pid.new") + " " + filepath.Join(lab, "pid")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(lab, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	stat, err := readStat(pid)
	if err != nil {
		t.Fatal(err)
	}
	child := Process{PID: pid, Start: stat.start}
	if elsewhere, err := marked(t.TempDir(), ""); err != nil || slices.Contains(elsewhere, child) {
		t.Errorf("it counts as another lab's: %v, %v", elsewhere, err)
	}
	if err := KillMarked(ctx, lab, ""); err != nil {
		t.Fatal(err)
	}
	if child.Alive() {
		t.Error("it lives")
		_ = child.Signal(unix.SIGKILL)
	}
}

// orphan starts a process whose parent began a session and has ended.
func orphan(t *testing.T) (parent, child Process) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command("sh", "-c", "tail -f /dev/null >/dev/null 2>&1 & echo $!; read wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Stdout = &out
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stat, err := readStat(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	in.Close()
	_ = cmd.Wait() // what read makes of the end of its input
	pid, err := strconv.Atoi(strings.TrimSpace(out.String()))
	if err != nil {
		t.Fatal(err)
	}
	of, err := readStat(pid)
	if err != nil {
		t.Fatal(err)
	}
	child = Process{PID: pid, Start: of.start}
	t.Cleanup(func() {
		if !child.Alive() {
			t.Error("the bystander was killed")
		}
		if err := child.Signal(unix.SIGKILL); err != nil {
			t.Error(err)
		}
	})
	return Process{PID: cmd.Process.Pid, Start: stat.start}, child
}

// TestStrangersWithANumberThatWasOurs: the host was booted, or our process and its whole
// session have ended, and a stranger with the same number, which began a session and has
// ended too, left a child.
func TestStrangersWithANumberThatWasOurs(t *testing.T) {
	here, err := inodeOf("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	boot, err := bootID()
	if err != nil {
		t.Fatal(err)
	}
	parent, child := orphan(t)
	for name, tt := range map[string]struct {
		recorded started
		ours     bool
	}{
		"it is ours indeed":                         {started{parent, boot, here}, true},
		"the host was booted since":                 {started{parent, "5f0c2a1e", here}, false},
		"written by who did not know of boots":      {started{parent, "", here}, false},
		"it is in no network namespace of this lab": {started{parent, boot, here + 1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			lab := t.TempDir()
			b, err := json.Marshal(tt.recorded)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.Mkdir(filepath.Join(lab, "processes"), 0o700), os.WriteFile(recordPath(lab, "w1-nginx"), b, 0o600)); err != nil {
				t.Fatal(err)
			}
			found, err := marked(lab, "")
			if err != nil {
				t.Fatal(err)
			}
			if slices.Contains(found, child) != tt.ours {
				t.Errorf("found %v; the child is %v, ours: %v", found, child, tt.ours)
			}
			if tt.ours {
				return
			}
			if err := KillMarked(t.Context(), lab, ""); err != nil {
				t.Error(err)
			}
		})
	}
}
