// Package clock reads this host's monotonic clock.
//
// Baton's lease arithmetic runs on CLOCK_BOOTTIME, which goes on while the
// machine is suspended: a lease must not look valid after a suspension that
// was longer than it. Go's own monotonic time (CLOCK_MONOTONIC) stands still
// then, and the wall clock jumps; neither may be used for a lease.
package clock

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Now returns the time since this host booted, suspension included.
// It panics where the kernel has no CLOCK_BOOTTIME (before Linux 2.6.39):
// without it no lease can be held at all.
func Now() cluster.Instant {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(fmt.Sprintf("read CLOCK_BOOTTIME: %v", err))
	}
	return cluster.Instant(ts.Nano())
}
