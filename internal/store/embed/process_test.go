package embed_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/store"
	"github.com/baton-db/baton/internal/store/embed"
)

// processEnv makes the test binary one node instead: its value are the Options.
const processEnv = "BATON_TEST_NODE"

// The requests that freeze and thaw a file system, linux/fs.h.
const (
	fiFreeze = 0xc0045877
	fiThaw   = 0xc0045878
)

func TestMain(m *testing.M) {
	if conf := os.Getenv(processEnv); conf != "" {
		if err := runNode(conf); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// runNode runs a member until its standard input ends, or it does by itself;
// then it says why.
func runNode(conf string) error {
	var o embed.Options
	if err := json.Unmarshal([]byte(conf), &o); err != nil {
		return err
	}
	o.Log = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m, err := embed.Start(ctx, o)
	if err != nil {
		return err
	}
	<-m.Ready()
	fmt.Println("ready")
	if lease, err := time.ParseDuration(os.Getenv(leaseEnv)); err == nil {
		go actAsAgent(m, o.Self, lease)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, err := os.Stdin.Read(make([]byte, 1))
		_ = err // that it has ended is all there is to know
	}()
	select {
	case <-m.Done():
		fmt.Println("done:", strings.ReplaceAll(fmt.Sprint(m.Err()), "\n", "; "))
		<-over
	case <-over:
	}
	ctx, cancel = context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return m.Close(ctx)
}

// process is a node in a process of its own.
type process struct {
	cmd  *exec.Cmd
	said *bufio.Scanner
}

// fork starts a node in a process, which ends with the test.
func fork(t testing.TB, o embed.Options, env ...string) *process {
	t.Helper()
	o.Log = nil
	conf, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(append(os.Environ(), processEnv+"="+string(conf)), env...)
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.said = bufio.NewScanner(out)
	t.Cleanup(func() {
		_ = in.Close()
		_ = p.cmd.Process.Kill() // frozen or not
		_ = p.cmd.Wait()
	})
	return p
}

func (p *process) says(t testing.TB, want string) string {
	t.Helper()
	if !p.said.Scan() || !strings.HasPrefix(p.said.Text(), want) {
		t.Fatalf("the node says %q (%v), want %q", p.said.Text(), p.said.Err(), want)
	}
	return p.said.Text()
}

// leads makes a node the leader.
func (n *nodes) leads(name cluster.NodeName, asked cluster.NodeName) {
	n.t.Helper()
	n.eventually(string(name)+" leads", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		lead, _ := n.members[asked].Leader()
		if lead == name {
			return nil
		}
		return errors.Join(n.members[asked].MoveLeader(ctx, name), errors.New("not yet"))
	})
}

// goesOn waits until a node's writes succeed while w1 is not there.
func (n *nodes) goesOn(name cluster.NodeName) {
	n.t.Helper()
	n.eventually("the others go on", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := n.members[name].Backend().Commit(ctx, nil, []store.Op{{Key: "without-w1", Value: []byte("x")}})
		if err != nil && !errors.Is(err, store.ErrUnknown) {
			n.t.Errorf("a write while nobody leads: %v", err)
		}
		return err
	})
}

