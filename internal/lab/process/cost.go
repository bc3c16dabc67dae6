package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A Cost is what a process has used since it began, and what it holds now.
type Cost struct {
	CPU      time.Duration // of all threads, user and kernel, those included that have ended
	Switches uint64        // how often its present threads waited for something, and so had to be woken
	Forced   uint64        // how often they had to give way to others
	Written  uint64        // bytes that it had the kernel write to disks
	Resident uint64        // bytes in memory, shared pages included
	Share    uint64        // bytes in memory, pages shared with others by part
	Threads  int
}

// tick is the unit of the times in /proc/PID/stat on all platforms (USER_HZ).
const tick = 10 * time.Millisecond

// Cost reads what the kernel has counted of the process, proc(5).
func (p Process) Cost() (Cost, error) {
	var c Cost
	for _, read := range []func(*Cost) error{p.readTimes, p.readSwitches, p.readMemory, p.readDisk} {
		if err := read(&c); err != nil {
			return Cost{}, fmt.Errorf("read what process %d costs: %w", p.PID, err)
		}
	}
	if !p.Alive() {
		return Cost{}, fmt.Errorf("read what process %d costs: it has ended", p.PID)
	}
	return c, nil
}

func (p Process) proc(elements ...string) string {
	return filepath.Join(append([]string{"/proc", strconv.Itoa(p.PID)}, elements...)...)
}

// readTimes reads fields 14 and 15, utime and stime.
func (p Process) readTimes(c *Cost) error {
	b, err := os.ReadFile(p.proc("stat"))
	if err != nil {
		return err
	}
	line := string(b)
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	const first = 3
	for _, n := range []int{14, 15} {
		if len(fields) <= n-first {
			return fmt.Errorf("no field %d in %q", n, line)
		}
		ticks, err := strconv.ParseUint(fields[n-first], 10, 63)
		if err != nil {
			return fmt.Errorf("field %d in %q: %w", n, line, err)
		}
		c.CPU += time.Duration(ticks) * tick
	}
	return nil
}

func (p Process) readSwitches(c *Cost) error {
	threads, err := os.ReadDir(p.proc("task"))
	if err != nil {
		return err
	}
	for _, t := range threads {
		v, err := numbers(p.proc("task", t.Name(), "status"), "voluntary_ctxt_switches", "nonvoluntary_ctxt_switches")
		if err != nil {
			continue // it has ended meanwhile
		}
		c.Threads, c.Switches, c.Forced = c.Threads+1, c.Switches+v[0], c.Forced+v[1]
	}
	return nil
}

func (p Process) readMemory(c *Cost) error {
	v, err := numbers(p.proc("smaps_rollup"), "Rss", "Pss")
	if err == nil {
		c.Resident, c.Share = v[0]<<10, v[1]<<10
	}
	return err
}

func (p Process) readDisk(c *Cost) error {
	v, err := numbers(p.proc("io"), "write_bytes")
	if err == nil {
		c.Written = v[0]
	}
	return err
}

// numbers reads the numbers that follow "name:" in a file, in that order.
func numbers(file string, names ...string) ([]uint64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			found[name] = value
		}
	}
	all := make([]uint64, len(names))
	for i, name := range names {
		value, _, _ := strings.Cut(strings.TrimSpace(found[name]), " ")
		if all[i], err = strconv.ParseUint(value, 10, 64); err != nil {
			return nil, fmt.Errorf("%s in %s: %w", name, file, err)
		}
	}
	return all, nil
}
