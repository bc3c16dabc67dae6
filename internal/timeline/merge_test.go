package timeline

import (
	"encoding/json"
	"math/rand"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/baton-db/baton/internal/core/cluster"
)

func merged(t testing.TB, parts []NodePart) Switch {
	t.Helper()
	s, ok := Merge(parts)
	if !ok {
		t.Fatal("Merge found no record change")
	}
	return s
}

func TestACrashIsTold(t *testing.T) {
	s := merged(t, crash(skewed()).parts())
	if s.Kind != Failover || s.From != "db1" || s.To != "db2" || !s.Ended || s.Epoch != 7 || s.First != 7 {
		t.Errorf("told as %s (%s), from %s to %s", s.Title(), s.Kind, s.From, s.To)
	}
	var got []string
	for _, m := range s.Milestones {
		got = append(got, m.Name)
	}
	want := []string{Detected, Confirmed, Fenced, Promised, Chosen, LeaseHeld, Applied, Promoted, GateOpen, Addressed, Verified, Marked, NewReign, Following}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("milestones (-want +got):\n%s", diff)
	}
	if s.Serving == nil || !near(*s.Serving, 126) || !near(s.Took, 140) {
		t.Errorf("db2 served 126 ms after the change and 140 ms after the first sign; told %v and %v", s.Serving, s.Took.D())
	}
	if m, _ := s.Slowest(); m.Name != Applied {
		t.Errorf("applying took longest, told: %s", m.Name)
	}
	if len(s.Choice.Passed) != 2 {
		t.Errorf("two were passed over, told: %+v", s.Choice)
	}
}

// TestWhatIsDoneAgainLaterBelongsToNoSwitch: an address that somebody took away in the
// new reign is bound again.
func TestWhatIsDoneAgainLaterBelongsToNoSwitch(t *testing.T) {
	w := crash(skewed())
	w.step("db2", StepAddress, 31_000, 31_010, OK, "")
	s := merged(t, w.parts())
	if n := len(slices.DeleteFunc(slices.Clone(s.Spans), func(sp Span) bool { return sp.Step != StepAddress || sp.Node != "db2" })); n != 2 {
		t.Fatalf("the addresses were bound twice, told: %d times", n)
	}
	if s.Serving == nil || !near(*s.Serving, 126) || !near(s.Took, 140) {
		t.Errorf("db2 served 126 ms after the change and 140 ms after the first sign; told %v and %v", s.Serving, s.Took.D())
	}
}

// TestAFirstElectionIsNoFailover: nobody had the role, so nobody lost it.
func TestAFirstElectionIsNoFailover(t *testing.T) {
	w := newWorld(skewed())
	first := func(phase cluster.Phase, primary cluster.NodeName) cluster.Record {
		return record(1, phase, func(r *cluster.Record) { r.Previous, r.Primary, r.Reason = "", primary, cluster.Bootstrapped })
	}
	w.swap(0, "db1", first(cluster.PhaseElecting, ""), cluster.Bootstrapped, "", nil)
	w.swap(40, "db2", first(cluster.PhasePromoting, "db1"), cluster.PromisesIn, "", nil)
	w.swap(90, "db1", first(cluster.PhaseSteady, "db1"), cluster.ReignBegan, "", nil)
	s := merged(t, w.parts())
	if s.Kind != Bootstrap || s.From != "" || s.To != "db1" || !s.Ended {
		t.Errorf("told as %s, from %q to %q", s.Kind, s.From, s.To)
	}
	for _, m := range s.Milestones {
		if m.Name == Fenced || m.Name == Confirmed {
			t.Errorf("nobody was to be fenced, yet it tells of %q", m.Name)
		}
	}
}

// near allows for the watch latency of the story, a few milliseconds.
func near(got Millis, ms float64) bool {
	return (got.D() - time.Duration(ms*float64(time.Millisecond))).Abs() <= 5*time.Millisecond
}

func TestTheOrderOfPartsDoesNotMatter(t *testing.T) {
	parts := append(crash(skewed()).parts(), partition(skewed()).parts()...)
	want := Switches(parts)
	rapid.Check(t, func(t *rapid.T) {
		shuffled := rapid.Permutation(parts).Draw(t, "parts")
		if diff := cmp.Diff(want, Switches(shuffled)); diff != "" {
			t.Fatalf("another order, another story (-want +got):\n%s", diff)
		}
	})
}

