// Package command answers how a person's command went: a hook, the check of a
// file, the reload of a proxy.
//
// It starts the program itself, without a shell, and waits for it; what it may
// start and for how long is for the caller to say. The rule: a command that
// is over its time is killed with its whole process group before Run returns, and
// what it printed is told only as far as a limit, without the hidden texts.
package command

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Command is what to run.
type Command struct {
	Args []string // the program and its arguments
	// Env is all of the environment but PATH, as NAME=value.
	Env   []string
	Input []byte // on its standard input
	Limit time.Duration
	// Hidden are texts that are told to nobody.
	Hidden []string
	// Quiet says that what it prints may hold secrets: no error tells of it.
	Quiet bool
}

// searched is the PATH of a command.
const searched = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// told is how much of what a command prints is told, in bytes.
const told = 4 << 10

// afterwards is how long something that the command has left behind may keep its
// output open: a reload starts things that live on.
const afterwards = 200 * time.Millisecond

// ErrTooLong says that the command was killed at its limit.
var ErrTooLong = errors.New("it did not end in time and was killed")

// Run runs the command and returns the beginning of what it printed. At its limit,
// or when ctx ends, it is killed with everything that it started in its process group.
func (c Command) Run(ctx context.Context) (printed string, err error) {
	out := head{most: told}
	return c.run(ctx, &out)
}

// whole is how much may be printed by what is read by Output, in bytes.
const whole = 4 << 20

// Output runs the command as Run does, and returns all that it printed as it printed it.
func (c Command) Output(ctx context.Context) (printed string, err error) {
	out := head{most: whole}
	if _, err := c.run(ctx, &out); err != nil {
		return "", err
	}
	if out.more {
		return "", fmt.Errorf("run %s: it prints more than %d bytes", c.Args[0], whole)
	}
	return string(out.kept), nil
}

func (c Command) run(ctx context.Context, out *head) (printed string, err error) {
	if len(c.Args) == 0 {
		return "", errors.New("run a command: there is none")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.Limit, fmt.Errorf("%w (limit %s)", ErrTooLong, c.Limit))
	defer cancel()
	program, err := find(c.Args[0])
	if err != nil {
		return "", fmt.Errorf("run %s: %w", c.Args[0], err)
	}
	run := exec.CommandContext(ctx, program, c.Args[1:]...)
	run.Env, run.Dir, run.Stdout, run.Stderr = append([]string{searched, "LANG=C.UTF-8"}, c.Env...), "/", out, out
	if len(c.Input) > 0 {
		run.Stdin = strings.NewReader(string(c.Input))
	}
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	run.Cancel = func() error { return unix.Kill(-run.Process.Pid, unix.SIGKILL) }
	run.WaitDelay = afterwards
	err = run.Run()
	printed = c.hide(out.String())
	switch {
	case errors.Is(err, exec.ErrWaitDelay): // it has ended well, and left something behind
		return printed, nil
	case err == nil:
		return printed, nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	if printed != "" && !c.Quiet {
		return printed, fmt.Errorf("run %s: %w: it says: %s", c.Args[0], err, printed)
	}
	return "", fmt.Errorf("run %s: %w", c.Args[0], err)
}

// find returns the path of a program: the agent's own PATH says nothing about it.
func find(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range strings.Split(strings.TrimPrefix(searched, "PATH="), ":") {
		if path := dir + "/" + name; unix.Access(path, unix.X_OK) == nil {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

// hide makes one line of what was printed, without the hidden texts.
func (c Command) hide(text string) string {
	for _, h := range c.Hidden {
		if h != "" {
			text = strings.ReplaceAll(text, h, "(secret)")
		}
	}
	return strings.Join(strings.Fields(text), " ")
}

// head keeps the beginning of what is written to it, and takes all of it.
type head struct {
	most int

	mu   sync.Mutex
	kept []byte
	more bool
}

func (h *head) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := min(len(b), h.most-len(h.kept))
	h.kept = append(h.kept, b[:n]...)
	h.more = h.more || n < len(b)
	return len(b), nil
}

func (h *head) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	text := strings.ToValidUTF8(string(h.kept[:min(told, len(h.kept))]), "?")
	if h.more || len(h.kept) > told {
		text += " …"
	}
	return text
}
