package agent

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/core/lease"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/timeline"
)

// leadable is an endpoint that remembers where it was led last.
type leadable struct{ at endpoint.Target }

func (e *leadable) Set(_ context.Context, t endpoint.Target) error { e.at = t; return nil }

func (e *leadable) Observe(context.Context) (endpoint.Target, error) { return e.at, nil }

// TestWhoLeadsWhat: one endpoint is central, of the other one this host has its own.
func TestWhoLeadsWhat(t *testing.T) {
	serves := cluster.Fact{Node: "db2", Serving: 5}
	for name, tt := range map[string]struct {
		change       func(l *loop, in *reconcile.Input)
		central, own cluster.NodeName
		shown        []cluster.Lead // of this node
	}{
		"the primary leads both to itself": {func(*loop, *reconcile.Input) {}, "db1", "db1", []cluster.Lead{
			{Endpoint: "app", Kind: "central", Wanted: "db1", To: "db1", Settled: true},
			{On: "db1", Endpoint: "proxy", Kind: "own", Wanted: "db1", To: "db1", Settled: true}}},
		"a replica leads what is its own to the primary": {func(l *loop, in *reconcile.Input) {
			l.Board.Record.Primary, in.Lease = "db2", lease.Held{}
		}, "", "db2", []cluster.Lead{{On: "db1", Endpoint: "proxy", Kind: "own", Wanted: "db2", To: "db2", Settled: true}}},
		"to a new primary only once that serves": {func(l *loop, in *reconcile.Input) {
			l.Board.Record.Primary, l.Board.Record.Phase, in.Lease = "db2", cluster.PhasePromoting, lease.Held{}
		}, "", "", nil},
		"and then before its reign is steady": {func(l *loop, in *reconcile.Input) {
			l.Board.Record.Primary, l.Board.Record.Phase, in.Lease = "db2", cluster.PhasePromoting, lease.Held{}
			l.Board.SawFact("db2", serves, 60, in.Now)
		}, "", "db2", []cluster.Lead{{On: "db1", Endpoint: "proxy", Kind: "own", Wanted: "db2", To: "db2", Settled: true}}},
		"and sooner than its fact says so, if it has told so itself": {func(l *loop, in *reconcile.Input) {
			l.Board.Record.Primary, l.Board.Record.Phase, in.Lease = "db2", cluster.PhasePromoting, lease.Held{}
			l.Board.Told(decide.Word{Of: "db2", Epoch: 5})
		}, "", "db2", []cluster.Lead{{On: "db1", Endpoint: "proxy", Kind: "own", Wanted: "db2", To: "db2", Settled: true}}},
		"a primary whose gate is shut leads nothing central": {func(_ *loop, in *reconcile.Input) {
			in.Host.Gate = reconcile.GateClosed
		}, "", "db1", []cluster.Lead{{On: "db1", Endpoint: "proxy", Kind: "own", Wanted: "db1", To: "db1", Settled: true}}},
		"an agent that leaves changes nothing any more": {func(l *loop, _ *reconcile.Input) { l.Leaving = true }, "", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := reviewed()
				now := clock.Now()
				l.hearing.heard(now, time.Hour)
				var app, proxy leadable
				events := make(chan event, 64)
				l.timeline, l.live = timeline.NewRecorder(timeline.Options{Node: "db1", Now: clock.Now}), &api.Live{}
				l.roads = &roads{states: map[string]endpoint.State{}, spans: map[string]*timeline.Running{},
					at: map[cluster.NodeName]netip.AddrPort{"db1": netip.MustParseAddrPort("10.0.0.1:3306"), "db2": netip.MustParseAddrPort("10.0.0.2:3307")}}
				add := func(name string, kind endpoint.Kind, e endpoint.Endpoint, ours bool) {
					l.roads.all = append(l.roads.all, road{ours: ours, Reconciler: &endpoint.Reconciler{Name: name, Kind: kind, Endpoint: e, Log: slog.New(slog.DiscardHandler),
						Timing: endpoint.Timing{Call: time.Second, Check: time.Hour, Retry: time.Minute},
						Report: func(s endpoint.State) { events <- func(l *loop) { l.sawEndpoint(s) } }}})
				}
				add("app", "central", &app, false)
				add("proxy", "own", &proxy, true)
				in := l.Input(l.senses(now))
				in.Now, in.Lease, in.Host.Gate = now, lease.Held{Epoch: 5, Until: now.Add(time.Hour)}, reconcile.GateOpenLeased
				tt.change(l, &in)
				in.Record = l.Board.Record

				ctx, stop := context.WithCancel(t.Context())
				done := make(chan struct{})
				l.roads.run(ctx, func(run func()) { go func() { run(); done <- struct{}{} }() })
				l.leadEndpoints(in, l.World(l.senses(now)))
				synctest.Wait()
				for len(events) > 0 {
					(<-events)(l)
				}
				stop()
				<-done
				<-done
				if app.at.Node != tt.central || proxy.at.Node != tt.own {
					t.Errorf("led: app to %q, proxy to %q; want %q and %q", app.at.Node, proxy.at.Node, tt.central, tt.own)
				}
				if tt.own == "db2" && (proxy.at.Port != 3307 || proxy.at.Addresses[0].String() != "10.0.0.2" || proxy.at.Epoch != 5) {
					t.Errorf("the proxy leads to %+v", proxy.at)
				}
				if diff := cmp.Diff(tt.shown, l.Leads); diff != "" {
					t.Errorf("shown:\n%s", diff)
				}
			})
		})
	}
}

