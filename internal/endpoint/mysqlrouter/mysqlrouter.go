// Package mysqlrouter answers to which node a routing section of this host's MySQL
// Router leads, and leads it to another: it writes a file with the section's
// destinations, which MySQL Router is started with beside its own configuration, and
// has it restarted, as MySQL Router reads destinations only when it begins.
//
// It touches no other file, and neither starts nor stops a router but by the command
// that it is given. The rule: what is said to lead somewhere was read by the process
// that listens now, and with an account, who answers clients there was asked. A file
// with which the router does not come up is taken back.
package mysqlrouter

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/baton-db/baton/internal/command"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/daemon"
	"github.com/baton-db/baton/internal/endpoint/template"
	"github.com/baton-db/baton/internal/render"
)

// Options say which section of which router, and what it is given.
type Options struct {
	File    string // that the router is started with
	Section string // its key: what stands after "routing:"
	Listen  netip.AddrPort
	PIDFile string   // of the router that runs
	Restart []string // has it read the file
	Limit   time.Duration
	// User and Password are an account of the database servers, which asks who answers
	// behind the router. It needs no privileges. Without one nobody is asked.
	User     string
	Password string

	Note    string // the file in which it is noted what was read
	Cluster string
	Servers []render.Server // of all data nodes
}

// Endpoint is one section of one router. It implements endpoint.Endpoint and
// endpoint.Teller, and is not safe for concurrent use.
type Endpoint struct {
	o      Options
	file   *template.Endpoint
	placed daemon.Placed
	tells  string // who answered behind it at the last look
}

// Open prepares a section. It writes nothing and restarts nobody.
func Open(name string, o Options) (*Endpoint, error) {
	e := &Endpoint{o: o, placed: daemon.Beside(o.Note)}
	text := fmt.Sprintf("# Baton keeps this file (endpoint %s of cluster {{.Cluster}}): a change by hand is undone.\n[routing:%s]\nrouting_strategy = first-available\ndestinations = {{.Primary.HostPort}}\n", name, o.Section)
	file, err := template.Open(name, template.Options{File: o.File, Text: text, Mode: 0o644, UID: -1, GID: -1, Load: e.load,
		Limit: o.Limit, Note: o.Note, Cluster: o.Cluster, Servers: o.Servers})
	if err != nil {
		return nil, err
	}
	e.file = file
	return e, nil
}

// Set implements endpoint.Endpoint. Nothing is restarted that has read the file.
func (e *Endpoint) Set(ctx context.Context, target endpoint.Target) error {
	if target.Node == "" && ctx.Err() == nil {
		return errors.New("a section of MySQL Router cannot lead nowhere")
	}
	if err := e.file.Set(ctx, target); err != nil {
		return err
	}
	p, err := e.process()
	if err != nil {
		return nil // whoever starts it has it read the file
	}
	if err := e.hasRead(p); !errors.Is(err, endpoint.ErrForeign) {
		return err
	}
	// It was just being started when the file came.
	return e.load(ctx, false)
}

// Observe implements endpoint.Endpoint: by the file, by the process that runs, and by
// who answers. Where none runs nobody is led anywhere, which is an error.
func (e *Endpoint) Observe(ctx context.Context) (endpoint.Target, error) {
	e.tells = ""
	t, err := e.file.Observe(ctx)
	if err != nil || t.Node == "" {
		return t, err
	}
	p, err := e.process()
	if err != nil {
		return endpoint.Target{}, err
	}
	if err := e.given(p); err != nil {
		return endpoint.Target{}, err
	}
	if err := e.hasRead(p); err != nil {
		return endpoint.Target{}, err
	}
	switch listens, err := listens(p.PID, e.o.Listen.Port()); {
	case err != nil:
		return endpoint.Target{}, err
	case !listens:
		return endpoint.Target{}, fmt.Errorf("MySQL Router (process %d) does not listen on port %d", p.PID, e.o.Listen.Port())
	}
	if e.o.User == "" {
		return t, nil
	}
	return t, e.asked(ctx, t.Node)
}

// Tells implements endpoint.Teller: who answered clients of the router.
func (e *Endpoint) Tells() string { return e.tells }

// hasRead returns an error if the process began before the file was in place.
func (e *Endpoint) hasRead(p daemon.Process) error {
	since, err := e.placed.Since()
	if err != nil {
		return err
	}
	began, err := daemon.BeganAt(p.PID)
	if err != nil {
		return fmt.Errorf("see since when MySQL Router runs: %w", err)
	}
	if began <= since {
		return endpoint.Astray("MySQL Router (process %d) has not read %s: it is older", p.PID, e.o.File)
	}
	return nil
}

// load has the router restarted with what is in place, and waits until it listens,
// unless that is only what was there before. One that does not run is not started, but
// if it was ours that has not come up.
func (e *Endpoint) load(ctx context.Context, back bool) error {
	p, err := e.process()
	stopped := errors.Is(err, daemon.ErrNotRunning)
	switch {
	case err != nil && !stopped:
		return err
	case stopped && !back:
		return e.placed.Write(daemon.Ticks())
	}
	if !stopped {
		if err := e.given(p); err != nil && back {
			return nil // nothing was restarted
		} else if err != nil {
			return err
		}
	}
	since := daemon.Ticks()
	if err := e.placed.Write(since); err != nil {
		return err
	}
	// A router that begins from now on is told from one that began a moment ago.
	if err := daemon.NextTick(ctx, since); err != nil {
		return err
	}
	if _, err := (command.Command{Args: e.o.Restart, Limit: e.o.Limit}).Run(ctx); err != nil {
		return fmt.Errorf("restart MySQL Router: %w", err)
	}
	if back {
		return nil
	}
	why := errors.New("it runs as before")
	err = daemon.Await(ctx, func() (bool, error) {
		why = e.up(since)
		return why == nil, nil
	})
	if err != nil {
		return fmt.Errorf("MySQL Router has not come up with it, its log says why (%w): %w", why, err)
	}
	return nil
}

// up returns why no router listens that began after since.
func (e *Endpoint) up(since uint64) error {
	p, err := e.process()
	if err != nil {
		return err
	}
	began, err := daemon.BeganAt(p.PID)
	if err != nil {
		return err
	}
	if began <= since {
		return fmt.Errorf("process %d runs on", p.PID)
	}
	there, err := listens(p.PID, e.o.Listen.Port())
	if err == nil && !there {
		err = fmt.Errorf("process %d does not listen on port %d", p.PID, e.o.Listen.Port())
	}
	return err
}

// nodes are the names and addresses of the nodes' servers, that one first.
func (e *Endpoint) nodes(first cluster.NodeName) (all []render.Server) {
	for _, s := range e.o.Servers {
		if s.Node == first {
			all = append([]render.Server{s}, all...)
		} else {
			all = append(all, s)
		}
	}
	return all
}