func TestClocksAreNotCompared(t *testing.T) {
	want := merged(t, crash(skewed()).parts())
	rapid.Check(t, func(t *rapid.T) {
		skew := rapid.Int64Range(int64(-1000*time.Hour), int64(1000*time.Hour))
		clocks := map[cluster.NodeName]time.Duration{}
		for _, n := range []cluster.NodeName{"db1", "db2", "db3"} {
			clocks[n] = time.Duration(skew.Draw(t, string(n)))
		}
		got, ok := Merge(crash(clocks).parts())
		if !ok {
			t.Fatal("Merge found no record change")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("clocks that show something else tell another story (-want +got):\n%s", diff)
		}
	})
}

// What the remaining nodes did stays where it was when a node's part is
// missing, up to the time that a record change takes to reach them.
func TestAMissingPartMovesNothing(t *testing.T) {
	parts := crash(skewed()).parts()
	whole := merged(t, parts)
	const watch = Millis(10 * time.Millisecond) // twice the slowest watch in the story
	rapid.Check(t, func(t *rapid.T) {
		gone := rapid.SampledFrom([]cluster.NodeName{"db1", "db2", "db3"}).Draw(t, "gone")
		rest := slices.DeleteFunc(slices.Clone(parts), func(p NodePart) bool { return p.Node == gone })
		got, ok := Merge(rest)
		if !ok {
			t.Fatal("Merge found no record change")
		}
		if len(got.Changes) != len(whole.Changes) || got.To != whole.To || got.Kind != whole.Kind {
			t.Fatalf("without %s: %s with %d changes, whole: %s with %d", gone, got.Title(), len(got.Changes), whole.Title(), len(whole.Changes))
		}
		want := slices.DeleteFunc(slices.Clone(whole.Spans), func(s Span) bool { return s.Node == gone })
		for _, w := range want {
			i := slices.IndexFunc(got.Spans, func(g Span) bool {
				return g.Node == w.Node && g.Step == w.Step && g.Took == w.Took && g.Detail == w.Detail
			})
			if i < 0 {
				t.Fatalf("without %s: %s of %s is lost", gone, w.Step, w.Node)
			}
			if moved := got.Spans[i].Start - w.Start; moved > watch || moved < -watch {
				t.Fatalf("without %s: %s of %s moved by %s", gone, w.Step, w.Node, moved.D())
			}
		}
	})
}

// Every span lies where it truly was, up to the time a watch takes, whatever
// the watches take.
func TestSpansLieWhereTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		late := func(label string) float64 { return rapid.Float64Range(0, 20).Draw(t, label) }
		w := newWorld(map[cluster.NodeName]time.Duration{"a": time.Hour, "b": -7 * time.Hour, "c": 0})
		w.at(-1000)
		for _, r := range w.nodes {
			r.Saw(record(1, cluster.PhaseSteady, func(r *cluster.Record) { r.Primary = "a" }), w.rev)
		}
		phases := []cluster.Phase{cluster.PhaseFencing, cluster.PhaseElecting, cluster.PhasePromoting, cluster.PhaseSteady}
		for i, phase := range phases {
			by := rapid.SampledFrom([]cluster.NodeName{"a", "b", "c"}).Draw(t, "by")
			rest := map[cluster.NodeName]float64{}
			for _, n := range []cluster.NodeName{"a", "b", "c"} {
				if n != by {
					rest[n] = late("late")
				}
			}
			w.swap(float64(i)*100, by, record(2, phase, func(*cluster.Record) {}), "", "", rest)
			for _, n := range []cluster.NodeName{"a", "b", "c"} {
				w.step(n, Step(phase), float64(i)*100+40, float64(i)*100+60, OK, "")
			}
		}
		s, _ := Merge(w.parts())
		for _, sp := range s.Spans {
			truth := Millis(40*time.Millisecond) + Millis(slices.Index(phases, cluster.Phase(sp.Step)))*Millis(100*time.Millisecond)
			off := sp.Start - truth
			// Both ends of the scale may be off by what a watch takes.
			if off > Millis(40*time.Millisecond) || off < -Millis(40*time.Millisecond) {
				t.Fatalf("%s of %s lies %s away from where it was", sp.Step, sp.Node, off.D())
			}
			if sp.Took != Millis(20*time.Millisecond) {
				t.Fatalf("%s of %s took 20 ms, told as %s", sp.Step, sp.Node, sp.Took.D())
			}
		}
	})
}

