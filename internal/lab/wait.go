package lab

import (
	"context"
	"fmt"
	"time"
)

// lookEvery is how often the lab looks whether something has come about.
const lookEvery = 50 * time.Millisecond

// until waits for check to find nothing wrong any more. What it found last is
// part of the error.
func until(ctx context.Context, what string, check func(context.Context) error) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w; at last: %w", what, context.Cause(ctx), err)
		}
	}
}
