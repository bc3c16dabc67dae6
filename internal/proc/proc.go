// Package proc answers: which process is the database server, and is it alive?
//
// It looks only at the kernel's own account of a process (pidfd, /proc, the
// credentials of a unix socket), so that it works for a server that somebody
// else started, and it never talks to the server.
//
// The one rule that must not be broken: a process is its ID, never its pid.
// Whatever is done to a process is done through a pidfd whose start time was
// compared after it was opened, so that a reused pid is never signalled.
package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrGone says that the process does not run any more: its pid is free, a
// zombie's, or another process's.
var ErrGone = errors.New("the process is gone")

// ID names one process for ever: no other one, on this host or after a boot of
// it, has the same.
type ID struct {
	PID   int
	Start uint64 // clock ticks from boot to its start: field 22 of /proc/PID/stat, proc_pid_stat(5)
	Boot  string // /proc/sys/kernel/random/boot_id
}

// String returns "pid@start@boot".
func (id ID) String() string { return fmt.Sprintf("%d@%d@%s", id.PID, id.Start, id.Boot) }

// Identify returns the identity of the process that has this pid now.
// A zombie is ErrGone.
func Identify(pid int) (ID, error) {
	st, err := readStat(pid)
	if err != nil {
		return ID{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	if st.dead() {
		return ID{}, fmt.Errorf("identify process %d: %w: a zombie that its parent has not reaped", pid, ErrGone)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ID{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	return ID{PID: pid, Start: st.start, Boot: string(bytes.TrimSpace(boot))}, nil
}

// BySocket returns the process that listens on a unix socket. It connects and
// hangs up, which the server may count as an aborted connection: ask once after
// each start of the server.
//
// An error that is ECONNREFUSED or ENOENT means that nobody listens; EAGAIN,
// that somebody does but takes no connections (the server is frozen or full).
func BySocket(ctx context.Context, path string) (ID, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return ID{}, fmt.Errorf("find the server by its socket %s: %w", path, err)
	}
	defer c.Close()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return ID{}, fmt.Errorf("find the server by its socket %s: %w", path, err)
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	switch err := errors.Join(err, credErr); {
	case err != nil:
		return ID{}, fmt.Errorf("find the server by its socket %s: read who listens: %w", path, err)
	case cred.Pid <= 0:
		return ID{}, fmt.Errorf("find the server by its socket %s: it is in another pid namespace", path)
	case cred.Pid == 1 && os.Getpid() != 1:
		// The credentials are those of whoever called listen(2).
		return ID{}, fmt.Errorf("find the server by its socket %s: process 1 listens for it (socket activation): have the server make the socket itself", path)
	}
	return Identify(int(cred.Pid))
}

// Signal sends a signal to the process, and to nobody else.
func Signal(id ID, sig syscall.Signal) error {
	fd, err := open(id)
	if err != nil {
		return fmt.Errorf("signal %v to process %v: %w", sig, id, err)
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil {
		if errors.Is(err, unix.ESRCH) {
			err = ErrGone
		}
		return fmt.Errorf("signal %v to process %v: %w", sig, id, err)
	}
	return nil
}

// open returns a pidfd of exactly this process. Since the start time is looked
// at after it was opened, the pid cannot have passed to another one between.
func open(id ID) (int, error) {
	fd, err := unix.PidfdOpen(id.PID, 0)
	if err != nil {
		if errors.Is(err, unix.ESRCH) {
			err = ErrGone
		}
		return -1, fmt.Errorf("open process: %w", err)
	}
	now, err := Identify(id.PID)
	if err == nil && now != id {
		err = fmt.Errorf("%w: the pid is now that of %v", ErrGone, now)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
