package realtime

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Real-time priority is for ever: everything that asks for it happens in
// helper processes, which this test binary is too. They print "ok", "skip: why"
// or what is wrong.
const helperVar = "BATON_REALTIME_HELPER"

func TestMain(m *testing.M) {
	what := os.Getenv(helperVar)
	if what == "" {
		os.Exit(m.Run())
	}
	if what == "wait" {
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	if err := helpers()[what](); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("ok")
}

func helpers() map[string]func() error {
	return map[string]func() error{
		"threads":      helpThreads,
		"children":     helpChildren,
		"memory":       helpMemory,
		"dropped":      helpDropped,
		"unprivileged": helpUnprivileged,
		"cgroup":       helpCgroup,
	}
}

var errSkip = errors.New("skip")

func enabled() error {
	if g := Enable(0); g.Scheduling != nil {
		return fmt.Errorf("%w: %w", errSkip, g.Scheduling)
	}
	return nil
}

// manyThreads makes the runtime make threads: each goroutine blocks one in a
// system call. They stay until the process ends.
func manyThreads(n int) error {
	var blocked sync.WaitGroup
	for range n {
		var p [2]int
		if err := unix.Pipe(p[:]); err != nil {
			return err
		}
		blocked.Add(1)
		go func() {
			blocked.Done()
			_, _ = unix.Read(p[0], make([]byte, 1))
		}()
	}
	blocked.Wait()
	return until(func() error {
		threads, err := Threads()
		if err == nil && len(threads) < n {
			err = fmt.Errorf("%d threads, waiting for %d", len(threads), n)
		}
		return err
	})
}

// until repeats f until it returns nil, or patience is over.
func until(f func() error) error {
	give := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil || time.Now().After(give) {
			return err
		}
		<-tick.C
	}
}

func allFIFO() error {
	threads, err := Threads()
	if err != nil {
		return err
	}
	for _, t := range threads {
		if !t.Realtime || t.Priority != DefaultPriority {
			return fmt.Errorf("of %d threads, %d is %+v", len(threads), t.ID, t)
		}
		attr, err := unix.SchedGetAttr(t.ID, 0)
		if err == nil && attr.Flags&unix.SCHED_FLAG_RESET_ON_FORK != 0 {
			return fmt.Errorf("thread %d would make normal threads", t.ID)
		}
	}
	return nil
}

func helpThreads() error {
	if err := manyThreads(8); err != nil { // those that are there already
		return err
	}
	if err := enabled(); err != nil {
		return err
	}
	if err := allFIFO(); err != nil {
		return err
	}
	if err := manyThreads(24); err != nil { // those that come
		return err
	}
	return allFIFO()
}

// waiter is a child that waits to be let go.
func waiter(start func(*exec.Cmd) error) (pid int, end func(), err error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperVar+"=wait")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return 0, nil, err
	}
	if err := start(cmd); err != nil {
		return 0, nil, err
	}
	return cmd.Process.Pid, func() { stdin.Close(); _ = cmd.Wait() }, nil
}

func helpChildren() error {
	if err := enabled(); err != nil {
		return err
	}
	pid, end, err := waiter(func(c *exec.Cmd) error { return c.Start() })
	if err != nil {
		return err
	}
	defer end()
	if attr, err := unix.SchedGetAttr(pid, 0); err != nil || attr.Policy != unix.SCHED_RR {
		return fmt.Errorf("the test shows nothing: a plainly started child has policy %v (%v)", attr, err)
	}
	return childrenAreNormal()
}

func childrenAreNormal() error {
	for range 20 {
		pid, end, err := waiter(Start)
		if err != nil {
			return err
		}
		attr, err := unix.SchedGetAttr(pid, 0)
		end()
		if err != nil || attr.Policy != unix.SCHED_NORMAL || attr.Nice != 0 {
			return fmt.Errorf("a child started at normal priority has %+v (%v)", attr, err)
		}
	}
	if err := manyThreads(24); err != nil { // the flag must not have reached threads
		return err
	}
	return until(allFIFO) // a thread that could not be cleared is about to end
}

func helpMemory() error {
	g := Enable(0)
	if g.Memory != nil {
		return fmt.Errorf("%w: %w", errSkip, g.Memory)
	}
	grown := make([]byte, 64<<20)
	for i := range grown {
		grown[i] = 1
	}
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		if kb, ok := strings.CutPrefix(line, "VmLck:"); ok {
			n, err := strconv.Atoi(strings.Fields(kb)[0])
			if err != nil || n < len(grown)>>10 {
				return fmt.Errorf("%d KiB are locked (%v), want at least the %d touched", n, err, len(grown)>>10)
			}
			return nil
		}
	}
	return errors.New("no VmLck in /proc/self/status")
}

// helpDropped gives its privileges up once it is real-time. Then the thread
// that started a program cannot be made what it was, and must end. (Memory is
// not locked here: whoever gives up CAP_IPC_LOCK after that dies of it.)
func helpDropped() error {
	if err := scheduleAll(DefaultPriority); err != nil {
		return fmt.Errorf("%w: %w", errSkip, err)
	}
	if err := syscall.Setuid(65534); err != nil {
		return err
	}
	// Nobody cannot run the test binary again: any program will do.
	cmd := exec.Command("/bin/cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := Start(cmd); err != nil {
		return err
	}
	attr, err := unix.SchedGetAttr(cmd.Process.Pid, 0)
	in.Close()
	_ = cmd.Wait()
	if err != nil || attr.Policy != unix.SCHED_NORMAL {
		return fmt.Errorf("a child started at normal priority has %+v (%v)", attr, err)
	}
	if err := manyThreads(24); err != nil {
		return err
	}
	return until(allFIFO)
}

