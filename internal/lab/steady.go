package lab

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

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
		if err := l.agreed(ctx); err != nil {
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

// addressAt reports whether a host, and no other, holds all virtual addresses.
func (l *Lab) addressAt(ctx context.Context, node string) error {
	for _, n := range l.DataNodes() {
		out, err := exec.CommandContext(ctx, "ip", "-n", l.net.Namespace(n), "-o", "addr", "show").Output()
		if err != nil {
			return fmt.Errorf("list the addresses of %s: %w", n, err)
		}
		for _, a := range l.Addresses() {
			has := strings.Contains(string(out), " "+a.String()+"/")
			if has != (n == node) {
				return fmt.Errorf("primary is %s; that %s holds %s is %v", node, n, a, has)
			}
		}
	}
	return nil
}

func (l *Lab) addressAtPrimary(ctx context.Context) error {
	primary, err := l.WritablePrimary(ctx)
	if err != nil {
		return err
	}
	return l.addressAt(ctx, primary)
}

// Primary is the node that clients are led to.
func (l *Lab) Primary(ctx context.Context) (string, error) {
	if l.Manager != ByBaton {
		return l.WritablePrimary(ctx)
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
