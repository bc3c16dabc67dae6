package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/datadir"
)

// dataOf is what a donor says of its data before and after a copy.
type dataOf struct {
	Bytes  int64  `json:"bytes"`
	Logged string `json:"logged,omitempty"` // MariaDB: gtid_binlog_state
}

// asking names the rejoin that a question is about.
type asking struct {
	ID string `json:"id"`
}

// copyFrom streams a copy of a MariaDB server and prepares it. It returns what
// the copy has to be told about its past.
func (c *cloner) copyFrom(ctx context.Context, s reconcile.Step, place datadir.Place, look datadir.Look) (logged string, err error) {
	tool, err := datadir.FindTool(c.program)
	if err != nil {
		return "", err
	}
	link := c.link()
	if link == nil {
		return "", errors.New("there is no direct link to the other agents: write tls")
	}
	var before, after dataOf
	if err := link.Call(ctx, s.Node, askState, asking{s.Asked}, &before); err != nil {
		return "", err
	}
	if need := before.Bytes + before.Bytes/10; need > look.Free {
		return "", fmt.Errorf("the copy needs about %d MiB beside %s, and %d MiB are free", need>>20, place, look.Free>>20)
	}
	if err := place.Begin(look, true); err != nil {
		return "", err
	}
	stream, err := link.Stream(ctx, s.Node, askStream, asking{s.Asked})
	if err != nil {
		return "", err
	}
	counted := &counter{Reader: stream}
	stop := c.tell(ctx, func() string {
		return fmt.Sprintf("copied %d of about %d MiB from %s", counted.n.Load()>>20, before.Bytes>>20, s.Node)
	})
	err = errors.Join(tool.Receive(ctx, counted, place.Copy()), stream.Close())
	stop()
	if err != nil {
		return "", fmt.Errorf("copy the data of %s: %w", s.Node, err)
	}
	c.say("prepares the copy of " + string(s.Node))
	position, err := tool.Prepare(ctx, place.Copy())
	if err != nil {
		return "", err
	}
	if err := link.Call(ctx, s.Node, askState, asking{s.Asked}, &after); err != nil {
		return "", err
	}
	return gtid.StateAt(before.Logged, after.Logged, position)
}

// counter counts what is read.
type counter struct {
	io.Reader
	n atomic.Int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// tell says again and again how far something has come, until stop is called.
func (c *cloner) tell(ctx context.Context, text func() string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(2 * time.Second)
		defer tick.Stop()
		for {
			c.say(text())
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return func() { cancel(); <-ended }
}
