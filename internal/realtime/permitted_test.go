package realtime

import (
	"errors"
	"fmt"
	"testing"
)

// It runs in this process itself: asking must not leave a trace.
func TestAskingWhatIsPermittedEnablesNothing(t *testing.T) {
	g := Permitted(0)
	if err := errors.Join(g.Scheduling, g.Memory); err != nil {
		t.Logf("this host does not permit all: %v", err)
	}
	err := until(func() error { // the thread that was tried ends on its own
		threads, err := Threads()
		for _, th := range threads {
			if th.Realtime {
				err = errors.Join(err, fmt.Errorf("thread %d is real-time", th.ID))
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if g := Permitted(100); g.Scheduling == nil {
		t.Error("there is no priority 100")
	}
}
