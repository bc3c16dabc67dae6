package realtime

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// Start is cmd.Start for a program that is to run at normal priority, whatever
// ours is.
//
// The thread that forks has SCHED_RESET_ON_FORK set meanwhile, sched(7), so
// that the child is SCHED_OTHER, nice 0, from its first instant, and this
// thread stays real-time. The flag must never be on a thread that makes others
// of ours, or those would be normal too; but while a goroutine is locked to its
// thread, the Go runtime makes new threads from another one.
//
// Memory locks are not inherited. Do not set SysProcAttr.Pdeathsig: it follows
// the thread, which may end here.
func Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr != nil && cmd.SysProcAttr.Pdeathsig != 0 {
		return errors.New("start program: Pdeathsig is not possible here: it follows a thread that may end at once")
	}
	done := make(chan error, 1)
	go func() { done <- startOnThread(cmd) }()
	return <-done
}

// startOnThread starts cmd from a thread of its own. If the flag cannot be
// taken off again (that needs CAP_SYS_NICE) the goroutine ends while locked to
// the thread, and the runtime ends the thread with it.
//
// The main thread cannot be ended; with the flag left on it, it would have to
// be put aside for ever. So it is kept busy while another one does the work.
func startOnThread(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		defer runtime.UnlockOSThread()
		return Start(cmd)
	}
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("start program %s: read own scheduling: %w", cmd.Path, err)
	}
	if attr.Policy != unix.SCHED_RR {
		defer runtime.UnlockOSThread()
		return cmd.Start() // nothing to inherit
	}
	if err := setRR(0, int(attr.Priority), unix.SCHED_FLAG_RESET_ON_FORK); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("start program %s at normal priority: %w", cmd.Path, err)
	}
	startErr := cmd.Start()
	if err := setRR(0, int(attr.Priority), 0); err == nil {
		runtime.UnlockOSThread()
	}
	return startErr
}
