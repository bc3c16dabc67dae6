package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
)

// Kind says what a process turned to.
type Kind string

// What Watch reports.
const (
	Running Kind = "running"
	Stopped Kind = "stopped" // by SIGSTOP or a debugger: it keeps its sockets and answers nothing
	// Exiting: it cannot come back, but is still there. A killed process frees
	// its memory, about 90 ms per GiB, before its sockets close and its pidfd
	// fires; a crashed one writes its core dump before that.
	Exiting Kind = "exiting"
	Gone    Kind = "gone" // ended; perhaps a zombie, which holds nothing but its pid
)

// Event is one change of a process's state.
type Event struct {
	Kind Kind
	At   cluster.Instant // when it was seen
}

// DefaultEvery is how often Watch looks, if it is not told otherwise.
const DefaultEvery = 5 * time.Millisecond

// Watch reports the state of a process, first the present one, then each
// change, until it is Gone or ctx is done; then the channel is closed. The end
// itself is seen at once; what comes before it, within every (0: DefaultEvery).
// It is ErrGone if the process has ended already.
func Watch(ctx context.Context, id ID, every time.Duration) (<-chan Event, error) {
	fd, err := open(id)
	if err != nil {
		return nil, fmt.Errorf("watch process %v: %w", id, err)
	}
	// The file stays that thread's even if its pid is used again. It is opened
	// after the pidfd and read before anything is believed of it.
	statFD, err := unix.Open(statPath(id.PID), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		unix.Close(fd)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
			err = ErrGone
		}
		return nil, fmt.Errorf("watch process %v: open its state: %w", id, err)
	}
	if every <= 0 {
		every = DefaultEvery
	}
	w := &watcher{id: id, statFD: statFD, events: make(chan Event, 8), ended: make(chan struct{})}
	end, err := pollable(fd, "pidfd")
	if err == nil {
		w.pidfd = end
		w.clock, err = newTicks(every)
	}
	if err != nil {
		w.close()
		return nil, fmt.Errorf("watch process %v: %w", id, err)
	}
	go w.run(ctx)
	return w.events, nil
}

type watcher struct {
	id     ID
	pidfd  *os.File
	clock  *ticks
	statFD int
	buf    [1024]byte
	last   Kind
	events chan Event
	ended  chan struct{} // closed once the pidfd tells the end
}

func (w *watcher) close() {
	if w.pidfd != nil {
		_ = w.pidfd.Close() // nothing was written to it
	}
	if w.clock != nil {
		w.clock.close()
	}
	unix.Close(w.statFD)
}

func (w *watcher) run(ctx context.Context) {
	defer close(w.events)
	defer w.close()
	var waiting sync.WaitGroup
	waiting.Go(w.awaitEnd)
	defer waiting.Wait()
	defer func() { _ = w.pidfd.SetReadDeadline(longAgo()) }() // ends awaitEnd
	defer context.AfterFunc(ctx, w.clock.stop)()
	for ctx.Err() == nil {
		kind := w.look()
		if kind != w.last {
			w.last = kind
			select {
			case w.events <- Event{Kind: kind, At: clock.Now()}:
			case <-ctx.Done():
			}
		}
		if kind == Gone {
			return
		}
		w.clock.wait()
	}
}

// awaitEnd waits for the end of the process, which only the pidfd knows, or for
// the end of the watch.
func (w *watcher) awaitEnd() {
	conn, err := w.pidfd.SyscallConn()
	if err != nil {
		return // closed, which happens only after this has returned
	}
	err = conn.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Ppoll(fds, &unix.Timespec{}, nil)
		return err == nil && n > 0
	})
	if err == nil {
		close(w.ended)
		w.clock.stop()
	}
}

// look reads what the kernel says of the process.
func (w *watcher) look() Kind {
	select {
	case <-w.ended:
		return Gone
	default:
	}
	n, err := w.readStat()
	if err != nil {
		return Exiting // ESRCH: the main thread has been reaped, the pidfd follows
	}
	st, err := parseStat(w.buf[:n])
	switch {
	case err != nil:
		return w.last
	case st.dying() || st.start != w.id.Start:
		return Exiting
	case st.stopped():
		return Stopped
	}
	return Running
}

// readStat reads the state without telling the Go runtime: the kernel answers
// from memory in some microseconds, and telling would wake another thread.
func (w *watcher) readStat() (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, uintptr(w.statFD), uintptr(unsafe.Pointer(&w.buf[0])), uintptr(len(w.buf)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
