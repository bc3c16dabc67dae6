package agent

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/core/lease"
	"github.com/baton-db/baton/internal/core/node"
	"github.com/baton-db/baton/internal/core/reconcile"
)

// reviewed is the loop of db1, which the record names at epoch 5, revision 51.
func reviewed() *loop {
	s := cluster.Settings{
		Nodes: []cluster.Node{{Name: "db1", Role: cluster.Data}, {Name: "db2", Role: cluster.Data}, {Name: "db3", Role: cluster.Data}},
		Lease: time.Second, Renew: 250 * time.Millisecond, Call: 125 * time.Millisecond, Durability: cluster.Lossless, Acks: 1,
	}
	l := &loop{Node: node.Node{Self: "db1", Settings: s, Board: node.NewBoard(), Conditions: node.Conditions{}}, log: slog.New(slog.DiscardHandler), wall: time.Now,
		keeper: &keeper{keeps: node.Keeper{Settings: s, Self: "db1"}}, hearing: &hearing{}, lanes: &lanes{}}
	l.Board.Record = cluster.Record{Schema: cluster.Schema, Epoch: 5, Phase: cluster.PhaseSteady, Primary: "db1",
		Quorums: []cluster.AckQuorum{{Epoch: 5, Primary: "db1", Members: []cluster.NodeName{"db2", "db3"}, K: 1}}}
	l.Board.RecordRev = 51
	return l
}

// TestACutCountsOnlyWithThePositionReadAfterIt: db3 was cut once before, at 50,
// and has come back since. It is cut again; before the step has read the position,
// or because the step was abandoned, the look around reports the kernel's set. What
// db3 acknowledged between 50 and now may be nowhere else.
func TestACutCountsOnlyWithThePositionReadAfterIt(t *testing.T) {
	l := reviewed()
	l.CutAt = gtid.MustParse("0-1-50")
	l.sawGate(GateState{Mode: reconcile.GateOpenLeased, Cut: []cluster.NodeName{"db3"}})
	if f := l.Own(); slices.Contains(f.AckCut, "db3") && !f.CutAt.IsZero() {
		t.Errorf("the fact says that db3 is cut at %s, which is the position of an earlier cut", f.CutAt)
	}
}

// TestAFactSpeaksOfARecordOnlyOnceItIsActedOn: the primary lets a node replicate
// again that says, under the present record, that it does not acknowledge. Here a
// step of an earlier record is still on its way to switch that on.
func TestAFactSpeaksOfARecordOnlyOnceItIsActedOn(t *testing.T) {
	l := reviewed()
	l.Self = "db3"
	l.Board.Record.Quorums[0].Members = []cluster.NodeName{"db2"}
	l.lanes.Begun(reconcile.Step{Kind: reconcile.Follow, Lane: reconcile.LaneServer, Epoch: 5, Node: "db1", On: true})
	if f := l.Own(); f.RecordRev == 51 {
		t.Error("the fact claims that this node has acted on revision 51 while `follow db1 on` of an earlier one runs")
	}
}

// TestANewAgentExtendsAGateThatItFindsOpen: the gate is open for what is left of
// the old agent's lease. The new agent holds the lease and must extend it, or it
// shuts in the face of the clients.
func TestANewAgentExtendsAGateThatItFindsOpen(t *testing.T) {
	l := reviewed()
	now := clock.Now()
	l.keeper.keeps.Held = lease.Held{Epoch: 5, Until: now.Add(time.Minute)}
	l.Server = cluster.ServerFact{State: cluster.ServerUp, SemiSrc: cluster.SemiSyncFact{Enabled: true}}
	l.sawGate(GateState{Mode: reconcile.GateOpenLeased})
	if plan := reconcile.Next(l.Input(l.senses(now))); !plan.Has(reconcile.GateLease) {
		t.Errorf("nobody extends the gate: %v", plan.Steps)
	}
}

// TestTheHoldersLeaseIsPassedOn: other nodes wait for no less than it.
func TestTheHoldersLeaseIsPassedOn(t *testing.T) {
	l := reviewed()
	l.keeper.want(5, 51, true)
	if sent := l.keeper.next().Lease; sent.Length != time.Second {
		t.Errorf("the renewal says that it lasts %s, want 1s", sent.Length)
	}
	l.Board.SawLease(cluster.Lease{Epoch: 5, Holder: "db2", Length: 10 * time.Second}, 90, clock.Now())
	if got := l.Board.Lease.Length; got != 10*time.Second {
		t.Errorf("a renewal for 10 s was seen, and %s is waited for", got)
	}
}

