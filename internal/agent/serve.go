package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/api/public"
	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/timeline"
)

// listenAPI opens the socket on which people administer the cluster.
func (a *Agent) listenAPI() (net.Listener, error) { return api.Listen(a.Config.Socket()) }

// serveAPI answers on the socket until ctx ends.
func (a *Agent) serveAPI(ctx context.Context, l net.Listener) {
	s := api.NewServer(api.Options{Public: public.Handler(&a.window, clock.Now, a.Log), Source: a.live, Requests: a, History: a, Members: a, Restarts: a, Rejoins: a, Lost: a, Conns: a, Around: a, Now: a.Wall, Log: a.Log})
	if err := s.Serve(ctx, l); err != nil && ctx.Err() == nil {
		a.Log.Error("serve the API", "err", err)
	}
}

// peopleWait is how long a person waits for a store that does not answer.
const peopleWait = 3 * time.Second

// Submit writes a request into the store. It implements api.Requests.
func (a *Agent) Submit(ctx context.Context, q cluster.Request) error {
	if a.Config.Mode == cluster.Observe {
		return errors.New("this node runs in mode observe and asks for nothing: ask another node")
	}
	s, err := a.sharedStore()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, peopleWait)
	defer cancel()
	_, err = s.PutRequest(ctx, q)
	return err
}

// sharedStore returns the store, once this node has joined it.
func (a *Agent) sharedStore() (*shared, error) {
	a.joined.Lock()
	defer a.joined.Unlock()
	if a.store == nil {
		return nil, errors.New("this node has not joined the store yet: the first time, it waits for the agents of all nodes")
	}
	return a.store, nil
}

// Parts implements api.History.
func (a *Agent) Parts(ctx context.Context) ([]timeline.NodePart, error) {
	s, err := a.sharedStore()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, peopleWait)
	defer cancel()
	return s.Parts(ctx)
}

// Forget removes a refused request that has been read.
func (a *Agent) Forget(ctx context.Context, id string) error {
	s, err := a.sharedStore()
	if err != nil {
		return err
	}
	return s.DeleteRequest(ctx, id)
}

// For how long after a switch the nodes may add to the history, and how often it
// is read at other times.
const (
	historyGrows  = 30 * time.Second
	historyAnyway = time.Minute
)

// watchStore looks at the store from outside of what is stored: who leads it,
// and which switch was the last one. The whole history is read for that, so only
// when it may have grown: nodes add to it for a while after a switch.
func (a *Agent) watchStore(ctx context.Context) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	var epoch cluster.Epoch
	var grows, read cluster.Instant
	for {
		call, cancel := context.WithTimeout(ctx, time.Second)
		looks := a.store.looks(call)
		cancel()
		r, _ := a.loop.situation.get()
		now := clock.Now()
		if r.Epoch != epoch || r.Phase != cluster.PhaseSteady {
			epoch, grows = r.Epoch, now.Add(historyGrows)
		}
		var last *api.LastSwitch
		if now <= grows || now.Sub(read) >= historyAnyway {
			last, read = a.lastSwitch(ctx), now
		}
		a.post(func(l *loop) {
			l.storeLooks = looks
			l.Conditions.Put(cluster.StoreDegraded, degraded(looks))
			l.Conditions.Put(cluster.StoreSlow, a.store.slowDisk())
			if last != nil {
				l.lastSwitch = last
			}
			if r := l.Board.Record; r.Phase == cluster.PhaseSteady && looks.Leader == l.Self && r.Primary != l.Self {
				go a.store.leadWithPrimary(ctx, r.Primary)
			}
		})
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// degraded says that members of the store are missing; nothing if none is, or if
// nobody knows: then this node's renewals say enough.
func degraded(looks api.Store) string {
	if looks.Members == 0 || looks.Healthy >= looks.Members {
		return ""
	}
	return strings.TrimSpace(fmt.Sprintf("%d of %d members of the store are well %s", looks.Healthy, looks.Members, looks.Detail))
}

// lateLasts is how long a late renewal is shown.
const lateLasts = time.Minute

// renewalLate shows that a renewal came late, until there has been none for a
// while.
func (a *Agent) renewalLate(detail string) {
	seq := a.lates.Add(1)
	a.post(func(l *loop) { l.Conditions.Put(cluster.RenewalLate, detail) })
	time.AfterFunc(lateLasts, func() {
		if a.lates.Load() == seq {
			a.post(func(l *loop) { l.Conditions.Put(cluster.RenewalLate, "") })
		}
	})
}

// lastSwitch reads the newest switch of the history; nil if there is none.
func (a *Agent) lastSwitch(ctx context.Context) *api.LastSwitch {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	parts, err := a.store.Parts(ctx)
	if err != nil {
		return nil
	}
	switches := timeline.Switches(parts)
	if len(switches) == 0 {
		return nil
	}
	all := make([]api.LastSwitch, 0, len(switches))
	for _, s := range switches {
		all = append(all, api.LastOf(s))
	}
	slices.SortStableFunc(all, func(x, y api.LastSwitch) int { return cmp.Compare(y.Epoch, x.Epoch) })
	a.window.switches.Store(&all)
	return &all[0]
}
