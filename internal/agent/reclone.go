package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/datadir"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/peer"
)

// cloner replaces the data of this host's server by a copy of another one's, and
// gives copies of its own.
type cloner struct {
	self     cluster.NodeName
	flavor   string
	login    datadir.Login
	journal  datadir.Journal
	scratch  string // a directory for what a backup writes beside its stream
	database db.Server
	link     func() *peer.Link // nil without certificates
	source   func(cluster.NodeName) db.Source
	seen     atomic.Pointer[situation] // nil until this node has joined the store

	rate       func() int64 // bytes a second that a copy may take; 0: no limit
	mysqld     func() []string
	openSeed   func(socket string) (db.Server, error)
	configured func() string // the data directory that the configuration names; may be empty
	startable  func() bool
	stoppable  func() bool
	start      func(ctx context.Context) error
	stop       func(ctx context.Context) error
	program    func(*exec.Cmd) error // starts one, at normal priority

	log        *slog.Logger
	say        func(string) // how far it has come
	unfinished func(string) // the server's data is not whole yet, and why; empty: it is
}

// record is the newest that the loop has acted on.
func (c *cloner) record() cluster.Record {
	s := c.seen.Load()
	if s == nil {
		return cluster.Record{}
	}
	r, _ := s.get()
	return r
}

// The questions between the agents of a reclone.
const (
	askClone  = "reclone/look"
	askState  = "reclone/state"
	askStream = "reclone/copy"
)

// How long the last part may take, which nobody can call off: stopping a server
// that has much to write, and starting the new one.
const (
	stopServer  = 10 * time.Minute
	serverUp    = 5 * time.Minute
	lookAtHosts = 10 * time.Second
)

// place is the server's data directory: where a running server says it is, or
// else where the configuration does.
func (c *cloner) place(ctx context.Context) (datadir.Place, error) {
	configured := strings.TrimRight(c.configured(), "/")
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	id, err := c.database.Identify(ctx)
	is := strings.TrimRight(id.DataDir, "/")
	switch {
	case err == nil && configured != "" && is != configured:
		return "", fmt.Errorf("the server says that its data is in %s, the configuration says %s (server.datadir): mend the one that is wrong", is, configured)
	case err == nil && is != "":
		return datadir.Place(is), nil
	case configured == "":
		return "", errors.New("the server does not run, and the configuration does not say where its data is: write server.datadir")
	}
	return datadir.Place(configured), nil
}

// reclone is this host's part of a reclone: get a whole copy beside the data, and
// only then exchange the two. An attempt that got that far before the agent was
// restarted is taken up where it was.
func (c *cloner) reclone(ctx context.Context, s reconcile.Step) (detail string, err error) {
	at, err := c.journal.Load()
	if err != nil {
		return "", err
	}
	if !at.Placed() || at.ID != s.Asked {
		if at, err = c.copy(ctx, s, at); err != nil {
			return "", err
		}
	}
	// What follows cannot be left half-way: nobody calls it off.
	ctx = context.WithoutCancel(ctx)
	if err := c.putInPlace(ctx, at); err != nil {
		return "", err
	}
	if err := c.wake(ctx, at); err != nil {
		return "", errors.Join(err, c.undo(ctx, at))
	}
	if err := errors.Join(at.Dir.Unmark(), c.journal.Clear()); err != nil {
		return "", err
	}
	c.unfinished("")
	return c.tidy(at), nil
}

// resume finds out, as the agent starts, what became of the reclone that the one
// before it was at, and removes a copy that never got into place.
func (c *cloner) resume() (unfinished string) {
	at, err := c.journal.Load()
	switch {
	case err != nil:
		return err.Error()
	case at.Placed():
		return c.whyUnfinished(at)
	case at.ID != "":
		if err := errors.Join(at.Dir.Clear(), c.journal.Clear()); err != nil {
			c.log.Warn("remove what is left of a copy", "err", err)
		}
	}
	return ""
}

func (c *cloner) whyUnfinished(at datadir.State) string {
	return fmt.Sprintf("its data is a copy of %s's that is not finished: `baton rejoin %s --reclone` makes a new one", at.Donor, c.self)
}

// copy gets a whole copy of the donor's data beside the own. The journal knows of
// it before there is anything of it.
func (c *cloner) copy(ctx context.Context, s reconcile.Step, before datadir.State) (at datadir.State, err error) {
	place, err := c.place(ctx)
	if err != nil {
		return at, err
	}
	look, err := c.fit(ctx, place)
	if err != nil {
		return at, err
	}
	at = datadir.State{ID: s.Asked, Dir: place, Donor: string(s.Node), Old: place.OldName(time.Now())}
	if before.Placed() {
		at.Old, at.Unfinished = before.Old, at.Old // what is in place now was never whole
	} else if err := c.journal.Save(at); err != nil {
		return at, err
	}
	defer func() {
		if err == nil {
			return
		}
		if err = errors.Join(err, place.Clear()); !before.Placed() {
			err = errors.Join(err, c.journal.Clear())
		}
	}()
	if c.flavor == config.MySQL {
		err = c.cloneFrom(ctx, s, place, look)
	} else {
		at.Logged, err = c.copyFrom(ctx, s, place, look)
	}
	if err != nil {
		return at, err
	}
	c.say("has a copy of the data of " + string(s.Node) + " and puts it on disk")
	if err := place.Seal(look, s.Asked); err != nil {
		return at, err
	}
	if err := ctx.Err(); err != nil {
		return at, err
	}
	if r := c.record(); r.RejoinOf(c.self) == nil || r.Rejoin.ID != s.Asked || r.CountsOn(c.self) {
		return at, errors.New("the record changed meanwhile: this server's data is to stay as it is")
	}
	return at, nil
}

// fit says what of this host is in the way of getting other data.
func (c *cloner) fit(ctx context.Context, place datadir.Place) (datadir.Look, error) {
	switch {
	case !c.startable():
		return datadir.Look{}, fmt.Errorf("the configuration of %s does not say how its server is started: write server.start, such as [systemctl, start, mariadb]", c.self)
	case !c.stoppable():
		return datadir.Look{}, fmt.Errorf("the configuration of %s does not say how its server is stopped: write server.stop, such as [systemctl, stop, mariadb]", c.self)
	}
	if err := c.tools(ctx, false); err != nil {
		return datadir.Look{}, fmt.Errorf("on %s: %w", c.self, err)
	}
	return place.Look()
}

// tools says what is missing that copies data: MariaDB has programs for it, MySQL
// a plugin in the server. Where no server of MySQL runs, one is made that fetches
// the copy; who gives one must run.
func (c *cloner) tools(ctx context.Context, gives bool) error {
	if c.flavor != config.MySQL {
		_, err := datadir.FindTool(c.program)
		return err
	}
	server, can := c.database.(db.Cloning)
	if !can {
		return errors.New("this server cannot clone")
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := c.database.Identify(ctx); err != nil && gives {
		return fmt.Errorf("MySQL gives a copy of its data only while it runs: %w", err)
	} else if err != nil {
		program := c.mysqld()
		if _, err := exec.LookPath(program[0]); err != nil {
			return fmt.Errorf("no server of MySQL runs there, and the program %s that could be started to fetch the copy is not found: name it in server.program, such as [/usr/sbin/mysqld, --defaults-file=/etc/mysql/my.cnf]: %w", program[0], err)
		}
		return nil
	}
	return server.ServesClones(ctx)
}
