package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// KillMarked kills every process of the lab, also those that the lab's own
// processes started, and waits until none is left. With a namespace it kills
// only those that run in it: a host of the lab loses its power.
func KillMarked(ctx context.Context, lab, namespace string) error {
	for {
		left, err := marked(lab, namespace)
		if err != nil || len(left) == 0 {
			return err
		}
		// All at once, then wait: none of them shall see another one die and act on it.
		for _, p := range left {
			if err := p.Signal(unix.SIGKILL); err != nil {
				return err
			}
		}
		for _, p := range left {
			if err := p.Wait(ctx); err != nil {
				return err
			}
		}
	}
}

// marked lists the living processes that carry the lab's mark, but for the
// caller itself. A process may have written its title over its environment, as nginx
// does, or be about to become another program, and then it has none for a moment: so
// those count as well that are in the session of a process which the lab has started.
func marked(lab, namespace string) ([]Process, error) {
	inode, err := namespaceInode(namespace)
	if err != nil {
		return nil, err
	}
	began, err := sessions(lab)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var found []Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if p, ok := markedProcess(pid, lab, inode, began); ok {
			found = append(found, p)
		}
	}
	return found, nil
}

// sessions are the processes that the lab has started last under each name, by their
// number: each began a session of its own.
func sessions(lab string) (map[int]started, error) {
	files, err := filepath.Glob(recordPath(lab, "*"))
	if err != nil {
		return nil, fmt.Errorf("list what the lab has started: %w", err)
	}
	found := map[int]started{}
	for _, f := range files {
		if s, ok := recorded(lab, strings.TrimSuffix(filepath.Base(f), ".json")); ok {
			found[s.PID] = s
		}
	}
	return found, nil
}

// inSession reports whether a process is in the session that such a process began. The
// number of one that has ended is given to nobody as long as its session lives; but once
// that is over too, a stranger may get it, begin a session and end. The stranger's
// children are not in the lab's network namespace, of which the lab keeps the number for
// as long as it is up.
func inSession(pid int, stat procStat, sessions map[int]started) bool {
	first, ok := sessions[stat.session]
	if !ok || stat.start < first.Start {
		return false
	}
	if now, err := readStat(first.PID); err == nil {
		return now.start == first.Start
	}
	have, err := inodeOf(fmt.Sprintf("/proc/%d/ns/net", pid))
	return err == nil && have == first.Namespace
}

func markedProcess(pid int, lab string, inode uint64, sessions map[int]started) (Process, bool) {
	stat, err := readStat(pid)
	if err != nil || stat.state == 'Z' || stat.state == 'X' {
		return Process{}, false
	}
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	mark := err == nil && slices.ContainsFunc(bytes.Split(env, []byte{0}), func(v []byte) bool {
		return string(v) == markVar+"="+lab
	})
	if !mark && !inSession(pid, stat, sessions) {
		return Process{}, false
	}
	if inode != 0 {
		if have, err := inodeOf(fmt.Sprintf("/proc/%d/ns/net", pid)); err != nil || have != inode {
			return Process{}, false
		}
	}
	return Process{PID: pid, Start: stat.start}, true
}

func namespaceInode(namespace string) (uint64, error) {
	if namespace == "" {
		return 0, nil
	}
	return inodeOf(filepath.Join("/var/run/netns", namespace))
}

func inodeOf(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return 0, fmt.Errorf("no %s: %w", path, os.ErrNotExist)
		}
		return 0, fmt.Errorf("stat %s: %w", path, err)
	}
	return st.Ino, nil
}
