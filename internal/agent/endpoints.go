package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/timeline"
)

// endpointRetry is the pause after a first attempt at an endpoint.
const endpointRetry = 100 * time.Millisecond

// roads are the endpoints beside the virtual addresses. Central ones this node leads
// here for as long as it is primary; what this host has for itself it leads to the
// record's primary, whoever that is. Each goes by itself, and no switch waits for it.
type roads struct {
	all    []road
	closes []io.Closer
	runs   []endpoint.Runner
	states map[string]endpoint.State // the loop's own
	spans  map[string]*timeline.Running
	told   map[timeline.Step][]string          // what the timeline was told of each, since it was wanted there
	views  map[string]view                     // what the timeline has of its own view
	at     map[cluster.NodeName]netip.AddrPort // the data nodes' servers
	set    []api.RoadSetting
	took   callTimes
}

// view is what the timeline has of an endpoint's own view in this reign.
type view struct {
	last  string
	notes int // beside the first, which is part of how it was led there
}

// road is one of them.
type road struct {
	*endpoint.Reconciler
	ours bool // this host's own
}

func openRoads(a *Agent) (*roads, error) {
	c, secrets, neighbors := a.Config, a.inForce().passwords.Endpoints, a.inForce().passwords.Neighbors
	r := &roads{states: map[string]endpoint.State{}, spans: map[string]*timeline.Running{}, at: serverAddresses(c)}
	for i, e := range c.Endpoints {
		r.set = append(r.set, api.RoadSetting{Name: e.Name, Kind: c.KindOf(i), Cached: c.KeptFor(i)})
		if !c.LeadsEndpoint(i) {
			continue
		}
		kind := endpoint.Kind(c.KindOf(i))
		opened, err := endpointKinds().Open(kind, opening{config: c, Endpoint: e, secret: secrets[i], neighbors: neighbors[i], log: a.Log, wall: a.Wall})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("endpoints[%d] (%s): %w", i, e.Name, err), r.close())
		}
		if closer, ok := opened.(io.Closer); ok {
			r.closes = append(r.closes, closer)
		}
		if runner, ok := opened.(endpoint.Runner); ok {
			r.runs = append(r.runs, runner)
		}
		r.all = append(r.all, road{ours: c.EachHasItsOwn(i), Reconciler: &endpoint.Reconciler{Name: e.Name, Kind: kind, Endpoint: opened, Log: a.Log,
			Timing: endpoint.Timing{Call: e.Timeout, Check: e.Check, Retry: endpointRetry},
			Took:   func(call endpoint.Call, took time.Duration, err error) { r.took.add(e.Name, kind, call, took, err) },
			Report: func(s endpoint.State) { a.post(func(l *loop) { l.sawEndpoint(s) }) }}})
	}
	return r, nil
}

func (r *roads) run(ctx context.Context, spawn func(func())) {
	for _, e := range r.runs {
		spawn(func() { e.Run(ctx) })
	}
	for _, e := range r.all {
		spawn(func() { e.Run(ctx) })
	}
}

