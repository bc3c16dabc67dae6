package clock

import (
	"os"
	"strings"
	"time"
)

// Wall returns a reader of this host's wall clock. For tests of what happens when
// it is wrong, the clock is ahead by the duration that a file holds, such as 1h or
// -1h; without the file, or with no name of one, it shows what the host's does.
//
// Nothing may be decided on it that another node could not correct: see Now.
func Wall(shift string) func() time.Time {
	if shift == "" {
		return time.Now
	}
	return func() time.Time {
		now := time.Now()
		text, err := os.ReadFile(shift)
		if err != nil {
			return now
		}
		ahead, err := time.ParseDuration(strings.TrimSpace(string(text)))
		if err != nil {
			return now
		}
		return now.Round(0).Add(ahead) // without its monotonic part, as after a jump
	}
}
