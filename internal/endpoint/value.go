package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Value is what a key in a config store holds, as JSON, whichever store it is.
type Value struct {
	Cluster string           `json:"cluster"`
	Epoch   cluster.Epoch    `json:"epoch"`
	Node    cluster.NodeName `json:"node"`
	Address netip.Addr       `json:"address,omitzero"`
	Port    int              `json:"port,omitempty"`
}

// ValueOf is the value that leads the clients of a cluster to target.
func ValueOf(cluster string, target Target) Value {
	v := Value{Cluster: cluster, Epoch: target.Epoch, Node: target.Node, Port: target.Port}
	if len(target.Addresses) > 0 {
		v.Address = target.Addresses[0]
	}
	return v
}

// Target is where the value leads.
func (v Value) Target() Target {
	t := Target{Epoch: v.Epoch, Node: v.Node, Port: v.Port}
	if v.Address.IsValid() {
		t.Addresses = []netip.Addr{v.Address}
	}
	return t
}

// A Cell holds one value in a store that belongs to somebody else, and changes it
// by compare-and-swap.
type Cell interface {
	// Read returns what the cell holds now, nil if it holds nothing, and the
	// revision that Swap wants.
	Read(ctx context.Context) (text []byte, revision int64, err error)
	// Swap replaces what was there at that revision, and reports false if
	// something else is there by now.
	Swap(ctx context.Context, text []byte, revision int64) (bool, error)
}

// InCell is the endpoint whose Value is in a cell. A value of a newer reign is
// never overwritten: the comparison and the write are one swap.
type InCell struct {
	Name    string // of the endpoint
	Key     string // of the cell, for messages
	Cluster string // Baton's, written into the value
	Cell    Cell
}

// Observe implements Endpoint. A cell that holds nothing leads nowhere; a value
// that Baton did not write is a *ForeignError.
func (c *InCell) Observe(ctx context.Context) (Target, error) {
	v, _, err := c.read(ctx)
	if err != nil {
		return Target{}, err
	}
	return v.Target(), nil
}

// ForeignError says that a key holds what Baton did not write.
type ForeignError struct {
	Key   string
	Value string
	Why   error
}

func (e *ForeignError) Error() string {
	const most = 80
	shown := e.Value
	if len(shown) > most {
		shown = shown[:most] + "…"
	}
	return fmt.Sprintf("%s holds %q, which is not of Baton's making: %v", e.Key, shown, e.Why)
}

// Unwrap returns ErrForeign and what is wrong with the value.
func (e *ForeignError) Unwrap() []error { return []error{ErrForeign, e.Why} }

func (c *InCell) read(ctx context.Context) (v Value, revision int64, err error) {
	text, revision, err := c.Cell.Read(ctx)
	switch {
	case err != nil:
		return Value{}, 0, fmt.Errorf("read %s: %w", c.Key, ended(ctx, err))
	case text == nil:
		return Value{}, revision, nil
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return Value{}, revision, &ForeignError{c.Key, string(text), err}
	}
	if v.Cluster != c.Cluster {
		return Value{}, revision, &ForeignError{c.Key, string(text), fmt.Errorf("it is of cluster %q, not %q", v.Cluster, c.Cluster)}
	}
	return v, revision, nil
}

// ended returns the context's own error where that is why a call failed: some
// clients give it back in words of their own.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Share gives the first of n servers, which are tried one after the other, its
// part of the time that is left, so that one that hangs leaves some for the rest.
func Share(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok || n < 2 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(end)/time.Duration(n))
}

// Set implements Endpoint.
func (c *InCell) Set(ctx context.Context, target Target) error {
	want := ValueOf(c.Cluster, target)
	text, err := json.Marshal(want)
	if err != nil {
		return fmt.Errorf("encode the value of %s: %w", c.Key, err)
	}
	for ctx.Err() == nil {
		have, revision, err := c.read(ctx)
		var foreign *ForeignError
		switch {
		case errors.As(err, &foreign): // the key was given to Baton
		case err != nil:
			return err
		case have.Epoch > want.Epoch:
			return &OldEpochError{Endpoint: c.Name, Asked: want.Epoch, Known: have.Epoch}
		case have == want:
			return nil
		}
		done, err := c.Cell.Swap(ctx, text, revision)
		if err != nil {
			return fmt.Errorf("write %s: %w", c.Key, ended(ctx, err))
		}
		if done {
			return nil
		}
		// Somebody was faster: look again at what is there now.
	}
	return ctx.Err()
}
