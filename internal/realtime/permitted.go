package realtime

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// Permitted says what Enable would be granted, and enables nothing: one thread,
// which ends with the question, is real-time for an instant.
func Permitted(priority int) Granted {
	if priority == 0 {
		priority = DefaultPriority
	}
	g := Granted{Scheduling: tryScheduling(priority), Memory: mayLockMemory()}
	if g.Scheduling == nil {
		g.Throttle = throttle("/proc/sys/kernel/sched_rt_runtime_us", "/proc/sys/kernel/sched_rt_period_us")
	}
	return g
}

func tryScheduling(priority int) error {
	if priority < 1 || priority > 99 {
		return fmt.Errorf("real-time priority %d: want 1 to 99", priority)
	}
	done := make(chan error, 1)
	go func() { done <- tryOnThread(priority) }()
	return <-done
}

// tryOnThread ends while locked to its thread, and the runtime ends the thread
// with it. The main thread cannot be ended; it is kept busy while another one
// does the work.
func tryOnThread(priority int) error {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		defer runtime.UnlockOSThread()
		return tryScheduling(priority)
	}
	if err := setRR(0, priority, 0); err != nil {
		return explainScheduling(priority, err)
	}
	return nil
}
