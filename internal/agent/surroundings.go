package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reach"
	"github.com/baton-db/baton/internal/fence"
	"github.com/baton-db/baton/internal/peer"
	"github.com/baton-db/baton/internal/vitals/hostnet"
)

// surroundingsPath is where a node asks another one what its host is like.
const surroundingsPath = "surroundings"

// surroundingsWait is how long a person waits for the host that is slowest to tell.
const surroundingsWait = 2 * time.Second

// Surroundings implements api.Around: all agents read their hosts at the same time.
func (a *Agent) Surroundings(ctx context.Context) api.Surroundings {
	c := a.inForce().config
	s := api.Surroundings{Limits: c.Limits(), Deadline: c.Detection.Timeout.Port, Tickle: c.Conns.Tickle && c.Conns.Limit > 0 && c.HasLink()}
	ctx, cancel := context.WithTimeout(ctx, surroundingsWait)
	defer cancel()
	s.Hosts = make([]reach.Host, len(c.Nodes))
	var asking sync.WaitGroup
	for i, n := range c.Nodes {
		asking.Go(func() {
			h, err := a.hostOf(ctx, n.Name)
			if h.Node = n.Name; err != nil {
				h = reach.Host{Node: n.Name, Why: err.Error()}
			}
			s.Hosts[i] = h
		})
	}
	asking.Wait()
	return s
}

func (a *Agent) hostOf(ctx context.Context, n cluster.NodeName) (h reach.Host, err error) {
	switch {
	case n == a.Config.Node:
		return a.surroundings(ctx), nil
	case a.link == nil:
		return h, errors.New("there is no direct link to the other agents (tls)")
	}
	return h, a.link.Call(ctx, n, surroundingsPath, struct{}{}, &h)
}

func (a *Agent) answerSurroundings(link *peer.Link) {
	link.Handle(surroundingsPath, peer.JSON(func(ctx context.Context, _ cluster.NodeName, _ struct{}) (reach.Host, error) {
		ctx, cancel := context.WithTimeout(ctx, surroundingsWait*3/4) // the rest is for the way back
		defer cancel()
		return a.surroundings(ctx), nil
	}))
}

// surroundings reads this host.
func (a *Agent) surroundings(ctx context.Context) reach.Host {
	c := a.Config
	var addresses []hostnet.Binding
	for _, addr := range c.Addresses {
		b := hostnet.Binding{Address: addr.Address}
		if !c.Witness() {
			b.Interface = addr.Interface
		}
		addresses = append(addresses, b)
	}
	h := hostnet.Look(c.Self().Address, addresses)
	h.Node = c.Node
	if a.host.roads != nil {
		h.Calls = a.host.roads.took.all()
	}
	if c.Witness() {
		return h
	}
	if limits, err := a.host.database.Limits(ctx); err != nil {
		h.Missing = append(h.Missing, err.Error())
	} else {
		h.Server = &limits
	}
	watches, err := fence.Watches(ctx, scopeOf(c))
	if err != nil {
		h.Missing = append(h.Missing, err.Error())
		return h
	}
	clients := clientsOf(watches)
	clients.Heard = a.host.probes.heard()
	h.Clients = &clients
	return h
}

func clientsOf(watches []fence.Watch) reach.Clients {
	all := make([]reach.Watched, len(watches))
	for i, w := range watches {
		all[i] = reach.Watched{Kept: w.Timer == fence.Keepalive, Busy: w.Timer != fence.Keepalive && w.Timer != fence.NoTimer, Expires: w.Expires}
	}
	return reach.ClientsOf(all)
}

// clientProbes listens for clients that ask by themselves whether the primary's server
// is there. What it hears is for people alone.
type clientProbes struct {
	serves func() bool // whether this node is the primary
	list   func(context.Context) ([]fence.Watch, error)
	now    func() cluster.Instant

	mu     sync.Mutex
	probes reach.Probes
}

// probesEvery is how often the counters of the connections are read. With ten thousand
// connections that costs 25 ms of a processor (BenchmarkClientProbes).
const probesEvery = 30 * time.Second

// run listens until ctx ends, while this node serves.
func (p *clientProbes) run(ctx context.Context) {
	tick := time.NewTicker(probesEvery)
	defer tick.Stop()
	for {
		p.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (p *clientProbes) look(ctx context.Context) {
	var counted []reach.Counted
	serves, now := p.serves(), p.now()
	if serves {
		watches, err := p.list(ctx)
		if err != nil {
			return // doctor says so when it is asked
		}
		for _, w := range watches {
			if w.Told {
				counted = append(counted, reach.Counted{Client: w.Remote, SegmentsIn: w.SegmentsIn, DataIn: w.DataIn, DataOut: w.DataOut, AckAge: time.Duration(w.SinceAckIn) * time.Millisecond})
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !serves {
		p.probes = reach.Probes{}
		return
	}
	p.probes.Look(now, counted)
}

func (p *clientProbes) heard() *reach.Heard {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.probes.Heard()
}

// newClientProbes listens on this host's database ports.
func newClientProbes(a *Agent, h *hostParts) *clientProbes {
	scope := scopeOf(a.Config)
	return &clientProbes{now: clock.Now, serves: func() bool { return h.serves(a.Config.Node) }, list: func(ctx context.Context) ([]fence.Watch, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return fence.Watches(ctx, scope)
	}}
}