// TestWhatAnOldPrimaryCouldNotWriteIsForgotten: its disk was full, it was replaced,
// the disk was mended. Without this it is deposed again as soon as it serves.
func TestWhatAnOldPrimaryCouldNotWriteIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := reviewed()
		l.CannotWrite = "disk full"
		l.Board.Record.Primary = "db2"
		a := &Agent{Options: Options{Config: &config.Config{Node: "db1"}, Log: l.log}, settings: l.Settings, events: make(chan event, 100)}
		a.Config.Detection.Normal = time.Second
		a.current.Store(&inForce{config: a.Config, settings: l.Settings})
		h := &hostParts{process: &serverProcess{}, hands: &hands{situation: func() (cluster.Record, map[cluster.NodeName]cluster.Fact) { return l.Board.Record, nil }}}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		h.proveWriting(ctx, a)
		for len(a.events) > 0 {
			(<-a.events)(l)
		}
		if l.CannotWrite != "" {
			t.Errorf("it still says %q", l.CannotWrite)
		}
	})
}

// TestAHostWithoutAFirewallCutsNobody: waiting for a cut that cannot be made, it
// would never serve.
func TestAHostWithoutAFirewallCutsNobody(t *testing.T) {
	l := reviewed()
	c := &config.Config{Node: "db1", Nodes: []config.Node{{Name: "db1"}}}
	h := &hostParts{gate: &weakGate{}, hands: &hands{rewinder: &rewinder{dir: t.TempDir()}}, observer: &observer{}, cloner: &cloner{}}
	h.join(&Agent{Options: Options{Config: c, Log: l.log}}, l)
	if !l.Host.NoCut {
		t.Error("the loop does not know that this host cannot cut anybody off")
	}
	l.sawGate(GateState{Mode: reconcile.GateOpenLeased}) // what the stand-in remembers
	l.Assess(l.Own())
	if c, is := l.Conditions[cluster.GateMissing]; !is || l.Own().Gate != string(reconcile.GateMissing) {
		t.Errorf("nobody is told that there is no gate: condition %+v, gate %q", c, l.Own().Gate)
	}
}

// TestAStoreThatWasWipedIsNotBelieved: a record of an epoch before one that this
// node has seen is no news, and nothing is decided on it.
func TestAStoreThatWasWipedIsNotBelieved(t *testing.T) {
	l := reviewed()
	l.hearing, l.kick = &hearing{}, func() {}
	l.Board = node.NewBoard()
	l.Board.Newest = 7
	l.sawRecord(cluster.Record{Schema: cluster.Schema, Epoch: 1, Phase: cluster.PhaseSteady, Primary: "db2"}, 3)
	if l.Board.RecordRev != 0 || l.Board.WentBack == "" {
		t.Fatalf("the record was taken in (revision %d), or nothing was said: %q", l.Board.RecordRev, l.Board.WentBack)
	}
	l.hearing.heard(clock.Now(), time.Second)
	if out := decide.Next(l.World(l.senses(clock.Now())), clock.Now()); out.Next != nil || out.Why != cluster.StoreWentBack {
		t.Errorf("something was decided: %+v", out)
	}
}

// TestACutThatIsBeingUndoneTakesNobodyOutOfTheRecord: db3 is let in again, and the
// fact that says so is not in the store yet. db3 may acknowledge meanwhile.
func TestACutThatIsBeingUndoneTakesNobodyOutOfTheRecord(t *testing.T) {
	l := reviewed()
	l.hearing = &hearing{}
	now := clock.Now()
	l.hearing.heard(now, time.Second)
	l.CutAt, l.CutFor = gtid.MustParse("0-1-50"), []cluster.NodeName{"db3"}
	own := l.Own()
	own.Serving = 5
	l.Board.SawFact("db1", own, 60, now)
	l.Board.SawFact("db2", cluster.Fact{Server: cluster.ServerFact{Executed: gtid.MustParse("0-1-50")}}, 61, now)
	if out := decide.Next(l.World(l.senses(now)), now); out.Why != cluster.AckLeft || out.Next == nil {
		t.Fatalf("a cut that stands: db3 leaves; got %s %q", out.Why, out.Detail)
	}
	l.ForgetCuts(reconcile.Plan{Steps: []reconcile.Step{{Kind: reconcile.Uncut, Nodes: []cluster.NodeName{"db3"}}}})
	if out := decide.Next(l.World(l.senses(now)), now); out.Next != nil {
		t.Errorf("db3 leaves the record while the gate lets it in: %s", out.Detail)
	}
}
