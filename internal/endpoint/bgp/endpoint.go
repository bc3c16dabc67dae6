package bgp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/endpoint"
)

// Endpoint is what the speaker announces. It implements endpoint.Endpoint,
// endpoint.Local, endpoint.Tender and endpoint.Runner; all but Run are not safe for
// concurrent use.
type Endpoint struct {
	*Speaker
	name  string
	guard endpoint.EpochGuard
}

// Open makes an endpoint of a speaker. It starts nothing.
func Open(name string, s *Speaker) *Endpoint { return &Endpoint{Speaker: s, name: name} }

// glance is how often it is looked whether the routers have been told.
const glance = 5 * time.Millisecond

// Set implements endpoint.Endpoint: it announces the addresses with the epoch's metric,
// and waits until a router has been told of each. Led elsewhere, it announces none.
func (e *Endpoint) Set(ctx context.Context, target endpoint.Target) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := e.guard.Pass(e.name, target.Epoch); err != nil {
		return err
	}
	if target.Node != e.o.Self {
		return e.want(wish{role: isMuted})
	}
	lacks := e.want(wish{role: leads, epoch: target.Epoch})
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for {
		if lacks == nil {
			lacks = e.lacks()
		}
		if lacks == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return lacks // which says more than that there is no time left
		}
		lacks = e.follow()
	}
}

// Observe implements endpoint.Endpoint: what routers have been told, and are not told
// any more, of the addresses that this host has now.
func (e *Endpoint) Observe(ctx context.Context) (endpoint.Target, error) {
	if err := ctx.Err(); err != nil {
		return endpoint.Target{}, err
	}
	if err := e.follow(); err != nil {
		return endpoint.Target{}, err
	}
	if e.lacks() != nil {
		return endpoint.Target{}, nil // what is lacking, Set says
	}
	return endpoint.Target{Node: e.o.Self}, nil
}

// lacks says what is lacking until some router has been told of every address; nil if
// nothing is.
func (e *Endpoint) lacks() error {
	told, err := e.told()
	if err != nil {
		return err
	}
	for _, a := range e.o.Addresses {
		here, err := e.o.Here(a)
		switch {
		case err != nil:
			return err
		case !here:
			return fmt.Errorf("%s is not on this host", a)
		case len(told[a]) > 0:
			continue
		}
		if wrong := e.ill(false); wrong != nil {
			return fmt.Errorf("no router has been told of %s: %w", a, wrong)
		}
		return fmt.Errorf("no router has been told of %s yet", a)
	}
	return nil
}

// Tend implements endpoint.Tender: one router of several that is out of reach leads
// nobody astray, but somebody should know.
func (e *Endpoint) Tend(context.Context, endpoint.Target) error { return e.ill(true) }

// StandBy implements endpoint.Local: sessions are up, and what this host still has, or
// has already, routers avoid if there is any other way.
func (e *Endpoint) StandBy(context.Context) error {
	if err := e.want(wish{role: standsBy}); err != nil {
		return err
	}
	return e.ill(true)
}

// ill says what is wrong with the sessions, and with what runs beside them.
func (e *Endpoint) ill(beside bool) error {
	states, err := e.states()
	if err != nil {
		return err
	}
	var texts []string
	for _, n := range e.o.Neighbors {
		if err := e.unwell(n, states[n.Address]); err != nil {
			texts = append(texts, err.Error())
		}
	}
	if beside {
		e.mu.Lock()
		if e.problem != nil {
			texts = append([]string{e.problem.Error()}, texts...)
		}
		e.mu.Unlock()
	}
	if len(texts) == 0 {
		return nil
	}
	return errors.New(strings.Join(texts, "; "))
}
