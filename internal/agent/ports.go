package agent

import (
	"context"
	"errors"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reconcile"
)

// What the agent needs of its host. The interfaces are the agent's own; wire.go
// fills them with the packages that know firewalls, addresses and databases.

// ErrNoGate says that this host has no nftables: only read_only and the
// destruction of sockets hold clients back.
var ErrNoGate = errors.New("no nftables on this host")

// GateState is the gate as the kernel has it.
type GateState struct {
	Mode    reconcile.GateMode
	Cut     []cluster.NodeName
	Blocked []cluster.NodeName
}

// Gate is the firewall in front of the database port.
type Gate interface {
	State(ctx context.Context) (GateState, error)
	Close(ctx context.Context) error
	OpenReadOnly(ctx context.Context) error
	// OpenUntil opens for clients until an instant of this host's clock.
	OpenUntil(ctx context.Context, until cluster.Instant) error
	Cut(ctx context.Context, nodes ...cluster.NodeName) error
	Uncut(ctx context.Context, nodes ...cluster.NodeName) error
	// Block shuts this host's own path to other nodes' servers; Unblock opens
	// it to those, or to all if none is named.
	Block(ctx context.Context, nodes ...cluster.NodeName) error
	Unblock(ctx context.Context, nodes ...cluster.NodeName) error
}

// Sockets destroys client connections to the database port.
type Sockets interface {
	DestroyClients(ctx context.Context) (int, error)
}

// Addresses are the cluster's virtual addresses on this host.
type Addresses interface {
	Probe(ctx context.Context) error
	// Bind takes and announces them. members are the link-layer addresses of
	// the cluster's nodes: an owner among them does not keep an address.
	Bind(ctx context.Context, until cluster.Instant, members map[string]cluster.NodeName) error
	Extend(ctx context.Context, until cluster.Instant) error
	Mute(ctx context.Context) error
	Unmute(ctx context.Context) error
	Drop(ctx context.Context) error
	Observe(ctx context.Context) (bound []string, muted bool, err error)
}

// Process is the database server's process on this host.
type Process interface {
	Alive() bool
	Stopped() bool // frozen by a signal
	MayKill() bool
	Kill() error
	Start(ctx context.Context) error
}
