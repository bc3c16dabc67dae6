package timeline

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/baton-db/baton/internal/core/cluster"
)

func steps(p NodePart) []Step {
	var names []Step
	for _, e := range p.Events {
		names = append(names, e.Step)
	}
	return names
}

func partOf(t *testing.T, r *Recorder, epoch cluster.Epoch) NodePart {
	t.Helper()
	p, ok := r.Part(epoch)
	if !ok {
		t.Fatalf("no part of epoch %d", epoch)
	}
	return p
}

func TestWhatBelongsToASwitch(t *testing.T) {
	one := map[cluster.NodeName]time.Duration{"db1": 0}
	steady := func(e cluster.Epoch) cluster.Record { return record(e, cluster.PhaseSteady, func(*cluster.Record) {}) }
	fencing := record(4, cluster.PhaseFencing, func(*cluster.Record) {})
	for name, tt := range map[string]struct {
		story func(w *world)
		want  []Step
	}{
		"what was found at the start of the agent is no switch": {func(w *world) {
			w.nodes["db1"].Saw(steady(4), 9)
		}, nil},
		"a suspicion that led to it does": {func(w *world) {
			w.nodes["db1"].Saw(steady(3), 9)
			w.step("db1", StepDetect, -900, -100, OK, "")
			w.swap(0, "db1", fencing, "", "", nil)
		}, []Step{StepDetect}},
		"a suspicion that is not settled yet does": {func(w *world) {
			w.nodes["db1"].Saw(steady(3), 9)
			w.at(-500)
			w.nodes["db1"].Begin(StepDetect, "")
			w.swap(0, "db1", fencing, "", "", nil)
		}, []Step{StepDetect}},
		"a suspicion that was wrong does not": {func(w *world) {
			w.nodes["db1"].Saw(steady(3), 9)
			w.step("db1", StepDetect, -900, -100, Cleared, "")
			w.swap(0, "db1", fencing, "", "", nil)
		}, nil},
		"a suspicion of an hour ago does not": {func(w *world) {
			w.nodes["db1"].Saw(steady(3), 9)
			w.step("db1", StepDetect, -3_600_000, -3_500_000, OK, "")
			w.swap(0, "db1", fencing, "", "", nil)
		}, nil},
		"a fencing of an hour ago does, for the node was cut off": {func(w *world) {
			w.nodes["db1"].Saw(steady(3), 9)
			w.step("db1", StepCloseGate, -3_600_000, -3_500_000, OK, "")
			w.swap(0, "db1", fencing, "", "", nil)
		}, []Step{StepCloseGate}},
		"a fencing that was undone does not": {func(w *world) {
			w.nodes["db1"].Saw(steady(3), 9)
			w.step("db1", StepCloseGate, -3000, -2900, OK, "")
			w.step("db1", StepOpenGate, -2000, -1900, OK, "")
			w.swap(0, "db1", fencing, "", "", nil)
		}, []Step{StepOpenGate}},
		"a suspicion survives a change of the ack set": {func(w *world) {
			w.nodes["db1"].Saw(steady(3), 9)
			w.step("db1", StepDetect, -900, -500, OK, "")
			w.swap(-200, "db1", steady(3), cluster.AckLeft, "", nil)
			w.swap(0, "db1", fencing, "", "", nil)
		}, []Step{StepDetect}},
		"the last steps after the new reign began do": {func(w *world) {
			w.swap(0, "db1", fencing, "", "", nil)
			w.swap(100, "db1", steady(4), "", "", nil)
			w.step("db1", StepFollow, 200, 900, OK, "")
		}, []Step{StepFollow}},
		"what happens in the reign much later does not": {func(w *world) {
			w.swap(0, "db1", fencing, "", "", nil)
			w.swap(100, "db1", steady(4), "", "", nil)
			w.step("db1", StepFollow, 600_000, 600_100, OK, "")
		}, nil},
		"a new suspicion right after the reign began does not": {func(w *world) {
			w.swap(0, "db1", fencing, "", "", nil)
			w.swap(100, "db1", steady(4), "", "", nil)
			w.step("db1", StepDetect, 200, 250, OK, "")
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(one)
			w.at(-4_000_000)
			tt.story(w)
			p, _ := w.nodes["db1"].Part(4)
			if diff := cmp.Diff(tt.want, steps(p), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheSameChangeFromSwapAndWatch(t *testing.T) {
	w := newWorld(map[cluster.NodeName]time.Duration{"db1": 0})
	r := w.nodes["db1"]
	rec := record(4, cluster.PhaseFencing, func(*cluster.Record) {})
	r.Saw(record(3, cluster.PhaseSteady, func(*cluster.Record) {}), 9)
	w.at(10)
	seenAt := cluster.Instant(w.now)
	r.Saw(rec, 10) // the watch was quicker than the answer
	w.at(12)
	r.Swapped(rec, 10, cluster.LeaseExpired, "not renewed for 800ms")
	got := partOf(t, r, 4).Sights
	want := []Sight{{Rev: 10, At: seenAt, Mine: true, Why: cluster.LeaseExpired, Detail: "not renewed for 800ms", Record: SightOf(rec)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestUnsavedPartsAreOfferedUntilSaved(t *testing.T) {
	w := newWorld(map[cluster.NodeName]time.Duration{"db1": 0})
	r := w.nodes["db1"]
	w.swap(0, "db1", record(4, cluster.PhaseFencing, func(*cluster.Record) {}), "", "", nil)
	first := r.Unsaved()
	if len(first) != 1 || len(r.Unsaved()) != 1 {
		t.Fatal("a part that was not saved is not offered again")
	}
	w.step("db1", StepFence, 1, 2, OK, "") // changes while the store writes
	r.Saved(first[0])
	again := r.Unsaved()
	if len(again) != 1 || len(again[0].Events) != 1 {
		t.Fatalf("what changed during the write is not offered: %+v", again)
	}
	r.Saved(again[0])
	if rest := r.Unsaved(); len(rest) != 0 {
		t.Errorf("saved, and offered still: %+v", rest)
	}
}

func TestAnAgentThatRestartsGoesOn(t *testing.T) {
	w := newWorld(map[cluster.NodeName]time.Duration{"db1": 0})
	w.swap(0, "db1", record(4, cluster.PhaseElecting, func(*cluster.Record) {}), cluster.PrimaryResigned, "", nil)
	w.step("db1", StepBlock, 1, 2, OK, "")
	w.nodes["db1"].Begin(StepPromise, "")
	stored := partOf(t, w.nodes["db1"], 4)

	now := func() cluster.Instant { return cluster.Instant(w.now) }
	again := NewRecorder(Options{Node: "db1", Clock: "boot-db1", Now: now})
	if !again.Resume(stored) {
		t.Fatal("the part of this boot was turned down")
	}
	again.Saw(record(4, cluster.PhaseElecting, func(*cluster.Record) {}), w.rev)
	w.at(50)
	again.Note(StepPromise, OK, "")
	got := partOf(t, again, 4)
	if diff := cmp.Diff([]Step{StepBlock, StepPromise, StepPromise}, steps(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !got.Sights[0].Mine || len(got.Sights) != 1 {
		t.Errorf("the own swap was forgotten: %+v", got.Sights)
	}
	if got.Seq <= stored.Seq {
		t.Errorf("version %d after %d: the newer one would lose", got.Seq, stored.Seq)
	}

	rebooted := NewRecorder(Options{Node: "db1", Clock: "another-boot", Now: now})
	if rebooted.Resume(stored) {
		t.Error("instants of another boot were taken for this one's")
	}
}

func TestARecorderKeepsItsBounds(t *testing.T) {
	w := newWorld(map[cluster.NodeName]time.Duration{"db1": 0})
	r := w.nodes["db1"]
	for e := range cluster.Epoch(50) {
		for range 500 {
			w.step("db1", StepFence, 0, 1, OK, "")
			r.Beacon(w.rev, true)
		}
		for range 200 {
			w.swap(0, "db1", record(e+1, cluster.PhaseFencing, func(*cluster.Record) {}), "", "", nil)
		}
		w.swap(0, "db1", record(e+1, cluster.PhaseSteady, func(*cluster.Record) {}), "", "", nil)
	}
	parts := r.Unsaved()
	if len(parts) > maxParts {
		t.Errorf("%d parts are kept", len(parts))
	}
	for _, p := range parts {
		if len(p.Events) > maxEvents || len(p.Sights) > maxSights || len(p.Beacons) > maxBeacons {
			t.Errorf("epoch %d: %d events, %d sights, %d beacons", p.Epoch, len(p.Events), len(p.Sights), len(p.Beacons))
		}
	}
}

func TestARecorderIsSharedByGoroutines(t *testing.T) {
	r := NewRecorder(Options{Node: "db1", Clock: "c", Now: func() cluster.Instant { return 1 }})
	r.Swapped(record(1, cluster.PhaseFencing, func(*cluster.Record) {}), 1, "", "")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 20 {
				s := r.Begin(StepFence, "")
				r.Saw(record(1, cluster.PhaseFencing, func(*cluster.Record) {}), cluster.Revision(i))
				r.Beacon(cluster.Revision(i), false)
				for _, p := range r.Unsaved() {
					r.Saved(p)
				}
				s.End(OK, "")
			}
		})
	}
	wg.Wait()
	if got := len(partOf(t, r, 1).Events); got != 160 {
		t.Errorf("%d of 160 events were kept", got)
	}
}

func TestAPartKeepsWhatANewerVersionWrote(t *testing.T) {
	p, err := Decode([]byte(`{"schema":1,"node":"db1","epoch":4,"clock":"x","seq":3,"sights":null,"weather":{"rain":true}}`))
	if err != nil {
		t.Fatal(err)
	}
	b, err := Encode(p)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		t.Fatal(err)
	}
	if string(fields["weather"]) != `{"rain":true}` {
		t.Errorf("lost: %s", b)
	}
	if _, err := Decode([]byte(`{"schema":2}`)); !errors.Is(err, cluster.ErrNewer) {
		t.Errorf("schema 2 gave %v", err)
	}
	if _, err := Decode([]byte(`{`)); err == nil || !strings.Contains(err.Error(), "history") {
		t.Errorf("broken JSON gave %v", err)
	}
}
