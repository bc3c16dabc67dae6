// Package doctor answers what is wrong with this host and with the servers, as
// far as Baton depends on it. It looks; package config judges.
//
// It never changes anything: what it asks of the kernel is asked in ways that
// leave nothing behind. The rule that must not be broken: a server that could
// not be asked is never reported as one that is set up wrongly, nor as one that
// is in order.
package doctor

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
)

// How long one server may take to answer everything.
const (
	patience = 5 * time.Second
	// An agent that starts may be needed at once.
	patienceAtStart = 2 * time.Second
)

// Check reports everything that is wrong with a configuration, with this host
// and with all servers of the cluster.
func Check(ctx context.Context, cfg *config.Config) config.Findings {
	servers := newServers(cfg, patience)
	var all answers
	var asking sync.WaitGroup
	for _, n := range cfg.Nodes {
		if n.Role != cluster.Data {
			continue
		}
		asking.Go(func() {
			seen, err := servers.LookAtServer(ctx, n)
			all.put(n.Name, seen, err)
		})
	}
	asking.Wait()
	return config.Check(ctx, cfg, Host{Config: cfg}, &all)
}

// CheckStart reports what an agent that is about to start must know of this
// host and of its own server.
func CheckStart(ctx context.Context, cfg *config.Config) config.Findings {
	return config.CheckStart(ctx, cfg, Host{Config: cfg}, newServers(cfg, patienceAtStart))
}

// answers are those of servers that were all asked at once: the silence of one
// is waited for while the others speak.
type answers struct {
	mu  sync.Mutex
	all map[cluster.NodeName]answer
}

type answer struct {
	seen config.ServerSeen
	err  error
}

func (a *answers) put(n cluster.NodeName, seen config.ServerSeen, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all == nil {
		a.all = map[cluster.NodeName]answer{}
	}
	a.all[n] = answer{seen, err}
}

// LookAtServer implements config.ServerLooker.
func (a *answers) LookAtServer(_ context.Context, n config.Node) (config.ServerSeen, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	got, asked := a.all[n.Name]
	if !asked {
		return config.ServerSeen{}, errors.New("it was not asked")
	}
	return got.seen, got.err
}
