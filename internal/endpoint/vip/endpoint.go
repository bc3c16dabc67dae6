package vip

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
)

// Host is what the addresses need to know of the agent around them, to behave
// like any other endpoint.
type Host struct {
	Self cluster.NodeName
	// Until returns the end of this host's permission to serve; in the past if
	// it has none.
	Until func() cluster.Instant
	// Members returns all nodes of the cluster by link-layer address.
	Members func() Members
}

// Endpoint shows the addresses as an endpoint.Endpoint: leading clients to this
// host binds them, leading them elsewhere drops them, as taking them is up to
// the other host. All the addresses lead to one node, or Observe names none.
func (s *Set) Endpoint(host Host) endpoint.Endpoint {
	return &asEndpoint{set: s, host: host}
}

type asEndpoint struct {
	set  *Set
	host Host

	mu    sync.Mutex
	guard endpoint.EpochGuard
}

const endpointName = "virtual addresses"

// Set implements endpoint.Endpoint.
func (e *asEndpoint) Set(ctx context.Context, target endpoint.Target) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", endpointName, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.guard.Pass(endpointName, target.Epoch); err != nil {
		return err
	}
	if target.Node != e.host.Self {
		return e.set.Drop(ctx)
	}
	_, err := e.set.Bind(ctx, Claim{Until: e.host.Until(), Members: e.host.Members()})
	return err
}

// Observe implements endpoint.Endpoint: by the kernel if the addresses are
// here, otherwise by asking the neighbours.
func (e *asEndpoint) Observe(ctx context.Context) (endpoint.Target, error) {
	o, err := e.set.Observe(ctx)
	if err != nil {
		return endpoint.Target{}, err
	}
	var nodes []cluster.NodeName
	for _, a := range o.Addresses {
		node, err := e.owner(ctx, a, o.Muted)
		if err != nil {
			return endpoint.Target{}, err
		}
		nodes = append(nodes, node)
	}
	for _, n := range nodes {
		if n != nodes[0] {
			return endpoint.Target{}, nil // some here, some there: nowhere to rely on
		}
	}
	return endpoint.Target{Node: nodes[0]}, nil
}

func (e *asEndpoint) owner(ctx context.Context, a AddressState, muted bool) (cluster.NodeName, error) {
	if a.Bound && !muted {
		return e.host.Self, nil
	}
	mac, err := e.set.Ask(ctx, a.Interface, a.IP)
	if errors.Is(err, ErrNobody) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return e.host.Members()[mac.String()], nil
}
