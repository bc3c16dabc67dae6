package lab

import (
	"context"
	"fmt"
	"slices"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/lab/process"
)

// Reprovision gives new data to every node that is held because of errant
// transactions, as a person would after having looked at them, and returns the
// nodes. The new data is that of a server that has never been used: the primary
// of a lab still has its whole binary log.
func (l *Lab) Reprovision(ctx context.Context, but ...string) ([]string, error) {
	var done []string
	for _, n := range l.DataNodes() {
		if slices.Contains(but, n) {
			continue
		}
		st, err := l.ClusterStatus(ctx, n)
		if err != nil {
			return done, err
		}
		for _, row := range st.Nodes {
			if row.Name != cluster.NodeName(n) || row.Errant == "" {
				continue
			}
			if err := l.RenewData(ctx, n); err != nil {
				return done, fmt.Errorf("give new data to %s, which has %s: %w", n, row.Errant, err)
			}
			done = append(done, n)
		}
	}
	return done, nil
}

// RenewData gives a node the data of a server that has never been used.
func (l *Lab) RenewData(ctx context.Context, node string) error {
	unlock, err := l.lock(node)
	if err != nil {
		return err
	}
	if p, ok := process.Recorded(l.Dir, serverName(node)); ok && p.Alive() {
		err = p.Kill(ctx)
	}
	if err == nil {
		err = l.freshData(ctx, node)
	}
	unlock()
	if err != nil {
		return err
	}
	return l.StartServer(ctx, node)
}

// settle waits until the lab is as it was after Up, giving new data to nodes
// that are held meanwhile.
func (l *Lab) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, steadyLimit)
	defer cancel()
	var renewed []string
	return until(ctx, "the cluster is steady", func(ctx context.Context) error {
		more, err := l.Reprovision(ctx, renewed...)
		renewed = append(renewed, more...)
		if err != nil {
			return err
		}
		return l.Steady(ctx)
	})
}