func helpUnprivileged() error {
	if err := syscall.Setuid(65534); err != nil {
		return err
	}
	g := Enable(0)
	if g.Scheduling == nil || !strings.Contains(g.Scheduling.Error(), "CAP_SYS_NICE") {
		return fmt.Errorf("scheduling: %v, want to be told of CAP_SYS_NICE", g.Scheduling)
	}
	if g.Memory == nil || !strings.Contains(g.Memory.Error(), "CAP_IPC_LOCK") {
		return fmt.Errorf("memory: %v, want to be told of CAP_IPC_LOCK", g.Memory)
	}
	_ = make([]byte, 256<<20) // the refusal has not left a limit behind that kills
	return Start(exec.Command("/bin/true"))
}

func helpCgroup() error {
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil { // until we are in the group
		return err
	}
	g := Enable(0)
	if g.Scheduling == nil || !strings.Contains(g.Scheduling.Error(), "cpu.rt_runtime_us") {
		return fmt.Errorf("scheduling: %v, want to be told of cpu.rt_runtime_us", g.Scheduling)
	}
	return nil
}

// runHelper runs one and fails or skips as it says.
func runHelper(t *testing.T, what string, prepare func(pid int, stdin io.Writer)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: needs root, for real-time priority")
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperVar+"="+what)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		prepare(cmd.Process.Pid, stdin)
	}
	stdin.Close()
	err = cmd.Wait()
	switch said := strings.TrimSpace(out.String()); {
	case strings.HasPrefix(said, errSkip.Error()+":"):
		t.Skipf("NOT TESTED: %s", said)
	case err != nil || said != "ok":
		t.Fatalf("%v: %s", err, said)
	}
}

func TestAllThreadsPresentAndFutureAreRealTime(t *testing.T)         { runHelper(t, "threads", nil) }
func TestProgramsStartAtNormalPriority(t *testing.T)                 { runHelper(t, "children", nil) }
func TestMemoryIsLockedAlsoWhenItGrows(t *testing.T)                 { runHelper(t, "memory", nil) }
func TestProgramsStartAtNormalPriorityAlsoUnprivileged(t *testing.T) { runHelper(t, "dropped", nil) }
func TestARefusalSaysWhichPrivilegeIsMissing(t *testing.T)           { runHelper(t, "unprivileged", nil) }

func TestARefusalNamesTheCgroupWithoutRealTime(t *testing.T) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	root, ok := cpuMount(mounts)
	if !ok {
		t.Skip("NOT TESTED: no cpu hierarchy of cgroup v1 here")
	}
	dir := filepath.Join(root, fmt.Sprintf("bfe-realtime-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("NOT TESTED: cannot make a cgroup: %v", err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Errorf("leave no cgroup behind: %v", err)
		}
	})
	if us, err := readInt(filepath.Join(dir, "cpu.rt_runtime_us")); err != nil || us != 0 {
		t.Skipf("NOT TESTED: no CONFIG_RT_GROUP_SCHED here (%d, %v)", us, err)
	}
	runHelper(t, "cgroup", func(pid int, stdin io.Writer) {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(stdin, "go\n"); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAnImpossiblePriorityIsRefused(t *testing.T) {
	for _, p := range []int{-1, 100} {
		if err := scheduleAll(p); err == nil {
			t.Errorf("priority %d was taken", p)
		}
	}
}

func TestPdeathsigIsRefused(t *testing.T) {
	cmd := exec.Command("/bin/true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := Start(cmd); err == nil {
		_ = cmd.Wait()
		t.Fatal("started")
	}
}

func TestTheCgroupOfAProcessIsFound(t *testing.T) {
	for name, tt := range map[string]struct{ own, want string }{
		"cpu alone":            {"2:cpuset:/\n1:cpu:/a/b\n0::/x\n", "/a/b"},
		"cpu with cpuacct":     {"4:cpu,cpuacct:/system.slice\n", "/system.slice"},
		"colons in the name":   {"4:cpu:/a:b\n", "/a:b"},
		"version 2 only":       {"0::/user.slice\n", ""},
		"cpuset is not cpu":    {"2:cpuset:/\n", ""},
		"no controller at all": {"", ""},
	} {
		if got, ok := cpuPath([]byte(tt.own)); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: %q, %v, want %q", name, got, ok, tt.want)
		}
	}
	mounts := "30 23 0:26 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n" +
		"31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
	if got, ok := cpuMount([]byte(mounts)); !ok || got != "/sys/fs/cgroup/cpu,cpuacct" {
		t.Errorf("mounted at %q, %v", got, ok)
	}
}

func TestOnlyATightThrottleIsWarnedOf(t *testing.T) {
	for name, tt := range map[string]struct {
		runtime, period string
		warn            bool
	}{
		"usual":    {"950000", "1000000", false},
		"no limit": {"-1", "1000000", false},
		"tight":    {"100000", "1000000", true},
		"unread":   {"x", "1000000", false},
	} {
		dir := t.TempDir()
		for file, text := range map[string]string{"runtime": tt.runtime, "period": tt.period} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := throttle(filepath.Join(dir, "runtime"), filepath.Join(dir, "period")); (got != "") != tt.warn {
			t.Errorf("%s: %q", name, got)
		}
	}
}
