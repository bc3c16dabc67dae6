package datadir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Seed is a server of MySQL with no data of its own, in a corner of the copy's
// directory: only a server that runs can fetch a copy, and on a new host, or
// beside a broken one, there is none. Nobody reaches it but over a socket that its
// system user and root may open, and nothing of it is in the copy.
type Seed struct {
	cmd   *exec.Cmd
	place Place
	ended chan struct{}
}

func (p Place) seedDir() string { return filepath.Join(p.staging(), "seed") }

// SeedSocket is where a seed answers: to root, without a password.
func (p Place) SeedSocket() string { return filepath.Join(p.staging(), "seed.sock") }

func (p Place) seedPID() string { return filepath.Join(p.staging(), "seed.pid") }
func (p Place) seedLog() string { return filepath.Join(p.staging(), "seed.log") }

// seedBuffer is all the memory for pages that a server needs which only passes
// data on.
const seedBuffer = 128 << 20

// Seed initialises and starts one, after Begin. program is the server's program
// and what makes it read the option files of the real one: a server that clones
// must have the plugins, the page size and the character set of its donor. ctx
// bounds its life, start starts a program.
func (p Place) Seed(ctx context.Context, l Look, program []string, start func(*exec.Cmd) error) (*Seed, error) {
	if len(program) == 0 {
		return nil, errors.New("the configuration does not say which program the server is (server.program)")
	}
	common := []string{
		"--datadir=" + p.seedDir(), "--log-error=" + p.seedLog(), "--skip-log-bin", "--super-read-only=OFF", "--read-only=OFF",
		"--event-scheduler=OFF", "--general-log=OFF", "--slow-query-log=OFF", "--loose-mysqlx=OFF", "--loose-skip-replica-start",
		fmt.Sprintf("--innodb-buffer-pool-size=%d", int64(seedBuffer)),
	}
	initialise := p.seedCommand(ctx, l, program, append([]string{"--initialize-insecure"}, common...))
	err := os.Mkdir(p.seedDir(), 0o700)
	if err == nil {
		err = os.Chown(p.seedDir(), l.Owner, l.Group)
	}
	if err == nil {
		if err = start(initialise); err == nil {
			err = initialise.Wait()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("initialise a server of MySQL that fetches the copy, with %s: %w%s", strings.Join(initialise.Args, " "), err, p.seedSaid())
	}
	s := &Seed{place: p, ended: make(chan struct{}), cmd: p.seedCommand(ctx, l, program, append([]string{
		"--socket=" + p.SeedSocket(), "--pid-file=" + p.seedPID(), "--skip-networking", "--plugin-load-add=mysql_clone.so",
	}, common...))}
	if err := start(s.cmd); err != nil {
		return nil, fmt.Errorf("start the server that fetches the copy: %w", err)
	}
	go func() {
		defer close(s.ended)
		_ = s.cmd.Wait() // how it ended is told by its log
	}()
	return s, nil
}

// seedCommand runs the server as the system user of the real one.
func (p Place) seedCommand(ctx context.Context, l Look, program, args []string) *exec.Cmd {
	args = append(program[1:len(program):len(program)], args...)
	if l.Owner == 0 {
		args = append(args, "--user=root")
	}
	cmd := exec.CommandContext(ctx, program[0], args...)
	cmd.Dir = p.staging()
	if os.Geteuid() == 0 && l.Owner != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(l.Owner), Gid: uint32(l.Group)}}
	}
	cmd.WaitDelay = time.Second
	return cmd
}

// Ready returns once ask, which asks the seed something, is answered.
func (s *Seed) Ready(ctx context.Context, ask func(context.Context) error) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := ask(try)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.ended:
			return fmt.Errorf("the server that fetches the copy has ended%s", s.place.seedSaid())
		case <-ctx.Done():
			return fmt.Errorf("ask the server that fetches the copy: %w", err)
		}
	}
}

// End kills it: nothing of it is of any use afterwards.
func (s *Seed) End() error {
	_ = s.cmd.Process.Kill() // it may have ended
	<-s.ended
	if err := os.RemoveAll(s.place.seedDir()); err != nil {
		return fmt.Errorf("remove the server that fetched the copy: %w", err)
	}
	return nil
}

// endSeed kills a seed that an agent before this one has left behind.
func (p Place) endSeed() error {
	b, err := os.ReadFile(p.seedPID())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	pid, wrong := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || wrong != nil || pid <= 1 {
		return nil // it was killed while it wrote that, or never did
	}
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil // it is gone
	}
	defer unix.Close(process)
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !bytes.Contains(command, []byte("--datadir="+p.seedDir()+"\x00")) {
		return nil // the number is somebody else's by now
	}
	if err := unix.PidfdSendSignal(process, unix.SIGKILL, nil, 0); err != nil {
		return fmt.Errorf("end the server that fetched a copy (process %d): %w", pid, err)
	}
	// A pidfd becomes readable when its process has ended.
	if _, err := unix.Poll([]unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}, int(seedEnds.Milliseconds())); err != nil {
		return fmt.Errorf("wait for the end of the server that fetched a copy (process %d): %w", pid, err)
	}
	return nil
}

// seedEnds bounds the wait for the end of a killed server.
const seedEnds = 10 * time.Second

// seedSaid is what the seed's log says of errors, to be put behind a message.
func (p Place) seedSaid() string {
	b, err := os.ReadFile(p.seedLog())
	if err != nil || len(bytes.TrimSpace(b)) == 0 {
		return ""
	}
	said := tail{b: b}
	return ": " + said.words()
}
