// Package apitest answers what a daemon would say about a cluster that a test
// describes: a real server on a real unix socket, with a canned cluster behind
// it.
//
// It runs no agent and no store. The rule: it satisfies the API's own
// interfaces and nothing else, so that what passes here passes with the agent.
package apitest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/api/public"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/timeline"
)

// Wall is the time that a canned cluster's clock shows.
func Wall() time.Time { return time.Date(2026, 3, 1, 3, 10, 0, 0, time.UTC) }

// Behaviour is what becomes of a request for a switch.
type Behaviour string

// The behaviours.
const (
	Obeys     Behaviour = "obeys"
	Refuses   Behaviour = "refuses"
	RollsBack Behaviour = "rolls-back"
	Ignores   Behaviour = "ignores"    // the request stays where it is
	StoreGone Behaviour = "store-gone" // it cannot even be written
)

// Cluster is a canned cluster behind a real server.
type Cluster struct {
	Live   *api.Live
	Socket string

	mu        sync.Mutex
	look      *public.Look
	snapshot  api.Snapshot
	parts     []timeline.NodePart
	behaviour Behaviour
	forgotten []string
	asked     []cluster.Request
}

// Start serves a snapshot on a socket until the test ends. Without a snapshot
// the agent has not looked at anything yet.
func Start(t interface {
	Cleanup(func())
	Fatal(...any)
}, socket string, s ...api.Snapshot,
) *Cluster {
	c := &Cluster{Live: &api.Live{}, Socket: socket, behaviour: Obeys}
	for _, snapshot := range s {
		c.Set(snapshot)
	}
	l, err := api.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	server := api.NewServer(api.Options{Public: public.Handler(window{c}, func() cluster.Instant { return 0 }, slog.New(slog.DiscardHandler)), Source: c.Live, Requests: c, History: c, Members: c, Restarts: c, Lost: c, Conns: c, Around: c, Now: Wall, Log: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
	return c
}

// Set makes s what the cluster looks like from now on.
func (c *Cluster) Set(s api.Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.publish(s)
}

func (c *Cluster) publish(s api.Snapshot) {
	c.snapshot = s
	c.Live.Publish(s)
}

// Snapshot returns what the cluster looks like.
func (c *Cluster) Snapshot() api.Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.snapshot
}

// Behave says what becomes of requests from now on.
func (c *Cluster) Behave(b Behaviour) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.behaviour = b
}

// Show makes look what the agent answers checks with; it holds the lease.
func (c *Cluster) Show(look public.Look) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look = &look
}

// window is a cluster as those see it who may not wait. Its clock stands at 0.
type window struct{ c *Cluster }

func (w window) Serving() public.Serving        { return public.Serving{Until: 1, Open: true} }
func (w window) Snapshot() (api.Snapshot, bool) { return w.c.Live.Snapshot() }
func (w window) Switches() []api.LastSwitch     { return nil }
func (w window) LateRenewals() int64            { return 0 }

func (w window) Look() *public.Look {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	return w.c.look
}

// Remember makes parts the cluster's history.
func (c *Cluster) Remember(parts []timeline.NodePart) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parts = parts
}

// Asked returns the requests that were submitted.
func (c *Cluster) Asked() []cluster.Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]cluster.Request(nil), c.asked...)
}

// Forgotten returns the requests that were deleted after they had been read.
func (c *Cluster) Forgotten() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.forgotten...)
}

// Parts is the History of the server.
func (c *Cluster) Parts(context.Context) ([]timeline.NodePart, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.parts, nil
}

// Forget deletes a refused request.
func (c *Cluster) Forget(_ context.Context, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgotten = append(c.forgotten, id)
	return nil
}

// PrepareRestart lets the agent be replaced by one of another build, unless the
// cluster refuses.
func (c *Cluster) PrepareRestart(context.Context) (func() error, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.behaviour == Refuses {
		return nil, &api.Error{Status: http.StatusConflict, Message: "a switch is going on: fencing, epoch 8", Mend: "ask again when it is over"}
	}
	return func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		s := c.snapshot
		s.Agent, s.Build = "the next one", "v9.9.9"
		c.publish(s)
		return nil
	}, nil
}

// Submit does with a request what a cluster would do, one record after the other.
func (c *Cluster) Submit(_ context.Context, q cluster.Request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.behaviour == StoreGone {
		return fmt.Errorf("no majority of the store answers")
	}
	c.asked = append(c.asked, q)
	s := c.snapshot
	s.Requests = []cluster.Request{q}
	c.publish(s)
	switch c.behaviour {
	case Ignores:
		return nil
	case Refuses:
		q.Refused = "a switch is going on already (electing at epoch 8): wait for it to end"
		s.Requests = []cluster.Request{q}
		c.publish(s)
		return nil
	}
	s.Requests = nil
	switch q.Kind {
	case cluster.RequestPause, cluster.RequestResume:
		c.pause(s, q)
	case cluster.RequestMaintenance:
		s.Rev++
		s.Record = s.Record.WithMaintenance(cluster.Maintenance{Node: q.Node, By: q.By, Why: q.Why, At: q.At})
		c.publish(s)
	case cluster.RequestMaintenanceEnd:
		s.Rev++
		s.Record = s.Record.WithoutMaintenance(q.Node)
		c.publish(s)
	default:
		c.change(s, q)
	}
	return nil
}

func (c *Cluster) pause(s api.Snapshot, q cluster.Request) {
	s.Rev++
	s.Record.Paused = nil
	if q.Kind == cluster.RequestPause {
		s.Record.Paused = &cluster.Pause{By: q.By, Why: q.Why, At: q.At}
	}
	c.publish(s)
}

// change goes through the phases of a planned switch.
func (c *Cluster) change(s api.Snapshot, q cluster.Request) {
	to := q.To
	if to == "" {
		to = s.Preview.Switchover.Candidate
	}
	from := s.Record.Primary
	s.Rev++
	s.Record.Epoch++
	s.Record.Phase, s.Record.Candidate = cluster.PhaseHandoff, to
	s.Record.Request, s.Record.Reason, s.Record.Detail = q.ID, cluster.SwitchoverAsked, "asked by "+q.By
	c.publish(s)
	s.Rev++
	s.Record.Epoch++
	s.Record.Phase, s.Record.Primary, s.Record.Previous, s.Record.Candidate = cluster.PhasePromoting, to, from, ""
	if c.behaviour == RollsBack {
		s.Record.Primary, s.Record.Previous = from, ""
		s.Record.Reason, s.Record.Detail = cluster.HandoffTimedOut, "2 transactions were still open after 5s"
	}
	c.publish(s)
	s.Rev++
	s.Record.Phase = cluster.PhaseSteady
	c.publish(s)
}
