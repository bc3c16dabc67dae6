package agent

import (
	"context"
	"errors"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
)

// inForce is what this agent runs with now. Options.Config is what it was started
// with, and still true of everything that cannot change at run time.
type inForce struct {
	config    *config.Config
	passwords config.Passwords
	settings  cluster.Settings
}

func (a *Agent) inForce() *inForce { return a.current.Load() }

// force takes a configuration over. Nobody waits for it: whoever needs a value
// asks for it when he needs it.
func (a *Agent) force(c *config.Config) error {
	passwords, findings := c.Passwords()
	if err := findings.Err(); err != nil {
		return err
	}
	a.current.Store(&inForce{config: c, passwords: passwords, settings: c.Settings()})
	return nil
}

// awaitReload reads the configuration anew whenever it is told to.
func (a *Agent) awaitReload(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.Reload:
		}
		if err := a.reload(); err != nil {
			a.Log.Error("the configuration was NOT taken over; the agent runs on as before", "err", err)
		}
	}
}

// reload takes over what can change at run time and names the rest. A file with
// an error in it changes nothing.
func (a *Agent) reload() error {
	wanted, found := config.Load(a.Config.File)
	if err := found.Err(); err != nil {
		return err
	}
	if wanted == nil {
		return errors.New("there is no configuration")
	}
	next, taken, refused := config.Reload(a.inForce().config, wanted)
	watchers, err := newWatchers(a, next)
	if err == nil {
		err = a.force(next)
	}
	if err != nil {
		return err
	}
	for _, c := range taken {
		a.Log.Info("configuration changed", "line", c.Line, "change", c.String())
	}
	for _, c := range refused {
		a.Log.Warn("configuration NOT changed", "line", c.Line, "change", c.String())
	}
	a.Log.Info("configuration read anew", "file", a.Config.File, "changed", len(taken), "refused", len(refused))
	if a.Reloaded != nil {
		a.Reloaded(next)
	}
	// Passwords are read anew even if no key changed: the files may have.
	select {
	case <-a.rewatch: // nobody has taken the ones before yet
	default:
	}
	a.rewatch <- watchers
	a.post(func(l *loop) {
		l.Settings, l.Sites, l.Config = next.Settings(), next.Sites, next.Hash()
		l.Host.Startable = len(next.ServerOf(next.Node).Start) > 0
	})
	return nil
}

// watchNodes looks at the other nodes, with new eyes after every reload.
func (a *Agent) watchNodes(ctx context.Context) {
	all := a.watchers
	for ctx.Err() == nil {
		watching, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			watchAll(watching, all)
		}()
		select {
		case <-ctx.Done():
		case all = <-a.rewatch:
		}
		stop()
		<-done
	}
}
