package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/datadir"
	"github.com/baton-db/baton/internal/db"
)

// cloneFrom has this host's own MySQL server fetch a copy of another one's data,
// into a directory beside its own, which stays as it is.
func (c *cloner) cloneFrom(ctx context.Context, s reconcile.Step, place datadir.Place, look datadir.Look) error {
	server, can := c.database.(db.Cloning)
	if !can {
		return errors.New("this server cannot clone")
	}
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
	stop := c.tell(ctx, func() string {
		n, _ := datadir.Bytes(place.Copy()) // for people; it may not be there yet
		return fmt.Sprintf("copied %d of about %d MiB from %s", n>>20, donor.Bytes>>20, s.Node)
	})
	err := server.CloneFrom(ctx, c.source(s.Node), place.Copy(), c.rate())
	stop()
	if err != nil {
		return err
	}
	return place.Keep("mysqld-auto.cnf") // what was set on this server to last
}
