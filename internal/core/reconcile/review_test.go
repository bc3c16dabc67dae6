package reconcile

import (
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
)

// cutOf returns whom a plan cuts off.
func cutOf(p Plan) []cluster.NodeName {
	for _, s := range p.Steps {
		if s.Kind == Cut {
			return s.Nodes
		}
	}
	return nil
}

// TestStrangersAreCutBeforeWritesBegin: db1 is chosen again at epoch 6 by its own
// promise. db3's agent is dead; its server never stopped receiving from db1, and
// its acknowledgements would count on the server but not in the record.
func TestStrangersAreCutBeforeWritesBegin(t *testing.T) {
	again := func(changes ...change) Input {
		return primaryOf(append([]change{phase(cluster.PhasePromoting, 6, "db1", "db1"), func(in *Input) {
			in.Lease = lease.Held{Epoch: 6, Until: noon.Add(500_000_000)}
			in.Record.Quorums = append(in.Record.Quorums, cluster.AckQuorum{Epoch: 6, Primary: "db1", Members: []cluster.NodeName{"db2"}, K: 1})
			in.Own.Server.ReadOnly = true
			in.Host.Done[ProbeAddresses] = 6
			in.Peers["db3"] = cluster.Fact{Node: "db3", Epoch: 5, Server: cluster.ServerFact{State: cluster.ServerUp, Replica: cluster.ReplicaFact{Source: "db1", SemiSync: true}}}
		}}, changes...)...)
	}
	plan := Next(again())
	if got := cutOf(plan); len(got) != 1 || got[0] != "db3" || plan.Has(SetWritable) {
		t.Errorf("want db3 cut before anything is writable, got %v", plan.Steps)
	}
	plan = Next(again(cutOff("db3")))
	if !plan.Has(SetWritable) {
		t.Errorf("db3 is cut, so writes may begin; got %v", plan.Steps)
	}
	plan = Next(again(cutOff("db3"), own(func(f *cluster.Fact) { f.AckCut = nil })))
	if got := cutOf(plan); len(got) != 1 || plan.Has(SetWritable) {
		t.Errorf("db3 is being let in: it must be cut anew before anything is writable, got %v", plan.Steps)
	}
	plan = Next(again(func(in *Input) {
		f := in.Peers["db3"]
		f.Epoch, f.Server.Replica.SemiSync = 6, false
		in.Peers["db3"] = f
	}))
	if !plan.Has(SetWritable) {
		t.Errorf("db3 says in this reign that it does not acknowledge; got %v", plan.Steps)
	}
	plan = Next(again(host(func(h *Host) { h.NoCut = true })))
	if !plan.Has(SetWritable) || plan.Has(Cut) {
		t.Errorf("a host that can cut nobody must not wait for it for ever; got %v", plan.Steps)
	}
	plan = Next(again(func(in *Input) {
		in.Record.Quorums[1].Members, in.Own.Server.SemiSrc.Enabled = nil, false
	}))
	if !plan.Has(SetWritable) {
		t.Errorf("commits wait for nobody, so nobody's acknowledgement counts; got %v", plan.Steps)
	}
}

// TestAStrangerIsCutFromAServingPrimary: an acknowledging replica that the record
// does not know of, whatever the reason.
func TestAStrangerIsCutFromAServingPrimary(t *testing.T) {
	plan := Next(primaryOf(func(in *Input) {
		in.Record.Quorums[0].Members = []cluster.NodeName{"db2"}
		in.Peers["db3"] = cluster.Fact{Node: "db3", Epoch: 5, Server: cluster.ServerFact{State: cluster.ServerUp, Replica: cluster.ReplicaFact{SemiSync: true}}}
	}))
	if got := cutOf(plan); len(got) != 1 || got[0] != "db3" {
		t.Errorf("want db3 cut, got %v", plan.Steps)
	}
}

// TestACutWithoutItsPositionIsMadeAgain: an agent that was restarted finds the
// cut in the kernel, but not what had been acknowledged until then.
func TestACutWithoutItsPositionIsMadeAgain(t *testing.T) {
	cut := func(in *Input) {
		in.AckSilent = []cluster.NodeName{"db3"}
		in.Host.Cut = []cluster.NodeName{"db3"}
	}
	if got := cutOf(Next(primaryOf(cut))); len(got) != 1 || got[0] != "db3" {
		t.Errorf("want db3 cut again, got %v", got)
	}
	done := own(func(f *cluster.Fact) { f.AckCut, f.CutAt = []cluster.NodeName{"db3"}, position("0-1-100") })
	if got := cutOf(Next(primaryOf(cut, done))); got != nil {
		t.Errorf("it is cut and the position is known, got %v", got)
	}
}

