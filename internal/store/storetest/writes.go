package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/store"
)

func oneSwapWins(t *testing.T, r *Rig) {
	stores := r.stores(t)
	var rev cluster.Revision // 0: the first round creates the record
	for epoch := cluster.Epoch(1); epoch <= 5; epoch++ {
		var won, lost atomic.Int32
		var winner atomic.Int64
		var all sync.WaitGroup
		for i := range 12 {
			all.Go(func() {
				next := record(epoch)
				next.Detail = fmt.Sprint(i)
				got, err := stores[i%len(stores)].SwapRecord(within(t), rev, nil, next)
				switch {
				case err == nil:
					won.Add(1)
					winner.Store(int64(got)<<8 | int64(i))
				case errors.Is(err, store.ErrLost) && !errors.Is(err, store.ErrUnknown):
					lost.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 || lost.Load() != 11 {
			t.Fatalf("epoch %d: %d won, %d lost", epoch, won.Load(), lost.Load())
		}
		rev = cluster.Revision(winner.Load() >> 8)
		got := snap(t, stores[epoch%3])
		if got.Record.Rev != rev || got.Record.Value.Detail != fmt.Sprint(winner.Load()&0xff) {
			t.Fatalf("epoch %d: the record is %+v, the winner had revision %d", epoch, got.Record, rev)
		}
	}
}

func renewalIsGuarded(t *testing.T, r *Rig) {
	s := r.stores(t)
	ctx := within(t)
	if _, err := s[0].RenewLease(ctx, 7, lease(1)); !errors.Is(err, store.ErrLost) {
		t.Errorf("a lease without a record: %v", err)
	}
	rev := must(t)(s[0].SwapRecord(ctx, 0, nil, record(1)))
	first := must(t)(s[1].RenewLease(ctx, rev, lease(1)))
	second := must(t)(s[2].RenewLease(ctx, rev, lease(2)))
	if first <= rev || second <= first {
		t.Errorf("revisions %d, %d, %d do not grow", rev, first, second)
	}
	must(t)(s[1].SwapRecord(ctx, rev, nil, record(2)))
	_, err := s[0].RenewLease(ctx, rev, lease(3))
	if !errors.Is(err, store.ErrLost) || errors.Is(err, store.ErrUnknown) {
		t.Errorf("the record has changed, and the renewal: %v", err)
	}
	got, err := s[0].ReadLease(ctx)
	if want := (store.Entry[cluster.Lease]{Value: lease(2), Rev: second}); err != nil || !cmp.Equal(got, want) {
		t.Errorf("the lease is %+v (%v), want %+v", got, err, want)
	}
}

func swapIsGuardedByLease(t *testing.T, r *Rig) {
	s := r.stores(t)
	ctx := within(t)
	none := cluster.Revision(0)
	rev := must(t)(s[0].SwapRecord(ctx, 0, &none, record(1))) // no lease: there is none
	seen := must(t)(s[0].RenewLease(ctx, rev, lease(1)))
	unseen := must(t)(s[0].RenewLease(ctx, rev, lease(2)))
	for _, guard := range []cluster.Revision{none, seen} {
		if _, err := s[1].SwapRecord(ctx, rev, &guard, record(2)); !errors.Is(err, store.ErrLost) {
			t.Errorf("guarded by lease revision %d, which is %d: %v", guard, unseen, err)
		}
	}
	if got := snap(t, s[2]); got.Record.Rev != rev {
		t.Fatalf("a lost swap has changed the record: %+v", got.Record)
	}
	must(t)(s[1].SwapRecord(ctx, rev, &unseen, record(2)))
}

func swapDeletesRequests(t *testing.T, r *Rig) {
	s := r.stores(t)
	ctx := within(t)
	for _, id := range []string{"one", "two", "three"} {
		must(t)(s[0].PutRequest(ctx, request(id)))
	}
	if _, err := s[0].SwapRecord(ctx, 99, nil, record(1), "one"); !errors.Is(err, store.ErrLost) {
		t.Errorf("a swap from nowhere: %v", err)
	}
	must(t)(s[1].SwapRecord(ctx, 0, nil, record(1), "one", "three", "never-asked"))
	got := snap(t, s[2])
	if _, two := got.Requests["two"]; len(got.Requests) != 1 || !two {
		t.Errorf("requests left: %+v", got.Requests)
	}
}

func requests(t *testing.T, r *Rig) {
	s := r.stores(t)
	ctx := within(t)
	must(t)(s[0].PutRequest(ctx, request("one")))
	if _, err := s[1].PutRequest(ctx, request("one")); !errors.Is(err, store.ErrLost) {
		t.Errorf("the same ID twice: %v", err)
	}
	refused := request("one")
	refused.Refused = "not now"
	must(t)(s[1].AnswerRequest(ctx, refused))
	if got := snap(t, s[2]).Requests["one"]; got.Value.Refused != "not now" {
		t.Errorf("the answer is %+v", got)
	}
	for range 2 {
		if err := s[0].DeleteRequest(ctx, "one"); err != nil {
			t.Error(err)
		}
	}
	if _, err := s[1].AnswerRequest(ctx, refused); !errors.Is(err, store.ErrLost) {
		t.Errorf("an answer to a request that was withdrawn: %v", err)
	}
	if got := snap(t, s[2]).Requests; len(got) != 0 {
		t.Errorf("it has come back: %+v", got)
	}
}

func snapshot(t *testing.T, r *Rig) {
	s := r.stores(t)
	ctx := within(t)
	want := store.Snapshot{
		Facts:    map[cluster.NodeName]store.Entry[cluster.Fact]{},
		Views:    map[cluster.NodeName]store.Entry[cluster.View]{},
		Requests: map[string]store.Entry[cluster.Request]{},
	}
	ignore := cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "At" }, cmp.Ignore())
	plain := cmp.Exporter(exported)
	if diff := cmp.Diff(want, snap(t, s[1]), ignore, plain); diff != "" {
		t.Errorf("of an empty store (-want +got):\n%s", diff)
	}
	want.Record = store.Entry[cluster.Record]{Value: record(1), Rev: must(t)(s[0].SwapRecord(ctx, 0, nil, record(1)))}
	want.Lease = store.Entry[cluster.Lease]{Value: lease(1), Rev: must(t)(s[0].RenewLease(ctx, want.Record.Rev, lease(1)))}
	for i, n := range []cluster.NodeName{"db1", "db2", "w1"} {
		f, v := fact(n, uint64(i)), view(n, uint64(i))
		want.Facts[n] = store.Entry[cluster.Fact]{Value: f, Rev: must(t)(s[i].PutFact(ctx, f))}
		want.Views[n] = store.Entry[cluster.View]{Value: v, Rev: must(t)(s[i].PutView(ctx, v))}
	}
	want.Requests["one"] = store.Entry[cluster.Request]{Value: request("one"), Rev: must(t)(s[0].PutRequest(ctx, request("one")))}
	if err := s[0].PutHistory(ctx, 1, "db1", []byte("{}")); err != nil {
		t.Error(err)
	}
	got := snap(t, s[2])
	if diff := cmp.Diff(want, got, ignore, plain); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if last := want.Requests["one"].Rev; got.At <= last {
		t.Errorf("it is of revision %d, and history was written after %d", got.At, last)
	}
}

func unreadable(t *testing.T, r *Rig) {
	s := r.stores(t)
	ctx := within(t)
	rev := must(t)(s[0].SwapRecord(ctx, 0, nil, record(1)))
	after := must(t)(s[0].PutFact(ctx, fact("db2", 1)))
	w := watch(t, s[1], after)
	raw(t, r.Backends[0], "facts/db1", `{"schema":1,"node":`)
	raw(t, r.Backends[0], "views/db1", "\x00\xff")
	raw(t, r.Backends[0], "requests/odd", `[]`)
	raw(t, r.Backends[0], "lease", ``)
	newer := raw(t, r.Backends[0], "record", `{"schema":99,"epoch":2,"phase":"dancing"}`)
	raw(t, r.Backends[0], "surprise", `?`)
	raw(t, r.Backends[0], "facts/db9/deeper", `?`)
	last := must(t)(s[0].PutFact(ctx, fact("db3", 1)))

	w.until("the last fact", func() bool { return w.seen.Facts["db3"].Rev == last })
	for name, got := range map[string]store.Snapshot{"listed": snap(t, s[2]), "watched": w.seen} {
		var keys []string
		for key := range got.Unreadable() {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		if want := []string{"facts/db1", "lease", "record", "requests/odd", "views/db1"}; !slices.Equal(keys, want) {
			t.Errorf("%s: unreadable are %q, want %q", name, keys, want)
		}
		if got.Record.Rev != newer || !errors.Is(got.Record.Err, cluster.ErrNewer) || got.Record.Value.Epoch != 0 {
			t.Errorf("%s: the newer record is %+v", name, got.Record)
		}
		if errors.Is(got.Facts["db1"].Err, cluster.ErrNewer) || got.Facts["db2"].Err != nil || got.Facts["db3"].Value.Seq != 1 || len(got.Facts) != 3 {
			t.Errorf("%s: facts %+v", name, got.Facts)
		}
	}
	if _, err := s[0].SwapRecord(ctx, rev, nil, record(2)); !errors.Is(err, store.ErrLost) {
		t.Errorf("the newer record was overwritten: %v", err)
	}
	if got, err := s[0].ReadLease(ctx); err != nil || got.Err == nil || got.Rev == 0 {
		t.Errorf("the damaged lease is %+v, %v", got, err)
	}
}

func unknownFields(t *testing.T, r *Rig) {
	s := r.stores(t)
	rev := raw(t, r.Backends[0], "record", `{"schema":1,"epoch":1,"phase":"steady","primary":"db1","reason":"","colour":"green"}`)
	next := snap(t, s[1]).Record.Value
	next.Epoch = 2
	must(t)(s[2].SwapRecord(within(t), rev, nil, next))
	kv, err := r.Backends[0].Get(within(t), "/baton/"+t.Name()+"/record")
	if want := `{"schema":1,"epoch":2,"phase":"steady","primary":"db1","reason":"","colour":"green"}`; err != nil || string(kv.Value) != want {
		t.Errorf("%s (%v), want %s", kv.Value, err, want)
	}
}

func history(t *testing.T, r *Rig) {
	s := r.store(t, 0, store.Options{KeepHistory: 3})
	ctx := within(t)
	put := func(e cluster.Epoch, n cluster.NodeName) {
		t.Helper()
		if err := s.PutHistory(ctx, e, n, fmt.Appendf(nil, "%d %s", e, n)); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range []cluster.Epoch{8, 9, 10, 11, 100} { // by number: 100 is after 11
		put(e, "db2")
		put(e, "db1")
	}
	put(5, "db1") // somebody who was away is late; the next write forgets it
	put(100, "db2")
	other := r.store(t, 1, store.Options{})
	if got, err := other.HistoryEpochs(ctx); err != nil || !slices.Equal(got, []cluster.Epoch{10, 11, 100}) {
		t.Errorf("epochs %v, %v", got, err)
	}
	var got []string
	all, err := other.History(ctx)
	for _, p := range all {
		got = append(got, fmt.Sprintf("%d/%s=%s", p.Epoch, p.Node, p.Value))
	}
	if want := []string{"10/db1=10 db1", "10/db2=10 db2", "11/db1=11 db1", "11/db2=11 db2", "100/db1=100 db1", "100/db2=100 db2"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	if one, err := other.HistoryOf(ctx, 10); err != nil || len(one) != 2 || one[0].Epoch != 10 {
		t.Errorf("of epoch 10: %+v, %v", one, err) // and none of epoch 100
	}
	if none, err := other.HistoryOf(ctx, 1); err != nil || len(none) != 0 {
		t.Errorf("of epoch 1: %+v, %v", none, err)
	}
}

func apart(t *testing.T, r *Rig) {
	ctx := within(t)
	mine := store.New(r.Backends[0], t.Name(), store.Options{})
	longer := store.New(r.Backends[0], t.Name()+"2", store.Options{})
	must(t)(longer.SwapRecord(ctx, 0, nil, record(9)))
	must(t)(longer.PutFact(ctx, fact("db1", 9)))
	if got := snap(t, mine); got.Record.Rev != 0 || len(got.Facts) != 0 {
		t.Errorf("another cluster's values: %+v", got)
	}
	must(t)(mine.SwapRecord(ctx, 0, nil, record(1)))
}
