package endpointtest_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/endpointtest"
)

// registry is the outside world of a central endpoint: a place that holds one
// name, and may fall silent.
type registry struct {
	node   cluster.NodeName
	silent bool
}

func (r *registry) wait(ctx context.Context) error {
	if !r.silent {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

// central is a correct endpoint, unless a bug is planted.
type central struct {
	world *registry
	guard endpoint.EpochGuard
	known cluster.NodeName
	bug   string
}

func (c *central) Observe(ctx context.Context) (endpoint.Target, error) {
	if c.bug == "observes from memory" {
		return endpoint.Target{Node: c.known}, nil
	}
	return endpoint.Target{Node: c.world.node}, c.world.wait(ctx)
}

func (c *central) Set(ctx context.Context, target endpoint.Target) error {
	if c.bug == "ignores cancellation" {
		ctx = context.WithoutCancel(ctx)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.guard.Pass("central", target.Epoch); err != nil && c.bug != "obeys old epochs" {
		return err
	}
	if c.bug == "cannot be set twice" && c.known == target.Node {
		return errors.New("exists already")
	}
	if c.bug == "believes that it is set" && c.known == target.Node {
		return nil
	}
	if c.bug == "has a deadline of its own" {
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Nanosecond)
		defer cancel()
		if err := c.world.wait(own); err != nil {
			return errors.New("gave up")
		}
	}
	if err := c.world.wait(ctx); err != nil {
		return err
	}
	c.known = target.Node
	if c.bug == "does nothing" {
		return nil
	}
	c.world.node = target.Node
	return nil
}

func subject(bug string) endpointtest.Subject {
	world := &registry{}
	again := func() endpoint.Endpoint { return &central{world: world, bug: bug} }
	return endpointtest.Subject{
		Endpoint: again(),
		Again:    again,
		Here:     endpoint.Target{Node: "db1"},
		There:    endpoint.Target{Node: "db2"},
		Meddle:   func(context.Context) error { world.node = "db2"; return nil },
		Silence:  func() { world.silent = true },
	}
}

func TestACorrectEndpointPasses(t *testing.T) {
	endpointtest.Run(t, func(*testing.T) endpointtest.Subject { return subject("") })
}

func TestEveryPlantedBugIsFoundByTheCheckNamedAfterIt(t *testing.T) {
	for bug, check := range map[string]string{
		"does nothing":              "what was set is observed",
		"cannot be set twice":       "setting it twice is the same as once",
		"observes from memory":      "it observes what somebody else did to it",
		"believes that it is set":   "it repairs what somebody else did to it",
		"obeys old epochs":          "an older epoch is refused and changes nothing",
		"ignores cancellation":      "a call with a cancelled context changes nothing",
		"has a deadline of its own": "silence ends with the deadline",
	} {
		t.Run(bug, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			var found []string
			for _, c := range endpointtest.Checks() {
				if c.Name == "silence ends with the deadline" && bug == "ignores cancellation" {
					continue // it would wait for its full patience, rightly
				}
				if err := c.Run(ctx, subject(bug)); err != nil {
					found = append(found, c.Name)
				}
			}
			if !slices.Contains(found, check) {
				t.Errorf("found by %q only", found)
			}
		})
	}
}
