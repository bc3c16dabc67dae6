// Package vitals answers how this host is doing: whether its disks have room
// and take writes, and which threads of a process wait for one.
//
// It only reads what the kernel says, and judges nothing: package detect does.
// The one rule: it never waits for a disk. What it asks is answered from
// memory, also of a file system that is stalled.
package vitals

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

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
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return detect.Disk{}, fmt.Errorf("look how %s is mounted: %w", dir, err)
	}
	d.ReadOnly = d.ReadOnly || readOnly(mountinfo, unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)))
	return d, nil
}

// DiskTime is how many requests a disk has carried out since it appeared, how
// long they took all together, from when they were queued, and how many wait.
type DiskTime struct {
	Requests uint64
	Took     time.Duration
	Waiting  uint64
}

// ErrNoDisk says that a directory is on no disk of this host that counts: on a
// network's file system, in memory.
var ErrNoDisk = errors.New("it is on no disk of this host")

// ReadDiskTime reads what the kernel counts of the disk, or the partition, that
// holds a directory: /proc/diskstats.
func ReadDiskTime(dir string) (DiskTime, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return DiskTime{}, fmt.Errorf("look at %s: %w", dir, err)
	}
	major, minor := unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev))
	if major == 0 { // the file system's own number (btrfs): the mount names the device
		mountinfo, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			return DiskTime{}, fmt.Errorf("look how %s is mounted: %w", dir, err)
		}
		var on unix.Stat_t
		if name := source(mountinfo, major, minor); !strings.HasPrefix(name, "/dev/") || unix.Stat(name, &on) != nil {
			return DiskTime{}, fmt.Errorf("disk of %s: %w", dir, ErrNoDisk)
		}
		major, minor = unix.Major(uint64(on.Rdev)), unix.Minor(uint64(on.Rdev))
	}
	stats, err := os.ReadFile("/proc/diskstats")
	if err != nil {
		return DiskTime{}, fmt.Errorf("read the disks' counters: %w", err)
	}
	t, err := parseDiskTime(stats, major, minor)
	if err != nil {
		return DiskTime{}, fmt.Errorf("disk of %s: %w", dir, err)
	}
	return t, nil
}

// mounts gives what follows the dash in the lines of mountinfo that are about a
// device: the kind of file system, from where it is mounted, its own options.
func mounts(mountinfo []byte, major, minor uint32) iter.Seq[[]string] {
	device := fmt.Sprintf("%d:%d", major, minor)
	return func(yield func([]string) bool) {
		for line := range bytes.Lines(mountinfo) {
			mount, fs, ok := strings.Cut(string(line), " - ")
			if f := strings.Fields(mount); !ok || len(f) < 3 || f[2] != device {
				continue
			}
			if f := strings.Fields(fs); len(f) >= 3 && !yield(f) {
				return
			}
		}
	}
}

// source is from where a file system is mounted.
func source(mountinfo []byte, major, minor uint32) string {
	for fs := range mounts(mountinfo, major, minor) {
		return fs[1]
	}
	return ""
}

// parseDiskTime: Documentation/admin-guide/iostats.rst. Flushes are counted since
// Linux 5.5.
func parseDiskTime(stats []byte, major, minor uint32) (DiskTime, error) {
	const reads, readMS, writes, writeMS, waiting, flushes, flushMS = 3, 6, 7, 10, 11, 18, 19
	for line := range bytes.Lines(stats) {
		f := strings.Fields(string(line))
		if len(f) <= waiting || f[0] != strconv.FormatUint(uint64(major), 10) || f[1] != strconv.FormatUint(uint64(minor), 10) {
			continue
		}
		n := make([]uint64, max(len(f), flushMS+1)) // what an older kernel does not count is none
		for i := reads; i < len(f); i++ {
			var err error
			if n[i], err = strconv.ParseUint(f[i], 10, 64); err != nil {
				return DiskTime{}, fmt.Errorf("read the disks' counters: %w", err)
			}
		}
		took := n[readMS] + n[writeMS] + n[flushMS]
		return DiskTime{Requests: n[reads] + n[writes] + n[flushes], Took: time.Duration(took) * time.Millisecond, Waiting: n[waiting]}, nil
	}
	return DiskTime{}, ErrNoDisk
}

// PerRequest is how long a request took on average since an earlier reading, so
// long ago. While none has ended although some wait, it is at least that long. An
// idle disk takes no time.
func (t DiskTime) PerRequest(before DiskTime, ago time.Duration) time.Duration {
	switch done := t.Requests - before.Requests; {
	case t.Requests < before.Requests || t.Took < before.Took:
		return 0 // another disk, or its counters began anew
	case done > 0:
		return (t.Took - before.Took) / time.Duration(done)
	case t.Waiting > 0 && before.Waiting > 0:
		return ago
	}
	return 0
}

// readOnly reports whether the file system of a device takes no writes, by its
// own options.
func readOnly(mountinfo []byte, major, minor uint32) bool {
	for fs := range mounts(mountinfo, major, minor) {
		for option := range strings.SplitSeq(fs[2], ",") {
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
