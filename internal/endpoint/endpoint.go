// Package endpoint answers where clients are led, and leads them elsewhere: it
// holds what virtual addresses, DNS names, load balancers and the like have in
// common.
//
// Endpoints come in three kinds. A central one (a DNS zone, a load balancer, a
// cloud's API) is set by whichever node holds the lease, and says itself where
// it leads. A local one (package vip) exists on the primary's own host: being
// led here means that this host has it, being led elsewhere means that this
// host gives it up, and nobody can move it to a host that does not take part.
// A local endpoint is also a danger when its host is cut off, so it ends with
// the lease without any code running; a central one stays as it was set. What tells
// others of a local one, such as a router (Local), is told otherwise when the
// lease is over. And some
// hosts have something for themselves that can lead anywhere, such as the file of a
// proxy: their agents lead it to the record's primary, be they primary or not.
//
// No endpoint decides who is primary, and none tells a database to do anything. The rule:
// Observe never answers from memory, because the verification that clients are
// led to the new primary is nothing but a call of Observe.
package endpoint

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Target is where clients are to be led, or where they are.
type Target struct {
	// Epoch is the reign that wants it so. Observe leaves it 0 where the
	// endpoint cannot hold it, as an ARP table cannot.
	Epoch cluster.Epoch
	// Node is the primary. Empty: clients are to be led nowhere, or are.
	Node cluster.NodeName
	// Addresses are the node's own addresses, not the virtual ones. Local
	// endpoints have no use for them.
	Addresses []netip.Addr
	// Port is the one on which the node's server listens; local endpoints have no
	// use for it, either.
	Port int
	// Planned says that the previous primary is alive and takes part, so that
	// the endpoint may be made at the new one before it is broken at the old.
	Planned bool
}

// LeadsTo reports whether clients are led to the same node by both targets. The
// epoch and the way there do not matter.
func (t Target) LeadsTo(want Target) bool { return t.Node == want.Node }

// String names the node for messages.
func (t Target) String() string {
	if t.Node == "" {
		return "nowhere"
	}
	return string(t.Node)
}

// An Endpoint is something that clients connect through.
type Endpoint interface {
	// Observe reports where clients are led now. It changes nothing and does
	// not answer from memory: verification calls it after Set. An error that is
	// ErrForeign says that they are led elsewhere; one that is ErrUnseen, that this
	// endpoint can never be asked; any other, that it is not known.
	Observe(ctx context.Context) (Target, error)

	// Set leads clients to target. It is idempotent, may be called by somebody
	// who does not know how far an earlier call came, and returns an
	// *OldEpochError, having changed nothing, when it knows a newer reign.
	Set(ctx context.Context, target Target) error
}

// A Tender is an Endpoint that has something to do while it leads where it should,
// such as giving a name its usual time to live back some time after a switch.
type Tender interface {
	// Tend is called after every look that found clients led to target. It leads them
	// nowhere else, and is bound by what binds Set.
	Tend(ctx context.Context, target Target) error
}

// A Local is an Endpoint that every host has, and that can lead to that host only, such
// as what it announces to its router. While nothing is wanted of it, another host leads
// clients, or none does.
type Local interface {
	// StandBy has this host lead nobody, and be ready to. It is idempotent and called
	// again and again, for as long as the host stands by; its error says what would keep
	// clients from being led here, or leads them here although they should not be.
	StandBy(ctx context.Context) error
}

// A Teller is an Endpoint that has a view of its own of what it leads to, such as a load
// balancer that checks its servers, or that sees others pass on what it tells them.
type Teller interface {
	// Tells says in words what the last Observe, or Tend, saw of that; empty: nothing.
	// It is for people.
	Tells() string
}

// A Runner is an Endpoint with something that goes on between calls, such as sessions
// with routers. Whoever has it calls Run once, beside the calls of the others, and waits
// for it: it returns when ctx ends.
type Runner interface {
	Run(ctx context.Context)
}

// MismatchError says that an endpoint does not lead where it should.
type MismatchError struct {
	Endpoint string // its name in the configuration
	Got      Target
	Want     Target
	Because  error // what is known of the cause; may be nil
}

func (e *MismatchError) Error() string {
	text := fmt.Sprintf("%s leads to %s, wanted %s", e.Endpoint, e.Got, e.Want)
	if e.Because != nil {
		text += ", because " + e.Because.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *MismatchError) Unwrap() error { return e.Because }

// ErrForeign says that an endpoint was seen, and holds what Baton has not put
// there: wherever it leads, it is not where it should. Set replaces it.
var ErrForeign = errors.New("it is not of Baton's making")

// ErrUnseen says that an endpoint can be told where to lead, but not asked where it
// does. It is told again and again, and people see that nobody has looked.
var ErrUnseen = errors.New("it cannot be asked where it leads")

// OldEpochError says that somebody asked for what an earlier reign wanted.
type OldEpochError struct {
	Endpoint string
	Asked    cluster.Epoch
	Known    cluster.Epoch
}

func (e *OldEpochError) Error() string {
	return fmt.Sprintf("%s: asked for by epoch %d, but epoch %d has been here already", e.Endpoint, e.Asked, e.Known)
}

// Verify observes an endpoint from outside and returns a *MismatchError unless
// it leads to want.
func Verify(ctx context.Context, name string, e Endpoint, want Target) error {
	got, err := e.Observe(ctx)
	if err != nil {
		return &MismatchError{Endpoint: name, Want: want, Got: got, Because: err}
	}
	if !got.LeadsTo(want) {
		return &MismatchError{Endpoint: name, Got: got, Want: want}
	}
	return nil
}

// EpochGuard lets no older reign pass than the newest one it has seen. An
// endpoint that can hold the epoch itself (a key in a store) uses that instead,
// for it outlives the process. It is not safe for concurrent use.
type EpochGuard struct{ newest cluster.Epoch }

// Pass remembers the epoch, or returns an *OldEpochError.
func (g *EpochGuard) Pass(name string, epoch cluster.Epoch) error {
	if epoch < g.newest {
		return &OldEpochError{Endpoint: name, Asked: epoch, Known: g.newest}
	}
	g.newest = epoch
	return nil
}

// Kind is what the configuration calls a sort of endpoint.
type Kind string

// Open makes one endpoint from its part of the configuration, of which the
// program that wires it says what that is. It starts nothing and asks nobody.
type Open[From any] func(from From) (Endpoint, error)

// Registry is every kind of central endpoint that this build has. Whoever wires
// the program writes it down as one literal: adding a kind is adding a line.
type Registry[From any] map[Kind]Open[From]

// Open makes the endpoint of that kind. The error for an unknown one lists
// those that there are.
func (r Registry[From]) Open(kind Kind, from From) (Endpoint, error) {
	open, ok := r[kind]
	if !ok {
		return nil, fmt.Errorf("kind %q is not known; there are %v", kind, r.Kinds())
	}
	return open(from)
}

// Kinds returns the names of all kinds, sorted.
func (r Registry[From]) Kinds() []Kind {
	return slices.Sorted(maps.Keys(r))
}
