package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
)

// WaitSteady waits until the lab is as it is after Up: one primary that
// clients reach, and everybody else following it.
func (l *Lab) WaitSteady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, steadyLimit)
	defer cancel()
	return until(ctx, "the cluster is steady", l.Steady)
}

// Steady reports what keeps the lab from being steady.
func (l *Lab) Steady(ctx context.Context) error {
	switch l.Manager {
	case ByBaton:
		agree := l.agreed
		if l.observes() {
			agree = l.observed
		}
		if err := agree(ctx); err != nil {
			return err
		}
	case ByKeepalived:
		if err := l.addressAtPrimary(ctx); err != nil {
			return err
		}
	}
	return l.Replicating(ctx)
}

// agreed reports what the agents are not of one mind about.
func (l *Lab) agreed(ctx context.Context) error {
	var first api.Status
	for i, n := range l.Nodes() {
		st, err := l.ClusterStatus(ctx, n)
		if err != nil {
			return err
		}
		if i == 0 {
			first = st
		}
		if st.Epoch != first.Epoch || st.Primary != first.Primary {
			return fmt.Errorf("%s knows epoch %d with primary %s, %s knows epoch %d with primary %s",
				first.Node, first.Epoch, first.Primary, n, st.Epoch, st.Primary)
		}
		if err := settled(st, l.Nodes(), len(l.DataNodes())); err != nil {
			return fmt.Errorf("says %s: %w", n, err)
		}
	}
	return l.addressAt(ctx, string(first.Primary))
}

// settled reports what one node's status still waits for.
func settled(st api.Status, nodes []string, data int) error {
	switch {
	case !st.Known:
		return errors.New("there is no record yet")
	case st.Phase != cluster.PhaseSteady:
		return fmt.Errorf("the phase is %s (%s %s)", st.Phase, st.Reason, st.Detail)
	case st.Online != len(nodes):
		return fmt.Errorf("%d of %d agents are heard of", st.Online, len(nodes))
	case st.Acks.Durability == cluster.Lossless && len(st.Acks.Members) != data-1:
		return fmt.Errorf("the ack set is %v", st.Acks.Members)
	case st.Store.Silent || st.Store.Healthy != st.Store.Members:
		return fmt.Errorf("of the store's %d members, %d are well: %s", st.Store.Members, st.Store.Healthy, st.Store.Detail)
	}
	for _, r := range st.Nodes {
		if !slices.Contains([]api.Part{api.IsPrimary, api.IsReplica, api.IsWitness}, r.Part) {
			return fmt.Errorf("%s is %s %s", r.Name, r.Part, r.Held)
		}
	}
	return nil
}

// WaitCondition waits until a node has a condition, or no longer has it, and
// returns its detail.
func (l *Lab) WaitCondition(ctx context.Context, node string, reason cluster.Reason, has bool) (detail string, err error) {
	ctx, cancel := context.WithTimeout(ctx, steadyLimit)
	defer cancel()
	what := fmt.Sprintf("%s has the condition %s", node, reason)
	if !has {
		what = fmt.Sprintf("%s has the condition %s no longer", node, reason)
	}
	err = until(ctx, what, func(ctx context.Context) error {
		st, err := l.ClusterStatus(ctx, node)
		if err != nil {
			return err
		}
		for _, r := range st.Nodes {
			if string(r.Name) != node {
				continue
			}
			i := slices.IndexFunc(r.Conditions, func(c cluster.Condition) bool { return c.Reason == reason })
			if i >= 0 {
				detail = r.Conditions[i].Detail
			}
			if (i >= 0) != has {
				return fmt.Errorf("its conditions are %v", r.Conditions)
			}
		}
		return nil
	})
	return detail, err
}

// WaitChoice waits until a switchover for which nobody is named would go to a
// node, in the eyes of another.
func (l *Lab) WaitChoice(ctx context.Context, asked, want string) error {
	ctx, cancel := context.WithTimeout(ctx, steadyLimit)
	defer cancel()
	return until(ctx, "a switchover would go to "+want, func(ctx context.Context) error {
		st, err := l.ClusterStatus(ctx, asked)
		switch {
		case err != nil:
			return err
		case st.Preview == nil:
			return errors.New("it has not thought about a switch yet")
		case string(st.Preview.Switchover.Candidate) != want:
			return fmt.Errorf("it would go to %s (%s)", st.Preview.Switchover.Candidate, st.Preview.Switchover.By)
		}
		return nil
	})
}

// addressAt reports whether a host, and no other, holds all virtual addresses.
func (l *Lab) addressAt(ctx context.Context, node string) error {
	for _, a := range l.Addresses() {
		holders, err := l.holders(ctx, a)
		if err != nil {
			return err
		}
		if !slices.Equal(holders, []string{node}) {
			return fmt.Errorf("the primary is %s, and %s is held by %v", node, a, holders)
		}
	}
	return nil
}

// holders are the data nodes that hold an address.
func (l *Lab) holders(ctx context.Context, a netip.Addr) ([]string, error) {
	var holders []string
	for _, n := range l.DataNodes() {
		has, err := l.net.Holds(ctx, n, a)
		if err != nil {
			return nil, err
		}
		if has {
			holders = append(holders, n)
		}
	}
	return holders, nil
}

// addressAtPrimary reports whether the one writable server has the addresses.
func (l *Lab) addressAtPrimary(ctx context.Context) error {
	primary, err := l.WritablePrimary(ctx)
	if err != nil {
		return err
	}
	return l.addressAt(ctx, primary)
}

// Primary is the node that clients are led to.
func (l *Lab) Primary(ctx context.Context) (string, error) {
	switch {
	case l.Manager == ByNobody, !slices.ContainsFunc(l.Nodes(), func(n string) bool { return l.modeOf(n) == cluster.Active }):
		return l.WritablePrimary(ctx)
	case l.Manager == ByKeepalived:
		holders, err := l.holders(ctx, l.Addresses()[0])
		if err != nil {
			return "", err
		}
		if len(holders) != 1 {
			return "", fmt.Errorf("the address is held by %v", holders)
		}
		return holders[0], nil
	}
	var newest api.Status
	var silent []error
	for _, n := range l.Nodes() {
		st, err := l.ClusterStatus(ctx, n)
		if err != nil {
			silent = append(silent, err)
		} else if st.Epoch > newest.Epoch {
			newest = st
		}
	}
	if newest.Primary == "" {
		return "", errors.Join(append([]error{errors.New("no agent names a primary")}, silent...)...)
	}
	return string(newest.Primary), nil
}