func (r *roads) close() error {
	var errs []error
	for _, c := range r.closes {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// target is a node as endpoints want it.
func (r *roads) target(n cluster.NodeName, record cluster.Record) endpoint.Target {
	at, ok := r.at[n]
	if !ok {
		return endpoint.Target{}
	}
	return endpoint.Target{Epoch: record.Epoch, Node: n, Addresses: []netip.Addr{at.Addr()}, Port: int(at.Port()), Planned: record.Planned}
}

// leadEndpoints says what is wanted of the endpoints. Central ones lead here from the
// moment in which clients can pass the gate, and when the lease is over this node
// touches them no more. This host's own lead where the record says.
func (l *loop) leadEndpoints(in reconcile.Input, w decide.World) {
	if l.roads == nil {
		return
	}
	r := in.Record
	var here, there endpoint.Target
	if leads(in) && !l.Leaving {
		here = l.roads.target(l.Self, r)
	}
	if !l.Leaving {
		there = l.roads.target(decide.Led(w), r)
	}
	for _, e := range l.roads.all {
		if e.ours {
			e.Lead(there)
		} else {
			e.Lead(here)
		}
	}
}

// leads reports whether endpoints are led to this node: its reign has begun, and clients
// can pass its gate.
func leads(in reconcile.Input) bool {
	return (in.Record.Phase == cluster.PhaseSteady || in.Record.Phase == cluster.PhasePromoting) && open(in)
}

// open reports whether this node is the record's primary and clients can pass its gate.
func open(in reconcile.Input) bool {
	return in.Record.Primary == in.Self && in.Lease.Valid(in.Record.Epoch, in.Now) && in.Host.Gate == reconcile.GateOpenLeased
}

// isOurs reports whether an endpoint is this host's own.
func (r *roads) isOurs(name string) bool {
	return slices.ContainsFunc(r.all, func(e road) bool { return e.Name == name && e.ours })
}

// sawEndpoint takes in how an endpoint stands.
func (l *loop) sawEndpoint(s endpoint.State) {
	before := l.roads.states[s.Name]
	l.roads.states[s.Name] = s
	span := l.roads.spans[s.Name]
	switch {
	case s.Want.Epoch != before.Want.Epoch || s.Want.Node != before.Want.Node:
		if span != nil {
			span.End(timeline.Failed, inWords(before.Problem, "not wanted any more"))
			delete(l.roads.spans, s.Name)
		}
		delete(l.roads.told, timeline.Endpoint(s.Name))
		delete(l.roads.told, timeline.SeenBy(s.Name))
		delete(l.roads.views, s.Name)
		if s.Want.Node != "" {
			l.roads.spans[s.Name] = l.timeline.Begin(timeline.Endpoint(s.Name), string(s.Kind))
		}
	case (s.Settled || s.Told) && span != nil:
		done := []string{attempts(before.Attempts + 1), "leads to " + s.Want.String(), s.Tells}
		if s.Told {
			done[1] = "told, it cannot be asked"
		}
		l.roads.noted(s.Name, view{last: s.Tells})
		span.End(timeline.OK, strings.Join(slices.DeleteFunc(done, func(t string) bool { return t == "" }), ", "))
		delete(l.roads.spans, s.Name)
	}
	l.noteProblem(s)
	l.noteView(before, s)
	l.Leads = nil
	for _, name := range slices.Sorted(maps.Keys(l.roads.states)) {
		if s := l.roads.states[name]; s.Want.Node != "" || s.Problem != nil {
			lead := leadOf(s)
			if s.Want.Node == "" || l.roads.isOurs(name) {
				lead.On = l.Self
			}
			l.Leads = append(l.Leads, lead)
		}
	}
}

// mostTold is how many different problems of one endpoint the timeline is told of in a
// reign: it is bounded, and the log has all of them.
const mostTold = 3

// noteProblem tells the timeline why an endpoint does not lead where it should, while
// that is being tried again: what it comes to may be long after. Of one that does lead
// there it tells what is wrong nevertheless, such as a router of two that refuses.
func (l *loop) noteProblem(s endpoint.State) {
	if s.Want.Node == "" || s.Problem == nil {
		return
	}
	step := timeline.Endpoint(s.Name)
	if s.Settled {
		step = timeline.SeenBy(s.Name)
	}
	said, told := s.Problem.Error(), l.roads.told[step]
	if len(told) >= mostTold || slices.Contains(told, said) {
		return
	}
	l.timeline.Note(step, timeline.Failed, said)
	if l.roads.told == nil {
		l.roads.told = map[timeline.Step][]string{}
	}
	l.roads.told[step] = append(told, said)
}

// noteView tells the timeline what an endpoint finds later than when it was led there,
// and something else than it was told last.
func (l *loop) noteView(before, s endpoint.State) {
	known := l.roads.views[s.Name]
	if !s.Settled || !before.Settled || s.Want.Epoch != before.Want.Epoch || s.Tells == "" || s.Tells == known.last || known.notes >= mostTold {
		return
	}
	l.timeline.Note(timeline.SeenBy(s.Name), timeline.OK, s.Tells)
	l.roads.noted(s.Name, view{s.Tells, known.notes + 1})
}

func (r *roads) noted(name string, v view) {
	if r.views == nil {
		r.views = map[string]view{}
	}
	r.views[name] = v
}

func inWords(why error, otherwise string) string {
	if why == nil {
		return otherwise
	}
	return why.Error()
}

func attempts(n int) string {
	if n <= 1 {
		return ""
	}
	return fmt.Sprintf("%d attempts", n)
}

// leadOf is a state as other nodes and people see it.
func leadOf(s endpoint.State) cluster.Lead {
	lead := cluster.Lead{Endpoint: s.Name, Kind: string(s.Kind), Wanted: s.Want.Node, To: s.Got.Node, Settled: s.Settled, Told: s.Told, Unseen: s.Want.Node != "" && !s.Looked && !s.Told, Repaired: s.Repaired}
	if s.Problem != nil {
		lead.Because = s.Problem.Error()
	}
	return lead
}
