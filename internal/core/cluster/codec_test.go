package cluster_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/cluster/clustertest"
	"github.com/baton-db/baton/internal/core/gtid"
)

func full() (cluster.Record, cluster.Lease, cluster.Fact, cluster.View, cluster.Request) {
	at := gtid.MustParse("0-*-5,0-1-100")
	r := cluster.Record{
		Schema: 1, Epoch: 5, Phase: cluster.PhaseHandoff, Primary: "db1", Candidate: "db2", Previous: "db3", Planned: true,
		Reason: cluster.SwitchoverAsked, Detail: "asked", By: "db2", Request: "r1", Force: true, Forced: 2, Required: at, Source: "db3",
		Failed: []cluster.NodeName{"db3"}, Joining: "db3", Paused: &cluster.Pause{By: "ann", At: "now"}, Maintenance: []cluster.Maintenance{{Node: "db3", By: "ann", At: "now"}}, Since: "then", Switches: []int64{1, 2},
		Quorums: []cluster.AckQuorum{{Epoch: 5, Primary: "db1", Members: []cluster.NodeName{"db2", "db3"}, K: 1, Start: "s"}},
	}
	l := cluster.Lease{Schema: 1, Epoch: 5, Holder: "db1", Agent: "a", Seq: 7, Length: 2e9}
	f := cluster.Fact{
		Schema: 1, Node: "db2", Agent: "a", Seq: 3, Mode: cluster.Active, Config: "c", Epoch: 5, RecordRev: 50, Seen: 5, Fenced: 4, Gate: "leased",
		Promise: &cluster.Promise{Epoch: 6, Start: "s", Received: at, Executed: at, Marker: 5}, Drained: &cluster.Position{Epoch: 5, At: at},
		Server: cluster.ServerFact{State: cluster.ServerUp, Start: "s", Version: "10.11.6", ID: 2, ReadOnly: true, BinLog: true, Executed: at, Marker: 5,
			Replica: cluster.ReplicaFact{Source: "db1", Receiver: true, Received: at}, SemiSrc: cluster.SemiSyncFact{Enabled: true, Clients: 1}},
		AckCut: []cluster.NodeName{"db3"}, CutAt: at, Errant: at, Lost: cluster.Lost{What: "w", See: "s", InTheWay: "i"}, Conditions: []cluster.Condition{{Reason: cluster.Diverged}},
		Network: cluster.LayerView{State: cluster.Up, Micros: 5}, MACs: []string{"m"}, Addresses: []string{"a"},
	}
	v := cluster.View{Schema: 1, Observer: "db3", Agent: "a", Seq: 1, Of: map[cluster.NodeName]cluster.NodeView{"db1": {Server: cluster.LayerView{State: cluster.Down, Evidence: "e"}}}}
	q := cluster.Request{Schema: 1, ID: "r1", Kind: cluster.RequestSwitchover, To: "db2", By: "ann", Epoch: 5, At: "now"}
	return r, l, f, v, q
}

func encoded[T cluster.Record | cluster.Lease | cluster.Fact | cluster.View | cluster.Request](t testing.TB, v T) []byte {
	t.Helper()
	b, err := cluster.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzDecode: whatever the store holds, nothing panics, and what is read and
// written again stays what it is.
func FuzzDecode(f *testing.F) {
	r, l, fact, v, q := full()
	for _, b := range [][]byte{encoded(f, r), encoded(f, l), encoded(f, fact), encoded(f, v), encoded(f, q)} {
		f.Add(b)
		for _, odd := range clustertest.Odd(b) {
			f.Add(odd)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		again(t, b, cluster.DecodeRecord)
		again(t, b, cluster.DecodeLease)
		again(t, b, cluster.DecodeFact)
		again(t, b, cluster.DecodeView)
		again(t, b, cluster.DecodeRequest)
	})
}

func again[T cluster.Record | cluster.Lease | cluster.Fact | cluster.View | cluster.Request](t *testing.T, b []byte, decode func([]byte) (T, error)) {
	v, err := decode(b)
	if err != nil {
		return
	}
	once := encoded(t, v)
	w, err := decode(once)
	if err != nil {
		t.Fatalf("%s\nwas read, and written as\n%s\nwhich cannot be read: %v", b, once, err)
	}
	if twice := encoded(t, w); !bytes.Equal(once, twice) {
		t.Fatalf("%s\nwas written as\n%s\nand then as\n%s", b, once, twice)
	}
}

func TestWhatCannotBeTheRecord(t *testing.T) {
	for name, tt := range map[string]struct {
		edit  func(*cluster.Record)
		newer bool
		ok    bool
	}{
		"as it should be":                {func(*cluster.Record) {}, false, true},
		"of a schema to come":            {func(r *cluster.Record) { r.Schema = 2 }, true, false},
		"of no schema":                   {func(r *cluster.Record) { r.Schema = 0 }, false, false},
		"a phase to come":                {func(r *cluster.Record) { r.Phase = "resting" }, true, false},
		"no phase":                       {func(r *cluster.Record) { r.Phase = "" }, true, false},
		"steady without a primary":       {func(r *cluster.Record) { r.Phase, r.Primary = cluster.PhaseSteady, "" }, false, false},
		"an election with a primary":     {func(r *cluster.Record) { r.Phase = cluster.PhaseElecting }, false, false},
		"a handoff to nobody":            {func(r *cluster.Record) { r.Candidate = "" }, false, false},
		"epoch 0":                        {func(r *cluster.Record) { r.Epoch = 0 }, false, false},
		"the last epoch of all":          {func(r *cluster.Record) { r.Epoch = ^cluster.Epoch(0) }, false, false},
		"less than no acknowledgement":   {func(r *cluster.Record) { r.Quorums[0].K = -1 }, false, false},
		"a nameless one acknowledges":    {func(r *cluster.Record) { r.Quorums[0].Members[0] = "" }, false, false},
		"more to acknowledge than there": {func(r *cluster.Record) { r.Quorums[0].K = 3 }, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			r, _, _, _, _ := full()
			tt.edit(&r)
			_, err := cluster.DecodeRecord(encoded(t, r))
			if (err == nil) != tt.ok || errors.Is(err, cluster.ErrNewer) != tt.newer {
				t.Errorf("got %v", err)
			}
		})
	}
	_, _, f, _, _ := full()
	f.Seen = ^cluster.Epoch(0)
	if _, err := cluster.DecodeFact(encoded(t, f)); err == nil {
		t.Error("a fact of the last epoch of all was read")
	}
}

// What a newer version adds at the top of a value is kept.
func TestWhatIsNotKnownIsKept(t *testing.T) {
	r, _, _, _, _ := full()
	b := append(bytes.TrimSuffix(encoded(t, r), []byte("}")), `,"tomorrow":{"a":[1,2]}}`...)
	got, err := cluster.DecodeRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	got.Epoch++
	if b := encoded(t, got); !bytes.Contains(b, []byte(`"tomorrow":{"a":[1,2]}`)) || !bytes.Contains(b, []byte(`"epoch":6`)) {
		t.Errorf("written as %s", b)
	}
}
