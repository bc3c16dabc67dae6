package agent

import (
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/cluster/clustertest"
	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/core/node"
	"github.com/baton-db/baton/internal/store"
	"github.com/baton-db/baton/internal/timeline"
)

// TestWhatCannotBeReadIsShownAndNotActedUpon: a value that is damaged, or of a
// version to come, takes the place of no good one. The agent keeps what it had,
// shows a person which key it is and why, and neither swaps the record nor fences
// for it, however it came: by the watch, or with everything else at its start.
func TestWhatCannotBeReadIsShownAndNotActedUpon(t *testing.T) {
	good := map[string]any{
		"record":     cluster.Record{Schema: 1, Epoch: 5, Phase: cluster.PhaseSteady, Primary: "db1", Quorums: []cluster.AckQuorum{{Epoch: 5, Primary: "db1", Members: []cluster.NodeName{"db2"}, K: 1}}},
		"lease":      cluster.Lease{Schema: 1, Epoch: 5, Holder: "db1", Agent: "a", Length: time.Minute},
		"facts/db1":  cluster.Fact{Schema: 1, Node: "db1", Agent: "a", Config: "c", Epoch: 5, Serving: 5, Server: cluster.ServerFact{State: cluster.ServerUp, Executed: gtid.MustParse("0-1-9")}},
		"facts/db3":  cluster.Fact{Schema: 1, Node: "db3", Agent: "a", Config: "c", Epoch: 5, Server: cluster.ServerFact{State: cluster.ServerUp, ReadOnly: true}},
		"views/db3":  cluster.View{Schema: 1, Observer: "db3", Of: map[cluster.NodeName]cluster.NodeView{"db1": {Server: cluster.LayerView{State: cluster.Up}}}},
		"requests/r": cluster.Request{Schema: 1, ID: "r", Kind: "resting", By: "ann"}, // of a kind that is refused
	}
	bad := map[string]func(whole []byte) []byte{
		"nothing":               func([]byte) []byte { return nil },
		"half of it":            func(b []byte) []byte { return b[:len(b)/2] },
		"no text at all":        func([]byte) []byte { return []byte("\x00\xff\xfe") },
		"another kind of value": func([]byte) []byte { return []byte(`["schema", 1]`) },
		"one of a version to come": func(b []byte) []byte {
			return []byte(strings.Replace(string(b), `"schema":1`, `"schema":999`, 1))
		},
		"one of no version": func(b []byte) []byte { return []byte(strings.Replace(string(b), `"schema":1`, `"schema":0`, 1)) },
	}
	for key, value := range good {
		whole, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		for what, damage := range bad {
			t.Run(key+" holds "+what, func(t *testing.T) {
				l, kept := seeing(t, good)
				l.sawBatch(store.Batch{Changes: []store.Change{{Key: key, Kind: kindOf(key), Name: nameOf(key), Rev: 99, Err: unreadable(t, key, damage(whole))}}}, clock.Now())
				now := clock.Now()
				look := l.Look(node.Senses{Now: now, Wall: time.Now()})
				if look.Outcome.Next != nil {
					t.Errorf("the record would become %+v: %s", look.Outcome.Next, look.Outcome.Detail)
				}
				if look.Plan.Has("fence") || look.Plan.Has("promote") {
					t.Errorf("it would act: %+v", look.Plan)
				}
				if now := holds(l); !slices.Equal(now, kept) {
					t.Errorf("it holds %v, it held %v", now, kept)
				}
				shown := l.snapshot(look.World, look.Input.Own, now).Waiting
				if !slices.ContainsFunc(shown, func(w api.Waiting) bool { return w.For == cluster.NewerSchema && strings.HasPrefix(w.Detail, key+": ") }) {
					t.Errorf("a person is shown %+v", shown)
				}
			})
		}
	}
	// Every change of one place of a good record that makes it unreadable.
	whole, err := json.Marshal(good["record"])
	if err != nil {
		t.Fatal(err)
	}
	for what, odd := range clustertest.Odd(whole) {
		if _, err := cluster.DecodeRecord(odd); err != nil {
			l, kept := seeing(t, good)
			l.sawBatch(store.Batch{Changes: []store.Change{{Key: "record", Kind: store.KindRecord, Rev: 99, Err: err}}}, clock.Now())
			if out := l.Look(node.Senses{Now: clock.Now(), Wall: time.Now()}).Outcome; out.Next != nil || !slices.Equal(holds(l), kept) {
				t.Errorf("%s: %+v", what, out)
			}
		}
	}
}

