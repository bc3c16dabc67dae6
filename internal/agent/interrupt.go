package agent

import (
	"bytes"
	"context"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reconcile"
)

// interruptions kill this agent at a named point, as SIGKILL at that moment would:
// "before promote", "after promote" of a step, "before swap promoting", "after swap
// promoting" of the record. The file names the point, for one time. Tests look for
// what breaks when an agent dies at any step of a switch; where there is no file,
// as everywhere else, nothing is looked for.
type interruptions struct {
	file string
	log  *slog.Logger
}

// at ends this process if this is the point.
func (i interruptions) at(point string) {
	if i.file == "" {
		return
	}
	wanted, err := os.ReadFile(i.file)
	if err != nil || string(bytes.TrimSpace(wanted)) != point {
		return
	}
	if err := os.Remove(i.file); err != nil {
		return // it would come again and again
	}
	i.log.Warn("this agent is killed here: a test wants it", "point", point)
	_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	select {} // until the kernel has done it
}

// around is perform with a point before and one after every step.
func (i interruptions) around(perform func(context.Context, reconcile.Step) (deed, error)) func(context.Context, reconcile.Step) (deed, error) {
	if i.file == "" {
		return perform
	}
	return func(ctx context.Context, s reconcile.Step) (deed, error) {
		i.at("before " + string(s.Kind))
		done, err := perform(ctx, s)
		if err == nil {
			i.at("after " + string(s.Kind))
		}
		return done, err
	}
}

// aroundSwap is swap with a point before and one after it.
func (i interruptions) aroundSwap(swap func(context.Context, swapOf) (cluster.Revision, error)) func(context.Context, swapOf) (cluster.Revision, error) {
	if i.file == "" {
		return swap
	}
	return func(ctx context.Context, s swapOf) (cluster.Revision, error) {
		i.at("before swap " + string(s.next.Phase))
		rev, err := swap(ctx, s)
		if err == nil {
			i.at("after swap " + string(s.next.Phase))
		}
		return rev, err
	}
}
