// Package haproxytest answers what a real HAProxy does: it runs one for a test, as a
// child process in a directory of its own.
//
// It touches no HAProxy of the machine's. The rule: it ends with the test, however
// that ends.
package haproxytest

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/endpoint/endpointtest"
)

// HAProxy is one that runs.
type HAProxy struct {
	Socket string // of its runtime API
	Dir    string
	cmd    *exec.Cmd
}

// Start runs one with those sections of a configuration, in which DIR is a directory
// of its own: what it binds is best a unix socket there. level is what the runtime API
// permits. It returns once that answers.
func Start(t testing.TB, level, sections string) *HAProxy {
	t.Helper()
	program := endpointtest.Program(t, "haproxy")
	dir, err := os.MkdirTemp("", "haproxy-") // short: paths of sockets are
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := &HAProxy{Socket: filepath.Join(dir, "admin"), Dir: dir}
	text := fmt.Sprintf(`global
    nbthread 1
    stats socket %s mode 600 level %s
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
%s`, h.Socket, level, strings.ReplaceAll(sections, "DIR", dir))
	conf := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	h.cmd = exec.Command(program, "-db", "-f", conf)
	h.cmd.Stdout, h.cmd.Stderr = &said, &said
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dead := make(chan struct{})
	go func() { _ = h.cmd.Wait(); close(dead) }()
	t.Cleanup(func() { _ = h.cmd.Process.Kill(); <-dead })
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for limit := time.After(time.Minute); ; {
		if answer, err := ask(h.Socket, "show info"); err == nil && strings.Contains(answer, "Pid: ") {
			return h
		}
		select {
		case <-again.C:
		case <-dead:
			t.Fatalf("haproxy has ended:\n%s", said.String())
		case <-limit:
			t.Fatal("haproxy does not answer")
		}
	}
}

// Freeze stops it without ending it: its sockets accept, and nobody answers.
func (h *HAProxy) Freeze(t testing.TB) {
	t.Helper()
	if err := h.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for limit := time.After(time.Minute); ; { // the signal is delivered later
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", h.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		if _, after, _ := bytes.Cut(stat, []byte(") ")); bytes.HasPrefix(after, []byte("T")) {
			return
		}
		select {
		case <-again.C:
		case <-limit:
			t.Fatal("haproxy does not stop")
		}
	}
}

// Kill ends it.
func (h *HAProxy) Kill(t testing.TB) {
	t.Helper()
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
}

// Ask gives it a command, as a person would, and returns the answer.
func (h *HAProxy) Ask(t testing.TB, command string) string {
	t.Helper()
	answer, err := ask(h.Socket, command)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func ask(socket, command string) (string, error) {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := io.WriteString(c, command+"\n"); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}
