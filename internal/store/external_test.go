package store_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/store"
)

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func record(epoch cluster.Epoch) cluster.Record {
	return cluster.Record{Schema: cluster.Schema, Epoch: epoch, Phase: cluster.PhaseSteady, Primary: "db1"}
}

// steady has the leader be elsewhere, so that the loss of s is none of the
// majority's business.
func steady(t *testing.T, b *store.Etcd, s *server, other *server) {
	t.Helper()
	for ctx := within(t, patience); ; {
		err := b.MoveLeader(ctx, other.Name)
		if st, serr := b.Status(ctx); err == nil && serr == nil && st.Leader == other.Name && st.Healthy() == 3 {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s does not get the leadership away from %s: %v", other.Name, s.Name, err)
		}
	}
}

func frozenEndpoint(t *testing.T, all []*server) {
	b := dial(t, all[0], 300*time.Millisecond, all[0].Client, all[1].Client)
	steady(t, dial(t, all[0], patience, all[0].Client, all[1].Client, all[2].Client), all[0], all[1])
	s := store.New(b, t.Name(), store.Options{})
	rev, err := s.SwapRecord(within(t, patience), 0, nil, record(1))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	in := s.Watch(ctx, rev) // at the endpoint that is about to freeze
	if _, err := s.PutFact(within(t, patience), cluster.Fact{Schema: 1, Node: "db1"}); err != nil {
		t.Fatal(err)
	}
	<-in

	all[0].freeze(t)
	defer all[0].thaw(t)
	var next cluster.Revision
	failed := 0
	limit := 4 * time.Second
	for next == 0 {
		if next, err = s.SwapRecord(within(t, limit), rev, nil, record(2)); err != nil {
			failed++
			limit = patience // the next one goes elsewhere, be it slowly
			// The watch may have found out before: then no call is lost.
			if failed > 1 || !errors.Is(err, store.ErrUnknown) {
				t.Fatalf("call %d: %v", failed, err)
			}
		}
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case b := <-in:
			if b.Snapshot != nil && b.Snapshot.Record.Rev == next {
				if b.Why == nil {
					t.Error("it does not say why it has listed anew")
				}
				return
			}
			for _, c := range b.Changes {
				if c.Rev == next {
					return
				}
			}
		case <-timer.C:
			t.Fatal("the watch has not gone on elsewhere")
		}
	}
}

func deadEndpoint(t *testing.T, all []*server) {
	nobody := "https://" + loopback().String() + ":4999"
	s := store.New(dial(t, all[0], patience, nobody, all[0].Client), t.Name(), store.Options{})
	if _, err := s.SwapRecord(within(t, patience), 0, nil, record(1)); err != nil {
		t.Error(err)
	}
	alone := store.New(dial(t, all[0], patience, nobody), t.Name(), store.Options{})
	_, err := alone.SwapRecord(within(t, 200*time.Millisecond), 0, nil, record(1))
	if !errors.Is(err, store.ErrNoQuorum) || errors.Is(err, store.ErrUnknown) {
		t.Errorf("nothing was sent, and it says: %v", err)
	}
}

func lostAnswer(t *testing.T, all []*server) {
	p := newProxy(t, all[0].Client)
	s := store.New(dial(t, all[0], patience, p.url), t.Name(), store.Options{})
	direct := store.New(dial(t, all[0], patience, all[0].Client, all[1].Client, all[2].Client), t.Name(), store.Options{})
	rev, err := s.SwapRecord(within(t, patience), 0, nil, record(1))
	if err != nil {
		t.Fatal(err)
	}
	p.swallow.Store(true)
	_, err = s.SwapRecord(within(t, time.Second), rev, nil, record(2))
	if !errors.Is(err, store.ErrUnknown) || errors.Is(err, store.ErrLost) {
		t.Errorf("it says %v", err)
	}
	got, err := direct.Snapshot(within(t, patience))
	if err != nil || got.Record.Value.Epoch != 2 {
		t.Errorf("the record is %+v, %v", got.Record, err)
	}
	p.swallow.Store(false)
	p.hangUp()
	ctx := within(t, patience)
	for {
		// What the caller does then: ask again, and learn that its own swap won.
		_, err := s.SwapRecord(ctx, rev, nil, record(2))
		if errors.Is(err, store.ErrLost) {
			return
		}
		if err == nil || ctx.Err() != nil {
			t.Fatalf("the same swap again: %v", err)
		}
	}
}

// proxy passes bytes on, and swallows those that come back if it is told to.
type proxy struct {
	url     string
	swallow atomic.Bool

	mu    sync.Mutex
	conns []net.Conn
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", loopback().String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	target := must(url.Parse(to)).Host
	p := &proxy{url: "https://" + l.Addr().String()}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				_ = in.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, in, out)
			p.mu.Unlock()
			all.Go(func() { _, _ = io.Copy(out, in); _ = out.Close() })
			all.Go(func() { _, _ = io.Copy(filter{p, in}, out); _ = in.Close() })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.hangUp()
		all.Wait()
	})
	return p
}

func (p *proxy) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

type filter struct {
	p  *proxy
	to net.Conn
}

func (f filter) Write(b []byte) (int, error) {
	if f.p.swallow.Load() {
		return len(b), nil
	}
	return f.to.Write(b)
}
