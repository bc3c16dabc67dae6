package wire

import (
	"math"
	"time"

	"github.com/baton-db/baton/internal/db"
)

// Silence is after how many seconds without a word a receiver connects again.
func Silence(source db.Source) int {
	return int(max(2, math.Ceil(orDefault(source.Silence, 4*time.Second).Seconds())))
}

// Heartbeat is the period, in seconds, in which an idle source says that it
// lives.
func Heartbeat(source db.Source) float64 {
	return orDefault(source.Heartbeat, 500*time.Millisecond).Seconds()
}

// Bit is a yes or no in the options of replication.
func Bit(on bool) int {
	if on {
		return 1
	}
	return 0
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}
