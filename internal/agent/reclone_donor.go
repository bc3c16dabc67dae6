package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/datadir"
	"github.com/baton-db/baton/internal/peer"
)

// answer registers what the other agents may ask of this one for a reclone.
func (c *cloner) answer(link *peer.Link) {
	link.Handle(askClone, peer.JSON(func(ctx context.Context, _ cluster.NodeName, q lookAsked) (hostLook, error) {
		return c.look(ctx, q), nil
	}))
	link.Handle(askState, peer.JSON(func(ctx context.Context, from cluster.NodeName, q asking) (dataOf, error) {
		if err := c.mayGive(from, q); err != nil {
			return dataOf{}, err
		}
		return c.state(ctx)
	}))
	link.HandleStream(askStream, peer.Ask(func(ctx context.Context, from cluster.NodeName, q asking, w io.Writer) error {
		if err := c.mayGive(from, q); err != nil {
			return err
		}
		tool, err := datadir.FindTool(c.program)
		if err != nil {
			return err
		}
		return tool.Send(ctx, c.login, c.scratch, datadir.Paced(ctx, w, c.rate))
	}))
}

// mayGive: this server's data goes to nobody but whom the record says.
func (c *cloner) mayGive(to cluster.NodeName, q asking) error {
	if j := c.record().RejoinOf(to); j == nil || j.ID != q.ID || j.Donor != c.self {
		return fmt.Errorf("the record does not say that %s is to get the data of %s", to, c.self)
	}
	return nil
}

// logging is a server that tells the state of its binary log.
type logging interface {
	LoggedState(ctx context.Context) (string, error)
}

// state says what there is to copy. The log's state is read on a connection of
// its own.
func (c *cloner) state(ctx context.Context) (s dataOf, err error) {
	place, err := c.place(ctx)
	if err != nil {
		return s, err
	}
	if s.Bytes, err = datadir.Bytes(string(place)); err != nil {
		return s, err
	}
	if server, can := c.database.(logging); can {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		s.Logged, err = server.LoggedState(ctx)
	}
	return s, err
}

// lookAsked says in which part a host of a reclone is looked at.
type lookAsked struct {
	Gives bool `json:"gives"`
}

// hostLook is what a host of a reclone looks like.
type hostLook struct {
	Dir   string   `json:"dir,omitempty"`
	Bytes int64    `json:"bytes"`
	Free  int64    `json:"free"`
	Lacks []string `json:"lacks,omitempty"`
}

// look says what this host has and lacks for its part in a reclone.
func (c *cloner) look(ctx context.Context, q lookAsked) hostLook {
	var h hostLook
	place, err := c.place(ctx)
	if err == nil {
		h.Dir = string(place)
		var l datadir.Look
		if q.Gives {
			if h.Bytes, err = datadir.Bytes(h.Dir); err == nil {
				err = c.tools(ctx, true)
			}
		} else if l, err = c.fit(ctx, place); err == nil {
			h.Bytes, h.Free = l.Bytes, l.Free
		}
	}
	if err != nil {
		h.Lacks = append(h.Lacks, err.Error())
	}
	return h
}

// LookRejoin implements api.Rejoins.
func (a *Agent) LookRejoin(ctx context.Context, p decide.RejoinPlan) (api.RejoinLook, error) {
	ctx, cancel := context.WithTimeout(ctx, lookAtHosts)
	defer cancel()
	node, err := a.lookAt(ctx, p.Node, lookAsked{})
	if err != nil {
		return api.RejoinLook{}, err
	}
	donor, err := a.lookAt(ctx, p.Donor, lookAsked{Gives: true})
	if err != nil {
		return api.RejoinLook{}, err
	}
	look := api.RejoinLook{DataDir: node.Dir, Old: node.Bytes, Free: node.Free, Bytes: donor.Bytes}
	for _, l := range node.Lacks {
		look.Lacks = append(look.Lacks, fmt.Sprintf("on %s: %s", p.Node, l))
	}
	for _, l := range donor.Lacks {
		look.Lacks = append(look.Lacks, fmt.Sprintf("on %s: %s", p.Donor, l))
	}
	if need := donor.Bytes + donor.Bytes/10; len(look.Lacks) == 0 && need > node.Free {
		look.Lacks = append(look.Lacks, fmt.Sprintf("on %s: the copy needs about %d MiB beside %s, and %d MiB are free: make room", p.Node, need>>20, node.Dir, node.Free>>20))
	}
	return look, nil
}

func (a *Agent) lookAt(ctx context.Context, n cluster.NodeName, q lookAsked) (h hostLook, err error) {
	switch {
	case n == a.Config.Node:
		return a.host.cloner.look(ctx, q), nil
	case a.link == nil:
		return h, errors.New("there is no direct link between the agents, over which data is copied: write tls")
	}
	return h, a.link.Call(ctx, n, askClone, q, &h)
}
