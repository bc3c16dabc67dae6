package agent

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reach"
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
