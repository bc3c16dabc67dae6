package decide

import (
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/cluster/clustertest"
	"github.com/baton-db/baton/internal/core/lease"
)

// The kinds of values that a fuzzed world has one odd one of.
const (
	oddRecord = iota
	oddLease
	oddPrimary // its fact
	oddReplica // its fact
	oddView
	oddRequest
	kinds
)

func encoded[T cluster.Record | cluster.Lease | cluster.Fact | cluster.View | cluster.Request](t testing.TB, v T) []byte {
	t.Helper()
	b, err := cluster.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzOneOddValue: whatever one value in the store says, deciding does not panic,
// what it leads to can be read by others, and no reign is ended by the word of one
// node that is not the primary.
func FuzzOneOddValue(f *testing.F) {
	healthy := newWorld()
	promoted := newWorld(electingAfterDb1, promise("db2", "0-1-100"), promise("db3", "0-1-120"))
	handoff := newWorld(phase(cluster.PhaseHandoff, time.Second), record(func(r *cluster.Record) { r.Candidate = "db2" }))
	view := cluster.View{Schema: 1, Observer: "db3", Of: map[cluster.NodeName]cluster.NodeView{"db1": {Server: cluster.LayerView{State: cluster.Down}, Port: cluster.LayerView{State: cluster.Down}}}}
	for kind, seeds := range map[int][][]byte{
		oddRecord:  {encoded(f, healthy.Record), encoded(f, promoted.Record), encoded(f, handoff.Record)},
		oddLease:   {encoded(f, cluster.Lease{Schema: 1, Epoch: 5, Holder: "db1", Agent: "a-db1", Length: time.Second})},
		oddPrimary: {encoded(f, healthy.Facts["db1"].Value)},
		oddReplica: {encoded(f, healthy.Facts["db2"].Value), encoded(f, promoted.Facts["db2"].Value)},
		oddView:    {encoded(f, view)},
		oddRequest: {encoded(f, cluster.Request{Schema: 1, ID: "r1", Kind: cluster.RequestSwitchover, To: "db2", By: "ann", Epoch: 5}),
			encoded(f, cluster.Request{Schema: 1, ID: "r1", Kind: cluster.RequestFailover, Force: true, By: "ann"})},
	} {
		for _, seed := range seeds {
			for _, odd := range clustertest.Odd(seed) {
				f.Add(kind, odd)
			}
		}
	}
	f.Fuzz(func(t *testing.T, kind int, b []byte) {
		for _, w := range []World{newWorld(), newWorld(from("db1")), newWorld(electingAfterDb1, promise("db2", "0-1-100"), promise("db3", "0-1-120")),
			newWorld(phase(cluster.PhaseHandoff, time.Second), record(func(r *cluster.Record) { r.Candidate = "db2" })),
			newWorld(phase(cluster.PhasePromoting, time.Second)), newWorld(func(w *World) { w.RecordRev = 0 })} {
			if !odden(&w, ((kind%kinds)+kinds)%kinds, b) {
				return // it cannot be read: package node keeps what it had
			}
			judge(t, w, kind, b)
		}
	})
}

// odden puts a value into the world, as the store would bring it.
func odden(w *World, kind int, b []byte) bool {
	at := noon.Add(-50 * time.Millisecond)
	var err error
	switch kind {
	case oddRecord:
		w.Record, err = cluster.DecodeRecord(b)
		w.RecordRev = 51
	case oddLease:
		var l cluster.Lease
		l, err = cluster.DecodeLease(b)
		w.Lease = lease.Watch{Rev: 91, Holder: l.Holder, Epoch: l.Epoch, Agent: l.Agent, Length: l.Length, SeenAt: at}
	case oddPrimary, oddReplica:
		var f cluster.Fact
		f, err = cluster.DecodeFact(b)
		w.Facts[map[int]cluster.NodeName{oddPrimary: "db1", oddReplica: "db2"}[kind]] = Seen[cluster.Fact]{Value: f, Rev: 92, At: at, MovedAt: at}
	case oddView:
		var v cluster.View
		v, err = cluster.DecodeView(b)
		w.Views["db3"] = Seen[cluster.View]{Value: v, Rev: 92, At: at}
	case oddRequest:
		var q cluster.Request
		q, err = cluster.DecodeRequest(b)
		w.Requests = []Seen[cluster.Request]{{Value: q, Rev: 92, At: at}}
	}
	return err == nil
}

func judge(t *testing.T, w World, kind int, b []byte) {
	t.Helper()
	out := Next(w, noon)
	IfPrimaryWereGone(w, noon)
	Explain(w, noon)
	next := out.Next
	if next == nil {
		return
	}
	if _, err := cluster.DecodeRecord(encoded(t, *next)); err != nil {
		t.Fatalf("%s\nled to a record that cannot be read: %v\n%+v", b, err, *next)
	}
	ended := next.Epoch != w.Record.Epoch
	if w.RecordRev != 0 && ended && (next.Epoch != w.Record.Epoch+1 || out.LeaseRev == nil || *out.LeaseRev != w.Lease.Rev) {
		t.Fatalf("%s\nled from epoch %d to %d with the guard %v", b, w.Record.Epoch, next.Epoch, out.LeaseRev)
	}
	byOne := kind == oddLease || kind == oddReplica || kind == oddView
	if byOne && ended && w.Record.Phase == cluster.PhaseSteady && w.RecordRev != 0 {
		t.Fatalf("%s\nended a reign by itself: %s, %s", b, out.Why, out.Detail)
	}
}
