// Package cloudaddr answers which node a cloud vendor sends the packets for an
// address to, and has it send them to another: elastic and secondary addresses and
// routes of AWS, elastic addresses and HAVIPs of Alibaba Cloud, HAVIPs of Tencent Cloud.
//
// It speaks with the vendor's API alone: that a host has the address on an interface
// of its own, where it needs to, is the business of virtual addresses. The rule: an
// address goes to the instance or interface that the configuration names for the
// primary, and to no other. These APIs compare nothing with what they replace, so an
// older reign is refused by this process only.
package cloudaddr

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/cloudapi"
)

// An Address is something at a vendor that leads to one instance or interface.
type Address interface {
	// Holders says who has it, for each of its parts.
	Holders(ctx context.Context) ([]Holder, error)
	// Move gives it to the instance or interface of that ID, and returns when it has
	// been given, or ctx ends. have is what Holders has just said.
	Move(ctx context.Context, id string, have []Holder) error
}

// Holder says who has one part of an address.
type Holder struct {
	Part string // which, in words for people
	// IDs are those by which the one that has it is known, such as an instance and its
	// interface; empty: nobody has it.
	IDs []string
	// Odd is why it leads elsewhere all the same, in words that follow the part.
	Odd string
	// Busy is why it is not known yet, in such words.
	Busy string
}

// Endpoint is one address. It implements endpoint.Endpoint.
type Endpoint struct {
	name    string
	address Address
	ids     map[cluster.NodeName]string
	guard   endpoint.EpochGuard
}

// Open prepares the use of an address that leads to the nodes' instances or
// interfaces of those IDs. It connects to nobody.
func Open(name string, address Address, ids map[cluster.NodeName]string) *Endpoint {
	return &Endpoint{name: name, address: address, ids: ids}
}

// Observe implements endpoint.Endpoint. An address that nobody has leads nowhere.
func (e *Endpoint) Observe(ctx context.Context) (endpoint.Target, error) {
	have, err := e.address.Holders(ctx)
	if err != nil {
		return endpoint.Target{}, err
	}
	var at []cluster.NodeName
	var says []string
	for _, h := range have {
		node, err := e.node(h)
		if err != nil {
			return endpoint.Target{}, err
		}
		at, says = append(at, node), append(says, fmt.Sprintf("%s leads to %s", h.Part, endpoint.Target{Node: node}))
	}
	if len(slices.Compact(at)) != 1 {
		return endpoint.Target{}, fmt.Errorf("%s: %w", strings.Join(says, ", "), endpoint.ErrForeign)
	}
	return endpoint.Target{Node: at[0]}, nil
}

// node is whose a part is; empty: nobody's.
func (e *Endpoint) node(h Holder) (cluster.NodeName, error) {
	switch {
	case h.Busy != "":
		return "", fmt.Errorf("%s %s", h.Part, h.Busy)
	case h.Odd != "":
		return "", fmt.Errorf("%s %s: %w", h.Part, h.Odd, endpoint.ErrForeign)
	case len(h.IDs) == 0:
		return "", nil
	}
	for node, id := range e.ids {
		if slices.Contains(h.IDs, id) {
			return node, nil
		}
	}
	return "", fmt.Errorf("%s leads to %s, which is no node's: %w", h.Part, strings.Join(h.IDs, ", "), endpoint.ErrForeign)
}

// Set implements endpoint.Endpoint.
func (e *Endpoint) Set(ctx context.Context, target endpoint.Target) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	id, ok := e.ids[target.Node]
	if !ok {
		return fmt.Errorf("lead it to %s: the configuration names no instance or interface of it", target)
	}
	if err := e.guard.Pass(e.name, target.Epoch); err != nil {
		return err
	}
	have, err := e.address.Holders(ctx)
	if err != nil || all(have, id) {
		return err
	}
	return e.address.Move(ctx, id, have)
}

// all reports whether every part leads to that instance or interface already.
func all(have []Holder, id string) bool {
	return !slices.ContainsFunc(have, func(h Holder) bool { return !h.is(id) })
}

func (h Holder) is(id string) bool { return slices.Contains(h.IDs, id) && h.Odd == "" && h.Busy == "" }

// present are the IDs that are not empty.
func present(ids ...string) []string {
	return slices.DeleteFunc(ids, func(id string) bool { return id == "" })
}

// step does the next thing towards an end, and reports true when that is reached;
// otherwise it says what is waited for.
type step func(ctx context.Context) (done bool, waits string, err error)

// towards takes steps with pauses, for vendors that accept an order and carry it out
// later. If ctx ends in a pause it says what it waited for.
func towards(ctx context.Context, pause time.Duration, next step) error {
	if pause == 0 {
		pause = 500 * time.Millisecond
	}
	for {
		done, waits, err := next(ctx)
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return fmt.Errorf("%s, and there is no time left to wait for it", waits)
		case <-time.After(pause):
		}
	}
}

// flux are the faults that say that an earlier order is not carried out yet.
var flux = [...]string{"IncorrectEipStatus", "IncorrectHaVipStatus", "IncorrectStatus", "TaskConflict", "OperationConflict", "OperationFailed.LastTokenProcessing", "LastTokenProcessing"}

// settling drops a fault that says that.
func settling(err error) error {
	var f *cloudapi.Fault
	if errors.As(err, &f) && slices.ContainsFunc(flux[:], func(code string) bool { return strings.HasPrefix(f.Code, code) }) {
		return nil
	}
	return err
}

// missing says that a thing of the configuration is not there.
func missing(what, id string) error {
	return fmt.Errorf("there is no %s %s: its ID, the region or the account is another", what, id)
}
