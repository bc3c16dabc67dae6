package agent

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/node"
	"github.com/baton-db/baton/internal/peer"
	"github.com/baton-db/baton/internal/pki"
)

// listenPeers opens the port on which the other agents speak with this one and
// registers what it answers. No decision depends on it but the failsafe promise.
func (a *Agent) listenPeers(ctx context.Context) (*peer.Link, error) {
	c := a.Config
	if !c.HasLink() {
		a.Log.Info("no direct link to the other agents: there are no certificates of this cluster (tls)")
		return nil, nil
	}
	self := c.Self()
	id, err := pki.Load(pki.Files(c.TLS), string(c.Node), []netip.Addr{self.Address}, a.Wall())
	if err != nil {
		return nil, err
	}
	nodes := map[cluster.NodeName]netip.AddrPort{}
	for _, n := range c.Nodes {
		nodes[n.Name] = c.Link(n)
	}
	link, err := peer.Listen(ctx, peer.Options{Self: c.Node, Nodes: nodes, Server: id.Server(), Log: a.Log,
		Client: func(n cluster.NodeName) *tls.Config { return id.Client(string(n)) }})
	if err != nil {
		return nil, err
	}
	a.answerPeers(link)
	return link, nil
}

// pledgePath is where a primary asks for a promise.
const pledgePath = "pledge"

// answerPeers registers what the other agents may ask.
func (a *Agent) answerPeers(link *peer.Link) {
	link.Handle(pledgePath, peer.JSON(func(ctx context.Context, from cluster.NodeName, q node.Ask) (node.Answer, error) {
		if q.Holder != from {
			return node.Answer{}, fmt.Errorf("%s asks for %s: a primary asks for itself", from, q.Holder)
		}
		return a.pledge(ctx, q)
	}))
	link.Handle(rowsPath, peer.JSON(func(ctx context.Context, _ cluster.NodeName, q asked) (rowStates, error) {
		return a.host.rowsNow(ctx, q)
	}))
	a.host.answerLooks(a, link)
	a.answerSurroundings(link)
	a.answerWord(link)
	if a.host.cloner != nil {
		a.host.cloner.answer(link)
		a.host.logs.answer(link)
	}
	if a.host.heater != nil {
		a.host.heater.answer(link)
	}
	if a.host.clients != nil {
		a.host.clients.answer(link)
	}
	if a.host.readers != nil {
		a.host.readers.answerOn(link)
	}
}

// servePeers answers the other agents until ctx ends.
func (a *Agent) servePeers(ctx context.Context) {
	if a.link == nil {
		return
	}
	if err := a.link.Serve(ctx); err != nil && ctx.Err() == nil {
		a.Log.Error("answer the other agents", "err", err)
	}
}
