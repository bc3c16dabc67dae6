package decide

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// TestPromisesThatStand: a promise counts towards a quorum for what can still
// be had of it. db3 alone has received 0-1-101, which a client saw acknowledged.
func TestPromisesThatStand(t *testing.T) {
	for name, tt := range map[string]struct {
		world World
		why   cluster.Reason
	}{
		"a node that is slow for more than a lease is waited for, not passed over with what only it received": {
			newWorld(electingAfterDb1, promise("db2", "0-1-100"), promise("db3", "0-1-101"), quiet("db3", 1500*time.Millisecond)), cluster.AwaitingPromises},
		"so is one whose server died with received transactions that it had not applied": {
			newWorld(electingAfterDb1, promise("db2", "0-1-100"), promise("db3", "0-1-101"),
				fact("db3", func(f *cluster.Fact) { f.Server.State = cluster.ServerStopped })), cluster.AwaitingPromises},
		"one that had applied everything holds nobody up when it dies": {
			newWorld(electingAfterDb1, promise("db2", "0-1-100"), promise("db3", "0-1-100"), quiet("db3", 1500*time.Millisecond)), cluster.PromisesIn},
		"a person may go on without it": {
			newWorld(electingAfterDb1, promise("db2", "0-1-100"), promise("db3", "0-1-101"), quiet("db3", 1500*time.Millisecond),
				record(func(r *cluster.Record) { r.Force = true })), cluster.PromisesIn},
	} {
		t.Run(name, func(t *testing.T) {
			if out := Next(tt.world, noon); out.Why != tt.why {
				t.Fatalf("got %q (%s), want %q; next %+v", out.Why, out.Detail, tt.why, out.Next)
			}
		})
	}
}

// quiet is a node of which nothing was heard for so long.
func quiet(n cluster.NodeName, d time.Duration) change {
	return func(w *World) {
		s := w.Facts[n]
		s.At, s.MovedAt = noon.Add(-d), noon.Add(-d)
		w.Facts[n] = s
	}
}

// TestNobodyLeavesWithoutThePositionOfTheCut: an agent that was restarted, or
// whose cut was abandoned half-way, finds the cut in the kernel and has not read
// the position that goes with it. db3 alone may have acknowledged 0-1-101.
func TestNobodyLeavesWithoutThePositionOfTheCut(t *testing.T) {
	w := newWorld(from("db1"), fact("db1", func(f *cluster.Fact) { f.AckCut, f.Server.Executed = []cluster.NodeName{"db3"}, position("0-1-101") }))
	if out := Next(w, noon); out.Next != nil {
		t.Fatalf("db3 left the ack set although nobody knows what it acknowledged: %+v", out.Next)
	}
}

// TestTheInvitedOneIsLetGoOnlyOnceItIsCut: its server may go on acknowledging
// although its agent is dead.
func TestTheInvitedOneIsLetGoOnlyOnceItIsCut(t *testing.T) {
	joining := record(func(r *cluster.Record) { r.Quorums[0].Members, r.Joining = nil, "db2" })
	if out := Next(newWorld(from("db1"), joining, silent("db2")), noon); out.Next != nil {
		t.Fatalf("it was let go while its server may acknowledge: %+v", out.Next)
	}
	cut := fact("db1", func(f *cluster.Fact) { f.AckCut = []cluster.NodeName{"db2"} })
	if out := Next(newWorld(from("db1"), joining, silent("db2"), cut), noon); out.Next == nil || out.Next.Joining != "" {
		t.Fatalf("it is cut and silent and was not let go: %+v", out)
	}
}

