package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// JumpClock sets the wall clock of a node's agent ahead by so much, or behind. It
// is the agent's alone: the hosts of a lab share one kernel, and its clock.
func (l *Lab) JumpClock(node string, ahead time.Duration) error {
	if err := writeFile(l.clockAhead(node), []byte(ahead.String()), 0o600); err != nil {
		return fmt.Errorf("set the clock of %s: %w", node, err)
	}
	return nil
}

func (l *Lab) setClock(_ context.Context, node string) error {
	if err := os.Remove(l.clockAhead(node)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("set the clock of %s right: %w", node, err)
	}
	return nil
}

// clockAhead is the file in which an agent looks by how much its clock is wrong.
func (l *Lab) clockAhead(node string) string { return l.path(node, "clock-ahead") }
