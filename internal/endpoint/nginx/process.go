package nginx

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// errNotRunning says that there is no nginx.
var errNotRunning = errors.New("nginx does not run")

// master is the process that loads the configuration and starts the workers.
type master struct{ pid int }

// findMaster returns the nginx whose number stands in the file. A number that has
// become another program's is not signalled.
func findMaster(pidFile string) (master, error) {
	text, err := os.ReadFile(pidFile)
	if errors.Is(err, fs.ErrNotExist) {
		return master{}, fmt.Errorf("%w: there is no %s", errNotRunning, pidFile)
	}
	if err != nil {
		return master{}, fmt.Errorf("find nginx: %w", err)
	}
	word := strings.TrimSpace(string(text))
	if word == "" { // `nginx -t` makes such a file where none runs
		return master{}, fmt.Errorf("%w: %s is empty", errNotRunning, pidFile)
	}
	pid, err := strconv.Atoi(word)
	if err != nil || pid <= 1 {
		return master{}, fmt.Errorf("find nginx: %s holds %q, which is no process", pidFile, word)
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return master{}, fmt.Errorf("%w: process %d of %s is gone", errNotRunning, pid, pidFile)
	case err != nil:
		return master{}, fmt.Errorf("find nginx: %w", err)
	case !strings.HasPrefix(string(name), "nginx"):
		return master{}, fmt.Errorf("%w: process %d of %s is %s", errNotRunning, pid, pidFile, strings.TrimSpace(string(name)))
	}
	return master{pid}, nil
}

// workers are those that take connections: the old ones began at that moment or before,
// the young ones after it. Those of an earlier configuration that only end what they
// have begun are not among them.
func (m master) workers(since uint64) (old []int, young int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", m.pid, m.pid))
	if err != nil {
		return nil, 0, fmt.Errorf("list nginx's workers: %w", err)
	}
	for _, word := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			return nil, 0, fmt.Errorf("list nginx's workers: %w", err)
		}
		title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || string(bytes.TrimRight(title, "\x00 ")) != "nginx: worker process" {
			continue // gone, ending, or of another trade
		}
		began, err := beganAt(pid)
		switch {
		case err != nil: // gone
		case began <= since:
			old = append(old, pid)
		default:
			young++
		}
	}
	return old, young, nil
}

// beganAt is when a process began, in ticks after boot: field 22 of proc(5)'s stat.
func beganAt(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	fields := strings.Fields(string(after))
	const startTime = 22 - 3 // the first of these is field 3
	if len(fields) <= startTime {
		return 0, fmt.Errorf("process %d: its stat is short", pid)
	}
	return strconv.ParseUint(fields[startTime], 10, 64)
}