// partition tells the story of a primary that was cut off for ten seconds: it
// fences itself, and learns only after the heal what happened meanwhile.
func partition(clocks map[cluster.NodeName]time.Duration) *world {
	w := newWorld(clocks)
	w.rev = 500
	w.at(-60_000)
	steady := record(20, cluster.PhaseSteady, func(r *cluster.Record) { r.Primary = "db1" })
	for _, r := range w.nodes {
		r.Saw(steady, w.rev)
	}
	for i := range 10 { // db1 renews, the others write facts; all of them watch
		for writer, offset := range map[cluster.NodeName]float64{"db1": 0, "db2": 60, "db3": 90} {
			w.rev++
			for n, late := range map[cluster.NodeName]float64{"db1": 2, "db2": 2, "db3": 3} {
				if n == writer {
					late = 0.5
				}
				w.at(-3000 + float64(i)*200 + offset + late)
				w.nodes[n].Beacon(w.rev, n == writer)
			}
		}
	}
	w.step("db1", StepFence, -500, -480, OK, "the lease ran out")
	w.step("db2", StepDetect, -1000, -900, OK, "no route to db1")
	fencing := record(21, cluster.PhaseFencing, func(r *cluster.Record) { r.Previous, r.Reason = "db1", cluster.LeaseExpired })
	electing := record(21, cluster.PhaseElecting, func(r *cluster.Record) { r.Previous, r.Reason = "db1", cluster.LeaseExpired })
	promoting := record(21, cluster.PhasePromoting, func(r *cluster.Record) { r.Primary, r.Previous = "db2", "db1" })
	reign := record(21, cluster.PhaseSteady, func(r *cluster.Record) { r.Primary, r.Previous = "db2", "db1" })
	w.swap(0, "db2", fencing, cluster.LeaseExpired, "", map[cluster.NodeName]float64{"db1": 10_000, "db3": 2})
	w.swap(1, "db3", electing, cluster.LeaseExpired, "", map[cluster.NodeName]float64{"db1": 9_999.1, "db2": 2})
	w.swap(60, "db2", promoting, cluster.PromisesIn, "", map[cluster.NodeName]float64{"db1": 9_940.2, "db3": 2})
	w.step("db2", StepOpenGate, 100, 101, OK, "")
	w.swap(120, "db2", reign, cluster.ReignBegan, "", map[cluster.NodeName]float64{"db1": 9_880.3, "db3": 2})
	w.step("db1", StepFollow, 10_100, 10_300, OK, "db2")
	return w
}

func TestACutOffNodeIsPlacedByTheLeaseItSaw(t *testing.T) {
	s := merged(t, partition(skewed()).parts())
	var db1 Placing
	for _, n := range s.Nodes {
		if n.Node == "db1" {
			db1 = n
		}
	}
	if !db1.CutOff || db1.Late < Millis(9*time.Second) {
		t.Errorf("db1 learned of everything 10 s late, placed as %+v", db1)
	}
	i := slices.IndexFunc(s.Spans, func(sp Span) bool { return sp.Node == "db1" && sp.Step == StepFence })
	if i < 0 {
		t.Fatal("db1's own fencing is missing from the story")
	}
	if off := (s.Spans[i].Start + Millis(500*time.Millisecond)).D(); off.Abs() > 5*time.Millisecond {
		t.Errorf("db1 fenced itself 500 ms before the change, told %s away from that", off)
	}
}

func TestASwitchoverIsOneSwitchOfTwoEpochs(t *testing.T) {
	w := newWorld(skewed())
	others := map[cluster.NodeName]float64{"db2": 1, "db3": 1}
	for _, r := range w.nodes {
		r.Saw(record(7, cluster.PhaseSteady, func(r *cluster.Record) { r.Primary = "db1" }), w.rev)
	}
	asked := func(e cluster.Epoch, p cluster.Phase, primary, candidate cluster.NodeName) cluster.Record {
		return record(e, p, func(r *cluster.Record) {
			r.Primary, r.Candidate, r.Reason, r.Detail = primary, candidate, cluster.SwitchoverAsked, "asked by root"
		})
	}
	w.swap(0, "db1", asked(8, cluster.PhaseHandoff, "db1", "db2"), cluster.SwitchoverAsked, "", others)
	w.step("db1", StepDrain, 1, 20, OK, "")
	w.step("db2", StepApply, 5, 25, OK, "")
	w.swap(26, "db1", asked(9, cluster.PhasePromoting, "db2", ""), cluster.DrainedAndApplied, "", others)
	w.step("db2", StepOpenGate, 30, 31, OK, "")
	w.swap(60, "db1", asked(9, cluster.PhaseSteady, "db2", ""), cluster.ReignBegan, "", others)

	back := record(11, cluster.PhaseSteady, func(r *cluster.Record) {
		r.Primary, r.Reason, r.Detail = "db2", cluster.HandoffTimedOut, "drain took 10s"
	})
	w.swap(90_000, "db1", asked(10, cluster.PhaseHandoff, "db2", "db1"), cluster.SwitchoverAsked, "", others)
	w.swap(100_000, "db1", back, cluster.HandoffTimedOut, "", others)

	got := Switches(w.parts())
	if len(got) != 2 {
		t.Fatalf("%d switches, want 2: %v", len(got), got)
	}
	type told struct {
		First, Epoch cluster.Epoch
		Kind         Kind
		From, To     cluster.NodeName
		Reason       cluster.Reason
	}
	for i, want := range []told{
		{8, 9, Switchover, "db1", "db2", cluster.SwitchoverAsked},
		{10, 11, RolledBack, "db2", "db2", cluster.HandoffTimedOut},
	} {
		s := got[i]
		if diff := cmp.Diff(want, told{s.First, s.Epoch, s.Kind, s.From, s.To, s.Reason}); diff != "" {
			t.Errorf("switch %d (-want +got):\n%s", i, diff)
		}
	}
	if _, ok := Find(got, 8); !ok {
		t.Error("epoch 8 belongs to the switch that ended at 9, and is not found")
	}
	if s, ok := Find(got, 12); ok {
		t.Errorf("epoch 12 is no switch, found %s", s.Title())
	}
}

