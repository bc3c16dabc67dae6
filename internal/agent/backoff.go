package agent

import (
	"context"
	"time"
)

// backoff are the pauses between tries: the first, and each twice as long as the one
// before, up to the longest.
type backoff struct {
	first, longest time.Duration

	next time.Duration
}

// reset has the next pause be the first again.
func (b *backoff) reset() { b.next = b.first }

// pause is how long to wait now; the one after it is longer.
func (b *backoff) pause() time.Duration {
	d := max(b.next, b.first)
	b.next = min(2*d, b.longest)
	return d
}

// waited waits, and reports whether that was not cut short by the end of ctx.
func waited(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