// A member that gets no processor, or whose disk does not answer, looks like
// this to the others: its connections stand, and nothing comes.
func TestAFrozenLeaderIsReplacedAndComesBack(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	p := fork(t, n.options("w1"))
	n.start("db1", "db2")
	p.says(t, "ready")
	n.leads("w1", "db1")
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	n.goesOn("db1")
	st, err := n.members["db1"].Backend().Status(within(t, 5*time.Second))
	if err != nil || st.Healthy() != 2 || st.Leader == "w1" {
		t.Errorf("status: %+v, %v", st, err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	n.eventually("w1 is back", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		st, err := n.members["db1"].Backend().Status(ctx)
		if err == nil && st.Healthy() != 3 {
			err = fmt.Errorf("%+v", st.Members)
		}
		return err
	})
	n.stop("db2") // now w1 is needed for every write
	n.put("db1", "with-w1")
}

// Its disk is full: the member ends, its process and the other members do not.
// The leader's disk does not answer for a while. The leadership goes to a member
// whose disk does, the slow one says what is wrong, and takes part again once it
// is over.
func TestASlowDiskCostsTheLeadershipAndIsNamed(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	o := n.options("w1")
	freeze := slowDisk(t, o.DataDir)
	n.start("w1", "db1", "db2")
	n.leads("w1", "db1")
	// A busy machine's disk may be slow for a moment, and is named rightly then.
	well := func(node cluster.NodeName) func(context.Context) error {
		return func(context.Context) error {
			if slow := n.members[node].SlowDisk(); slow != "" {
				return fmt.Errorf("it says %q", slow)
			}
			return nil
		}
	}
	n.eventually("w1's disk is well at first", well("w1"))
	freeze(true)
	n.goesOn("db1")
	if lead, _ := n.members["db1"].Leader(); lead == "w1" {
		t.Error("w1 leads although its disk does not answer")
	}
	n.eventually("w1 names its disk", func(context.Context) error {
		if slow := n.members["w1"].SlowDisk(); !strings.Contains(slow, "has not ended for") {
			return fmt.Errorf("it says %q", slow)
		}
		return nil
	})
	n.eventually("db1 finds nothing wrong with its own meanwhile", well("db1"))
	freeze(false)
	n.eventually("w1 finds its disk well", well("w1"))
	n.stop("db2") // now w1 is needed for every write
	n.eventually("w1 takes part", func(ctx context.Context) error {
		_, err := n.members["db1"].Backend().Commit(ctx, nil, []store.Op{{Key: "with-w1", Value: []byte("x")}})
		return err
	})
}

// slowDisk puts a file system of its own at dir. The function stops every write
// to it, and lets them go on.
func slowDisk(t *testing.T, dir string) (freeze func(on bool)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: mounting a file system takes root; run the tests as root")
	}
	image := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 256<<20); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{{"mkfs.ext4", "-q", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Skipf("SKIPPED: this machine does not let us make a disk that can be frozen: %v: %v: %s", c, err, out)
		}
	}
	mount, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	freeze = func(on bool) {
		t.Helper()
		request := uint(fiThaw)
		if on {
			request = fiFreeze
		}
		if err := unix.IoctlSetInt(int(mount.Fd()), request, 0); err != nil {
			t.Fatalf("freeze the disk: %t: %v", on, err)
		}
	}
	t.Cleanup(func() {
		_ = unix.IoctlSetInt(int(mount.Fd()), fiThaw, 0) // it may be thawed already
		if err := errors.Join(mount.Close(), unix.Unmount(dir, unix.MNT_DETACH)); err != nil {
			t.Error(err)
		}
	})
	return freeze
}

func TestAFullDiskEndsTheMemberAndNotTheProcess(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: mounting a small file system takes root; run the tests as root")
	}
	n := newNodes(t)
	o := n.options("w1")
	if err := os.Mkdir(o.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	// Two log files of 64 MiB are laid out in advance, and some MiB are left.
	if err := unix.Mount("bst", o.DataDir, "tmpfs", 0, "size=140m,mode=0700"); err != nil {
		t.Skipf("SKIPPED: this kernel or container does not let us mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(o.DataDir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	p := fork(t, o)
	n.start("db1", "db2")
	p.says(t, "ready")
	big := []byte(strings.Repeat("x", 1<<20))
	ended := make(chan string, 1)
	go func() { ended <- p.says(t, "done:") }()
	for i := 0; ; i++ {
		if i == 100 {
			t.Fatal("100 MiB were written and the disk is not full")
		}
		if _, err := n.members["db1"].Backend().Commit(within(t, patience), nil, []store.Op{{Key: "big" + strconv.Itoa(i), Value: big}}); err != nil {
			t.Fatalf("the other members: %v", err)
		}
		select {
		case why := <-ended:
			if !strings.Contains(why, "no space left on device") {
				t.Errorf("it says %q", why)
			}
			n.put("db2", "after")
			return
		default:
		}
	}
}
