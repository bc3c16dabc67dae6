// Package nginx answers to which node the nginx of this host leads, and leads it to
// another: it writes a file with an upstream, which nginx's own configuration includes
// in its stream or http block, and has nginx load it.
//
// It touches no other file of nginx's, and starts and stops none. The rule: what is
// said to lead somewhere was loaded by the nginx that runs now, as far as can be seen
// from outside: all of its workers that take connections began after the file was in
// place. A file that nginx refuses is taken back.
package nginx

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/command"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/daemon"
	"github.com/baton-db/baton/internal/endpoint/template"
	"github.com/baton-db/baton/internal/render"
)

// Options say which nginx, and what it is given.
type Options struct {
	File     string // that nginx includes
	Upstream string
	Port     int      // that is led to; 0: that of the database server
	PIDFile  string   // of the nginx that runs
	Check    []string // says whether its configuration is right
	Reload   []string // has it loaded; none: a signal to the process of PIDFile
	// Through is where this nginx takes clients for that upstream: a path, or an address
	// and a port. Empty: it is not tried whether a server is reached.
	Through string
	Wall    func() time.Time // tells people since when something is so; nil: this host's
	Limit   time.Duration    // of each command
	Note    string           // the file in which it is noted what was loaded
	Cluster string
	Servers []render.Server // of all data nodes
}

// Endpoint is the upstream of one nginx. It implements endpoint.Endpoint,
// endpoint.Tender and endpoint.Teller, and is not safe for concurrent use.
type Endpoint struct {
	o       Options
	file    *template.Endpoint
	through through
	placed  daemon.Placed
	now     func() cluster.Instant // this host's clock, but in tests
}

// Open prepares an upstream. It writes nothing and signals nobody.
func Open(name string, o Options) (*Endpoint, error) {
	if o.Wall == nil {
		o.Wall = time.Now
	}
	e := &Endpoint{o: o, placed: daemon.Beside(o.Note), now: clock.Now}
	text := fmt.Sprintf("# Baton keeps this file (endpoint %s of cluster {{.Cluster}}): a change by hand is undone.\nupstream %s {\n    server {{.Primary.HostPort}};\n}\n", name, o.Upstream)
	file, err := template.Open(name, template.Options{File: o.File, Text: text, Mode: 0o644, UID: -1, GID: -1, Check: o.Check, Load: e.load,
		Limit: o.Limit, Note: o.Note, Cluster: o.Cluster, Servers: o.Servers})
	if err != nil {
		return nil, err
	}
	e.file = file
	return e, nil
}

// Set implements endpoint.Endpoint.
func (e *Endpoint) Set(ctx context.Context, target endpoint.Target) error {
	if e.o.Port != 0 && target.Node != "" {
		target.Port = e.o.Port
	}
	return e.file.Set(ctx, target)
}

// Observe implements endpoint.Endpoint: by the file, and by the workers of the nginx
// that runs. Where none runs nobody is led anywhere, which is an error.
func (e *Endpoint) Observe(ctx context.Context) (endpoint.Target, error) {
	t, err := e.file.Observe(ctx)
	if err != nil || t.Node == "" {
		return t, err
	}
	since, err := e.placed.Since()
	if err != nil {
		return endpoint.Target{}, err
	}
	m, err := findMaster(e.o.PIDFile)
	if err != nil {
		return endpoint.Target{}, err
	}
	old, young, err := m.workers(since)
	switch {
	case err != nil:
		return endpoint.Target{}, err
	case len(old) > 0:
		return endpoint.Target{}, fmt.Errorf("nginx has not loaded %s: its workers %v are older: %w", e.o.File, old, endpoint.ErrForeign)
	case young == 0:
		return endpoint.Target{}, fmt.Errorf("nginx (process %d) has no workers", m.pid)
	}
	return t, nil
}

// load has nginx load what is in place, and waits until it has, unless that is only
// what was there before. If none runs there is nothing to load it: whoever starts it
// later begins with that file.
func (e *Endpoint) load(ctx context.Context, back bool) error {
	m, err := findMaster(e.o.PIDFile)
	if errors.Is(err, daemon.ErrNotRunning) {
		return e.placed.Write(0)
	}
	if err != nil {
		return err
	}
	since := daemon.Ticks()
	if err := e.placed.Write(since); err != nil {
		return err
	}
	// A worker that begins from now on is told from one that began a moment ago.
	if err := daemon.NextTick(ctx, since); err != nil {
		return err
	}
	if len(e.o.Reload) > 0 {
		_, err = (command.Command{Args: e.o.Reload, Limit: e.o.Limit}).Run(ctx)
	} else {
		err = unix.Kill(m.pid, unix.SIGHUP)
	}
	if err != nil {
		return fmt.Errorf("tell nginx (process %d) to load it: %w", m.pid, err)
	}
	if back {
		return nil
	}
	var old []int
	err = daemon.Await(ctx, func() (done bool, err error) {
		if m, err = findMaster(e.o.PIDFile); err != nil { // a command may have started another one
			return false, err
		}
		var young int
		old, young, err = m.workers(since)
		return young > 0 && len(old) == 0, err
	})
	if err != nil {
		return fmt.Errorf("nginx (process %d) has not loaded it, its error log says why: workers of before that still take connections: %v: %w", m.pid, old, err)
	}
	return nil
}