// TestJoining holds who may enter the set, and how.
func TestJoining(t *testing.T) {
	members := func(k int, names ...cluster.NodeName) change {
		return record(func(r *cluster.Record) { r.Quorums[0].Members, r.Quorums[0].K = names, k })
	}
	two := func(w *World) { w.Settings.Acks = 2 }
	wait := func(w *World) { w.Settings.Alone = cluster.AloneWait }
	behind := fact("db1", func(f *cluster.Fact) { f.Server.Executed = position("0-1-150") })

	// The policy was `continue` when the set became empty, and is `wait` now:
	// what was committed alone is nowhere else.
	if out := Next(newWorld(from("db1"), members(1), wait, behind), noon); out.Next == nil || out.Next.Joining != "db2" || len(out.Next.Acks().Members) != 0 {
		t.Errorf("an empty set is entered by way of an invitation, whatever the policy: %+v", out.Next)
	}
	// n = k = 2 needs the promise of one of them: of the new one, too.
	if out := Next(newWorld(from("db1"), members(2, "db2"), two, behind), noon); out.Next != nil {
		t.Errorf("one that is behind entered a set that is smaller than k: %+v", out.Next)
	}
	// A cluster that was asynchronous becomes lossless.
	w := newWorld(from("db1"), members(0), record(func(r *cluster.Record) { r.Joining = "db2" }))
	if out := Next(w, noon); out.Next == nil || out.Next.Acks().K != 1 || !slices.Equal(out.Next.Acks().Members, []cluster.NodeName{"db2"}) {
		t.Errorf("the first member brings the present number of acknowledgements: %+v", out.Next)
	}
}

// TestAReignWithoutALeaseAsksForNothing: a candidate that never took the lease
// wrote nothing, so its promise is not needed to go on without it. Here the old
// primary has come back and holds everything.
func TestAReignWithoutALeaseAsksForNothing(t *testing.T) {
	promoting := func(w *World) {
		electingAfterDb1(w)
		w.Record.Phase, w.Record.Primary = cluster.PhasePromoting, "db2"
		w.Record.Quorums = append(w.Record.Quorums, cluster.AckQuorum{Epoch: 6, Primary: "db2", K: 1})
		w.PhaseAt = noon.Add(-time.Minute)
	}
	out := Next(newWorld(promoting), noon)
	if out.Next == nil || len(out.Next.Quorums) != 1 || out.Next.Quorums[0].Epoch != 5 {
		t.Fatalf("want the quorum of epoch 5 alone, got %+v", out.Next)
	}
	out = Next(newWorld(promoting, func(w *World) { w.Lease.Epoch, w.Lease.Holder = 6, "db2" }), noon)
	if out.Next == nil || len(out.Next.Quorums) != 2 {
		t.Fatalf("it held the lease, so its quorum stays; got %+v", out.Next)
	}
}

// TestAWishDoesNotHoldAnElectionUpForEver: the node that a person asked for dies.
func TestAWishDoesNotHoldAnElectionUpForEver(t *testing.T) {
	wished := record(func(r *cluster.Record) { r.Candidate = "db3" })
	dead := fact("db3", func(f *cluster.Fact) { f.Server.State = cluster.ServerStopped })
	world := func(since time.Duration) World {
		return newWorld(electingAfterDb1, promise("db2", "0-1-100"), promise("db3", "0-1-100"), wished, dead, phase(cluster.PhaseElecting, since))
	}
	out := Next(world(time.Second), noon)
	if out.Next != nil || out.WakeAt == 0 {
		t.Fatalf("the wish is waited for, for a while: %+v", out)
	}
	if out = Next(world(6*time.Second), noon); out.Next == nil || out.Next.Primary != "db2" {
		t.Fatalf("nobody was promoted although db2 could: %s %s", out.Why, out.Detail)
	}
}

// TestAnAdoptedPrimaryWithoutALeaseIsNotTakenForStopped: it was writable before
// Baton came, and nobody ever held a lease whose end would stop it.
func TestAnAdoptedPrimaryWithoutALeaseIsNotTakenForStopped(t *testing.T) {
	adopted := func(w *World) {
		electingAfterDb1(w)
		async(w)
		w.Record.Epoch, w.Record.Phase = 2, cluster.PhaseFencing
		w.Lease.Rev, w.Lease.SeenAt, w.Lease.Holder, w.Lease.Epoch = 0, 0, "", 0
	}
	if out := Next(newWorld(adopted), noon); out.Next != nil {
		t.Fatalf("db1 may still be written to: %+v", out.Next)
	}
	if out := Next(newWorld(adopted, fact("db1", func(f *cluster.Fact) { f.Server.ReadOnly = true })), noon); out.Next == nil {
		t.Fatal("a candidate that was read-only and never held the lease is waited for")
	}
	if out := Next(newWorld(adopted, record(func(r *cluster.Record) { r.Force = true })), noon); out.Next == nil {
		t.Fatal("a person says that it is gone")
	}
}

