package agent

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/core/reach"
	"github.com/baton-db/baton/internal/endpoint"
)

// callTimes keeps how long the calls of each endpoint took since this agent started.
// The endpoints' own goroutines add to it, and whoever asks reads it.
type callTimes struct {
	mu sync.Mutex
	of map[string]*timesOf
}

type timesOf struct {
	kind         endpoint.Kind
	set, observe reach.Times
}

func (c *callTimes) add(name string, kind endpoint.Kind, call endpoint.Call, took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]*timesOf{}
	}
	t := c.of[name]
	if t == nil {
		t = &timesOf{kind: kind}
		c.of[name] = t
	}
	times := &t.observe
	if call == endpoint.Setting {
		times = &t.set
	}
	// What cannot be asked, or leads to somebody else, has answered.
	times.Took(took, err != nil && !errors.Is(err, endpoint.ErrUnseen) && !errors.Is(err, endpoint.ErrForeign))
}

// all is sorted by name.
func (c *callTimes) all() []reach.Calls {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []reach.Calls
	for name, t := range c.of {
		all = append(all, reach.Calls{Endpoint: name, Kind: string(t.kind), Set: t.set.Distribution(), Observe: t.observe.Distribution()})
	}
	slices.SortFunc(all, func(a, b reach.Calls) int { return cmp.Compare(a.Endpoint, b.Endpoint) })
	return all
}