func TestASwitchSurvivesJSON(t *testing.T) {
	want := merged(t, crash(skewed()).parts())
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Switch
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBarePartsTellNothing(t *testing.T) {
	if s, ok := Merge(nil); ok {
		t.Errorf("no parts told %v", s)
	}
	if s, ok := Merge([]NodePart{{Schema: 1, Node: "a", Epoch: 3}}); ok {
		t.Errorf("a part without record changes told %v", s)
	}
	if got := Switches([]NodePart{{Schema: 1, Node: "a", Epoch: 3}}); len(got) != 0 {
		t.Errorf("a part without record changes told %v", got)
	}
}

// Whatever was stored, by whatever version or fault, is told or left out, and
// never brings the reader down.
func FuzzSwitches(f *testing.F) {
	for _, p := range crash(skewed()).parts() {
		b, err := Encode(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, int64(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, seed int64) {
		p, err := Decode(b)
		if err != nil {
			return
		}
		q := p
		q.Node, q.Epoch = "other", p.Epoch+cluster.Epoch(rand.New(rand.NewSource(seed)).Intn(3))
		for _, s := range Switches([]NodePart{p, q}) {
			var sink discard
			if err := (Text{Unicode: true}).Waterfall(&sink, s); err != nil {
				t.Fatal(err)
			}
			if err := SVG(&sink, s); err != nil {
				t.Fatal(err)
			}
		}
	})
}

type discard struct{ n int }

func (d *discard) Write(b []byte) (int, error) { d.n += len(b); return len(b), nil }

// TestTheFirstChangeWasOnlyReadLater: the part of the node that made it has not
// been saved yet, and the others found it when they started. Their clocks have
// run for hours, which is no part of the switch.
func TestTheFirstChangeWasOnlyReadLater(t *testing.T) {
	const up = cluster.Instant(8 * time.Hour)
	ms := func(n int) cluster.Instant { return up.Add(time.Duration(n) * time.Millisecond) }
	record := func(p cluster.Phase) RecordSight { return RecordSight{Epoch: 1, Phase: p, Primary: "db1"} }
	found := Sight{Rev: 10, At: ms(0), Read: true, Record: record(cluster.PhasePromoting)}
	for name, part := range map[string]NodePart{
		"the next change was seen": {Sights: []Sight{found, {Rev: 20, At: ms(70), Record: record(cluster.PhaseSteady)}}, Events: []Event{{Step: StepFollow, At: ms(40), Took: time.Millisecond}}},
		"nothing but a step of it": {Sights: []Sight{found}, Events: []Event{{Step: StepFollow, At: ms(40), Took: time.Millisecond}}},
	} {
		t.Run(name, func(t *testing.T) {
			part.Node, part.Epoch, part.Clock = "db2", 1, "boot"
			s, ok := Merge([]NodePart{part})
			if !ok || len(s.Spans) != 1 {
				t.Fatalf("%t, %+v", ok, s)
			}
			for _, c := range s.Changes {
				if c.At > Millis(time.Second) {
					t.Errorf("change %d at %s", c.Rev, c.At.D())
				}
			}
			if at := s.Spans[0].Start.D().Abs(); at > time.Second {
				t.Errorf("the step is at %s", at)
			}
		})
	}
}
