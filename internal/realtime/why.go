package realtime

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// explainScheduling says why the kernel refused, and what would help.
func explainScheduling(priority int, err error) error {
	err = fmt.Errorf("put all threads under SCHED_RR %d: %w", priority, err)
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	const capability = 23 // CAP_SYS_NICE
	have, capErr := hasCapability(capability)
	var limit unix.Rlimit
	limitErr := unix.Getrlimit(unix.RLIMIT_RTPRIO, &limit)
	if capErr == nil && !have && limitErr == nil && limit.Cur < uint64(priority) {
		return fmt.Errorf("%w: give the service CAP_SYS_NICE, or LimitRTPRIO=%d (it is %d)", err, priority, limit.Cur)
	}
	// CONFIG_RT_GROUP_SCHED: a cgroup of version 1 starts with no real-time at all.
	if dir, ok := cpuCgroup(); ok {
		if us, readErr := readInt(filepath.Join(dir, "cpu.rt_runtime_us")); readErr == nil && us == 0 {
			return fmt.Errorf("%w: this process's cgroup has no real-time share: write one to %s/cpu.rt_runtime_us (CONFIG_RT_GROUP_SCHED, cgroup v1), or run it in the root group", err, dir)
		}
	}
	if us, readErr := readInt("/proc/sys/kernel/sched_rt_runtime_us"); readErr == nil && us == 0 {
		return fmt.Errorf("%w: real-time is switched off on this host: sysctl kernel.sched_rt_runtime_us=950000", err)
	}
	return fmt.Errorf("%w: a container or security module may forbid it", err)
}

// usualShare is the kernel's default: 950 ms of each second.
const usualShare = 0.95

// throttle warns of a limit for real-time threads under which a busy agent
// would be stopped for long. The usual one stops only a thread that runs away.
func throttle(runtimeFile, periodFile string) string {
	runtime, err := readInt(runtimeFile)
	if err != nil || runtime < 0 {
		return "" // no limit
	}
	period, err := readInt(periodFile)
	if err != nil || period <= 0 || float64(runtime) >= usualShare*float64(period) {
		return ""
	}
	return fmt.Sprintf("real-time threads get only %d µs of each %d µs here (%s): renewals may be late on a busy host", runtime, period, runtimeFile)
}

// cpuCgroup returns the directory of this process's group in the cpu hierarchy
// of cgroup v1, if there is one: cgroups(7).
func cpuCgroup() (string, bool) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", false
	}
	path, ok := cpuPath(own)
	if !ok {
		return "", false
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", false
	}
	root, ok := cpuMount(mounts)
	return filepath.Join(root, path), ok
}

// cpuPath reads /proc/self/cgroup: "4:cpu,cpuacct:/system.slice/x".
func cpuPath(own []byte) (string, bool) {
	for line := range strings.Lines(string(own)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 && hasWord(parts[1], "cpu") {
			return parts[2], true
		}
	}
	return "", false
}

// cpuMount reads /proc/self/mountinfo: "... /sys/fs/cgroup/cpu ... - cgroup cgroup rw,cpu".
func cpuMount(mounts []byte) (string, bool) {
	for line := range strings.Lines(string(mounts)) {
		before, after, ok := strings.Cut(strings.TrimSpace(line), " - ")
		where, what := strings.Fields(before), strings.Fields(after)
		if ok && len(where) > 4 && len(what) > 2 && what[0] == "cgroup" && hasWord(what[2], "cpu") {
			return where[4], true
		}
	}
	return "", false
}

func hasWord(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}

// hasCapability says whether this process has a capability in effect.
func hasCapability(number uint) (bool, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false, fmt.Errorf("read own capabilities: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		if mask, ok := strings.CutPrefix(lines.Text(), "CapEff:"); ok {
			bits, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			if err != nil {
				return false, fmt.Errorf("read own capabilities: %w", err)
			}
			return bits>>number&1 == 1, nil
		}
	}
	return false, errors.New("read own capabilities: no CapEff in /proc/self/status")
}

func readInt(file string) (int64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
}
