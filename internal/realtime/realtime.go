// Package realtime answers: will this process be on time when its host is busy?
//
// It puts every thread of the process, present and future, under SCHED_RR
// and locks its memory, as corosync does, where the host permits it; and starts
// other programs so that they inherit none of that. What was not granted is
// said with the reason. It never changes another process or a kernel setting.
//
// The one rule that must not be broken: programs are started by Start only. One
// started otherwise runs at our priority and can starve the host.
package realtime

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// DefaultPriority is above all ordinary programs and below the kernel's
// interrupt threads (50) and watchdogs (99).
const DefaultPriority = 10

// Granted is what the host permitted. A nil error means granted.
type Granted struct {
	Scheduling error // SCHED_RR for all threads
	Memory     error // locked: no page of ours waits for a disk
	// Throttle is a warning about the host's limit for real-time threads, empty
	// if it is the usual one.
	Throttle string
}

// Enable asks for real-time priority (1 to 99; 0: DefaultPriority) and for
// locked memory. Each is granted or not by itself.
//
// Locked memory is locked as it is touched, and never given back: the Go
// runtime's returning of unused memory has no effect on it, so the process
// stays as large as it has once been. A process that gives up CAP_IPC_LOCK
// afterwards dies at its next large allocation.
func Enable(priority int) Granted {
	if priority == 0 {
		priority = DefaultPriority
	}
	g := Granted{Scheduling: scheduleAll(priority), Memory: lockMemory()}
	if g.Scheduling == nil {
		g.Throttle = throttle("/proc/sys/kernel/sched_rt_runtime_us", "/proc/sys/kernel/sched_rt_period_us")
	}
	return g
}

// schedPasses bounds how often the list of threads is gone through. A thread
// that is made while it is inherits the priority of its maker, so that a second
// pass finds only those whose makers had not been reached.
const schedPasses = 100

// scheduleAll puts every thread under SCHED_RR. It is not SCHED_FIFO, for there
// threads of one priority never take turns: threads of the Go runtime wait for
// each other by spinning for short, and with more of them than processors two
// that spun kept the one they waited for from ever running (seen with three
// agents on two processors, in one start of four). Threads that are made later
// inherit it from their makers, all of which have it.
func scheduleAll(priority int) error {
	if priority < 1 || priority > 99 {
		return fmt.Errorf("real-time priority %d: want 1 to 99", priority)
	}
	for range schedPasses {
		threads, err := Threads()
		if err != nil {
			return err
		}
		changed := false
		for _, t := range threads {
			if t.Realtime && t.Priority == priority {
				continue
			}
			changed = true
			if err := setRR(t.ID, priority, 0); err != nil && !errors.Is(err, unix.ESRCH) {
				return explainScheduling(priority, err)
			}
		}
		if !changed {
			return nil
		}
	}
	return fmt.Errorf("put all threads under SCHED_RR %d: new ones without it appeared in %d passes", priority, schedPasses)
}

func setRR(tid, priority int, flags uint64) error {
	return unix.SchedSetAttr(tid, &unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: uint32(priority), Flags: flags,
	}, 0)
}

// Thread is one thread of this process as the kernel schedules it.
type Thread struct {
	ID       int
	Realtime bool
	Priority int // of SCHED_RR
}

// Threads lists this process's threads.
func Threads() ([]Thread, error) {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil, fmt.Errorf("list own threads: %w", err)
	}
	var threads []Thread
	for _, e := range entries {
		tid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		attr, err := unix.SchedGetAttr(tid, 0)
		if errors.Is(err, unix.ESRCH) {
			continue // it has ended
		}
		if err != nil {
			return nil, fmt.Errorf("read scheduling of thread %d: %w", tid, err)
		}
		threads = append(threads, Thread{ID: tid, Realtime: attr.Policy == unix.SCHED_RR, Priority: int(attr.Priority)})
	}
	return threads, nil
}

// lockMemory locks what is mapped and what will be, each page once it is touched.
func lockMemory() error {
	if err := mayLockMemory(); err != nil {
		return err
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return fmt.Errorf("lock memory: %w", err)
	}
	return nil
}

// mayLockMemory: with a limit and without the capability, every later mapping
// beyond the limit would fail, and the Go runtime dies of that.
func mayLockMemory() error {
	const capability = 14 // CAP_IPC_LOCK
	have, err := hasCapability(capability)
	switch {
	case err != nil:
		return fmt.Errorf("lock memory: %w", err)
	case have:
		return nil
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return fmt.Errorf("lock memory: read its limit: %w", err)
	}
	if limit.Cur != unix.RLIM_INFINITY {
		return fmt.Errorf("lock memory: not permitted: give the service CAP_IPC_LOCK, or LimitMEMLOCK=infinity (the limit is %d KiB)", limit.Cur>>10)
	}
	return nil
}
