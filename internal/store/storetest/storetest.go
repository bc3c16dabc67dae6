// Package storetest answers: does this store keep what package store promises?
// It is the one suite that the embedded and the external store both pass.
//
// It starts no store by itself. The one rule: a test waits for conditions, never
// for a time, and judges answers only by what the promises allow.
package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/store"
)

// Rig is a store of three members that may be hurt.
type Rig struct {
	// Backends are ways into the store, one per member; the first one goes on
	// working when Lose has taken the others' members away.
	Backends []*store.Etcd
	// Lose takes a majority of the members away, and Restore brings it back.
	Lose, Restore func(t *testing.T)
	// Compact makes the store forget what was before a revision.
	Compact func(ctx context.Context, rev cluster.Revision) error
}

// patience is how long a test waits for what has to come. It is no measure of
// how quickly it does.
const patience = 30 * time.Second

// Run runs the suite on one rig. Each part has a cluster of its own in it.
func Run(t *testing.T, r *Rig) {
	for _, part := range []struct {
		name string
		run  func(t *testing.T, r *Rig)
	}{
		{"of many swaps one wins", oneSwapWins},
		{"a renewal needs the record it knows", renewalIsGuarded},
		{"a renewal that was not seen makes the swap fail", swapIsGuardedByLease},
		{"a swap deletes the requests it carries out", swapDeletesRequests},
		{"a request is asked once and answered only while it is there", requests},
		{"a snapshot has everything but the history", snapshot},
		{"damaged and newer values hide nothing else", unreadable},
		{"what a newer version wrote is kept", unknownFields},
		{"the history keeps the newest epochs", history},
		{"a watch leaves nothing out and keeps the order", watchOrder},
		{"a watch that begins with nothing begins with a snapshot", watchFromNothing},
		{"a watch lists anew after a compaction and says so", watchCompacted},
		{"a slow reader gets a snapshot that is up to date", watchSlow},
		{"a watch that is given up closes its channel", watchEnds},
		{"two clusters in one store do not see each other", apart},
		{"status names members and leader", statusOfAll},
		{"the leader moves and renewals go on", leaderMoves},
		{"without a majority every call ends in time, and with it all is well again", quorumLost},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, r) })
	}
}

// store returns a view of the test's own cluster through the i-th backend.
func (r *Rig) store(t *testing.T, i int, o store.Options) *store.Store {
	return store.New(r.Backends[i%len(r.Backends)], t.Name(), o)
}

func (r *Rig) stores(t *testing.T) []*store.Store {
	var all []*store.Store
	for i := range r.Backends {
		all = append(all, r.store(t, i, store.Options{}))
	}
	return all
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func record(epoch cluster.Epoch) cluster.Record {
	return cluster.Record{Schema: cluster.Schema, Epoch: epoch, Phase: cluster.PhaseSteady, Primary: "db1"}
}

func lease(seq uint64) cluster.Lease {
	return cluster.Lease{Schema: cluster.Schema, Epoch: 1, Holder: "db1", Agent: "a", Seq: seq}
}

func fact(node cluster.NodeName, seq uint64) cluster.Fact {
	return cluster.Fact{Schema: cluster.Schema, Node: node, Seq: seq}
}

func view(node cluster.NodeName, seq uint64) cluster.View {
	return cluster.View{Schema: cluster.Schema, Observer: node, Seq: seq}
}

func request(id string) cluster.Request {
	return cluster.Request{Schema: cluster.Schema, ID: id, Kind: cluster.RequestSwitchover, By: "ops"}
}

// must returns the revision of a write that has to succeed.
func must(t *testing.T) func(rev cluster.Revision, err error) cluster.Revision {
	return func(rev cluster.Revision, err error) cluster.Revision {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return rev
	}
}

func snap(t *testing.T, s *store.Store) store.Snapshot {
	t.Helper()
	got, err := s.Snapshot(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// raw puts a value that package store would not write.
func raw(t *testing.T, b store.Backend, key, value string) cluster.Revision {
	t.Helper()
	return must(t)(b.Commit(within(t), nil, []store.Op{{Key: "/baton/" + t.Name() + "/" + key, Value: []byte(value)}}))
}

// eventually waits until look succeeds.
func eventually(t *testing.T, what string, look func(ctx context.Context) error) {
	t.Helper()
	ctx := within(t)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := look(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// reader takes in what a watch reports.
type reader struct {
	t    *testing.T
	in   <-chan store.Batch
	seen store.Snapshot
	why  []error // of the snapshots
	all  []store.Change
}

func watch(t *testing.T, s *store.Store, after cluster.Revision) *reader {
	t.Helper()
	r := &reader{t: t, seen: snap(t, s)}
	r.in = s.Watch(t.Context(), after)
	return r
}

// until takes batches until enough says so.
func (r *reader) until(what string, enough func() bool) {
	r.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for !enough() {
		select {
		case b, ok := <-r.in:
			if !ok {
				r.t.Fatalf("%s: the watch ended", what)
			}
			r.take(b)
		case <-timer.C:
			r.t.Fatalf("%s: it did not come; %d changes, state %s", what, len(r.all), brief(r.seen))
		}
	}
}

func (r *reader) take(b store.Batch) {
	if b.Snapshot != nil {
		r.seen = *b.Snapshot
		r.why = append(r.why, b.Why)
	}
	for _, c := range b.Changes {
		r.seen.Apply(c)
		r.all = append(r.all, c)
	}
}

func brief(s store.Snapshot) string {
	return fmt.Sprintf("at %d: record %d, lease %d, %d facts, %d views, %d requests", s.At, s.Record.Rev, s.Lease.Rev, len(s.Facts), len(s.Views), len(s.Requests))
}
