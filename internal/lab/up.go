package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/baton-db/baton/internal/db/program"
	"github.com/baton-db/baton/internal/lab/network"
	"github.com/baton-db/baton/internal/lab/process"
)

// How long things may take on a slow and busy machine.
const (
	upLimit     = 3 * time.Minute
	steadyLimit = 2 * time.Minute
	downLimit   = time.Minute
)

// ErrOptions says that what was asked for is no lab that could be built.
var ErrOptions = errors.New("no such lab can be built")

// Up builds a lab and waits until clients could write. What it does is told to
// progress. If it does not get there, nothing is left of it but the logs, in
// a directory that the error names.
func Up(ctx context.Context, o Options, progress io.Writer) (*Lab, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	if err := Check(o); err != nil {
		return nil, err
	}
	if o.Program, _, err = program.Server(o.Flavor); err != nil {
		return nil, err
	}
	if _, err := os.Stat(o.Dir); err == nil {
		return nil, fmt.Errorf("%s is there already: a lab of that name is up, or was left behind; `baton lab down --name %s` takes it away", o.Dir, o.Name)
	}
	l := &Lab{Options: o, Secrets: newSecrets(), net: network.Network{Prefix: "baton-" + o.Name + "-"}}
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("make the lab's directory: %w", err)
	}
	if err := l.save(); err != nil { // from here on Down finds it
		return nil, err
	}
	short, cancel := context.WithTimeout(ctx, upLimit)
	defer cancel()
	if err := l.build(short, progress); err != nil {
		return nil, errors.Join(l.withLogs(err), l.Down(ctx))
	}
	return l, nil
}

func (l *Lab) build(ctx context.Context, progress io.Writer) error {
	say := func(format string, args ...any) { fmt.Fprintf(progress, format+"\n", args...) }
	say("hosts: network namespaces %s*", l.net.Prefix)
	if err := l.buildNetwork(ctx); err != nil {
		return err
	}
	say("servers: %s on %s", l.words().called, strings.Join(l.DataNodes(), ", "))
	if err := l.buildServers(ctx); err != nil {
		return err
	}
	switch l.Manager {
	case ByNobody:
		if err := l.replicateByHand(ctx); err != nil {
			return err
		}
		return l.bindByHand(ctx, l.DataNodes()[0])
	case ByKeepalived:
		say("keepalived on %v", l.DataNodes())
		return l.buildKeepalived(ctx)
	}
	if l.Adopt || l.Observe {
		say("replication by hand, for Baton to adopt")
		if err := l.replicateByHand(ctx); err != nil {
			return err
		}
	}
	say("agents: %s run on %s", l.Binary, strings.Join(l.Nodes(), ", "))
	if err := l.buildAgents(ctx); err != nil {
		return err
	}
	if len(l.Roads) > 0 {
		say("roads: %s", strings.Join(l.Roads, ", "))
		if err := l.startRoads(ctx, func(string) bool { return true }); err != nil {
			return err
		}
	}
	say("waiting until the cluster is steady")
	if err := l.WaitSteady(ctx); err != nil || len(l.Roads) == 0 {
		return err
	}
	say("waiting until every road leads to the primary")
	primary, err := l.Primary(ctx)
	if err != nil {
		return err
	}
	return l.WaitRoads(ctx, l.TheRoads(), primary)
}

func (l *Lab) buildNetwork(ctx context.Context) error {
	// A lab whose directory was removed by hand may have left namespaces.
	if err := l.net.Remove(ctx); err != nil {
		return err
	}
	if err := l.net.Build(ctx); err != nil {
		return err
	}
	for _, h := range l.hosts() {
		if err := l.addHost(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) buildServers(ctx context.Context) error {
	if err := l.writeSecrets(); err != nil {
		return err
	}
	if err := l.makeTemplate(ctx); err != nil {
		return err
	}
	if l.Disks {
		if err := l.buildDisks(ctx); err != nil {
			return err
		}
	}
	return l.onAll(l.DataNodes(), func(n string) error {
		if err := l.writeServerConfig(n); err != nil {
			return err
		}
		if err := l.freshData(ctx, n); err != nil {
			return err
		}
		return l.StartServer(ctx, n)
	})
}

// onAll does something on several hosts at once.
func (l *Lab) onAll(hosts []string, do func(host string) error) error {
	var g errgroup.Group
	for _, h := range hosts {
		g.Go(func() error { return do(h) })
	}
	return g.Wait()
}

// Down ends everything that the lab has started and takes its hosts and its
// directory away. It goes on where an earlier one was interrupted, and runs to
// its end even if ctx has been cancelled.
func (l *Lab) Down(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), downLimit)
	defer cancel()
	unlock, err := l.lock("lab")
	if err != nil {
		return err
	}
	defer unlock()
	if err := l.thawDisks(ctx); err != nil {
		return err
	}
	if err := process.KillMarked(ctx, l.Dir, ""); err != nil {
		return fmt.Errorf("end the lab's processes: %w", err)
	}
	if err := errors.Join(l.removeCgroups(ctx), l.removeDisks(ctx)); err != nil {
		return err
	}
	if err := l.net.Remove(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(l.frrDir()); err != nil {
		return fmt.Errorf("remove what FRR had outside of the lab's directory: %w", err)
	}
	if _, err := os.Stat(l.path(stateFile)); err != nil {
		return fmt.Errorf("%s does not look like a lab's directory, so it stays: %w", l.Dir, err)
	}
	if err := os.RemoveAll(l.Dir); err != nil {
		return fmt.Errorf("remove the lab's directory: %w", err)
	}
	return nil
}

// With does something with a lab of its own, which is gone afterwards.
func With(ctx context.Context, o Options, progress io.Writer, do func(*Lab) error) error {
	l, err := Up(ctx, o, progress)
	if err != nil {
		return err
	}
	if err := do(l); err != nil {
		return errors.Join(l.withLogs(err), l.Down(ctx))
	}
	return l.Down(ctx)
}
