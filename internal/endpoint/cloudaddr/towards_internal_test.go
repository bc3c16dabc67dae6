package cloudaddr

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhatIsNotReachedInTimeSaysWhatItWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1200*time.Millisecond)
		defer cancel()
		looks := 0
		err := towards(ctx, 0, func(context.Context) (bool, string, error) {
			looks++
			return false, "203.0.113.7 was Unassociating", nil
		})
		const want = "203.0.113.7 was Unassociating, and there is no time left to wait for it"
		if err == nil || err.Error() != want || looks != 3 {
			t.Errorf("after %d looks: %v", looks, err)
		}
	})
}

func TestStepsEndWithTheirEndOrTheirFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		if err := towards(t.Context(), time.Second, func(context.Context) (bool, string, error) {
			looks++
			return looks == 4, "", nil
		}); err != nil || looks != 4 {
			t.Errorf("after %d looks: %v", looks, err)
		}
		broken := errors.New("broken")
		if err := towards(t.Context(), time.Second, func(context.Context) (bool, string, error) { return false, "", broken }); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if err := towards(ctx, time.Second, func(context.Context) (bool, string, error) { cancel(); return false, "x", nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}
