package proc

import (
	"context"
	"errors"
	"fmt"
	"time"

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
	w := &watcher{id: id, pidfd: fd, statFD: statFD, events: make(chan Event, 8)}
	go w.run(ctx, every)
	return w.events, nil
}

type watcher struct {
	id     ID
	pidfd  int
	statFD int
	buf    [1024]byte
	last   Kind
	events chan Event
}

func (w *watcher) run(ctx context.Context, every time.Duration) {
	defer close(w.events)
	defer unix.Close(w.statFD)
	defer unix.Close(w.pidfd)
	wait := unix.Timespec{} // the first look waits for nothing
	for ctx.Err() == nil {
		kind := Gone
		if !w.ended(wait) {
			kind = w.look()
		}
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
		wait = unix.NsecToTimespec(every.Nanoseconds())
	}
}

// ended waits for the end of the process, which only the pidfd knows.
func (w *watcher) ended(wait unix.Timespec) bool {
	fds := []unix.PollFd{{Fd: int32(w.pidfd), Events: unix.POLLIN}}
	n, err := unix.Ppoll(fds, &wait, nil)
	return err == nil && n > 0
}

// look reads what the kernel says of a process that has not ended.
func (w *watcher) look() Kind {
	n, err := unix.Pread(w.statFD, w.buf[:], 0)
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
