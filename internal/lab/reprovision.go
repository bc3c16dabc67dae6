package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/lab/process"
)

// Reprovision gives new data to every node that is held because of errant
// transactions, as a person would after having looked at them, and returns the
// nodes. Their agents start the servers again. Nodes in but are left alone: they
// have new data already, and their agents have yet to find out.
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

// RenewData gives a node the data of another replica, or if there is none, of the
// primary, which goes on meanwhile. It cannot be the data of
// a server that has never been used, replicated from the beginning: a server
// skips the transactions that bear its own id, and an old primary wrote some.
func (l *Lab) RenewData(ctx context.Context, node string) error {
	if l.Servers == 2 {
		return l.dumpInto(ctx, node)
	}
	donor, err := l.replicaOtherThan(ctx, node)
	if err != nil {
		return err
	}
	for _, n := range []string{donor, node} {
		unlock, err := l.lock(n) // its agent must not start the server meanwhile
		if err != nil {
			return err
		}
		defer unlock()
	}
	for _, n := range []string{donor, node} {
		if p, ok := process.Recorded(l.Dir, serverName(n)); ok && p.Alive() {
			if err := p.Stop(ctx, time.Minute); err != nil {
				return fmt.Errorf("stop the server of %s: %w", n, err)
			}
		}
	}
	if err := os.RemoveAll(l.dataDir(node)); err != nil {
		return fmt.Errorf("remove the data of %s: %w", node, err)
	}
	cmd := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", l.dataDir(donor), l.dataDir(node))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("copy the data of %s to %s: %w: %s", donor, node, err, bytes.TrimSpace(out))
	}
	return l.forgetIdentity(l.dataDir(node))
}

func (l *Lab) replicaOtherThan(ctx context.Context, node string) (string, error) {
	primary, err := l.Primary(ctx)
	if err != nil {
		return "", err
	}
	for _, n := range l.DataNodes() {
		if n != node && n != primary {
			return n, nil
		}
	}
	return "", fmt.Errorf("no replica is there whose data %s could get", node)
}

// Settle waits until the lab is as it was after Up, giving new data to nodes
// that are held meanwhile.
func (l *Lab) Settle(ctx context.Context) error {
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