// TestTheTimelineTellsWhatAnEndpointFinds: how often it was tried, and its own view.
func TestTheTimelineTellsWhatAnEndpointFinds(t *testing.T) {
	for name, tt := range map[string]struct {
		state endpoint.State
		want  string
	}{
		"at once, with a view of its own":      {endpoint.State{Settled: true, Tells: "it finds db1 UP"}, "leads to db1, it finds db1 UP"},
		"at once, without":                     {endpoint.State{Settled: true}, "leads to db1"},
		"at the second attempt":                {endpoint.State{Attempts: 1, Settled: true, Tells: "it finds db1 UP"}, "2 attempts, leads to db1, it finds db1 UP"},
		"it was told, and cannot be asked":     {endpoint.State{Told: true}, "told, it cannot be asked"},
		"at the second attempt without a view": {endpoint.State{Attempts: 1, Settled: true}, "2 attempts, leads to db1"},
	} {
		t.Run(name, func(t *testing.T) {
			l := reviewed()
			l.timeline = timeline.NewRecorder(timeline.Options{Node: "db1", Now: clock.Now})
			l.timeline.Saw(cluster.Record{Epoch: 5, Phase: cluster.PhasePromoting, Primary: "db1"}, 50)
			l.roads = &roads{states: map[string]endpoint.State{}, spans: map[string]*timeline.Running{}}
			l.sawEndpoint(endpoint.State{Name: "lb", Kind: "proxy", Want: endpoint.Target{Epoch: 5, Node: "db1"}, Attempts: tt.state.Attempts})
			tt.state.Name, tt.state.Kind, tt.state.Want = "lb", "proxy", endpoint.Target{Epoch: 5, Node: "db1"}
			l.sawEndpoint(tt.state)
			part, _ := l.timeline.Part(5)
			if len(part.Events) != 1 || part.Events[0].Step != timeline.Endpoint("lb") || part.Events[0].Outcome != timeline.OK || part.Events[0].Detail != tt.want {
				t.Errorf("on the timeline: %+v, want %q", part.Events, tt.want)
			}
		})
	}
}

// TestTheTimelineTellsWhatAnEndpointFindsLater: a resolver that has forgotten, a check
// that has been made. Not for ever, and once each.
func TestTheTimelineTellsWhatAnEndpointFindsLater(t *testing.T) {
	l := reviewed()
	l.timeline = timeline.NewRecorder(timeline.Options{Node: "db1", Now: clock.Now})
	l.timeline.Saw(cluster.Record{Epoch: 5, Phase: cluster.PhasePromoting, Primary: "db1"}, 50)
	l.roads = &roads{states: map[string]endpoint.State{}, spans: map[string]*timeline.Running{}}
	s := endpoint.State{Name: "name", Kind: "dns", Want: endpoint.Target{Epoch: 5, Node: "db1"}}
	l.sawEndpoint(s)
	s.Settled = true
	for _, tells := range []string{"", "", "a", "a", "", "a", "a; b", "a; b", "c", "d", "e"} {
		s.Tells = tells
		l.sawEndpoint(s)
	}
	part, _ := l.timeline.Part(5)
	var got []string
	for _, e := range part.Events {
		got = append(got, string(e.Step)+": "+e.Detail)
	}
	if diff := cmp.Diff([]string{"endpoint name: leads to db1", "seen-by name: a", "seen-by name: a; b", "seen-by name: c"}, got); diff != "" {
		t.Errorf("on the timeline:\n%s", diff)
	}
}

func TestWhatStandsByAndIsNotReadyIsShown(t *testing.T) {
	l := reviewed()
	l.roads = &roads{states: map[string]endpoint.State{}, spans: map[string]*timeline.Running{}}
	l.sawEndpoint(endpoint.State{Name: "bgp", Kind: "frr", Problem: errors.New("the router refuses us")})
	want := []cluster.Lead{{On: "db1", Endpoint: "bgp", Kind: "frr", Because: "the router refuses us"}}
	if diff := cmp.Diff(want, l.Leads); diff != "" {
		t.Errorf("shown:\n%s", diff)
	}
	if got := l.Leads[0].String(); got != "bgp on db1 is not ready to lead there, because the router refuses us" {
		t.Errorf("it says %q", got)
	}
	l.sawEndpoint(endpoint.State{Name: "bgp", Kind: "frr"})
	if len(l.Leads) > 0 {
		t.Errorf("once it is ready: %v", l.Leads)
	}
}
