package node

import (
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
)

const ms = cluster.Instant(time.Millisecond)

func failsafeSettings() cluster.Settings {
	return cluster.Settings{
		Nodes: []cluster.Node{{Name: "db1", Role: cluster.Data}, {Name: "db2", Role: cluster.Data}, {Name: "db3", Role: cluster.Data}},
		Lease: 1000 * time.Millisecond, Renew: 250 * time.Millisecond, Call: 125 * time.Millisecond, Drift: 0.01, Margin: 10 * time.Millisecond,
	}
}

// TestANodePromisesOnlyWhatItMayKeep asks a node in every situation.
func TestANodePromisesOnlyWhatItMayKeep(t *testing.T) {
	good := Ask{Schema: cluster.Schema, Epoch: 7, Holder: "db1", Config: "c", Length: time.Second}
	for _, c := range []struct {
		name   string
		change func(*Node, *Ask, *Senses)
		yes    bool
	}{
		{"the store is silent to both, and all is steady", func(*Node, *Ask, *Senses) {}, true},
		{"the store answers here: somebody could be elected", func(_ *Node, _ *Ask, s *Senses) { s.StoreSilent = false }, false},
		{"a newer reign is known here", func(n *Node, _ *Ask, _ *Senses) { n.Board.Record.Epoch, n.Board.Newest = 8, 8 }, false},
		{"a newer reign was known to the agent before", func(n *Node, _ *Ask, _ *Senses) { n.Board.Newest = 8 }, false},
		{"this reign is not known here yet", func(n *Node, _ *Ask, _ *Senses) { n.Board.Record.Epoch = 6 }, false},
		{"another one is primary", func(_ *Node, q *Ask, _ *Senses) { q.Holder = "db3" }, false},
		{"a switch is going on", func(n *Node, _ *Ask, _ *Senses) { n.Board.Record.Phase = cluster.PhaseHandoff }, false},
		{"the settings differ", func(_ *Node, q *Ask, _ *Senses) { q.Config = "d" }, false},
		{"the question is of a newer version", func(_ *Node, q *Ask, _ *Senses) { q.Schema++ }, false},
		{"the record is damaged", func(n *Node, _ *Ask, _ *Senses) { n.Board.Unreadable[RecordKey] = errNoTest }, false},
		{"the store went back", func(n *Node, _ *Ask, _ *Senses) { n.Board.WentBack = "yes" }, false},
	} {
		n := Node{Self: "db2", Config: "c", Settings: failsafeSettings(), Board: NewBoard()}
		n.Board.Record = cluster.Record{Epoch: 7, Phase: cluster.PhaseSteady, Primary: "db1"}
		n.Board.Newest = 7
		q, s := good, Senses{Now: 5000 * ms, StoreSilent: true}
		c.change(&n, &q, &s)
		a := n.Asked(q, s)
		if a.Pledged != c.yes || a.Pledged == (a.Why != "") {
			t.Errorf("%s: %+v", c.name, a)
		}
		if bound := n.Pledge.Binds(8, s.Now); bound != c.yes {
			t.Errorf("%s: bound = %t", c.name, bound)
		}
	}
}

var errNoTest = cluster.ErrNewer

func TestARestartedAgentIsBoundByWhatTheOneBeforePromised(t *testing.T) {
	s := failsafeSettings()
	kept := lease.Pledge{Epoch: 7, Until: 9000 * ms}
	if got := PledgeAtStart(kept, true, s); got != kept {
		t.Errorf("%+v", got)
	}
	fresh := PledgeAtStart(lease.Pledge{}, false, s)
	if !fresh.Binds(1, 1019*ms) {
		t.Error("just after the host booted it takes part, although its last agent may have promised a moment before")
	}
	if fresh.Binds(1, 1020*ms) {
		t.Error("it waits although the host has been up for longer than any promise of the boot before lasts")
	}
}

func servingKeeper() Keeper {
	k := Keeper{Settings: failsafeSettings(), Self: "db1", Agent: "a", Open: true}
	k.Failsafe("c", []cluster.NodeName{"db2", "db3"})
	k.Want(7, 70)
	k.Steady(true)
	k.Renewed(7, 1000*ms, 1002*ms, 1)
	return k
}

func TestAPrimaryServesOnOnlyWithEveryPromise(t *testing.T) {
	k := servingKeeper()
	if _, needed := k.Asks(1375 * ms); needed {
		t.Error("it asks although its renewals are accepted")
	}
	q, needed := k.Asks(1376 * ms)
	if !needed || q.Epoch != 7 || q.Holder != "db1" || q.Length != time.Second || q.Config != "c" {
		t.Fatalf("no renewal has been accepted for longer than a renewal and a call, and it asks %+v", q)
	}
	yes := Answer{Pledged: true}
	if kept := k.Answered("db2", 7, 1400*ms, 1410*ms, yes); kept.Extend || k.Held.Until != 2000*ms {
		t.Fatalf("one of two has promised, and the lease lasts until %d", k.Held.Until)
	}
	if kept := k.Answered("db3", 7, 1500*ms, 1510*ms, yes); !kept.Extend || k.Held.Until != 2400*ms {
		t.Fatalf("both have promised, the first upon a question sent at 1400, and the lease lasts until %d", k.Held.Until)
	}
	if ok, _ := k.Promised(1999 * ms); !ok {
		t.Error("the lease rests on promises, and it does not say so")
	}
	k.Answered("db3", 7, 1600*ms, 1610*ms, Answer{Why: "the store answers here"})
	k.Answered("db2", 7, 1700*ms, 1710*ms, yes)
	if k.Held.Until != 2500*ms {
		t.Errorf("db3 has refused since 1500, and the lease lasts until %d", k.Held.Until)
	}
	if ok, lacks := k.Promised(2500 * ms); ok || lacks["db3"] == "" {
		t.Errorf("whose promise is lacking is not said: %t %v", ok, lacks)
	}
}

func TestNoPromiseOpensWhatHasEnded(t *testing.T) {
	yes := Answer{Pledged: true}
	for _, c := range []struct {
		name  string
		spoil func(*Keeper)
		now   cluster.Instant
	}{
		{"the answers come after the lease's end", func(*Keeper) {}, 2000 * ms},
		{"it has fenced itself meanwhile", func(k *Keeper) { k.Latch(7) }, 1500 * ms},
		{"the epoch is another one meanwhile", func(k *Keeper) { k.Want(8, 80) }, 1500 * ms},
	} {
		k := servingKeeper()
		c.spoil(&k)
		for _, n := range []cluster.NodeName{"db2", "db3"} {
			if kept := k.Answered(n, 7, 1400*ms, c.now, yes); kept.Extend {
				t.Errorf("%s: the gate is extended", c.name)
			}
		}
		if k.Held.Valid(7, c.now) && c.now >= 2000*ms || k.Held.Until > 2000*ms {
			t.Errorf("%s: the lease lasts until %d", c.name, k.Held.Until)
		}
	}
}

func TestPromisesForOneReignAreNoneForTheNext(t *testing.T) {
	k := servingKeeper()
	yes := Answer{Pledged: true}
	k.Answered("db2", 7, 1400*ms, 1410*ms, yes)
	k.Want(8, 80)
	k.Renewed(8, 1450*ms, 1451*ms, 2)
	if k.Answered("db3", 8, 1500*ms, 1501*ms, yes); k.Held.Until != 2450*ms {
		t.Errorf("db2 promised epoch 7 only, and the lease of epoch 8 lasts until %d", k.Held.Until)
	}
}
