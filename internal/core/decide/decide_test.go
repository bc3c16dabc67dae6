package decide

import (
	"slices"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// TestNext holds what the record becomes against a sentence about the world.
func TestNext(t *testing.T) {
	hung := fact("db1", func(f *cluster.Fact) { f.Server.State = cluster.ServerHung })
	fenced := func(epoch cluster.Epoch) change {
		return func(w *World) {
			fact("db1", func(f *cluster.Fact) { f.Fenced, f.Server.State = epoch, cluster.ServerStopped })(w)
			s := w.Facts["db1"]
			s.Rev = w.Lease.Rev + 1
			w.Facts["db1"] = s
		}
	}
	promotingDb2 := func(w *World) {
		electingAfterDb1(w)
		w.Record.Phase, w.Record.Primary, w.Record.Required = cluster.PhasePromoting, "db2", position("0-1-100")
		w.Record.Quorums = append(w.Record.Quorums, cluster.AckQuorum{Epoch: 6, Primary: "db2", Members: []cluster.NodeName{"db3"}, K: 1})
	}
	handingOver := func(w *World) {
		w.Record.Epoch, w.Record.Phase, w.Record.Candidate = 6, cluster.PhaseHandoff, "db2"
		w.Lease.Epoch = 6
		w.PhaseAt = noon.Add(-10 * time.Millisecond)
	}
	serves := func(n cluster.NodeName, epoch cluster.Epoch) change {
		return func(w *World) {
			fact(n, func(f *cluster.Fact) {
				f.Epoch, f.Serving, f.Marked, f.Endpoints = epoch, epoch, epoch, epoch
			})(w)
			w.Lease.Epoch, w.Lease.Holder = epoch, n
		}
	}
	drained := fact("db1", func(f *cluster.Fact) { f.Drained = &cluster.Position{Epoch: 6, At: position("0-1-100")} })

	type want struct {
		phase   cluster.Phase // "" : the record stays
		epoch   cluster.Epoch
		primary cluster.NodeName
		why     cluster.Reason
	}
	for name, tt := range map[string]struct {
		world World
		want  want
	}{
		"all is well": {newWorld(), want{why: cluster.Nothing}},

		// Failures of a serving primary.
		"the lease has surely run out, so nothing is left to be fenced": {
			newWorld(leaseSeen(1031 * time.Millisecond)), want{cluster.PhaseElecting, 6, "", cluster.LeaseExpired}},
		"a lease that could still be valid on a slower clock is waited for": {
			newWorld(leaseSeen(1029 * time.Millisecond)), want{why: cluster.Nothing}},
		"the store does not answer, so an old lease says nothing": {
			newWorld(leaseSeen(time.Hour), func(w *World) { w.StoreSilent = true }), want{why: cluster.StoreSilent}},
		"the store has just come back, so the primary gets time to renew": {
			newWorld(leaseSeen(2*time.Second), func(w *World) { w.Lease.HeardAt = noon.Add(-400 * time.Millisecond) }), want{why: cluster.Nothing}},
		"the store has been back long enough": {
			newWorld(leaseSeen(2*time.Second), func(w *World) { w.Lease.HeardAt = noon.Add(-600 * time.Millisecond) }), want{cluster.PhaseElecting, 6, "", cluster.LeaseExpired}},
		"the primary says that it is fenced": {newWorld(fenced(5)), want{cluster.PhaseElecting, 6, "", cluster.PrimaryResigned}},
		"a fence that is older than the last renewal is another agent's": {
			newWorld(fenced(5), func(w *World) { w.Lease.Rev += 5 }), want{why: cluster.Nothing}},
		"a fence of an earlier reign says nothing of this one": {newWorld(fenced(4)), want{why: cluster.Nothing}},
		"its agent calls it hung and another node agrees":      {newWorld(hung, sees("db2", cluster.Suspect, "db1")), want{cluster.PhaseFencing, 6, "", cluster.PrimaryHung}},
		"its agent calls it hung but others get answers":       {newWorld(hung, sees("db2", cluster.Up, "db1")), want{why: cluster.Nothing}},
		"its agent says that writes do not come back": {
			newWorld(fact("db1", func(f *cluster.Fact) { f.Server.CannotWrite = "disk full" })), want{cluster.PhaseFencing, 6, "", cluster.PrimaryCannotWrite}},
		"its agent says that writes do not come back for want of room": {
			newWorld(fact("db1", func(f *cluster.Fact) {
				f.Server.CannotWrite, f.Server.CannotWriteWhy = "no room", cluster.PrimaryDiskFull
			})), want{cluster.PhaseFencing, 6, "", cluster.PrimaryDiskFull}},
		"a reason that this build does not know is no other kind of failure": {
			newWorld(fact("db1", func(f *cluster.Fact) {
				f.Server.CannotWrite, f.Server.CannotWriteWhy = "odd", "of-a-newer-version"
			})), want{cluster.PhaseFencing, 6, "", cluster.PrimaryCannotWrite}},
		"a strain alone is no failure": {newWorld(strained("db1", "locks")), want{why: cluster.Nothing}},
		"a strain upon which to fail over": {
			newWorld(strained("db1", "locks"), failOverOn("locks")), want{cluster.PhaseFencing, 6, "", cluster.PrimaryDegraded}},
		"a strain of another check than those upon which to fail over": {
			newWorld(strained("db1", "cpu"), failOverOn("locks")), want{why: cluster.Nothing}},
		"a strain that everybody else has too": {
			newWorld(strained("db1", "cpu"), strained("db2", "cpu"), strained("db3", "cpu"), failOverOn("cpu")), want{why: cluster.Nothing}},
		"a strain that one of the others has too": {
			newWorld(strained("db1", "cpu"), strained("db2", "cpu"), failOverOn("cpu")), want{cluster.PhaseFencing, 6, "", cluster.PrimaryDegraded}},
		"a strain, a moment after the last failover": {
			newWorld(strained("db1", "locks"), failOverOn("locks"), func(w *World) {
				w.Settings.CoolDown, w.Record.Switches = time.Minute, []int64{w.Wall - 10}
			}), want{why: cluster.CoolingDown}},
		"replicas still receive, so it is our network": {
			newWorld(sees("db2", cluster.Down, "db1"), sees("db3", cluster.Down, "db1")), want{why: cluster.ObserversCutOff}},
		"a majority cannot reach it and nobody receives": {
			newWorld(sees("db2", cluster.Down, "db1"), sees("db3", cluster.Down, "db1"), receivesNothing("db2", "db3")), want{cluster.PhaseFencing, 6, "", cluster.PrimaryUnreachable}},
		"one of three is no majority": {
			newWorld(sees("db2", cluster.Down, "db1"), receivesNothing("db2", "db3")), want{why: cluster.NoMajority}},
		"it is unreachable, but nobody else could serve": {
			newWorld(sees("db2", cluster.Down, "db1"), sees("db3", cluster.Down, "db1"), receivesNothing("db2", "db3"),
				fact("db2", func(f *cluster.Fact) { f.Server.State = cluster.ServerStopped }), fact("db3", func(f *cluster.Fact) { f.Held = "diverged" })), want{why: cluster.Nothing}},
		"the clients' network is dead on the primary":        {newWorld(network("db1", cluster.Down)), want{cluster.PhaseFencing, 6, "", cluster.NetworkLost}},
		"the clients' network looks bad on the primary":      {newWorld(network("db1", cluster.Suspect)), want{why: cluster.Nothing}},
		"the clients' network is dead on a replica":          {newWorld(network("db2", cluster.Down)), want{why: cluster.Nothing}},
		"it is dead on the primary and on one replica":       {newWorld(network("db1", cluster.Down), network("db2", cluster.Down)), want{cluster.PhaseFencing, 6, "", cluster.NetworkLost}},
		"it is dead or bad everywhere: nobody is better off": {newWorld(network("db1", cluster.Down), network("db2", cluster.Down), network("db3", cluster.Suspect)), want{why: cluster.Nothing}},

		// Limits on automation.
		"paused, nothing automatic happens": {
			newWorld(leaseSeen(time.Hour), record(func(r *cluster.Record) { r.Paused = &cluster.Pause{By: "alice"} })), want{why: cluster.IsPaused}},
		"a node runs with other settings": {
			newWorld(leaseSeen(time.Hour), fact("db3", func(f *cluster.Fact) { f.Config = "c2" })), want{why: cluster.ConfigDiffers}},
		"a hung primary right after a failover is left alone": {
			newWorld(hung, sees("db2", cluster.Down, "db1"), record(func(r *cluster.Record) { r.Switches = []int64{1_000_000 - 30} })), want{why: cluster.CoolingDown}},
		"a dead primary right after a failover is replaced": {
			newWorld(leaseSeen(time.Hour), record(func(r *cluster.Record) { r.Switches = []int64{1_000_000 - 30} })), want{cluster.PhaseElecting, 6, "", cluster.LeaseExpired}},
		"the fourth failover within an hour waits for a person": {
			newWorld(leaseSeen(time.Hour), record(func(r *cluster.Record) { r.Switches = []int64{999_000, 999_100, 999_200} })), want{why: cluster.TooManyFailovers}},
		"three failovers, the first of them long ago": {
			newWorld(leaseSeen(time.Hour), record(func(r *cluster.Record) { r.Switches = []int64{900_000, 999_100, 999_200} })), want{cluster.PhaseElecting, 6, "", cluster.LeaseExpired}},

		// Fencing.
		"the fenced primary reports it": {
			newWorld(electingAfterDb1, phase(cluster.PhaseFencing, 0), fenced(5)), want{cluster.PhaseElecting, 6, "", cluster.PrimaryFenced}},
		"nothing is heard of the fenced primary, its lease may last": {
			newWorld(electingAfterDb1, phase(cluster.PhaseFencing, 0)), want{why: cluster.AwaitingFence}},
		"nothing is heard of the fenced primary, its lease is over": {
			newWorld(electingAfterDb1, phase(cluster.PhaseFencing, 0), leaseSeen(2*time.Second)), want{cluster.PhaseElecting, 6, "", cluster.LeaseExpired}},

		// Elections.
		"the old primary, whose disk is full, has promised first: the others are waited for": {
			newWorld(electingAfterDb1, promise("db1", "0-1-100")), want{why: cluster.AwaitingPromises}},
		"the others do not promise: it is better than nobody": {
			newWorld(electingAfterDb1, promise("db1", "0-1-100"), phase(cluster.PhaseElecting, time.Second)), want{cluster.PhasePromoting, 6, "db1", cluster.PromisesIn}},
		"it has promised first, and nobody else is alive": {
			newWorld(electingAfterDb1, promise("db1", "0-1-100"), fact("db2", serverDown), fact("db3", serverDown)), want{cluster.PhasePromoting, 6, "db1", cluster.PromisesIn}},
		"clients do not reach the first that promised": {
			newWorld(electingAfterDb1, promise("db1", "0-1-100"), promise("db2", "0-1-100"), network("db2", cluster.Down)), want{why: cluster.AwaitingPromises}},
		"clients reach the second": {
			newWorld(electingAfterDb1, promise("db1", "0-1-100"), promise("db2", "0-1-100"), promise("db3", "0-1-100"), network("db2", cluster.Down)), want{cluster.PhasePromoting, 6, "db3", cluster.PromisesIn}},
		"one of two promises is not enough": {
			newWorld(electingAfterDb1, promise("db2", "0-1-100")), want{why: cluster.AwaitingPromises}},
		"both promises are in and equal, the name decides": {
			newWorld(electingAfterDb1, promise("db2", "0-1-100"), promise("db3", "0-1-100")), want{cluster.PhasePromoting, 6, "db2", cluster.PromisesIn}},
		"the old primary's own promise is enough": {
			newWorld(electingAfterDb1, promise("db1", "0-1-100"), record(func(r *cluster.Record) { r.Failed = nil })), want{cluster.PhasePromoting, 6, "db1", cluster.PromisesIn}},
		"the old primary is well and not to blame, so its promise is waited for": {
			newWorld(electingAfterDb1, promise("db2", "0-1-100"), promise("db3", "0-1-100"), fact("db1", func(f *cluster.Fact) { f.Fenced = 5 }),
				record(func(r *cluster.Record) { r.Failed = nil })), want{why: cluster.AwaitingPromises}},
		"the old primary is well and promised like the others: the role stays": {
			newWorld(electingAfterDb1, promise("db1", "0-1-100"), promise("db2", "0-1-100"), promise("db3", "0-1-100"), record(func(r *cluster.Record) { r.Failed, r.Previous = nil, "db3" })),
			want{cluster.PhasePromoting, 6, "db3", cluster.PromisesIn}},
		"the old primary is to blame, so nobody waits for its promise": {
			newWorld(electingAfterDb1, promise("db2", "0-1-100"), promise("db3", "0-1-100"), fact("db1", func(f *cluster.Fact) { f.Fenced = 5 })),
			want{cluster.PhasePromoting, 6, "db2", cluster.PromisesIn}},
		"a promise for an earlier epoch is none": {
			newWorld(electingAfterDb1, promise("db2", "0-1-100"), promise("db3", "0-1-100"),
				fact("db3", func(f *cluster.Fact) { f.Promise.Epoch = 5 })), want{why: cluster.AwaitingPromises}},
		"the reign before has not been marked yet, so both must be satisfied": {
			newWorld(electingAfterDb1, promise("db2", "0-1-100"), record(func(r *cluster.Record) {
				r.Quorums = []cluster.AckQuorum{{Epoch: 4, Primary: "db3", Members: []cluster.NodeName{"db1"}, K: 1}, {Epoch: 5, Primary: "db1", Members: []cluster.NodeName{"db2"}, K: 1}}
			})), want{why: cluster.AwaitingPromises}},
		"nobody acknowledged the old primary: only its data will do": {
			newWorld(electingAfterDb1, promise("db2", "0-1-100"), promise("db3", "0-1-100"), record(func(r *cluster.Record) {
				r.Quorums = []cluster.AckQuorum{{Epoch: 5, Primary: "db1", K: 1}}
			})), want{why: cluster.AwaitingPromises}},
		"a person forces the election with one promise": {
			newWorld(electingAfterDb1, promise("db2", "0-1-100"), record(func(r *cluster.Record) { r.Force = true })), want{cluster.PhasePromoting, 6, "db2", cluster.PromisesIn}},
		"asynchronous: a living replica may still promise": {
			newWorld(electingAfterDb1, promise("db2", "0-1-100"), async), want{why: cluster.AwaitingPromises}},
		"asynchronous: the wait for more promises is over": {
			newWorld(electingAfterDb1, promise("db2", "0-1-100"), async, phase(cluster.PhaseElecting, 2*time.Second)), want{cluster.PhasePromoting, 6, "db2", cluster.PromisesIn}},

		// Promotion.
		"the candidate still applies": {
			newWorld(promotingDb2), want{why: cluster.AwaitingCatchUp}},
		"the candidate falls silent before it holds the lease": {
			newWorld(promotingDb2, phase(cluster.PhasePromoting, 3*time.Second), silent("db2")), want{cluster.PhaseFencing, 7, "", cluster.CandidateLost}},
		"the candidate makes no progress": {
			newWorld(promotingDb2, phase(cluster.PhasePromoting, 6*time.Second)), want{cluster.PhaseFencing, 7, "", cluster.CandidateStalled}},
		"the candidate has not been slow for long": {
			newWorld(promotingDb2, phase(cluster.PhasePromoting, 4*time.Second)), want{why: cluster.AwaitingCatchUp}},
		"the candidate serves but nobody has acknowledged its reign": {
			newWorld(promotingDb2, serves("db2", 6), fact("db2", func(f *cluster.Fact) { f.Marked = 0 })), want{why: cluster.AwaitingMarker}},
		"the candidate serves and everything is verified": {
			newWorld(promotingDb2, serves("db2", 6)), want{cluster.PhaseSteady, 6, "db2", cluster.ReignBegan}},
		"an endpoint that does not come does not hold the reign up": {
			newWorld(promotingDb2, serves("db2", 6), fact("db2", func(f *cluster.Fact) { f.Endpoints = 0 }), phase(cluster.PhasePromoting, 6*time.Second)), want{cluster.PhaseSteady, 6, "db2", cluster.ReignBegan}},
		"the candidate's lease ran out while it was being verified": {
			newWorld(promotingDb2, serves("db2", 6), leaseSeen(2*time.Second)), want{cluster.PhaseElecting, 7, "", cluster.LeaseExpired}},

		// Planned switches.
		"the primary still drains":               {newWorld(handingOver), want{why: cluster.AwaitingDrain}},
		"the candidate holds the final position": {newWorld(handingOver, drained), want{cluster.PhasePromoting, 7, "db2", cluster.DrainedAndApplied}},
		"the candidate lacks some of it": {
			newWorld(handingOver, drained, fact("db2", func(f *cluster.Fact) { f.Server.Executed = position("0-1-99") })), want{why: cluster.AwaitingDrain}},
		"a final position of another handoff does not count": {
			newWorld(handingOver, fact("db1", func(f *cluster.Fact) { f.Drained = &cluster.Position{Epoch: 4, At: position("0-1-1")} })), want{why: cluster.AwaitingDrain}},
		"the handoff takes too long, so the primary goes on": {
			newWorld(handingOver, phase(cluster.PhaseHandoff, 11*time.Second)), want{cluster.PhasePromoting, 7, "db1", cluster.HandoffTimedOut}},
		"the candidate is lost, so the primary goes on": {
			newWorld(handingOver, silent("db2")), want{cluster.PhasePromoting, 7, "db1", cluster.HandoffAborted}},
		"the primary dies while it hands over": {
			newWorld(handingOver, leaseSeen(2*time.Second)), want{cluster.PhaseElecting, 7, "", cluster.LeaseExpired}},
	} {
		t.Run(name, func(t *testing.T) {
			out := Next(tt.world, noon)
			got := want{why: out.Why}
			if out.Next != nil {
				got.phase, got.epoch, got.primary = out.Next.Phase, out.Next.Epoch, out.Next.Primary
			}
			if got != tt.want {
				t.Fatalf("got %+v (%s), want %+v", got, out.Detail, tt.want)
			}
			endsReign := out.Next != nil && out.Next.Primary != tt.world.Record.Primary && tt.world.Record.Primary != ""
			if endsReign && (out.LeaseRev == nil || *out.LeaseRev != tt.world.Lease.Rev) {
				t.Error("a swap that ends a reign must be guarded by the lease's revision")
			}
		})
	}
}

func async(w *World) {
	w.Settings.Durability = cluster.Async
	for i := range w.Record.Quorums {
		w.Record.Quorums[i].K, w.Record.Quorums[i].Members = 0, nil
	}
}

// TestRequests holds what persons are answered.
func TestRequests(t *testing.T) {
	for name, tt := range map[string]struct {
		world   World
		phase   cluster.Phase
		refused bool
	}{
		"a switchover to a replica that keeps up begins":     {newWorld(asked(cluster.Request{Kind: cluster.RequestSwitchover, To: "db3"})), cluster.PhaseHandoff, false},
		"a switchover to nobody in particular begins":        {newWorld(asked(cluster.Request{Kind: cluster.RequestSwitchover})), cluster.PhaseHandoff, false},
		"a switchover to the primary is refused":             {newWorld(asked(cluster.Request{Kind: cluster.RequestSwitchover, To: "db1"})), "", true},
		"a switchover to an unknown node is refused":         {newWorld(asked(cluster.Request{Kind: cluster.RequestSwitchover, To: "db9"})), "", true},
		"a switchover while another runs is refused":         {newWorld(electingAfterDb1, asked(cluster.Request{Kind: cluster.RequestSwitchover})), "", true},
		"a switchover from a screen that is old is refused":  {newWorld(asked(cluster.Request{Kind: cluster.RequestSwitchover, Epoch: 4})), "", true},
		"a switchover to a diverged replica is refused":      {newWorld(asked(cluster.Request{Kind: cluster.RequestSwitchover, To: "db3"}), fact("db3", func(f *cluster.Fact) { f.Errant = position("0-3-7") })), "", true},
		"a switchover to one that does not follow":           {newWorld(asked(cluster.Request{Kind: cluster.RequestSwitchover, To: "db3"}), fact("db3", func(f *cluster.Fact) { f.Server.Replica.Receiver = false })), "", true},
		"a failover takes the role from a living primary":    {newWorld(asked(cluster.Request{Kind: cluster.RequestFailover})), cluster.PhaseFencing, false},
		"a failover while one runs already is refused":       {newWorld(electingAfterDb1, asked(cluster.Request{Kind: cluster.RequestFailover})), "", true},
		"a forced failover decides an election that lingers": {newWorld(electingAfterDb1, asked(cluster.Request{Kind: cluster.RequestFailover, Force: true})), cluster.PhaseElecting, false},
		"a pause":  {newWorld(asked(cluster.Request{Kind: cluster.RequestPause})), cluster.PhaseSteady, false},
		"a resume": {newWorld(asked(cluster.Request{Kind: cluster.RequestResume})), cluster.PhaseSteady, false},
	} {
		t.Run(name, func(t *testing.T) {
			out := Next(tt.world, noon)
			if tt.refused {
				if out.Next != nil || len(out.Refused) != 1 || out.Refused[0].Refused == "" {
					t.Fatalf("want a refusal with its reason, got %+v", out)
				}
				return
			}
			if out.Next == nil || out.Next.Phase != tt.phase || !slices.Equal(out.Done, []string{"r1"}) {
				t.Fatalf("want phase %s and the request done, got %+v", tt.phase, out)
			}
		})
	}
}

// TestBootstrap holds how a cluster gets its first record.
func TestBootstrap(t *testing.T) {
	fresh := func(w *World) {
		w.RecordRev, w.Record, w.Lease.Rev = 0, cluster.Record{}, 0
		for _, n := range []cluster.NodeName{"db1", "db2", "db3"} {
			fact(n, func(f *cluster.Fact) { f.Epoch, f.Serving, f.Marked = 0, 0, 0 })(w)
		}
	}
	readOnly := fact("db1", func(f *cluster.Fact) { f.Server.ReadOnly = true })
	alone := func(n cluster.NodeName) change {
		return fact(n, func(f *cluster.Fact) { f.Server.Replica = cluster.ReplicaFact{} })
	}
	for name, tt := range map[string]struct {
		world   World
		phase   cluster.Phase
		primary cluster.NodeName
		why     cluster.Reason
	}{
		"a node has not reported":                          {newWorld(fresh, silent("db3")), "", "", cluster.AwaitingNodes},
		"one writable server with replicas is adopted":     {newWorld(fresh), cluster.PhasePromoting, "db1", cluster.Bootstrapped},
		"a writable server that nobody follows is not":     {newWorld(fresh, alone("db3")), "", "", cluster.NoOneHoldsAll},
		"two writable servers wait for a person":           {newWorld(fresh, fact("db2", func(f *cluster.Fact) { f.Server.ReadOnly = false })), "", "", cluster.TwoWritable},
		"three new servers elect":                          {newWorld(fresh, readOnly, alone("db2"), alone("db3")), cluster.PhaseElecting, "", cluster.Bootstrapped},
		"read-only servers with settings that differ wait": {newWorld(fresh, readOnly, fact("db3", func(f *cluster.Fact) { f.Config = "c2" })), "", "", cluster.ConfigDiffers},
	} {
		t.Run(name, func(t *testing.T) {
			out := Next(tt.world, noon)
			var phase cluster.Phase
			var primary cluster.NodeName
			if out.Next != nil {
				phase, primary = out.Next.Phase, out.Next.Primary
			}
			if phase != tt.phase || primary != tt.primary || out.Why != tt.why {
				t.Fatalf("got %q %q %q (%s), want %q %q %q", phase, primary, out.Why, out.Detail, tt.phase, tt.primary, tt.why)
			}
		})
	}
}

// TestAckSet follows the ack set through leaving and joining.

// TestAStoreFoundedAnewGoesOnAboveWhatNodesRemember: an agent refuses a record of
// an older epoch than it has seen, so a first one must be newer than all.
func TestAStoreFoundedAnewGoesOnAboveWhatNodesRemember(t *testing.T) {
	noRecord := func(w *World) { w.Record, w.RecordRev = cluster.Record{}, 0 }
	remembers := func(n cluster.NodeName, seen, marker cluster.Epoch) func(*World) {
		return fact(n, func(f *cluster.Fact) { f.Seen, f.Server.Marker = seen, marker })
	}
	for name, tt := range map[string]struct {
		world World
		want  cluster.Epoch
	}{
		"nobody remembers anything":              {newWorld(noRecord, remembers("db1", 0, 0), remembers("db2", 0, 0), remembers("db3", 0, 0)), 1},
		"an agent has seen more than the others": {newWorld(noRecord, remembers("db1", 6, 6), remembers("db2", 9, 6), remembers("db3", 0, 0)), 10},
		"the agents forgot, their data did not":  {newWorld(noRecord, remembers("db1", 0, 7), remembers("db2", 0, 7), remembers("db3", 0, 6)), 8},
	} {
		t.Run(name, func(t *testing.T) {
			out := Next(tt.world, noon)
			if out.Next == nil || out.Next.Epoch != tt.want ||
				!slices.ContainsFunc(out.Next.Quorums, func(q cluster.AckQuorum) bool { return q.Epoch == tt.want }) {
				t.Errorf("%s %s: %+v, want epoch %d", out.Why, out.Detail, out.Next, tt.want)
			}
		})
	}
	old := newWorld(func(w *World) { w.WentBack = "the record is of epoch 1" })
	if out := Next(old, noon); out.Next != nil || out.Why != cluster.StoreWentBack {
		t.Errorf("an old record was acted on: %+v", out)
	}
}

func TestAckSet(t *testing.T) {
	cut := func(at string, names ...cluster.NodeName) change {
		return fact("db1", func(f *cluster.Fact) { f.AckCut, f.CutAt = names, position(at) })
	}
	empty := record(func(r *cluster.Record) { r.Quorums[0].Members = nil })
	only := func(n cluster.NodeName) change {
		return record(func(r *cluster.Record) { r.Quorums[0].Members = []cluster.NodeName{n} })
	}
	acknowledgesNot := func(n cluster.NodeName) change {
		return fact(n, func(f *cluster.Fact) { f.Server.Replica.SemiSync = false })
	}
	for name, tt := range map[string]struct {
		world   World
		why     cluster.Reason
		members []cluster.NodeName
		joining cluster.NodeName
	}{
		"nobody leaves whose replication is not cut":             {newWorld(from("db1")), cluster.Nothing, nil, ""},
		"one leaves when the other holds everything":             {newWorld(from("db1"), cut("0-1-100", "db3")), cluster.AckLeft, []cluster.NodeName{"db2"}, ""},
		"nobody leaves before the other holds everything":        {newWorld(from("db1"), cut("0-1-101", "db3")), cluster.Nothing, nil, ""},
		"the last one leaves: only the primary's data counts":    {newWorld(from("db1"), only("db2"), cut("0-1-101", "db2", "db3")), cluster.AckLeft, []cluster.NodeName{}, ""},
		"the last one stays where commits are to wait":           {newWorld(from("db1"), only("db2"), cut("0-1-101", "db2", "db3"), func(w *World) { w.Settings.Alone = cluster.AloneWait }), cluster.Nothing, nil, ""},
		"another node does not decide it":                        {newWorld(from("db2"), cut("0-1-100", "db3")), cluster.Nothing, nil, ""},
		"a replica that caught up enters before it acknowledges": {newWorld(from("db1"), only("db2"), acknowledgesNot("db3")), cluster.AckJoined, []cluster.NodeName{"db2", "db3"}, ""},
		"a replica far behind does not enter":                    {newWorld(from("db1"), only("db2"), fact("db1", func(f *cluster.Fact) { f.Server.Executed = position("0-1-5000") })), cluster.Nothing, nil, ""},
		"a replica that is cut does not enter":                   {newWorld(from("db1"), only("db2"), cut("0-1-100", "db3")), cluster.Nothing, nil, ""},
		"into an empty set one is invited first":                 {newWorld(from("db1"), empty), cluster.AckJoining, nil, "db2"},
		"the invited one enters once it holds everything":        {newWorld(from("db1"), empty, record(func(r *cluster.Record) { r.Joining = "db2" })), cluster.AckJoined, []cluster.NodeName{"db2"}, ""},
		"the invited one does not enter before it acknowledges":  {newWorld(from("db1"), empty, record(func(r *cluster.Record) { r.Joining = "db2" }), acknowledgesNot("db2")), cluster.Nothing, nil, ""},
		"the invited one does not enter before commits wait":     {newWorld(from("db1"), empty, record(func(r *cluster.Record) { r.Joining = "db2" }), fact("db1", func(f *cluster.Fact) { f.Server.SemiSrc.Enabled = false })), cluster.Nothing, nil, ""},
		"one that lost what it wrote itself enters before it follows": {newWorld(from("db1"), only("db2"), fact("db1", func(f *cluster.Fact) { f.Server.Executed = position("0-1-100,0-7-95") }),
			fact("db3", func(f *cluster.Fact) {
				f.Server.ID, f.Server.Executed, f.Server.Replica = 7, position("0-1-50,0-7-90"), cluster.ReplicaFact{}
			})), cluster.AckJoined, []cluster.NodeName{"db2", "db3"}, ""},
		"the invited one is let go when it does not follow": {newWorld(from("db1"), empty, record(func(r *cluster.Record) { r.Joining = "db2" }), silent("db2"), cut("0-1-100", "db2")), cluster.AckLeft, []cluster.NodeName{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			out := Next(tt.world, noon)
			if out.Why != tt.why {
				t.Fatalf("got %q (%s), want %q", out.Why, out.Detail, tt.why)
			}
			if out.Next == nil {
				return
			}
			if got := out.Next.Acks().Members; !slices.Equal(got, tt.members) || out.Next.Joining != tt.joining {
				t.Errorf("members %v, joining %q; want %v, %q", got, out.Next.Joining, tt.members, tt.joining)
			}
			if out.Next.Epoch != 5 || out.Next.Primary != "db1" {
				t.Errorf("the reign must go on, got epoch %d of %s", out.Next.Epoch, out.Next.Primary)
			}
		})
	}
}

func strained(n cluster.NodeName, check string) func(*World) {
	return fact(n, func(f *cluster.Fact) {
		f.Strains = []cluster.Strain{{Check: check, Detail: check + ": too much"}}
	})
}

func failOverOn(checks ...string) func(*World) {
	return func(w *World) { w.Settings.FailOverOn = checks }
}