// TestTheInvitedOneIsCutWhateverThePolicy: it is no member, so nothing waits for
// it alone, and it is let go only once it is cut.
func TestTheInvitedOneIsCutWhateverThePolicy(t *testing.T) {
	plan := Next(primaryOf(func(in *Input) {
		in.Settings.Alone = cluster.AloneWait
		in.Record.Quorums[0].Members, in.Record.Joining = nil, "db2"
		in.AckSilent = []cluster.NodeName{"db2"}
		in.Peers["db3"] = cluster.Fact{Node: "db3", Epoch: 5}
	}))
	if got := cutOf(plan); len(got) != 1 || got[0] != "db2" {
		t.Errorf("want db2 cut, got %v", plan.Steps)
	}
}

// TestTheMarkerWaitsForTheAcknowledgement: a marker that is written while commits
// do not wait proves nothing, and earlier quorums are given up for it.
func TestTheMarkerWaitsForTheAcknowledgement(t *testing.T) {
	plan := Next(primaryOf(own(func(f *cluster.Fact) { f.Marked, f.Server.SemiSrc.Enabled = 0, false })))
	if plan.Has(WriteMarker) || !plan.Has(SemiSource) {
		t.Errorf("want commits to wait first, got %v", plan.Steps)
	}
}

// TestAReignDoesNotGoOnWithAnotherLifeOfTheServer: host and agent went down
// together and are back before anybody took the role (a pause, a long lease). The
// server may have lost what its replicas acknowledged.
func TestAReignDoesNotGoOnWithAnotherLifeOfTheServer(t *testing.T) {
	back := func(start string) Input {
		return primaryOf(func(in *Input) {
			in.Lease, in.Record.Quorums[0].Start = lease.Held{}, start
			in.Own.Server.ReadOnly, in.Host.Gate = true, GateClosed
		})
	}
	if plan := Next(back("s0")); plan.Lease != 0 || !plan.Has(Fence) {
		t.Errorf("want it fenced, got %v and the lease of epoch %d", plan.Steps, plan.Lease)
	}
	if plan := Next(back("s1")); plan.Lease != 5 || plan.Has(Fence) {
		t.Errorf("the same life goes on, got %v", plan.Steps)
	}
}

// TestAnAbandonedRemovalReopensTheGate: with `alone: wait` db3 fell silent and was
// cut, and before db2 had received what db3 had acknowledged, db2 died too. Commits
// wait for either of them: db3 is back, and the gate is all that keeps it away.
func TestAnAbandonedRemovalReopensTheGate(t *testing.T) {
	has := func(at string) change {
		return func(in *Input) {
			in.Peers["db2"] = cluster.Fact{Server: cluster.ServerFact{State: cluster.ServerStopped, Executed: position(at)}}
		}
	}
	cut := func(silent ...cluster.NodeName) change {
		return func(in *Input) {
			in.Settings.Alone, in.AckSilent = cluster.AloneWait, silent
			in.Host.Cut, in.Own.AckCut, in.Own.CutAt = []cluster.NodeName{"db3"}, []cluster.NodeName{"db3"}, position("0-1-100")
		}
	}
	for name, tt := range map[string]struct {
		in    Input
		steps string
	}{
		"nobody is left who could acknowledge, and db2 lacks something: the removal is abandoned": {primaryOf(cut("db2", "db3"), has("0-1-99")), "uncut-replica db3"},
		"it goes on being abandoned although the cut is not counted any more":                     {primaryOf(cut("db2", "db3"), has("0-1-99"), own(func(f *cluster.Fact) { f.AckCut = nil })), "uncut-replica db3"},
		"db2 has everything, so db3 leaves the record first":                                      {primaryOf(cut("db2", "db3"), has("0-1-100")), ""},
		"db2 acknowledges and is about to have everything: db3 stays cut":                         {primaryOf(cut("db3"), has("0-1-99")), ""},
		"where the primary may go on alone, db2 is cut off too and both leave": {primaryOf(cut("db2", "db3"), has("0-1-99"), func(in *Input) {
			in.Settings.Alone = cluster.AloneContinue
		}), "cut-replica db2"},
	} {
		t.Run(name, func(t *testing.T) {
			var steps []string
			for _, s := range Next(tt.in).Steps {
				steps = append(steps, s.String())
			}
			if got := strings.Join(steps, ", "); got != tt.steps {
				t.Errorf("got %q, want %q", got, tt.steps)
			}
		})
	}
}
