package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/lab/load"
	"github.com/baton-db/baton/internal/lab/process"
)

// DieAt has a node's agent killed when it comes to a named point for the next
// time: before or after a step or a swap of the record, such as "after promote" or
// "before swap steady".
func (l *Lab) DieAt(node, point string) error {
	if err := writeFile(l.dieAt(node), []byte(point), 0o600); err != nil {
		return fmt.Errorf("name the point at which the agent of %s dies: %w", node, err)
	}
	return nil
}

// dieAt is the file in which an agent looks for the point.
func (l *Lab) dieAt(node string) string { return l.path(node, "die-at") }

// A Death is what came of an agent that was to die in the midst of a switch.
type Death struct {
	Died bool  // it came to its point
	Told error // what the one who asked for the switch was told
	Verdict
}

// DieDuring has a node's agent die at a point of a switch under load, starts it
// again at once, as a service manager would, and judges what the clients saw once
// the lab is as before. With crash the primary's server is killed; otherwise the
// role is handed over as planned, to the node named.
func (l *Lab) DieDuring(ctx context.Context, crash bool, to, node, point string, o load.Options) (Death, error) {
	if err := l.WaitSteady(ctx); err != nil {
		return Death{}, err
	}
	before, err := l.ClusterStatus(ctx, node)
	if err != nil {
		return Death{}, err
	}
	c, err := l.StartLoad(ctx, o)
	if err != nil {
		return Death{}, err
	}
	defer c.Stop()
	if _, err := c.Until(ctx, warmUp, func(load.Ack) bool { return true }); err != nil {
		return Death{}, err
	}
	if err := l.DieAt(node, point); err != nil {
		return Death{}, err
	}
	asked, told := make(chan struct{}), error(nil)
	go func() {
		defer close(asked)
		if crash {
			told = l.killServer(ctx, string(before.Primary))
		} else {
			told = l.Switchover(ctx, to)
		}
	}()
	died, err := l.awaitDeath(ctx, node, func() bool {
		select {
		case <-asked:
		default:
			return false
		}
		st, err := l.ClusterStatus(ctx, node)
		return err == nil && st.Phase == cluster.PhaseSteady && (st.Epoch > before.Epoch || !crash)
	})
	if err != nil {
		return Death{}, err
	}
	<-asked // a killed server is started again by its agent
	if err := c.UntilEach(ctx, c.Now()+time.Second); err != nil {
		return Death{}, fmt.Errorf("after the agent of %s was to die %s: %w", node, point, err)
	}
	// It may come to its point late, when the old primary follows.
	late, err := l.awaitDeath(ctx, node, func() bool { return l.Steady(ctx) == nil })
	if err != nil {
		return Death{}, err
	}
	if err := os.Remove(l.dieAt(node)); errors.Is(err, os.ErrNotExist) && !died && !late {
		if late, err = l.awaitDeath(ctx, node, func() bool { return false }); err != nil { // it has just come to it
			return Death{}, err
		}
	}
	if err := c.UntilEach(ctx, c.Now()); err != nil {
		return Death{}, fmt.Errorf("after the agent of %s was to die %s: %w", node, point, err)
	}
	j := c.Stop()
	if err := l.Settle(ctx); err != nil {
		return Death{}, fmt.Errorf("after the agent of %s was to die %s: %w", node, point, err)
	}
	v, err := l.Judge(ctx, j, WholeRun(), shortestReign)
	return Death{Died: died || late, Told: told, Verdict: v}, err
}

// awaitDeath waits until a node's agent has come to its point and died, and starts
// it again, or until over says that it need not.
func (l *Lab) awaitDeath(ctx context.Context, node string, over func() bool) (died bool, err error) {
	err = until(ctx, "the agent of "+node+" dies, or the switch is over", func(ctx context.Context) error {
		if p, known := process.Recorded(l.Dir, agentName(node)); known && !p.Alive() {
			died = true
			return l.StartAgent(ctx, node)
		}
		if !over() {
			return errors.New("neither yet")
		}
		return nil
	})
	return died, err
}
