package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/proc"
	"github.com/baton-db/baton/internal/realtime"
)

// lookForServer is how often the server's process is looked for while there is
// none.
const lookForServer = 100 * time.Millisecond

// lookEvery is how often a process is looked at that runs. Its end is told by
// the kernel; only that a large one is on its way there, or was stopped, is
// noticed by looking. That costs processor time for ever and gains at most one
// interval, so it follows the lease: 5 ms of 750 ms, 13 ms of 2 s, 66 ms of 10 s.
func lookEvery(lease time.Duration) time.Duration { return max(lease/150, 5*time.Millisecond) }

// serverProcess finds the server's process by its socket, again after every
// restart, and notices at once when it dies.
type serverProcess struct {
	socket   string
	start    func() []string // the command; empty: none
	stop     func() []string
	mayKill  func() bool
	every    time.Duration // between two looks at the process
	log      *slog.Logger
	noticed  func(proc.Kind) // something happened to the process
	appeared func()          // a new process listens

	mu      sync.Mutex
	looked  bool    // somebody has looked for it once
	id      proc.ID // zero: none is known
	cwd     string  // of the process that was found last: servers work in the directory of their data
	alive   bool
	exiting bool
	stopped bool
	// unclear says that something holds the socket but takes no connections:
	// there is a process, and it is not known which.
	unclear bool
}

func (p *serverProcess) run(ctx context.Context) {
	tick := time.NewTicker(lookForServer)
	defer tick.Stop()
	for {
		if id, ok := p.find(ctx); ok {
			p.appeared()
			p.watch(ctx, id)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// find asks who listens on the socket.
func (p *serverProcess) find(ctx context.Context) (proc.ID, bool) {
	call, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	id, err := proc.BySocket(call, p.socket)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looked = true
	p.unclear = err != nil && (errors.Is(err, syscall.EAGAIN) || errors.Is(err, context.DeadlineExceeded))
	if err != nil {
		return proc.ID{}, false
	}
	p.id, p.alive, p.exiting, p.stopped = id, true, false, false
	if dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", id.PID)); err == nil {
		p.cwd = dir
	}
	return id, true
}

// watch follows one process until it is gone.
func (p *serverProcess) watch(ctx context.Context, id proc.ID) {
	events, err := proc.Watch(ctx, id, p.every)
	if err != nil {
		p.log.Warn("watch the server's process", "pid", id.PID, "err", err)
		p.set(proc.Gone)
		p.noticed(proc.Gone)
		return
	}
	p.log.Info("the server's process is watched", "pid", id.PID)
	for e := range events {
		p.log.Info("the server's process", "pid", id.PID, "is", e.Kind)
		p.set(e.Kind)
		p.noticed(e.Kind)
		if e.Kind == proc.Gone {
			return
		}
	}
}

func (p *serverProcess) set(k proc.Kind) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch k {
	case proc.Exiting, proc.Gone:
		p.alive, p.exiting, p.stopped = false, k == proc.Exiting, false
	case proc.Stopped:
		p.stopped = true
	case proc.Running:
		p.stopped = false
	}
}

// Alive implements Process. A process that is exiting executes no statement any
// more and does not count.
func (p *serverProcess) Alive() bool {
	p.mu.Lock()
	looked := p.looked
	p.mu.Unlock()
	if !looked {
		p.find(context.Background()) // bounded; an agent that has just started knows nothing yet
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alive || p.unclear
}

// Gone reports that no process of the server is left that could still write.
func (p *serverProcess) Gone() bool {
	if p.Alive() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.exiting
}

// Stopped implements Process.
func (p *serverProcess) Stopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alive && p.stopped
}

// dataDir is where the server that was found last keeps its data; empty if none was.
func (p *serverProcess) dataDir() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cwd
}

// pid is the number of the process; 0 if none is known.
func (p *serverProcess) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.id.PID
}

// MayKill implements Process.
func (p *serverProcess) MayKill() bool { return p.mayKill() }

// Kill implements Process. It returns once the signal is on its way: nothing
// the process had yet to do is done after that.
func (p *serverProcess) Kill() error {
	p.mu.Lock()
	id := p.id
	p.mu.Unlock()
	p.log.Warn("the server is killed: it did not turn read-only in time", "pid", id.PID)
	err := proc.Signal(id, unix.SIGKILL)
	if errors.Is(err, proc.ErrGone) {
		return nil
	}
	return err
}

// startServer is how long the start command may take.
const startServer = 2 * time.Minute

// Stop has the server end in good order, and returns once it has.
func (p *serverProcess) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopServer)
	defer cancel()
	if err := p.command(ctx, "stop", p.stop()); err != nil {
		return err
	}
	tick := time.NewTicker(lookForServer)
	defer tick.Stop()
	for {
		if _, listens := p.find(ctx); !listens && !p.Alive() {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("the server runs still, although the command that stops it (server.stop) has ended")
		case <-tick.C:
		}
	}
}

// Start implements Process.
func (p *serverProcess) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startServer)
	defer cancel()
	return p.command(ctx, "start", p.start())
}

// command starts or stops the server.
func (p *serverProcess) command(ctx context.Context, what string, command []string) error {
	if len(command) == 0 {
		return fmt.Errorf("the configuration does not say how to %s the server (server.%s)", what, what)
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := realtime.Start(cmd) // at normal priority: the server must not inherit ours
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("%s the server with %q: %w: %s", what, strings.Join(command, " "), err, strings.TrimSpace(out.String()))
	}
	return nil
}
