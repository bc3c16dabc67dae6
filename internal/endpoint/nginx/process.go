package nginx

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/baton-db/baton/internal/endpoint/daemon"
)

// master is the process that loads the configuration and starts the workers.
type master struct{ pid int }

// findMaster returns the nginx whose number stands in the file.
func findMaster(pidFile string) (master, error) {
	p, err := daemon.Find("nginx", pidFile, func(p daemon.Process) bool { return strings.HasPrefix(p.Name, "nginx") })
	return master{p.PID}, err
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
		began, err := daemon.BeganAt(pid)
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
