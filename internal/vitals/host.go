package vitals

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// CPU is how much time all processors of the host have spent since its boot, in
// clock ticks.
type CPU struct{ Busy, All uint64 }

// ReadCPU reads /proc/stat, proc_stat(5).
func ReadCPU() (CPU, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return CPU{}, fmt.Errorf("read the processors' time: %w", err)
	}
	return parseCPU(string(b))
}

func parseCPU(text string) (CPU, error) {
	line, _, _ := strings.Cut(text, "\n")
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return CPU{}, fmt.Errorf("read the processors' time: %.40q is not what is expected", line)
	}
	var c CPU
	// user nice system idle iowait irq softirq steal; what guests use is in user.
	for i, text := range f[1:9] {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return CPU{}, fmt.Errorf("read the processors' time: %w", err)
		}
		c.All += n
		if idle := i == 3 || i == 4; !idle {
			c.Busy += n
		}
	}
	return c, nil
}

// Percent is how busy the processors were since an earlier reading; ok is false
// if no time has passed.
func (c CPU) Percent(before CPU) (percent float64, ok bool) {
	if before.All == 0 || c.All <= before.All || c.Busy < before.Busy {
		return 0, false
	}
	return float64(c.Busy-before.Busy) * 100 / float64(c.All-before.All), true
}

// MemoryPercent is how much of the host's memory is in use and could not be
// freed: proc_meminfo(5).
func MemoryPercent() (float64, error) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("read the memory: %w", err)
	}
	return parseMemory(string(b))
}

func parseMemory(text string) (float64, error) {
	var total, available float64
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, err := strconv.ParseFloat(f[1], 64)
		if err != nil {
			continue
		}
		switch f[0] {
		case "MemTotal:":
			total = n
		case "MemAvailable:":
			available = n
		}
	}
	if total == 0 {
		return 0, errors.New("read the memory: its size is missing")
	}
	return (total - available) * 100 / total, nil
}
