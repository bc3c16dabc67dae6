package dbtest

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// process is one life of a server.
type process struct {
	pid   int
	ended chan struct{}
}

// end signals the process and returns once it is gone.
func (p *process) end(sig syscall.Signal) {
	select {
	case <-p.ended:
		return
	default:
	}
	// Not reaped yet, so that the number is still its own.
	_ = syscall.Kill(p.pid, sig)
	<-p.ended
}

// startProcess returns once the server says that it takes connections.
func startProcess(cmd *exec.Cmd) (*process, error) {
	log, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	// The kernel kills the server when the thread that started it ends, and so
	// when this test binary is killed. The thread is kept for as long.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &process{ended: make(chan struct{})}
	up := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.ended)
		if err := cmd.Start(); err != nil {
			up <- fmt.Errorf("start the server: %w", err)
			return
		}
		p.pid = cmd.Process.Pid
		watchLog(log, up)
		_ = cmd.Wait() // how it ended is what the test is about
	}()
	if err := <-up; err != nil {
		<-p.ended
		return nil, err
	}
	return p, nil
}

// watchLog reads a server's log to its end, and says when the server is ready,
// or that it ended before.
func watchLog(log io.Reader, up chan<- error) {
	var seen []string
	ready := false
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		if !ready {
			seen = append(seen, lines.Text())
		}
		if !ready && strings.Contains(lines.Text(), "ready for connections") {
			ready = true
			seen = nil
			up <- nil
		}
	}
	if !ready {
		up <- fmt.Errorf("the server ended while it started:\n%s", strings.Join(seen, "\n"))
	}
}
