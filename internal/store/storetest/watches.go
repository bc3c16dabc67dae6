package storetest

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/store"
)

// exported lets cmp look into the nouns' unexported fields.
func exported(reflect.Type) bool { return true }

func watchOrder(t *testing.T, r *Rig) {
	s := r.stores(t)
	ctx := within(t)
	rev := must(t)(s[0].SwapRecord(ctx, 0, nil, record(1)))
	w := watch(t, s[1], rev)
	const n = 150
	var want []cluster.Revision
	for i := range uint64(n) {
		switch i % 5 {
		case 0, 1, 2:
			want = append(want, must(t)(s[i%3].RenewLease(ctx, rev, lease(i))))
		case 3:
			want = append(want, must(t)(s[i%3].PutFact(ctx, fact("db1", i))))
		case 4:
			want = append(want, must(t)(s[i%3].PutRequest(ctx, request("r"))))
			if err := s[0].PutHistory(ctx, 1, "db1", []byte("{}")); err != nil { // not reported
				t.Fatal(err)
			}
			if err := s[i%3].DeleteRequest(ctx, "r"); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.until("all changes", func() bool { return w.seen.Lease.Value.Seq == n-3 && len(w.all) >= n+n/5 })
	if len(w.why) != 0 {
		t.Fatalf("it has listed anew: %v", w.why)
	}
	i, deleted := 0, 0
	var before cluster.Revision
	for _, c := range w.all {
		if c.Rev <= before {
			t.Fatalf("revision %d comes after %d", c.Rev, before)
		}
		before = c.Rev
		if c.Deleted {
			if c.Kind != store.KindRequest || c.Name != "r" || c.Request.ID != "" {
				t.Errorf("deleted: %+v", c)
			}
			deleted++
			continue
		}
		if i >= len(want) || c.Rev != want[i] {
			t.Fatalf("change %d is %+v, want revision %d", i, c, want[min(i, len(want)-1)])
		}
		i++
	}
	if i != len(want) || deleted != n/5 {
		t.Errorf("%d of %d changes, %d of %d deletions", i, len(want), deleted, n/5)
	}
	step := must(t)(s[0].PutRequest(ctx, request("x")))
	w.until("the request", func() bool { return w.seen.Requests["x"].Rev == step })
	oneStep(t, s[2], w, rev)
}

// oneStep sees that a swap and what it deletes come in one batch.
func oneStep(t *testing.T, s *store.Store, w *reader, rev cluster.Revision) {
	t.Helper()
	next := must(t)(s.SwapRecord(within(t), rev, nil, record(2), "x"))
	for {
		b, ok := <-w.in
		if !ok {
			t.Fatal("the watch ended")
		}
		w.take(b)
		if w.seen.Record.Rev != next {
			continue
		}
		if _, left := w.seen.Requests["x"]; left {
			t.Errorf("the batch with the record does not have the request's deletion: %+v", b.Changes)
		}
		return
	}
}

func watchFromNothing(t *testing.T, r *Rig) {
	s := r.stores(t)
	rev := must(t)(s[0].SwapRecord(within(t), 0, nil, record(1)))
	in := s[1].Watch(t.Context(), 0)
	select {
	case b := <-in:
		if b.Snapshot == nil || b.Why != nil || b.Snapshot.Record.Rev != rev {
			t.Fatalf("it begins with %+v", b)
		}
	case <-time.After(patience):
		t.Fatal("nothing came")
	}
	next := must(t)(s[2].SwapRecord(within(t), rev, nil, record(2)))
	w := &reader{t: t, in: in}
	w.until("the next record", func() bool { return w.seen.Record.Rev == next })
}

func watchCompacted(t *testing.T, r *Rig) {
	s := r.stores(t)
	ctx := within(t)
	old := must(t)(s[0].PutRequest(ctx, request("gone")))
	rev := must(t)(s[0].SwapRecord(ctx, 0, nil, record(1)))
	if err := s[0].DeleteRequest(ctx, "gone"); err != nil {
		t.Fatal(err)
	}
	var last cluster.Revision
	for i := range uint64(20) {
		last = must(t)(s[0].RenewLease(ctx, rev, lease(i)))
	}
	if err := r.Compact(ctx, last); err != nil {
		t.Fatal(err)
	}
	in := s[1].Watch(t.Context(), old)
	w := &reader{t: t, in: in}
	w.until("the state", func() bool { return w.seen.Lease.Rev == last })
	if len(w.why) != 1 || !errors.Is(w.why[0], store.ErrCompacted) {
		t.Errorf("it says %v", w.why)
	}
	if len(w.seen.Requests) != 0 || w.seen.Record.Rev != rev {
		t.Errorf("it shows %s", brief(w.seen))
	}
	next := must(t)(s[2].RenewLease(ctx, rev, lease(99)))
	w.until("what came after", func() bool { return w.seen.Lease.Rev == next })
	if len(w.why) != 1 {
		t.Errorf("it has listed again: %v", w.why)
	}
}

func watchSlow(t *testing.T, r *Rig) {
	s := r.store(t, 0, store.Options{Backlog: 10})
	ctx := within(t)
	rev := must(t)(s.SwapRecord(ctx, 0, nil, record(1)))
	must(t)(s.PutRequest(ctx, request("gone")))
	in := s.Watch(t.Context(), rev)
	var last cluster.Revision
	for i := range uint64(60) {
		last = must(t)(s.RenewLease(ctx, rev, lease(i)))
	}
	if err := s.DeleteRequest(ctx, "gone"); err != nil {
		t.Fatal(err)
	}
	w := &reader{t: t, in: in}
	w.until("a snapshot", func() bool { return len(w.why) > 0 && w.seen.Lease.Rev == last && len(w.seen.Requests) == 0 })
	if w.why[0] == nil || len(w.all) > 20 {
		t.Errorf("why %v; %d changes were kept", w.why, len(w.all))
	}
}

func watchEnds(t *testing.T, r *Rig) {
	ctx, cancel := context.WithCancel(t.Context())
	in := r.store(t, 0, store.Options{}).Watch(ctx, 1)
	cancel()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case _, ok := <-in:
			if !ok {
				return
			}
		case <-timer.C:
			t.Fatal("its channel is still open")
		}
	}
}