// TestSwitchesOfTheFuture: a node whose wall clock was a year ahead wrote them.
func TestSwitchesOfTheFuture(t *testing.T) {
	year := int64(365 * 24 * 3600)
	ahead := record(func(r *cluster.Record) { r.Switches = []int64{1_000_000 + year, 1_000_001 + year, 1_000_002 + year} })
	if out := Next(newWorld(ahead, leaseSeen(time.Hour)), noon); out.Next == nil {
		t.Errorf("nothing is done for a year: %s %s", out.Why, out.Detail)
	}
	hung := fact("db1", func(f *cluster.Fact) { f.Server.State = cluster.ServerHung })
	if out := Next(newWorld(ahead, hung, sees("db2", cluster.Down, "db1")), noon); out.Next == nil {
		t.Errorf("the cool-down takes a year: %s %s", out.Why, out.Detail)
	}
}

// TestBlockedObserversAreNoWitnesses: who promised has blocked its own path to
// every other server, until it follows the new primary.
func TestBlockedObserversAreNoWitnesses(t *testing.T) {
	serving := func(w *World) {
		electingAfterDb1(w)
		w.Record.Phase, w.Record.Primary = cluster.PhasePromoting, "db2"
		w.Lease.Epoch, w.Lease.Holder = 6, "db2"
		fact("db2", func(f *cluster.Fact) { f.Serving, f.Server.Replica = 6, cluster.ReplicaFact{} })(w)
	}
	w := newWorld(promise("db1", "0-1-100"), promise("db3", "0-1-100"), serving, sees("db1", cluster.Down, "db2"), sees("db3", cluster.Down, "db2"))
	if out := Next(w, noon); out.Next != nil {
		t.Fatalf("a healthy primary is replaced, because those that still apply have blocked their paths: %s", out.Detail)
	}
	follow := fact("db1", func(f *cluster.Fact) { f.Server.Replica.Source = "db2" })
	follow3 := fact("db3", func(f *cluster.Fact) { f.Server.Replica.Source = "db2" })
	cannot := receivesNothing("db1", "db3")
	w = newWorld(promise("db1", "0-1-100"), promise("db3", "0-1-100"), serving, sees("db1", cluster.Down, "db2"), sees("db3", cluster.Down, "db2"), follow, follow3, cannot)
	if out := Next(w, noon); out.Why != cluster.PrimaryUnreachable {
		t.Fatalf("once they follow, their word counts: %s %s", out.Why, out.Detail)
	}
}

// TestTheHoldersOwnLeaseCounts: the primary's agent runs with a longer lease
// than this node, and its last fact is too old to be compared.
func TestTheHoldersOwnLeaseCounts(t *testing.T) {
	w := newWorld(leaseSeen(5*time.Second), silent("db1"), func(w *World) { w.Lease.Length = 10 * time.Second })
	if out := Next(w, noon); out.Next != nil {
		t.Fatalf("the lease of 10 s is not over after 5 s: %s", out.Detail)
	}
	w.Lease.SeenAt = noon.Add(-11 * time.Second)
	if out := Next(w, noon); out.Next == nil {
		t.Fatal("it is over after 11 s")
	}
}

// TestTheWordOfThoseWhomThePrimaryCutsOffDoesNotCount: the gate resets their
// probes too. Both replicas are broken and were cut; the primary is well.
func TestTheWordOfThoseWhomThePrimaryCutsOffDoesNotCount(t *testing.T) {
	cut := fact("db1", func(f *cluster.Fact) { f.AckCut = []cluster.NodeName{"db2", "db3"} })
	w := newWorld(sees("db2", cluster.Down, "db1"), sees("db3", cluster.Down, "db1"), receivesNothing("db2", "db3"), cut)
	if out := Next(w, noon); out.Next != nil {
		t.Fatalf("a healthy primary is replaced: %s", out.Detail)
	}
}

