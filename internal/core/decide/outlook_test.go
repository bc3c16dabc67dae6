package decide

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/core/cluster"
)

// told is an outlook in a few words.
type told struct {
	Winner, Forced cluster.NodeName
	By             cluster.Reason
	Held, Stuck    cluster.Reason
	Needed         []cluster.NodeName
	Proven         bool
	Unheard        string
	ToApply        uint64
	Passed         map[cluster.NodeName]cluster.Reason
}

func tell(o Outlook) told {
	t := told{Winner: o.Choice.Winner, Forced: o.Forced, By: o.Choice.Decided, Held: o.Held, Stuck: o.Stuck, Needed: o.Needed, Proven: o.Proven,
		Unheard: o.Unheard.String(), ToApply: o.ToApply}
	for _, p := range o.Choice.Passed {
		if t.Passed == nil {
			t.Passed = map[cluster.NodeName]cluster.Reason{}
		}
		t.Passed[p.Node] = p.Reason
	}
	return t
}

func TestWhatBecomesOfAClusterWhosePrimaryIsGone(t *testing.T) {
	type passed = map[cluster.NodeName]cluster.Reason
	both := []cluster.NodeName{"db2", "db3"}
	async := record(func(r *cluster.Record) { r.Quorums = []cluster.AckQuorum{{Epoch: 5, Primary: "db1"}} })
	wrote := fact("db1", func(f *cluster.Fact) { f.Server.Executed = position("0-1-130") })
	for name, tt := range map[string]struct {
		world World
		want  told
	}{
		"all is well: either could take over, and both must promise": {
			newWorld(),
			told{Winner: "db2", By: cluster.PassedName, Needed: both, Proven: true, Passed: passed{"db1": cluster.PassedNoPromise, "db3": cluster.PassedName}}},
		"the one that received more is preferred, and what it has not applied is counted": {
			newWorld(fact("db3", func(f *cluster.Fact) { f.Server.Replica.Received = position("0-1-120") })),
			told{Winner: "db3", By: cluster.PassedIncomplete, ToApply: 20, Needed: both, Proven: true, Passed: passed{"db1": cluster.PassedNoPromise, "db2": cluster.PassedIncomplete}}},
		"one of two is silent: nobody knows what it acknowledged": {
			newWorld(silent("db3"), wrote),
			told{Stuck: cluster.AwaitingPromises, Forced: "db2", Unheard: "0-1-101..130"}},
		"the silent one has left the ack set: the other is enough, and the last": {
			newWorld(silent("db3"), record(func(r *cluster.Record) { r.Quorums[0].Members = []cluster.NodeName{"db2"} })),
			told{Winner: "db2", By: cluster.OnlyCandidate, Needed: []cluster.NodeName{"db2"}, Proven: true, Passed: passed{"db1": cluster.PassedNoPromise, "db3": cluster.PassedNoPromise}}},
		"nobody acknowledges: only the primary's data may be elected": {
			newWorld(wrote, record(func(r *cluster.Record) { r.Quorums[0].Members = nil })),
			told{Stuck: cluster.AwaitingPromises, Forced: "db2", Unheard: "0-1-101..130"}},
		"asynchronous: what nobody has received is lost": {
			newWorld(wrote, async),
			told{Winner: "db2", By: cluster.PassedName, Unheard: "0-1-101..130", Passed: passed{"db1": cluster.PassedNoPromise, "db3": cluster.PassedName}}},
		"paused: it would be left to a person": {
			newWorld(record(func(r *cluster.Record) { r.Paused = &cluster.Pause{By: "ann"} })),
			told{Held: cluster.IsPaused, Winner: "db2", By: cluster.PassedName, Needed: both, Proven: true, Passed: passed{"db1": cluster.PassedNoPromise, "db3": cluster.PassedName}}},
		"the limit of the hour is reached": {
			newWorld(record(func(r *cluster.Record) { r.Switches = []int64{999_000, 999_100, 999_200} })),
			told{Held: cluster.TooManyFailovers, Winner: "db2", By: cluster.PassedName, Needed: both, Proven: true, Passed: passed{"db1": cluster.PassedNoPromise, "db3": cluster.PassedName}}},
		"all others only observe or are held": {
			newWorld(fact("db2", func(f *cluster.Fact) { f.Mode = cluster.Observe }), fact("db3", func(f *cluster.Fact) { f.Held = "waits for a person" })),
			told{Stuck: cluster.AwaitingPromises, Unheard: "0-1-100"}},
		"a request that is open does not disturb": {
			newWorld(asked(cluster.Request{Kind: cluster.RequestPause})),
			told{Winner: "db2", By: cluster.PassedName, Needed: both, Proven: true, Passed: passed{"db1": cluster.PassedNoPromise, "db3": cluster.PassedName}}},
	} {
		t.Run(name, func(t *testing.T) {
			before := newWorld()
			o, ok := IfPrimaryWereGone(tt.world, noon)
			if !ok {
				t.Fatal("there is a primary to lose")
			}
			if diff := cmp.Diff(tt.want, tell(o)); diff != "" {
				t.Errorf("(-want +got):\n%s\n%+v", diff, o)
			}
			if o.Stuck != cluster.Nothing && o.StuckDetail == "" {
				t.Error("stuck, and nothing is said of why")
			}
			if before.Facts["db2"].Value.Promise != nil || tt.world.Facts["db2"].Value.Promise != nil {
				t.Error("what was imagined is in the world")
			}
		})
	}
	if o, ok := IfPrimaryWereGone(newWorld(electingAfterDb1), noon); ok {
		t.Errorf("there is no primary, and yet: %+v", o)
	}
}

// What is foretold is what the decision does: the same world, lived through.
func TestTheOutlookIsWhatHappens(t *testing.T) {
	w := newWorld(fact("db3", func(f *cluster.Fact) { f.Server.Replica.Received = position("0-1-120") }))
	o, _ := IfPrimaryWereGone(w, noon)

	later := noon.Add(3 * w.Settings.Lease)
	out := Next(w, later)
	if out.Next == nil || out.Why != cluster.LeaseExpired {
		t.Fatalf("the lease has run out, and: %+v", out)
	}
	w.Record, w.RecordRev, w.PhaseAt = *out.Next, w.RecordRev+1, later
	for _, n := range []cluster.NodeName{"db2", "db3"} {
		s := w.Facts[n]
		s.At = later
		s.Value.Promise = &cluster.Promise{Epoch: w.Record.Epoch, Start: s.Value.Server.Start, Executed: s.Value.Server.Executed, Received: s.Value.Server.Replica.Received, Marker: 5}
		w.Facts[n] = s
	}
	out = Next(w, later)
	if out.Next == nil || out.Next.Primary != o.Choice.Winner || !out.Next.Required.Equal(o.Choice.Required) {
		t.Errorf("foretold %+v\nbut %s: %s, %+v", o.Choice, out.Why, out.Detail, out.Next)
	}
}
