// Package process answers which processes belong to a lab, and starts, stops,
// freezes and kills them.
//
// It never looks a process up by its command's name. The one rule: a signal
// goes only to a process that the lab started, or that such a process started:
// the one is known by its number and start time, the other by a mark in its
// environment or by its session, and both are held by a pidfd before they are looked at, so that
// a number that was used again is never hit.
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
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// markVar is the environment variable that all processes of a lab inherit. Its
// value is the lab's directory.
const markVar = "BATON_LAB"

// A Process is one process, identified for all time since the host booted.
type Process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks after boot, field 22 of /proc/PID/stat (proc(5))
}

// started is a process as it is recorded: the record outlives a boot of the host, after
// which somebody else may have the same number and start time.
type started struct {
	Process
	Boot      string `json:"boot"`      // /proc/sys/kernel/random/boot_id
	Namespace uint64 `json:"namespace"` // inode of its network namespace
}

// A Spec says what to start and where.
type Spec struct {
	Lab       string   // the lab's directory: the mark, and where records are kept
	Name      string   // unique in the lab, such as "db1-server"
	Namespace string   // network namespace to run in
	Args      []string // program and arguments
	Log       string   // file that output is appended to
	Env       []string // besides this process's own
}

// Start starts a process in its own session, so that it survives the command
// that started it, and records it under its name. The process is reaped by one
// goroutine, which ends with it.
func Start(spec Spec) (Process, error) {
	log, err := os.OpenFile(spec.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return Process{}, fmt.Errorf("open the log of %s: %w", spec.Name, err)
	}
	defer log.Close()
	args := append([]string{"netns", "exec", spec.Namespace}, spec.Args...)
	cmd := exec.Command("ip", args...) // execs the program: the number stays
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(append(os.Environ(), markVar+"="+spec.Lab), spec.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return Process{}, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	stat, err := readStat(cmd.Process.Pid) // a zombie at worst: nobody has waited for it yet
	go cmd.Wait()                          //nolint:errcheck // how it ended is seen by those who look after it
	if err != nil {
		return Process{}, fmt.Errorf("look at %s, just started: %w", spec.Name, err)
	}
	p := Process{PID: cmd.Process.Pid, Start: stat.start}
	if err := record(spec, p); err != nil {
		return Process{}, errors.Join(err, p.Signal(unix.SIGKILL))
	}
	return p, nil
}

func recordPath(lab, name string) string {
	return filepath.Join(lab, "processes", name+".json")
}

func record(spec Spec, p Process) error {
	fail := func(err error) error { return fmt.Errorf("record process %s: %w", spec.Name, err) }
	boot, err := bootID()
	if err != nil {
		return fail(err)
	}
	namespace, err := namespaceInode(spec.Namespace)
	if err != nil {
		return fail(err)
	}
	path := recordPath(spec.Lab, spec.Name)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fail(err)
	}
	b, err := json.Marshal(started{p, boot, namespace})
	if err != nil {
		return fail(err)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, 0o640); err != nil {
		return fail(err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fail(err)
	}
	return nil
}

// Recorded returns the process that was last started under that name, since the host
// booted. It may have ended since.
func Recorded(lab, name string) (Process, bool) {
	s, ok := recorded(lab, name)
	return s.Process, ok
}

func recorded(lab, name string) (started, bool) {
	b, err := os.ReadFile(recordPath(lab, name))
	if err != nil {
		return started{}, false
	}
	var s started
	if json.Unmarshal(b, &s) != nil || s.PID <= 1 {
		return started{}, false
	}
	if boot, err := bootID(); err != nil || s.Boot != boot {
		return started{}, false // it ended with the boot that it was of
	}
	return s, true
}

// bootID identifies the present boot of this host.
func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return string(bytes.TrimSpace(b)), err
}

// Alive reports whether the process runs (stopped by a signal counts, a zombie
// does not).
func (p Process) Alive() bool {
	stat, err := readStat(p.PID)
	return err == nil && stat.start == p.Start && stat.state != 'Z' && stat.state != 'X'
}

// Stopped reports whether the process is frozen by SIGSTOP.
func (p Process) Stopped() bool {
	stat, err := readStat(p.PID)
	return err == nil && stat.start == p.Start && stat.state == 'T'
}

// Signal sends a signal to this process and to no other. A process that has
// ended is no error.
func (p Process) Signal(sig unix.Signal) error {
	fd, err := p.open()
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("send %s to process %d: %w", unix.SignalName(sig), p.PID, err)
	}
	return nil
}

// open returns a pidfd of the process, or ESRCH if it has ended.
func (p Process) open() (int, error) {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
			return -1, unix.ESRCH
		}
		return -1, fmt.Errorf("open process %d: %w", p.PID, err)
	}
	// Only now is the number held: what we see from here on is what we signal.
	if stat, err := readStat(p.PID); err != nil || stat.start != p.Start {
		unix.Close(fd)
		return -1, unix.ESRCH
	}
	return fd, nil
}

// Wait waits until the process has ended.
func (p Process) Wait(ctx context.Context) error {
	fd, err := p.open()
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	const look = 50 * time.Millisecond // how late a cancelled context is noticed
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(look.Milliseconds()))
		switch {
		case n > 0:
			return nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("wait for process %d: %w", p.PID, err)
		case ctx.Err() != nil:
			return fmt.Errorf("wait for process %d to end: %w", p.PID, context.Cause(ctx))
		}
	}
}

// Kill ends the process at once and waits until it is gone.
func (p Process) Kill(ctx context.Context) error {
	if err := p.Signal(unix.SIGKILL); err != nil {
		return err
	}
	return p.Wait(ctx)
}

// Stop asks the process to end, and kills it when it has not by the end of
// patience.
func (p Process) Stop(ctx context.Context, patience time.Duration) error {
	if err := p.Signal(unix.SIGTERM); err != nil {
		return err
	}
	if err := p.Signal(unix.SIGCONT); err != nil { // a frozen one hears nothing
		return err
	}
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if p.Wait(short) == nil {
		return nil
	}
	return p.Kill(ctx)
}

type procStat struct {
	state   byte
	session int
	start   uint64
}

func readStat(pid int) (procStat, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, err
	}
	return parseStat(b)
}

// parseStat reads a line of /proc/PID/stat. The command's name, in brackets,
// may hold blanks and brackets itself.
func parseStat(b []byte) (procStat, error) {
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return procStat{}, fmt.Errorf("no command in %q", b)
	}
	f := strings.Fields(string(b[i+1:]))
	if len(f) < 20 {
		return procStat{}, fmt.Errorf("only %d fields after the command in %q", len(f), b)
	}
	start, err := strconv.ParseUint(f[19], 10, 64)
	if err != nil {
		return procStat{}, fmt.Errorf("start time in %q: %w", b, err)
	}
	session, err := strconv.Atoi(f[3])
	if err != nil {
		return procStat{}, fmt.Errorf("session in %q: %w", b, err)
	}
	return procStat{state: f[0][0], session: session, start: start}, nil
}