// TestTheOldPrimarysWordAfterARestart: MariaDB that starts with
// init_rpl_role=SLAVE, as ours do, throws away what was not committed in the
// engine for good. A killed server loses the newest transactions by that which
// clients saw answered (2 of 5 tries with kill -9 at full load, sync_binlog and
// innodb_flush_log_at_trx_commit at 1). The replicas that acknowledged have them.
func TestTheOldPrimarysWordAfterARestart(t *testing.T) {
	began := func(start string, members ...cluster.NodeName) change {
		return record(func(r *cluster.Record) {
			r.Failed, r.Quorums[0].Start, r.Quorums[0].Members = nil, start, members
		})
	}
	for name, tt := range map[string]struct {
		world World
		why   cluster.Reason
	}{
		"the same life of the server: its word is enough": {newWorld(electingAfterDb1, promise("db1", "0-1-100"), began("s-db1", "db2", "db3")), cluster.PromisesIn},
		"another life: it may have lost what db2 has":     {newWorld(electingAfterDb1, promise("db1", "0-1-100"), began("s-older", "db2", "db3")), cluster.AwaitingPromises},
		"another life, and the others have promised":      {newWorld(electingAfterDb1, promise("db1", "0-1-100"), promise("db2", "0-1-101"), promise("db3", "0-1-100"), began("s-older", "db2", "db3")), cluster.PromisesIn},
		"another life, and nobody else acknowledged":      {newWorld(electingAfterDb1, promise("db1", "0-1-100"), began("s-older"), waited), cluster.PromisesIn},
	} {
		t.Run(name, func(t *testing.T) {
			if out := Next(tt.world, noon); out.Why != tt.why {
				t.Fatalf("got %q (%s), want %q", out.Why, out.Detail, tt.why)
			}
		})
	}
}

// waited has the time be over for which promises are waited for that an election
// could do without.
func waited(w *World) { w.PhaseAt = noon.Add(-w.Settings.PromiseWait) }

// TestWhatARestartedPrimaryDroppedIsAwaited: nobody acknowledged db1's last writes,
// so its own data is elected. But its server has restarted since and may have
// dropped the end of its log, which db2 had received. Promoted without it, db1
// would give the same numbers to other transactions, and nobody could tell db2's
// from those.
func TestWhatARestartedPrimaryDroppedIsAwaited(t *testing.T) {
	began := func(start string) change {
		return record(func(r *cluster.Record) {
			r.Failed, r.Quorums[0].Start, r.Quorums[0].Members = nil, start, nil
		})
	}
	id := fact("db1", func(f *cluster.Fact) { f.Server.ID = 1 })
	has := func(at string) change {
		return fact("db2", func(f *cluster.Fact) { f.Server.Replica.Received = position(at) })
	}
	held := fact("db2", func(f *cluster.Fact) { f.Held = "errant" })
	for name, tt := range map[string]struct {
		world World
		why   cluster.Reason
	}{
		"the others are given a moment to promise":               {newWorld(electingAfterDb1, id, promise("db1", "0-1-100"), began("s-older")), cluster.AwaitingPromises},
		"the same life dropped nothing: nobody is waited for":    {newWorld(electingAfterDb1, id, promise("db1", "0-1-100"), began("s-db1"), has("0-1-102")), cluster.PromisesIn},
		"db2 had received more: it is waited for, however long":  {newWorld(electingAfterDb1, id, promise("db1", "0-1-100"), began("s-older"), has("0-1-102"), waited), cluster.AwaitingPromises},
		"it is dead: it is waited for all the same":              {newWorld(electingAfterDb1, id, promise("db1", "0-1-100"), began("s-older"), has("0-1-102"), silent("db2"), waited), cluster.AwaitingPromises},
		"it has promised: the winner fetches it":                 {newWorld(electingAfterDb1, id, promise("db1", "0-1-100"), promise("db2", "0-1-102"), began("s-older"), has("0-1-102"), waited), cluster.PromisesIn},
		"it has promised and died since: it is waited for":       {newWorld(electingAfterDb1, id, promise("db1", "0-1-100"), promise("db2", "0-1-102"), began("s-older"), has("0-1-102"), silent("db2"), waited), cluster.AwaitingPromises},
		"another who promised has it, too":                       {newWorld(electingAfterDb1, id, promise("db1", "0-1-100"), promise("db3", "0-1-102"), began("s-older"), has("0-1-102"), waited), cluster.PromisesIn},
		"what it has beyond that is another's: that is no loss":  {newWorld(electingAfterDb1, id, promise("db1", "0-1-100"), began("s-older"), has("0-1-100,0-2-50"), waited), cluster.PromisesIn},
		"it has diverged: a person decides over it":              {newWorld(electingAfterDb1, id, promise("db1", "0-1-100"), began("s-older"), has("0-1-102"), held, waited), cluster.PromisesIn},
		"a person says that it is not to be waited for any more": {newWorld(electingAfterDb1, id, promise("db1", "0-1-100"), began("s-older"), has("0-1-102"), record(func(r *cluster.Record) { r.Force = true }), waited), cluster.PromisesIn},
	} {
		t.Run(name, func(t *testing.T) {
			if out := Next(tt.world, noon); out.Why != tt.why {
				t.Fatalf("got %q (%s), want %q", out.Why, out.Detail, tt.why)
			}
		})
	}
}

