package lab

import (
	"testing"
	"time"

	"github.com/baton-db/baton/internal/lab/process"
)

// One span in which something disturbed must not be what is told.
func TestABurdenIsTheMedianOfItsSpansPerSecond(t *testing.T) {
	span := func(cpu time.Duration, switches, written, writes uint64) spent {
		return spent{seconds: 10, writes: writes, Cost: process.Cost{CPU: cpu, Switches: switches, Written: written, Resident: 50e6, Share: 30e6, Threads: 9}}
	}
	b := Burden{measuring: []spent{
		span(200*time.Millisecond, 5000, 700_000, 40), span(5*time.Second, 90_000, 9_000_000, 400), span(100*time.Millisecond, 4000, 600_000, 30),
	}}
	b.sum()
	b.measuring = nil
	if b.CPU != (Range{Min: 1, Median: 2, Max: 50}) || b.Runs != 3 || b.Seconds != 10 || b.Wakeups != 500 || b.DiskKB != 70 || b.Writes != 4 ||
		b.Resident != 50 || b.Share != 30 || b.Threads != 9 {
		t.Errorf("%+v", b)
	}
}

func TestACounterThatWentBackCountsNothing(t *testing.T) {
	if less(5, 3) != 2 || less(3, 5) != 0 {
		t.Errorf("%d and %d", less(5, 3), less(3, 5))
	}
}
