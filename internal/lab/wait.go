package lab

import (
	"context"
	"errors"
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
	last := errors.New("there was no time to look")
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil { // otherwise it was cut short and says only that
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w; at last: %w", what, context.Cause(ctx), last)
		}
	}
}
