package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/datadir"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/flavor"
)

// cloneFrom has this host's own MySQL server fetch a copy of another one's data,
// into a directory beside its own, which stays as it is.
func (c *cloner) cloneFrom(ctx context.Context, s reconcile.Step, place datadir.Place, look datadir.Look) error {
	link := c.link()
	if link == nil {
		return errors.New("there is no direct link to the other agents: write tls")
	}
	var donor dataOf
	if err := link.Call(ctx, s.Node, askState, asking{s.Asked}, &donor); err != nil {
		return err
	}
	if need := donor.Bytes + donor.Bytes/10; need > look.Free {
		return fmt.Errorf("the copy needs about %d MiB beside %s, and %d MiB are free", need>>20, place, look.Free>>20)
	}
	if err := place.Begin(look, false); err != nil {
		return err
	}
	server, end, err := c.cloning(ctx, place, look)
	if err != nil {
		return err
	}
	stop := c.tell(ctx, func() string {
		n, _ := datadir.Bytes(place.Copy()) // for people; it may not be there yet
		return fmt.Sprintf("copied %d of about %d MiB from %s", n>>20, donor.Bytes>>20, s.Node)
	})
	err = server.CloneFrom(ctx, c.source(s.Node), place.Copy(), c.rate())
	stop()
	if err = errors.Join(err, end()); err != nil {
		return err
	}
	return place.Keep("mysqld-auto.cnf") // what was set on this server to last
}

// cloning is the server that fetches the copy: this host's own, or, where that does
// not run because it has no data, or none that is of use, one made for the purpose.
func (c *cloner) cloning(ctx context.Context, place datadir.Place, look datadir.Look) (server db.Cloning, end func() error, err error) {
	own, can := c.database.(db.Cloning)
	if !can {
		return nil, nil, errors.New("this server cannot clone")
	}
	if c.answers(ctx) {
		return own, func() error { return nil }, nil
	}
	c.say("initialises a server that fetches the copy")
	seed, err := place.Seed(ctx, look, c.mysqld(), c.program)
	if err != nil {
		return nil, nil, err
	}
	reached, err := c.openSeed(place.SeedSocket())
	if err != nil {
		return nil, nil, errors.Join(err, seed.End())
	}
	end = func() error { return errors.Join(reached.Close(), seed.End()) }
	up, cancel := context.WithTimeout(ctx, serverUp)
	defer cancel()
	clones, can := reached.(db.Cloning)
	if !can {
		return nil, nil, errors.Join(errors.New("a server that was made for it cannot clone"), end())
	}
	if err := seed.Ready(up, clones.ServesClones); err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return clones, end, nil
}

// answers reports whether this host's own server runs.
func (c *cloner) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err := c.database.Identify(ctx)
	return err == nil
}

// openSeed reaches a server that was made to fetch a copy: it knows nobody but
// root.
func openSeed(socket string) (db.Server, error) {
	driver, err := flavor.Of(config.MySQL)
	if err != nil {
		return nil, err
	}
	return driver.Open(db.Config{Socket: socket, Agent: db.Account{User: "root"}, Writer: db.Account{User: "nobody"}, NodeOf: func(string, int) (cluster.NodeName, bool) { return "", false }})
}

// mysqldOf is the program of a server of MySQL.
func mysqldOf(s config.Server) []string {
	if len(s.Program) == 0 {
		return []string{"mysqld"}
	}
	return s.Program
}
