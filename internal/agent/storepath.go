package agent

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/fence"
)

// A storePath has this node's connections to one other member of the store come
// back when the network between them does. TCP repeats what it has lost 200, 600
// and 1400 ms after it, so after a blip of 250 ms the store would be silent for
// 600, and the lease could run out although everything works.
//
// While the store is quiet it tries again and again whether the member can be
// connected to. Once it can, the old connections that are silent are reset, and
// the store opens new ones. It only ever touches connections of the store.
type storePath struct {
	node  cluster.NodeName
	dial  func(ctx context.Context) error
	reset func(ctx context.Context, silent time.Duration) (int, error)
	quiet func() time.Duration // for how long the store has not been heard
	after time.Duration        // when the store has been quiet for so long, the path is tried
	every time.Duration        // time between two tries
	limit time.Duration        // of one try
	long  time.Duration        // a store that has been quiet for so long need not be in such a hurry
	log   *slog.Logger
}

// restAtMost is the longest time after a path was found to be there although the
// store stays quiet, until it is looked at again.
const restAtMost = time.Second

// run watches over the path until ctx ends.
func (p *storePath) run(ctx context.Context) {
	timer := time.NewTimer(p.after)
	defer timer.Stop()
	rest := p.limit
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		wait := p.after - p.quiet()
		if wait > 0 {
			rest = p.limit
		} else {
			p.revive(ctx)
			wait, rest = rest, min(2*rest, restAtMost)
		}
		timer.Reset(max(wait, p.every))
	}
}

// revive tries the path until it is there, or the store is heard again without
// it.
func (p *storePath) revive(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan error)
	next := time.NewTimer(0)
	defer next.Stop()
	open, gone := 0, false // tries without an answer so far; one has failed
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
			quiet := p.quiet()
			if quiet < p.after {
				return
			}
			next.Reset(p.every)
			if quiet > p.long {
				next.Reset(p.limit)
			}
			open++
			all.Go(func() { p.try(ctx, answers) })
		case err := <-answers:
			open--
			if err != nil {
				gone = true
				continue
			}
			// Tries that were sent before and have no answer were lost.
			p.renew(ctx, gone || open > 1)
			return
		}
	}
}

func (p *storePath) try(ctx context.Context, answers chan<- error) {
	call, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	err := p.dial(call)
	select {
	case answers <- err:
	case <-ctx.Done():
	}
}

// renew resets what stands still although the path is there. If the path was
// gone, connections that only wait for the other end's next try count too.
func (p *storePath) renew(ctx context.Context, wasGone bool) {
	silent := time.Duration(0)
	if wasGone {
		silent = p.after
	}
	n, err := p.reset(ctx, silent)
	if err != nil {
		p.log.Debug("have the store connect anew", "with", p.node, "err", err)
	}
	if n > 0 {
		p.log.Info("the network to a member of the store is back: its connections are opened anew", "with", p.node, "connections", n, "quiet", p.quiet())
	}
}

// storePaths are the paths to the other members of the store. There are none to
// an external store's.
func (a *Agent) storePaths() []*storePath {
	if a.store.member == nil {
		return nil
	}
	s, self := a.settings, a.Config.Peer(a.Config.Self())
	var all []*storePath
	for _, n := range a.Config.Nodes {
		if n.Name == a.Config.Node {
			continue
		}
		at := a.Config.Peer(n)
		all = append(all, &storePath{
			node: n.Name, log: a.Log, dial: func(ctx context.Context) error { return canConnect(ctx, at) },
			reset: func(ctx context.Context, silent time.Duration) (int, error) {
				return fence.ResetSilent(ctx, at.Addr(), ports(self.Port(), at.Port()), silent)
			},
			quiet: func() time.Duration { return a.hearing.quiet(clock.Now()) },
			after: s.Renew + s.Call/4, every: max(s.Call/4, 10*time.Millisecond), limit: s.Call, long: 2 * s.Lease,
		})
	}
	return all
}

// ports are those two, or one if they are the same.
func ports(x, y uint16) []uint16 {
	if x == y {
		return []uint16{x}
	}
	return []uint16{x, y}
}

// canConnect reports whether a TCP connection comes about. One that is refused
// shows as well that the network is there.
func canConnect(ctx context.Context, at netip.AddrPort) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", at.String())
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil
	case err != nil:
		return err
	}
	return conn.Close()
}
