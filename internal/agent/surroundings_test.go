package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reach"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/fence"
)

// slow is an endpoint whose calls take their time.
type slow struct {
	leadable
	set, observe time.Duration
	fails        int // so many of its changes fail first
}

func (e *slow) Set(ctx context.Context, t endpoint.Target) error {
	time.Sleep(e.set) // of the bubble's clock
	if e.fails--; e.fails >= 0 {
		return errors.New("it is busy")
	}
	return e.leadable.Set(ctx, t)
}

func (e *slow) Observe(ctx context.Context) (endpoint.Target, error) {
	time.Sleep(e.observe)
	return e.leadable.Observe(ctx)
}

func TestHowLongAnEndpointsCallsTakeIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var took callTimes
		r := endpoint.Reconciler{Name: "app", Kind: "dns", Log: slog.New(slog.DiscardHandler), Report: func(endpoint.State) {},
			Endpoint: &slow{set: 40 * time.Millisecond, observe: 3 * time.Millisecond, fails: 1},
			Timing:   endpoint.Timing{Call: time.Second, Check: time.Hour, Retry: 10 * time.Millisecond},
			Took:     func(call endpoint.Call, d time.Duration, err error) { took.add("app", "dns", call, d, err) }}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { r.Run(ctx); close(done) }()
		r.Lead(endpoint.Target{Epoch: 1, Node: "db1", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Port: 3306})
		synctest.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
		stop()
		<-done
		all := took.all()
		if len(all) != 1 || all[0].Endpoint != "app" || all[0].Kind != "dns" {
			t.Fatalf("got %+v", all)
		}
		want := reach.Distribution{Count: 2, Failed: 1, Median: 40_000, Worst: 40_000, Sum: 80_000}
		if diff := cmp.Diff(want, all[0].Set); diff != "" {
			t.Errorf("its changes: %s", diff)
		}
		if got := all[0].Observe; got.Count < 2 || got.Failed != 0 || got.Worst != 3000 || got.Median != 3000 {
			t.Errorf("its looks: %+v", got)
		}
	})
}

func TestClientsAreListenedToWhileThisNodeServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var serves atomic.Bool
		var segments atomic.Uint32
		serves.Store(true)
		segments.Store(5)
		began := time.Now()
		list := func(context.Context) ([]fence.Watch, error) {
			client := netip.MustParseAddrPort("10.0.0.9:4000")
			return []fence.Watch{{Socket: fence.Socket{Remote: client}, Told: true, SegmentsIn: segments.Load(), DataIn: 1, SinceAckIn: 500 + uint32(time.Since(began).Milliseconds())}}, nil
		}
		p := clientProbes{serves: serves.Load, list: list, now: func() cluster.Instant { return cluster.Instant(0).Add(time.Since(began) + time.Hour) }}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { p.run(ctx); close(done) }()
		synctest.Wait()
		if h := p.heard(); h != nil {
			t.Errorf("after one look: %+v", h)
		}
		segments.Add(1)
		time.Sleep(probesEvery)
		synctest.Wait()
		want := &reach.Heard{Over: probesEvery.Milliseconds(), Idle: 1, Probed: 1}
		if diff := cmp.Diff(want, p.heard()); diff != "" {
			t.Error(diff)
		}
		serves.Store(false)
		time.Sleep(probesEvery)
		synctest.Wait()
		if h := p.heard(); h != nil {
			t.Errorf("it does not serve any more: %+v", h)
		}
		stop()
		<-done
	})
}

func TestTheTimersOfConnections(t *testing.T) {
	got := clientsOf([]fence.Watch{{Timer: fence.Keepalive, Expires: 7000}, {Timer: fence.Keepalive, Expires: 9000}, {Timer: fence.Retransmission, Expires: 99999}, {Timer: fence.NoTimer}})
	if diff := cmp.Diff(reach.Clients{Connections: 4, Kept: 2, Busy: 1, Unwatched: 1, Longest: 9000}, got); diff != "" {
		t.Error(diff)
	}
}

// silentServer is a server that does not answer.
type silentServer struct{ db.Server }

func (silentServer) Limits(context.Context) (reach.Server, error) {
	return reach.Server{}, errors.New("the server is frozen")
}

// TestEveryAgentReadsItsHost: the own one, one over the link, and of one that cannot be
// asked it is said.
func TestEveryAgentReadsItsHost(t *testing.T) {
	configOf := func(self cluster.NodeName, role string) *config.Config {
		cfg, found := config.Parse("baton.yaml", fmt.Appendf(nil, `node: %s
cluster: shop
nodes: [{name: db1, role: %s, address: 127.0.0.1}, {name: db2, role: data, address: 127.0.0.2}, {name: db3, role: data, address: 127.0.0.3}, {name: db4, role: data, address: 127.0.0.4}]
server: {flavor: mariadb, socket: /nowhere.sock, password_file: agent.password, replication: {user: baton_repl, password_file: repl.password}, probe: {user: baton_probe, password_file: probe.password}}
addresses: [{address: 192.0.2.9, interface: lo}]
`, self, role))
		if err := found.Err(); err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	agentOf := func(self cluster.NodeName, host *hostParts) *Agent {
		a := &Agent{Options: Options{Config: configOf(self, "witness"), Log: slog.New(slog.DiscardHandler)}, host: host}
		a.current.Store(&inForce{config: a.Config})
		return a
	}
	asked := agentOf("db1", &hostParts{witness: true})
	asks := agentOf("db2", &hostParts{database: silentServer{}, probes: &clientProbes{}, roads: &roads{}})
	asks.host.roads.took.add("dns", "dns", endpoint.Setting, time.Second, nil)
	asks.link = linked(t, asked.answerSurroundings)
	got := asks.Surroundings(t.Context())
	// A person waits two seconds, in which a machine under load may not have answered.
	for limit := time.Now().Add(time.Minute); len(got.Hosts) == 4 && got.Hosts[0].Why != "" && time.Now().Before(limit); {
		got = asks.Surroundings(t.Context())
	}
	if len(got.Hosts) != 4 || got.Limits.Normal == 0 || got.Deadline == 0 {
		t.Fatalf("got %+v", got)
	}
	db1, db2, db3 := got.Hosts[0], got.Hosts[1], got.Hosts[2]
	if db1.Node != "db1" || db1.Why != "" || db1.TCP["tcp_retries2"] == 0 || len(db1.Paths) != 1 || db1.Server != nil {
		t.Errorf("of the one over the link: %+v", db1)
	}
	if db2.Node != "db2" || db2.Why != "" || len(db2.Calls) != 1 || db2.Clients == nil || !slices.Contains(db2.Missing, "the server is frozen") {
		t.Errorf("of the own one: %+v", db2)
	}
	if db3.Node != "db3" || db3.Why == "" || len(db3.TCP) > 0 {
		t.Errorf("of one that cannot be asked: %+v", db3)
	}
	asks.link = nil
	if alone := asks.Surroundings(t.Context()); alone.Hosts[0].Why != "there is no direct link to the other agents (tls)" || alone.Hosts[1].Why != "" {
		t.Errorf("without a link: %+v", alone.Hosts)
	}
}
