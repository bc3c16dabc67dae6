package agent

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/core/node"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/peer"
)

func TestANewPrimaryTellsTheOthersOnceThatItsGateIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type told struct {
			to cluster.NodeName
			wording
		}
		heard := make(chan told, 100)
		w := &word{self: "db2", to: []cluster.NodeName{"db1", "db3"}, call: time.Second, log: slog.New(slog.DiscardHandler),
			tell: func(_ context.Context, n cluster.NodeName, s wording) error {
				heard <- told{n, s}
				return errors.New("it does not matter whether they hear it")
			}}
		nothing := func(when string) {
			t.Helper()
			synctest.Wait() // whoever tells something has told it
			if len(heard) > 0 {
				t.Errorf("%s: told %v", when, <-heard)
			}
		}
		expect := func(s wording) {
			t.Helper()
			got := []told{<-heard, <-heard}
			if got[0].wording != s || got[1].wording != s || got[0].to == got[1].to {
				t.Fatalf("told %v, want %v to each of the two", got, s)
			}
		}
		in := tookOver(100 * ms)
		in.Own.Server.ReadOnly = true // for the moment that it takes to make it writable
		shut := in
		shut.Host.Gate = reconcile.GateClosed

		w.tend(t.Context(), shut)
		expect(wording{Epoch: 6})
		w.tend(t.Context(), shut)
		nothing("its gate is not open yet")
		w.tend(t.Context(), in)
		expect(wording{Epoch: 6, Open: true})
		w.tend(t.Context(), in)
		w.tend(t.Context(), shut)
		nothing("what was said stays said: it was true")
		next := in
		next.Record.Epoch, next.Lease.Epoch = 8, 8
		w.tend(t.Context(), next)
		expect(wording{Epoch: 8, Open: true})

		for name, other := range map[string]func(*reconcile.Input){
			"another node's reign":  func(in *reconcile.Input) { in.Record.Epoch, in.Record.Primary = 9, "db3" },
			"a steady reign":        func(in *reconcile.Input) { in.Record.Epoch, in.Record.Phase = 9, cluster.PhaseSteady },
			"one that hands over":   func(in *reconcile.Input) { in.Record.Epoch, in.Record.Phase = 9, cluster.PhaseHandoff },
			"one that is told once": func(*reconcile.Input) {},
		} {
			in := next
			other(&in)
			w.tend(t.Context(), in)
			nothing(name)
		}
	})
}

func TestTheWordOfANodeIsItsOwn(t *testing.T) {
	events := make(chan event, 10)
	db1 := &Agent{events: events}
	link := linked(t, func(l *peer.Link) { db1.answerWord(l) })
	l := &loop{Node: node.Node{Self: "db1", Board: node.NewBoard()}}
	say := func(s wording) {
		t.Helper()
		var none struct{}
		if err := link.Call(t.Context(), "db1", wordPath, s, &none); err != nil {
			t.Fatal(err)
		}
	}
	say(wording{Epoch: 6})
	if len(events) != 0 {
		t.Error("that somebody will be open is taken for news")
	}
	for _, tt := range []struct {
		say  cluster.Epoch
		want decide.Word
	}{
		{6, decide.Word{Of: "db2", Epoch: 6}},
		{5, decide.Word{Of: "db2", Epoch: 6}}, // it was under way for long
		{8, decide.Word{Of: "db2", Epoch: 8}},
	} {
		say(wording{Epoch: tt.say, Open: true})
		(<-events)(l)
		if l.Board.Word != tt.want {
			t.Errorf("epoch %d: the word is %v, want %v", tt.say, l.Board.Word, tt.want)
		}
	}
}
