// Package endpointtest answers whether something behaves as an
// endpoint.Endpoint must. Every implementation's tests call Run.
//
// It knows no implementation. The rule: each check fails for an endpoint that
// breaks the promise it is named after, which this package's own tests show by
// planting each bug.
package endpointtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
)

// Subject is an endpoint under test with its surroundings.
type Subject struct {
	Endpoint endpoint.Endpoint
	// Again returns a second instance that works on the same surroundings, as
	// after a restart of the agent.
	Again func() endpoint.Endpoint
	// Here and There are two places to lead clients to. The suite sets epochs.
	Here, There endpoint.Target
	// Meddle leads clients from Here to There, or to nowhere, behind the
	// endpoint's back.
	Meddle func(ctx context.Context) error
	// Silence makes the surroundings answer no more. Nil: that cannot happen
	// here, as with the host's own kernel.
	Silence func()
}

// Elsewhere sees what is not of Baton's making as leading nowhere: so an endpoint
// looks that somebody has meddled with.
type Elsewhere struct{ endpoint.Endpoint }

// Observe implements endpoint.Endpoint.
func (e Elsewhere) Observe(ctx context.Context) (endpoint.Target, error) {
	t, err := e.Endpoint.Observe(ctx)
	if errors.Is(err, endpoint.ErrForeign) {
		return endpoint.Target{}, nil
	}
	return t, err
}

// patience is longer than any step of a working endpoint takes on a busy
// machine; only a broken one makes a test wait for it.
const patience = 30 * time.Second

// A Check is one promise of endpoint.Endpoint.
type Check struct {
	Name string
	Run  func(ctx context.Context, s Subject) error
}

// Checks returns every promise, each to be checked on a fresh Subject.
func Checks() []Check {
	return []Check{
		{"what was set is observed", setIsObserved},
		{"setting it twice is the same as once", setTwice},
		{"a restarted agent observes and sets the same", setAgain},
		{"clients are led elsewhere and back", thereAndBack},
		{"it observes what somebody else did to it", neverFromMemory},
		{"it repairs what somebody else did to it", repairs},
		{"an older epoch is refused and changes nothing", oldEpoch},
		{"a call with a cancelled context changes nothing", cancelled},
		{"silence ends with the deadline", silence},
	}
}

// Run checks an implementation. fresh is called once for every check.
func Run(t *testing.T, fresh func(t *testing.T) Subject) {
	for _, c := range Checks() {
		t.Run(c.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := c.Run(ctx, fresh(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

func at(t endpoint.Target, epoch cluster.Epoch) endpoint.Target {
	t.Epoch = epoch
	return t
}

func leads(ctx context.Context, e endpoint.Endpoint, want endpoint.Target) error {
	return endpoint.Verify(ctx, "the endpoint", e, want)
}

func setIsObserved(ctx context.Context, s Subject) error {
	if err := s.Endpoint.Set(ctx, at(s.Here, 1)); err != nil {
		return err
	}
	return leads(ctx, s.Endpoint, s.Here)
}

func setTwice(ctx context.Context, s Subject) error {
	return errors.Join(setIsObserved(ctx, s), setIsObserved(ctx, s))
}

func setAgain(ctx context.Context, s Subject) error {
	if err := setIsObserved(ctx, s); err != nil {
		return err
	}
	s.Endpoint = s.Again()
	if err := leads(ctx, s.Endpoint, s.Here); err != nil {
		return fmt.Errorf("after a restart: %w", err)
	}
	return setIsObserved(ctx, s)
}

func thereAndBack(ctx context.Context, s Subject) error {
	for i, to := range []endpoint.Target{s.Here, s.There, s.Here} {
		if err := s.Endpoint.Set(ctx, at(to, cluster.Epoch(i+1))); err != nil {
			return fmt.Errorf("move %d: %w", i+1, err)
		}
		got, err := s.Endpoint.Observe(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("move %d: %w", i+1, err)
		case got.LeadsTo(to):
		case to.LeadsTo(s.There) && got.Node == "":
			// A local endpoint has let go; taking it is up to the other host.
		default:
			return fmt.Errorf("move %d: leads to %s, wanted %s", i+1, got, to)
		}
	}
	return nil
}

func neverFromMemory(ctx context.Context, s Subject) error {
	if err := setIsObserved(ctx, s); err != nil {
		return err
	}
	if err := s.Meddle(ctx); err != nil {
		return fmt.Errorf("meddle: %w", err)
	}
	got, err := s.Endpoint.Observe(ctx)
	if err == nil && got.LeadsTo(s.Here) {
		return fmt.Errorf("observed %s although clients are led there no more", got)
	}
	return err
}

func repairs(ctx context.Context, s Subject) error {
	if err := neverFromMemory(ctx, s); err != nil {
		return err
	}
	return setIsObserved(ctx, s)
}

func oldEpoch(ctx context.Context, s Subject) error {
	if err := s.Endpoint.Set(ctx, at(s.Here, 7)); err != nil {
		return err
	}
	err := s.Endpoint.Set(ctx, at(s.There, 6))
	var old *endpoint.OldEpochError
	if !errors.As(err, &old) {
		return fmt.Errorf("epoch 6 after epoch 7: want an OldEpochError, got %v", err)
	}
	if old.Asked != 6 || old.Known != 7 {
		return fmt.Errorf("epoch 6 after epoch 7: %w", old)
	}
	return leads(ctx, s.Endpoint, s.Here)
}

func cancelled(ctx context.Context, s Subject) error {
	if err := setIsObserved(ctx, s); err != nil {
		return err
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.Endpoint.Set(gone, at(s.There, 2)); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("set with a cancelled context: want that as the error, got %v", err)
	}
	return leads(ctx, s.Endpoint, s.Here)
}

func silence(ctx context.Context, s Subject) error {
	if s.Silence == nil {
		return nil
	}
	s.Silence()
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Endpoint.Set(short, at(s.Here, 1)) }()
	select {
	case err := <-done:
		if !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("set while nothing answers: want the deadline as the error, got %v", err)
		}
		return nil
	case <-ctx.Done():
		return errors.New("set does not come back although its deadline is long over")
	}
}
