package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Flags of linux/sched.h, in field 9 of /proc/PID/stat.
const (
	pfExiting      = 0x4   // PF_EXITING: in do_exit, its memory is being freed
	pfPostCoredump = 0x8   // PF_POSTCOREDUMP, Linux 5.16: waits for another thread's core dump
	pfDumpCore     = 0x200 // PF_DUMPCORE: writes the core dump
	pfSignaled     = 0x400 // PF_SIGNALED: killed by a signal
)

// stat is what we read of /proc/PID/stat, proc_pid_stat(5).
type stat struct {
	state byte
	flags uint64
	start uint64
}

// dying says that the process will not come back, though it still has its pid,
// its memory and its sockets. A core dump counts: it can take minutes.
func (s stat) dying() bool {
	return s.flags&(pfExiting|pfPostCoredump|pfDumpCore|pfSignaled) != 0 || s.dead()
}

func (s stat) dead() bool { return s.state == 'Z' || s.state == 'X' }

// stopped says that SIGSTOP or a debugger holds it.
func (s stat) stopped() bool { return s.state == 'T' || s.state == 't' }

// statPath is the main thread's own file: the process's file adds up the times
// of all threads under a lock, of which a busy server has hundreds.
func statPath(pid int) string { return fmt.Sprintf("/proc/%d/task/%d/stat", pid, pid) }

func readStat(pid int) (stat, error) {
	b, err := os.ReadFile(statPath(pid))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return stat{}, ErrGone
	}
	if err != nil {
		return stat{}, err
	}
	return parseStat(b)
}

// parseStat reads fields 3, 9 and 22. The program's name may contain
// anything, parentheses too, so it ends at the last one.
func parseStat(b []byte) (stat, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return stat{}, fmt.Errorf("read process state %.40q: no program name", b)
	}
	const first = 3 // the field that follows the name
	fields := bytes.Fields(b[end+1:])
	if len(fields) <= 22-first {
		return stat{}, fmt.Errorf("read process state: %d fields after the name", len(fields))
	}
	flags, err := strconv.ParseUint(string(fields[9-first]), 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("read process state: flags: %w", err)
	}
	start, err := strconv.ParseUint(string(fields[22-first]), 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("read process state: start time: %w", err)
	}
	return stat{state: fields[0][0], flags: flags, start: start}, nil
}
