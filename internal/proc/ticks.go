package proc

import (
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// longAgo, as a deadline, ends a wait at once.
func longAgo() time.Time { return time.Unix(1, 0) }

// ticks is the kernel's timer (timerfd_create(2)) in place of the runtime's.
//
// It is for a look that is taken a hundred times a second for as long as the
// agent lives. Each expiry of a time.Ticker wakes three threads for it: the one
// that waits, twice because it rounds to milliseconds, one that looks for more
// work, and the runtime's own watch over its threads. An expiry of this one
// comes in as data on a socket would, and wakes one thread.
type ticks struct {
	file *os.File
	conn syscall.RawConn
	buf  [8]byte
}

func newTicks(every time.Duration) (*ticks, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a timer: %w", err)
	}
	t := &ticks{}
	if t.file, err = pollable(fd, "timerfd"); err != nil {
		return nil, err
	}
	period := unix.NsecToTimespec(every.Nanoseconds())
	if t.conn, err = t.file.SyscallConn(); err == nil {
		err = unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: period, Value: period}, nil)
	}
	if err != nil {
		t.close()
		return nil, fmt.Errorf("start a timer: %w", err)
	}
	return t, nil
}

// wait returns at the next expiry, or once it was stopped.
func (t *ticks) wait() {
	_ = t.conn.Read(func(fd uintptr) bool { // an error means that it was stopped
		_, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&t.buf)), uintptr(len(t.buf)))
		return errno != unix.EAGAIN
	})
}

// stop ends every wait, now and later.
func (t *ticks) stop() { _ = t.file.SetReadDeadline(longAgo()) }

func (t *ticks) close() { _ = t.file.Close() } // nothing was written to it

// pollable makes a file of a descriptor that the runtime waits for among its
// sockets, so that no thread of ours waits in the kernel for it. It closes the
// descriptor if that cannot be.
func pollable(fd int, name string) (*os.File, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("wait for a %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	if err := f.SetReadDeadline(time.Time{}); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("wait for a %s: %w", name, err)
	}
	return f, nil
}
