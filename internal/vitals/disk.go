// Package vitals answers how this host is doing: whether its disks have room
// and take writes, and which threads of a process wait for one.
//
// It only reads what the kernel says, and judges nothing: package detect does.
// The one rule: it never waits for a disk. What it asks is answered from
// memory, also of a file system that is stalled.
package vitals

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/core/detect"
)

// Disk looks at the file system that holds a directory: statfs(2) and
// proc_pid_mountinfo(5).
func Disk(dir string) (detect.Disk, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return detect.Disk{}, fmt.Errorf("look for room in %s: %w", dir, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return detect.Disk{}, fmt.Errorf("look at %s: %w", dir, err)
	}
	d := detect.Disk{Dir: dir, Free: fs.Bavail * uint64(fs.Bsize), Size: fs.Blocks * uint64(fs.Bsize), ReadOnly: fs.Flags&unix.ST_RDONLY != 0}
	// Newer kernels do not call a file system read-only that was made so by an
	// error: only its options say it.
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return detect.Disk{}, fmt.Errorf("look how %s is mounted: %w", dir, err)
	}
	d.ReadOnly = d.ReadOnly || readOnly(mounts, unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)))
	return d, nil
}

// readOnly reports whether the file system of a device takes no writes, by its
// own options.
func readOnly(mountinfo []byte, major, minor uint32) bool {
	device := fmt.Sprintf("%d:%d", major, minor)
	for line := range bytes.Lines(mountinfo) {
		mount, fs, ok := strings.Cut(string(line), " - ")
		if f := strings.Fields(mount); !ok || len(f) < 3 || f[2] != device {
			continue
		}
		f := strings.Fields(fs)
		if len(f) < 3 {
			continue
		}
		for option := range strings.SplitSeq(f[2], ",") {
			switch option {
			case "ro", "emergency_ro", "shutdown":
				return true
			}
		}
	}
	return false
}

// WaitingThreads lists the threads of a process that wait uninterruptibly, as
// for a disk: state D of proc_pid_stat(5).
func WaitingThreads(pid int) []int {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*/stat", pid))
	if err != nil {
		return nil
	}
	var waiting []int
	for _, t := range tasks {
		b, err := os.ReadFile(t)
		if err != nil {
			continue // it has ended
		}
		// The name in parentheses may hold anything.
		if end := bytes.LastIndexByte(b, ')'); end < 0 || len(b) < end+3 || b[end+2] != 'D' {
			continue
		}
		if tid, err := strconv.Atoi(filepath.Base(filepath.Dir(t))); err == nil {
			waiting = append(waiting, tid)
		}
	}
	return waiting
}