// TestAReignRemembersTheLifeOfItsServer: from the moment at which it is chosen, and
// again when it has begun, for the candidate may have restarted in between.
func TestAReignRemembersTheLifeOfItsServer(t *testing.T) {
	out := Next(newWorld(electingAfterDb1, promise("db2", "0-1-100"), promise("db3", "0-1-100")), noon)
	if out.Next == nil || out.Next.Acks().Start != "s-db2" {
		t.Fatalf("got %+v", out.Next)
	}
	serving := func(w *World) {
		w.Record = *out.Next
		w.Lease.Epoch, w.Lease.Holder = 6, "db2"
		fact("db2", func(f *cluster.Fact) { f.Serving, f.Marked, f.Endpoints, f.Server.Start = 6, 6, 6, "s-db2-again" })(w)
	}
	if out := Next(newWorld(serving), noon); out.Next == nil || out.Next.Phase != cluster.PhaseSteady || out.Next.Acks().Start != "s-db2-again" {
		t.Fatalf("got %+v", out.Next)
	}
}

// TestANodeThatOnlyObservesTakesNoPart: its agent neither gates its server, nor
// promises, nor promotes. mode may differ between nodes.
func TestANodeThatOnlyObservesTakesNoPart(t *testing.T) {
	observes := func(n cluster.NodeName) change {
		return fact(n, func(f *cluster.Fact) { f.Mode = cluster.Observe })
	}
	none := func(w *World) { w.RecordRev, w.Record, w.Lease.Rev = 0, cluster.Record{}, 0 }
	if out := Next(newWorld(none, observes("db1")), noon); out.Next != nil || out.Why != cluster.ObserveOnly {
		t.Errorf("a primary is adopted whose agent does nothing: %s", out.Detail)
	}
	if out := Next(newWorld(observes("db3"), asked(cluster.Request{Kind: cluster.RequestSwitchover, To: "db3"})), noon); len(out.Refused) == 0 {
		t.Error("the role is handed to a node that will not take it")
	}
	only := record(func(r *cluster.Record) { r.Quorums[0].Members = []cluster.NodeName{"db2"} })
	if out := Next(newWorld(from("db1"), only, observes("db3")), noon); out.Next != nil {
		t.Errorf("a node that will never promise enters the ack set: %s", out.Detail)
	}
	if out := Next(newWorld(observes("db3"), asked(cluster.Request{Kind: cluster.RequestFailover, To: "db3", Force: true})), noon); len(out.Refused) == 0 {
		t.Error("a failover is begun to a node that will not take the role")
	}
	unreachable := []change{sees("db2", cluster.Down, "db1"), sees("db3", cluster.Down, "db1"), receivesNothing("db2", "db3")}
	if out := Next(newWorld(append(unreachable, observes("db3"))...), noon); out.Next == nil || out.Why != cluster.PrimaryUnreachable {
		t.Errorf("what a node sees counts although it only observes: %q %s", out.Why, out.Detail)
	}
	if out := Next(newWorld(append(unreachable, observes("db2"), observes("db3"))...), noon); out.Next != nil {
		t.Errorf("a primary that holds its lease is fenced, and nobody could take over: %s", out.Detail)
	}
	if choice, ok := Preview(newWorld(observes("db2")), "", noon); !ok || choice.Winner != "db3" || choice.Passed[0].Reason != cluster.PassedObserving {
		t.Errorf("got %+v", choice)
	}
	out := Next(newWorld(electingAfterDb1, promise("db2", "0-1-100"), observes("db3")), noon)
	if out.Next != nil || out.Why != cluster.AwaitingPromises || !strings.Contains(out.Detail, "db3 (its agent only observes") {
		t.Errorf("db3 may have acknowledged alone, and that it does not promise must be said: %q %s", out.Why, out.Detail)
	}
}