// seeing is db2 in a healthy cluster, and what it holds.
func seeing(t *testing.T, good map[string]any) (*loop, []string) {
	t.Helper()
	l := &loop{log: slog.New(slog.DiscardHandler), wall: time.Now, hearing: &hearing{}, kick: func() {}, remember: func(memory) error { return nil },
		timeline: timeline.NewRecorder(timeline.Options{Node: "db2", Clock: "c", Now: clock.Now}),
		Node: node.Node{Self: "db2", Agent: "b", Config: "c", Mode: cluster.Active, Board: node.NewBoard(), Conditions: node.Conditions{}, Settings: cluster.Settings{
			Nodes: []cluster.Node{{Name: "db1", Role: cluster.Data}, {Name: "db2", Role: cluster.Data}, {Name: "db3", Role: cluster.Data}},
			Lease: time.Minute, Renew: 15 * time.Second, Call: 7 * time.Second, Beat: time.Minute, AckLeave: 2 * time.Minute, Acks: 1}}}
	l.Observed(cluster.ServerFact{State: cluster.ServerUp, Start: "s", ReadOnly: true, BinLog: true, LogUpdates: true, Replica: cluster.ReplicaFact{Source: "db1", Started: true, Receiver: true, SemiSync: true}})
	now := clock.Now()
	l.sawRecord(good["record"].(cluster.Record), 50)
	l.sawLease(good["lease"].(cluster.Lease), 90, now)
	for _, n := range []string{"db1", "db3"} {
		l.Board.SawFact(cluster.NodeName(n), good["facts/"+n].(cluster.Fact), 80, now)
	}
	l.Board.SawView("db3", good["views/db3"].(cluster.View), 81, now)
	l.Board.SawRequest(good["requests/r"].(cluster.Request), 82, now)
	return l, holds(l)
}

// holds is what a node knows of the others, in words.
func holds(l *loop) []string {
	b := l.Board
	all := []string{string(b.Record.Primary), string(b.Record.Phase), string(b.Lease.Holder)}
	for _, n := range slices.Sorted(maps.Keys(b.Facts)) {
		all = append(all, string(n), b.Facts[n].Value.Server.Executed.String())
	}
	for _, n := range slices.Sorted(maps.Keys(b.Views)) {
		all = append(all, string(n), string(b.Views[n].Value.Of["db1"].Server.State))
	}
	return append(all, slices.Sorted(maps.Keys(b.Requests))...)
}

// unreadable is why the store's own reading of a value fails; it must.
func unreadable(t *testing.T, key string, b []byte) error {
	t.Helper()
	var err error
	switch kindOf(key) {
	case store.KindRecord:
		_, err = cluster.DecodeRecord(b)
	case store.KindLease:
		_, err = cluster.DecodeLease(b)
	case store.KindFact:
		_, err = cluster.DecodeFact(b)
	case store.KindView:
		_, err = cluster.DecodeView(b)
	default:
		_, err = cluster.DecodeRequest(b)
	}
	if err == nil {
		t.Fatalf("%s holding %q is read", key, b)
	}
	return err
}

func kindOf(key string) store.Kind {
	kind, _, _ := strings.Cut(key, "/")
	return map[string]store.Kind{"record": store.KindRecord, "lease": store.KindLease, "facts": store.KindFact, "views": store.KindView, "requests": store.KindRequest}[kind]
}

func nameOf(key string) string {
	_, name, _ := strings.Cut(key, "/")
	return name
}
