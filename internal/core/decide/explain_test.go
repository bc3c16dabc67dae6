package decide

import (
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
)

// watched is a cluster that nobody manages and every agent observes: db1 takes
// writes, db2 and db3 follow it, and nothing acknowledges.
func watched(changes ...change) World {
	return newWorld(append([]change{func(w *World) {
		w.Record, w.RecordRev, w.Lease, w.PhaseAt = cluster.Record{}, 0, lease.Watch{}, 0
		for n := range w.Facts {
			fact(n, func(f *cluster.Fact) {
				f.Mode, f.Epoch, f.RecordRev, f.Serving, f.Marked, f.Endpoints = cluster.Observe, 0, 0, 0, 0, 0
				f.Server.SemiSrc, f.Server.Replica.SemiSync, f.Server.Marker = cluster.SemiSyncFact{}, false, 0
			})(w)
		}
	}}, changes...)...)
}

func stopped(n cluster.NodeName) change {
	return fact(n, func(f *cluster.Fact) { f.Server.State = cluster.ServerStopped })
}

// TestExplain holds what an observing node says against a sentence about the
// cluster. Nothing of it depends on a memory: each is one look.
func TestExplain(t *testing.T) {
	lost := func(w *World) { silent("db1")(w); receivesNothing("db2", "db3")(w) }
	hung := fact("db1", func(f *cluster.Fact) { f.Server.State = cluster.ServerHung })
	active := func(n cluster.NodeName) change { return fact(n, func(f *cluster.Fact) { f.Mode = cluster.Active }) }
	type want struct {
		first   cluster.Reason // of what active agents would begin with
		now     cluster.Reason // of what would be decided now
		promote cluster.NodeName
		ifLost  cluster.NodeName
	}
	for name, tt := range map[string]struct {
		world World
		want  want
	}{
		"all is well: nothing would be done, and it is said who would take over": {
			watched(), want{cluster.Bootstrapped, cluster.Nothing, "", "db2"}},
		"facts that wait for their slow beat are no silence": {
			watched(quiet("db1", 2500*time.Millisecond), quiet("db2", 2500*time.Millisecond), quiet("db3", 2500*time.Millisecond)),
			want{cluster.Bootstrapped, cluster.Nothing, "", "db2"}},
		"the server of the primary is gone": {watched(stopped("db1"), receivesNothing("db2", "db3")), want{cluster.AwaitingNodes, cluster.PrimaryResigned, "db2", ""}},
		"its host is gone":                  {watched(lost), want{cluster.AwaitingNodes, cluster.LeaseExpired, "db2", ""}},
		"the one that received more would take over": {
			watched(lost, fact("db3", func(f *cluster.Fact) {
				f.Server.Executed, f.Server.Replica.Received = position("0-1-101"), position("0-1-101")
			})),
			want{cluster.AwaitingNodes, cluster.LeaseExpired, "db3", ""}},
		"its server hangs and another node sees it, too": {watched(hung, sees("db2", cluster.Down, "db1")), want{cluster.AwaitingNodes, cluster.PrimaryHung, "db2", ""}},
		"nodes cannot reach it, but its replicas receive": {
			watched(sees("db2", cluster.Down, "db1"), sees("db3", cluster.Down, "db1")), want{cluster.Bootstrapped, cluster.ObserversCutOff, "", "db2"}},
		"two servers are writable: it would touch none": {
			watched(fact("db2", func(f *cluster.Fact) { f.Server.ReadOnly = false })), want{cluster.TwoWritable, cluster.Nothing, "", "db2"}},
		"the replicas follow nobody: the servers show no primary": {
			watched(fact("db2", func(f *cluster.Fact) { f.Server.Replica = cluster.ReplicaFact{} }), fact("db3", func(f *cluster.Fact) { f.Server.Replica = cluster.ReplicaFact{} })),
			want{cluster.NoOneHoldsAll, cluster.NoOneHoldsAll, "", ""}},
		"a chain has one end: that is the primary, and it is said what is in the way": {
			watched(fact("db3", func(f *cluster.Fact) { f.Server.Replica.Source = "db2" })), want{cluster.NoOneHoldsAll, cluster.Nothing, "", "db2"}},
		"no replica is left that could take over": {
			watched(stopped("db1"), stopped("db2"), stopped("db3")), want{cluster.AwaitingNodes, cluster.PrimaryResigned, "", ""}},
		"the store is silent: nothing is known": {watched(func(w *World) { w.StoreSilent = true }), want{"", cluster.StoreSilent, "", ""}},

		// With a record: db1 leads and db3 observes.
		"among active nodes the one that observes is not promoted": {
			newWorld(leaseSeen(time.Hour), silent("db1"), fact("db2", func(f *cluster.Fact) { f.Mode = cluster.Observe })), want{"", cluster.LeaseExpired, "", ""}},
		"a record that nobody keeps any more is judged as if all acted": {
			watched(func(w *World) { *w = newWorld(leaseSeen(time.Hour), silent("db1")) },
				fact("db2", func(f *cluster.Fact) { f.Mode = cluster.Observe }), fact("db3", func(f *cluster.Fact) { f.Mode = cluster.Observe })),
			want{"", cluster.LeaseExpired, "db2", ""}},
		"without a record, one that is active already changes nothing of what is said": {watched(active("db2")), want{cluster.Bootstrapped, cluster.Nothing, "", "db2"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := Explain(tt.world, noon)
			got := want{now: e.Now.Why, promote: promoted(e.Then), ifLost: promoted(e.IfLost)}
			if e.First != nil {
				got.first = e.First.Why
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v; now %q, first %+v, then %+v", got, tt.want, e.Now.Detail, e.First, e.Then)
			}
		})
	}
}

func promoted(o *Outcome) cluster.NodeName {
	if o == nil || o.Next == nil {
		return ""
	}
	return o.Next.Primary
}

// TestWhatIsExplainedIsNotDecided: an active node of the same world must not
// take what is only supposed for a record.
func TestWhatIsExplainedIsNotDecided(t *testing.T) {
	w := watched(stopped("db1"))
	Explain(w, noon)
	if out := Next(w, noon); out.Next != nil {
		t.Errorf("got %+v", out.Next)
	}
	for n, seen := range w.Facts {
		if seen.Value.Mode != cluster.Observe || seen.Value.Promise != nil || seen.Value.Fenced != 0 {
			t.Errorf("the fact of %s was changed: %+v", n, seen.Value)
		}
	}
}

func TestTwoServersOfOneID(t *testing.T) {
	same := fact("db1", func(f *cluster.Fact) { f.Server.ID = 7 })
	w := watched(same, fact("db3", func(f *cluster.Fact) { f.Server.ID = 7 }), fact("db2", func(f *cluster.Fact) { f.Server.ID = 8 }))
	if got := w.SameServerID("db1"); !strings.Contains(got, "7") || !strings.Contains(got, "db3") {
		t.Errorf("got %q", got)
	}
	if got := w.SameServerID("db2"); got != "" {
		t.Errorf("got %q", got)
	}
}