// TestACandidateThatTurnsToObservingIsGivenUp: at once, not when its time is up.
// Its server may hold the final position: it would still not promote it.
func TestACandidateThatTurnsToObservingIsGivenUp(t *testing.T) {
	observes := fact("db2", func(f *cluster.Fact) { f.Mode = cluster.Observe })
	handingOver := func(w *World) {
		w.Record.Epoch, w.Record.Phase, w.Record.Candidate, w.Lease.Epoch = 6, cluster.PhaseHandoff, "db2", 6
		fact("db1", func(f *cluster.Fact) { f.Drained = &cluster.Position{Epoch: 6, At: position("0-1-100")} })(w)
	}
	if out := Next(newWorld(handingOver, observes), noon); out.Next == nil || out.Next.Primary != "db1" || out.Why != cluster.HandoffAborted {
		t.Errorf("got %q, %+v", out.Why, out.Next)
	}
	chosen := func(w *World) {
		electingAfterDb1(w)
		w.Record.Phase, w.Record.Primary, w.Record.Required = cluster.PhasePromoting, "db2", position("0-1-100")
	}
	if out := Next(newWorld(chosen, observes), noon); out.Next == nil || out.Next.Phase != cluster.PhaseFencing || out.Why != cluster.CandidateLost || out.LeaseRev == nil {
		t.Errorf("got %q, %+v", out.Why, out.Next)
	}
}

// TestWhatIsHeldSaysUntilWhenAndWhatReleasesIt: a person who looks at a cluster
// that does not fail over must not have to read the manual.
func TestWhatIsHeldSaysUntilWhenAndWhatReleasesIt(t *testing.T) {
	hung := []change{fact("db1", func(f *cluster.Fact) { f.Server.State = cluster.ServerHung }), sees("db2", cluster.Down, "db1")}
	gone := []change{leaseSeen(time.Hour)}
	switches := func(at ...int64) change { return record(func(r *cluster.Record) { r.Switches = at }) }
	wall := func(at int64) change { return func(w *World) { w.Wall = at } }
	for name, tt := range map[string]struct {
		world World
		why   cluster.Reason
		says  string
	}{
		"the cool-down of a minute after the failover of 13:46:10": {newWorld(append(hung, switches(999_970), wall(999_971))...),
			cluster.CoolingDown, "until 1970-01-12T13:47:10Z"},
		"the cool-down is over: it acts by itself": {newWorld(append(hung, switches(999_970), wall(1_000_030))...), cluster.PrimaryHung, ""},
		"the limit holds until the first of three is an hour old": {newWorld(append(gone, switches(999_000, 999_100, 999_200))...),
			cluster.TooManyFailovers, "until 1970-01-12T14:30:00Z"},
		"of four, it is the second that must be an hour old": {newWorld(append(gone, switches(998_000, 999_000, 999_100, 999_200))...),
			cluster.TooManyFailovers, "until 1970-01-12T14:30:00Z"},
		"the hour is over: it acts by itself": {newWorld(append(gone, switches(999_000, 999_100, 999_200), wall(1_002_600))...), cluster.LeaseExpired, ""},
	} {
		t.Run(name, func(t *testing.T) {
			out := Next(tt.world, noon)
			if out.Why != tt.why || !strings.Contains(out.Detail, tt.says) {
				t.Fatalf("got %s %q, want %s and %q", out.Why, out.Detail, tt.why, tt.says)
			}
			if tt.says != "" && !strings.Contains(out.Detail, "baton failover") {
				t.Errorf("it does not say what releases it: %q", out.Detail)
			}
		})
	}
	limited := append(gone, switches(999_000, 999_100, 999_200), asked(cluster.Request{Kind: cluster.RequestFailover, By: "alice"}))
	if out := Next(newWorld(limited...), noon); out.Next == nil || len(out.Next.Switches) != 3 {
		t.Errorf("a person may always ask for it, and it does not count: %s %s", out.Why, out.Detail)
	}
}
