package timeline

import (
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
)

func TestWhatCameOfABackFillIsSaid(t *testing.T) {
	for want, f := range map[string]BackFill{
		"nothing that db1 had logged is lost": {From: "db1", Reason: cluster.BackFilled, Known: true},
		"1 transaction brought over from the binary log of db1: 0-1-7; nothing that db1 had logged is lost": {
			From: "db1", Reason: cluster.BackFilled, Known: true, Brought: 1, GTIDs: "0-1-7"},
		"2 transactions brought over from the binary log of db1: 0-1-7..8; possibly lost: 3 transactions of db1: 0-1-9..11; back-fill-incomplete: its time is over": {
			From: "db1", Reason: cluster.BackFillIncomplete, Detail: "its time is over", Known: true, Brought: 2, GTIDs: "0-1-7..8", Left: 3, LeftGTID: "0-1-9..11"},
		"possibly lost: an unknown number of the newest transactions of db1, which no replica had received; back-fill-incomplete: it does not answer": {
			From: "db1", Reason: cluster.BackFillIncomplete, Detail: "it does not answer"},
	} {
		if got := f.String(); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}

// TestTheHistoryTellsOfABackFill: what the new primary notes while the step runs is in
// the merged switch, in JSON and in words.
func TestTheHistoryTellsOfABackFill(t *testing.T) {
	at := cluster.Instant(0)
	r := NewRecorder(Options{Node: "db2", Clock: "boot", Now: func() cluster.Instant { at += 1_000_000; return at }})
	r.Saw(cluster.Record{Epoch: 5, Phase: cluster.PhaseSteady, Primary: "db1"}, 10)
	r.Saw(cluster.Record{Epoch: 6, Phase: cluster.PhaseElecting, Previous: "db1", Reason: cluster.PrimaryResigned}, 11)
	r.Saw(cluster.Record{Epoch: 6, Phase: cluster.PhasePromoting, Primary: "db2", Previous: "db1", Reason: cluster.PrimaryResigned}, 12)
	step := r.Begin(StepBackFill, "back-fill db1")
	r.BackFilled(BackFill{From: "db1", Reason: cluster.BackFilled, Known: true, Brought: 2, GTIDs: "0-1-7..8"})
	step.End(OK, "")
	r.Saw(cluster.Record{Epoch: 6, Phase: cluster.PhaseSteady, Primary: "db2", Previous: "db1", Reason: cluster.PrimaryResigned}, 13)

	part, _ := r.Part(6)
	stored, err := Encode(part)
	if err == nil {
		part, err = Decode(stored)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, ok := Merge([]NodePart{part})
	if !ok || s.BackFill == nil || s.BackFill.Brought != 2 {
		t.Fatalf("%+v", s)
	}
	var text strings.Builder
	if err := (Text{Width: 200}).Waterfall(&text, s); err != nil || !strings.Contains(text.String(), "data     2 transactions brought over from the binary log of db1: 0-1-7..8; nothing that db1 had logged is lost") {
		t.Errorf("%s%v", &text, err)
	}
}
