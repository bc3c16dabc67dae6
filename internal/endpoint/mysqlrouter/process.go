package mysqlrouter

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/baton-db/baton/internal/endpoint/daemon"
)

// process returns the router that runs.
func (e *Endpoint) process() (daemon.Process, error) {
	return daemon.Find("MySQL Router", e.o.PIDFile, func(p daemon.Process) bool {
		return slices.ContainsFunc(p.Args, func(a string) bool { return filepath.Base(a) == "mysqlrouter" })
	})
}

// given returns an error if the router was not started with the file: no restart would
// have it read that.
func (e *Endpoint) given(p daemon.Process) error {
	file := resolved(e.o.File)
	dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", p.PID))
	if err != nil {
		return fmt.Errorf("see what MySQL Router was started with: %w", err)
	}
	for _, a := range p.Args {
		if _, value, ok := strings.Cut(a, "="); ok && strings.HasPrefix(a, "--") {
			a = value
		}
		if !filepath.IsAbs(a) {
			a = filepath.Join(dir, a)
		}
		if resolved(a) == file {
			return nil
		}
	}
	return fmt.Errorf("MySQL Router (process %d) was started without %s: start it with --extra-config=%s", p.PID, e.o.File, e.o.File)
}

func resolved(path string) string {
	if to, err := filepath.EvalSymlinks(path); err == nil {
		return to
	}
	return filepath.Clean(path)
}

// listens reports whether a process has a socket that listens on a TCP port. Nobody
// connects for that: a server counts connections that end in the handshake, and keeps a
// host out that has too many of them (max_connect_errors).
func listens(pid int, port uint16) (bool, error) {
	sockets, err := listening(pid, port)
	if err != nil || len(sockets) == 0 {
		return false, err
	}
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	fds, err := os.ReadDir(dir)
	if err != nil {
		return false, fmt.Errorf("see where MySQL Router listens: %w", err)
	}
	for _, fd := range fds {
		to, err := os.Readlink(filepath.Join(dir, fd.Name()))
		if err == nil && slices.Contains(sockets, to) {
			return true, nil
		}
	}
	return false, nil
}

// listening are the sockets in a process's network that listen on a port, as its file
// descriptors show them (proc(5), /proc/net/tcp).
func listening(pid int, port uint16) (sockets []string, err error) {
	const localAddress, state, inode, listen = 1, 3, 9, "0A"
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if errors.Is(err, fs.ErrNotExist) {
			continue // without IPv6, or gone
		}
		if err != nil {
			return nil, fmt.Errorf("see where MySQL Router listens: %w", err)
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) <= inode || fields[state] != listen {
				continue
			}
			_, number, _ := strings.Cut(fields[localAddress], ":")
			if n, err := strconv.ParseUint(number, 16, 16); err == nil && uint16(n) == port {
				sockets = append(sockets, "socket:["+fields[inode]+"]")
			}
		}
	}
	return sockets, nil
}
