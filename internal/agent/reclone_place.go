package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/baton-db/baton/internal/datadir"
	"github.com/baton-db/baton/internal/db"
)

// putInPlace stops the server and exchanges its data for the copy. The journal
// says so first: whoever finds it, and the mark of the copy in place, knows that
// the server has to be told its past.
func (c *cloner) putInPlace(ctx context.Context, at datadir.State) error {
	c.say("stops the server")
	if err := c.stop(ctx); err != nil {
		return errors.Join(err, at.Dir.Clear())
	}
	if err := c.journal.Save(at); err != nil {
		return errors.Join(err, at.Dir.Clear(), c.start(ctx))
	}
	displaced := cmp.Or(at.Unfinished, at.Old)
	c.unfinished(c.whyUnfinished(at))
	if err := at.Dir.Put(at.ID, displaced); err != nil {
		if at.Placed() {
			return err // the new data is there, and is finished another time
		}
		c.unfinished("")
		return errors.Join(err, at.Dir.Clear(), c.journal.Clear(), c.start(ctx)) // nothing was exchanged
	}
	if at.Unfinished != "" {
		c.remove(at.Unfinished)
	}
	return nil
}

// wake starts the server with its new data and tells it what it holds.
func (c *cloner) wake(ctx context.Context, at datadir.State) error {
	c.say("starts the server with its new data")
	if err := c.start(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, serverUp)
	defer cancel()
	session, err := c.session(ctx)
	if err != nil {
		return fmt.Errorf("the server does not take connections with its new data: %w", err)
	}
	defer session.Close()
	if err := session.SetReadOnly(ctx, true, time.Second); err != nil {
		return fmt.Errorf("keep the server read-only: %w", err)
	}
	seeds, can := session.(db.Undoing)
	if at.Logged == "" || !can {
		return session.Detach(ctx) // a copy of MySQL knows what it holds, and whom its donor followed
	}
	return seeds.Reseed(ctx, at.Logged)
}

// session opens a session as soon as the server takes connections.
func (c *cloner) session(ctx context.Context) (db.Session, error) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		session, err := c.database.Session(try)
		cancel()
		if err == nil {
			return session, nil
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-tick.C:
		}
	}
}

// undo puts the old data back after the new one turned out to be of no use.
func (c *cloner) undo(ctx context.Context, at datadir.State) error {
	if _, err := os.Stat(at.Old); err != nil {
		return fmt.Errorf("put the old data back: %w", err)
	}
	c.say("puts the old data back")
	if err := c.stop(ctx); err != nil {
		return err
	}
	if err := errors.Join(at.Dir.Back(at.Old), c.journal.Clear()); err != nil {
		return err
	}
	c.unfinished("")
	if bytes, err := datadir.Bytes(string(at.Dir)); err != nil || bytes == 0 {
		return err // there was none
	}
	return c.start(ctx)
}

// tidy removes what is not needed any more, and says what is left.
func (c *cloner) tidy(at datadir.State) string {
	detail := "its data is a copy of " + at.Donor + "'s"
	size, err := datadir.Bytes(at.Old)
	j := c.record().RejoinOf(c.self)
	switch {
	case err == nil && size == 0, j != nil && j.Drop:
		c.remove(at.Old)
		return detail
	}
	return detail + "; the old data is kept in " + at.Old
}

func (c *cloner) remove(dir string) {
	if err := os.RemoveAll(dir); err != nil {
		c.log.Warn("remove data that is not needed any more", "dir", dir, "err", err)
	}
}
