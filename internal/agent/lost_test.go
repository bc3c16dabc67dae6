package agent

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/audit"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/core/node"
)

// TestWhatClientsMayHaveBeenTold: a transaction counts as not acknowledged only
// if everything speaks for it.
func TestWhatClientsMayHaveBeenTold(t *testing.T) {
	sure := divergence{lossless: true, serverID: 1, reign: reign{Epoch: 5, Waited: true, Ended: gtid.MustParse("0-1-110")}}
	with := func(change func(*divergence)) divergence {
		d := sure
		change(&d)
		return d
	}
	for name, tt := range map[string]struct {
		of          divergence
		transaction string
		want        audit.Acknowledged
	}{
		"written in its reign, whose commits waited":            {sure, "0-1-105", audit.NotAcknowledged},
		"written after its reign, by hand":                      {sure, "0-1-111", audit.MaybeAnswered},
		"commits wait for nobody":                               {with(func(d *divergence) { d.lossless = false }), "0-1-105", audit.MaybeAnswered},
		"semi-synchronous replication was off for a while":      {with(func(d *divergence) { d.reign.Waited = false }), "0-1-105", audit.MaybeAnswered},
		"it does not remember a reign":                          {with(func(d *divergence) { d.reign = reign{} }), "0-1-105", audit.MaybeAnswered},
		"an election since was forced":                          {with(func(d *divergence) { d.forced = 6 }), "0-1-105", audit.MaybeAnswered},
		"one before was forced":                                 {with(func(d *divergence) { d.forced = 4 }), "0-1-105", audit.NotAcknowledged},
		"another server's, and an election was forced before":   {with(func(d *divergence) { d.forced = 4; d.reign.Ended = gtid.MustParse("0-2-110") }), "0-2-105", audit.MaybeAnswered},
		"another server's, and no election was ever forced":     {with(func(d *divergence) { d.reign.Ended = gtid.MustParse("0-2-110") }), "0-2-105", audit.NotAcknowledged},
		"it is not known yet what the server had when it ended": {with(func(d *divergence) { d.reign.Ended = gtid.Set{} }), "0-1-105", audit.MaybeAnswered},
	} {
		t.Run(name, func(t *testing.T) {
			one, err := gtid.ParseTransaction(tt.transaction)
			if err != nil {
				t.Fatal(err)
			}
			acks, why := tt.of.acknowledged()
			if got := acks(one); got != tt.want || why == "" {
				t.Errorf("%s (%s), want %s", got, why, tt.want)
			}
		})
	}
}

// TestAReignIsRemembered: over restarts, and with what the server had at its end.
func TestAReignIsRemembered(t *testing.T) {
	kept := memory{}
	l := &loop{Node: node.Node{Self: "db1", Mode: cluster.Active, Board: node.NewBoard(), Conditions: node.Conditions{},
		Settings: cluster.Settings{Durability: cluster.Lossless}}, remember: func(m memory) error { kept = m; return nil }}
	l.Board.RecordRev = 1
	see := func(primary cluster.NodeName, epoch cluster.Epoch, server cluster.ServerFact) {
		l.Board.Record = cluster.Record{Primary: primary, Epoch: epoch}
		l.Server = server
		l.audit()
	}
	at := func(seq string, readOnly bool) cluster.ServerFact {
		return cluster.ServerFact{State: cluster.ServerUp, ReadOnly: readOnly, Executed: gtid.MustParse("0-1-" + seq)}
	}
	want := func(what string, r reign) {
		t.Helper()
		if got := kept.Reign; got.Epoch != r.Epoch || got.Waited != r.Waited || !got.Ended.Equal(r.Ended) {
			t.Errorf("%s: %+v, want %+v", what, got, r)
		}
	}
	see("db2", 4, at("90", true))
	want("it was never primary", reign{})
	see("db1", 5, at("100", false))
	want("its reign began", reign{Epoch: 5, Waited: true})
	see("", 6, at("105", false))
	want("it is over, and the server not known to be read-only", reign{Epoch: 5, Waited: true})
	see("", 6, cluster.ServerFact{State: cluster.ServerStopped, Executed: gtid.MustParse("0-1-105")})
	want("the server is down", reign{Epoch: 5, Waited: true})
	see("db2", 6, at("110", true))
	see("db2", 6, at("111", true))
	want("what it had when it was read-only, and no more", reign{Epoch: 5, Waited: true, Ended: gtid.MustParse("0-1-110")})
	l.Conditions.Put(cluster.SemiSyncOff, "it is off")
	see("db1", 7, at("120", false))
	l.Conditions.Put(cluster.SemiSyncOff, "")
	see("db1", 7, at("120", false))
	see("db1", 8, at("121", false))
	want("commits did not wait in a reign that went straight on", reign{Epoch: 8})
	see("db2", 9, at("122", true))
	see("db1", 10, at("123", false))
	want("a new reign after another node's", reign{Epoch: 10, Waited: true})
}

func TestASecondAuditOfAnEpochHasItsOwnDirectory(t *testing.T) {
	dir := t.TempDir()
	for _, want := range []string{"7", "7.2", "7.3"} {
		got := freeDir(dir, 7)
		if !strings.HasSuffix(got, "/"+want) {
			t.Fatalf("%s, want %s", got, want)
		}
		if _, err := audit.Run(t.Context(), audit.Job{Flavor: audit.MariaDB}, got); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRowsAreComparedSomeAtATime(t *testing.T) {
	var rows []audit.Touched
	for i := range 120 {
		rows = append(rows, audit.Touched{Table: "app.t", Key: fmt.Sprint(i), Was: "x"})
	}
	rows[7].Was = strings.Repeat("x", mostAsked)
	questions := 0
	s := since{Primary: "db2"}
	err := s.ask(t.Context(), rows, func(_ context.Context, n cluster.NodeName, q asked) (a rowStates, err error) {
		questions++
		if n != "db2" || len(q.Rows) > rowsPerAsk {
			t.Errorf("%s is asked for %d rows", n, len(q.Rows))
		}
		for _, r := range q.Rows {
			state := map[string]audit.RowState{"0": audit.Other, "1": audit.AsAfter, "2": audit.Both}[r.Key]
			if state == "" {
				state = audit.AsBefore
			}
			a.States = append(a.States, state)
		}
		return a, nil
	})
	if err != nil || questions != 3 || s.Unchanged != 117 || s.Same != 1 || s.Changed != 1 || s.NotCompared != 1 || len(s.Conflicts) != 1 {
		t.Errorf("%d questions, %+v, %v", questions, s, err)
	}
	if got := s.String(); got != "1 of 120 rows have been changed on db2 since" {
		t.Error(got)
	}
	err = s.ask(t.Context(), rows, func(context.Context, cluster.NodeName, asked) (rowStates, error) { return rowStates{}, nil })
	if err == nil {
		t.Error("an answer without states is no answer")
	}
}
