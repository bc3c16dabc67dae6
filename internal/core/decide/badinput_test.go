package decide

import (
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
)

// TestBadInputIsRefusedWithTheReasonAndWhatToDoInstead: whatever cannot be meant
// changes nothing, and whoever asked is told why, and what else to do.
func TestBadInputIsRefusedWithTheReasonAndWhatToDoInstead(t *testing.T) {
	switchover := func(to cluster.NodeName) change {
		return asked(cluster.Request{Kind: cluster.RequestSwitchover, To: to})
	}
	rejoin := func(n cluster.NodeName, m cluster.RejoinMethod) change {
		return asked(cluster.Request{Kind: cluster.RequestRejoin, Node: n, Method: m})
	}
	behind := func(received string, pace float64) change {
		return func(w *World) {
			fact("db3", func(f *cluster.Fact) { f.Server.Replica.Received = position(received) })(w)
			w.Pace = map[cluster.NodeName]float64{"db3": pace}
		}
	}
	errant := fact("db3", func(f *cluster.Fact) { f.Errant = position("0-3-7") })
	lost := func(inTheWay string) change {
		return fact("db3", func(f *cluster.Fact) {
			f.Errant, f.Held = position("0-3-7"), "it diverged"
			f.Lost = cluster.Lost{What: "1 transaction", See: "/lost/7/report.txt", InTheWay: inTheWay}
		})
	}
	for name, tt := range map[string]struct {
		world World
		want  []string // the reason, and what to do instead
	}{
		"a switchover to an unknown node":           {newWorld(switchover("db9")), []string{`"db9" is no data node`, "there are db1, db2, db3"}},
		"a failover to an unknown node":             {newWorld(asked(cluster.Request{Kind: cluster.RequestFailover, To: "db9"})), []string{`"db9" is no data node`, "there are db1, db2, db3"}},
		"a rejoin of an unknown node":               {newWorld(rejoin("db9", cluster.Reclone)), []string{`"db9" is no data node`, "there are db1, db2, db3"}},
		"maintenance of an unknown node":            {newWorld(asked(cluster.Request{Kind: cluster.RequestMaintenance, Node: "db9"})), []string{`"db9" is no node`, "there are db1, db2, db3"}},
		"a switchover to the primary":               {newWorld(switchover("db1")), []string{"db1 is the primary already", "name another node"}},
		"a switchover to a diverged replica":        {newWorld(errant, switchover("db3")), []string{"db3 cannot take over: diverged (it alone has 0-3-7)", "`baton rejoin db3`", "without --to"}},
		"a switchover to a replica that is stopped": {newWorld(fact("db3", serverDown), switchover("db3")), []string{"db3 cannot take over", "Start it first"}},
		"a switchover to a replica in maintenance":  {newWorld(inMaintenance("db3"), switchover("db3")), []string{"db3 cannot take over: in-maintenance", "baton maintenance db3 off"}},
		"a switchover to a replica that is minutes behind, and applies slowly": {newWorld(behind("0-1-20100", 200), switchover("db3")),
			[]string{"db3 has 20000 transactions still to apply, which takes it about 1m40s", "wait until it has caught up", "name another node"}},
		"a switchover to a replica that is behind, of whose pace nothing is known": {newWorld(behind("0-1-2100", 0), switchover("db3")),
			[]string{"db3 has 2000 transactions still to apply, which takes it about 20s", "wait until it has caught up"}},
		"a switchover in the middle of a switch":     {newWorld(electingAfterDb1, switchover("")), []string{"a switch is going on already (electing at epoch 6)", "wait for it to end"}},
		"a second failover":                          {newWorld(electingAfterDb1, asked(cluster.Request{Kind: cluster.RequestFailover})), []string{"a failover is going on already", "--force decides it"}},
		"a rejoin of the current primary":            {newWorld(rejoin("db1", cluster.Reclone)), []string{"db1 is the primary: its data is the data of the cluster", "baton switchover"}},
		"a rewind of the current primary":            {newWorld(rejoin("db1", cluster.Rewind)), []string{"db1 is the primary", "baton switchover"}},
		"a rewind of an event in statement format":   {newWorld(lost("0-3-7 is logged as a statement and not as rows: UPDATE app.t SET v = 1"), rejoin("db3", cluster.Rewind)), []string{"0-3-7 is logged as a statement and not as rows: UPDATE app.t SET v = 1", "baton rejoin db3 --reclone"}},
		"a rewind of DDL":                            {newWorld(lost("0-3-7 is logged as a statement and not as rows: CREATE TABLE app.t"), rejoin("db3", cluster.Rewind)), []string{"CREATE TABLE app.t", "baton rejoin db3 --reclone"}},
		"a rewind before anybody has looked":         {newWorld(fact("db3", func(f *cluster.Fact) { f.Errant, f.Held = position("0-3-7"), "it diverged" }), rejoin("db3", cluster.Rewind)), []string{"still writing down what 0-3-7 did", "ask again"}},
		"a rewind of MySQL":                          {newWorld(lost("MySQL has no way to undo row events"), fact("db3", func(f *cluster.Fact) { f.Server.Flavor = "mysql" }), rejoin("db3", cluster.Rewind)), []string{"MySQL cannot undo", "baton rejoin db3 --reclone"}},
		"a second rejoin while there is one":         {newWorld(lost(""), rejoins("db2"), rejoin("db3", cluster.Reclone)), []string{"one rejoin at a time", "baton rejoin db2 --hold"}},
		"a request of a screen that shows the past":  {newWorld(asked(cluster.Request{Kind: cluster.RequestSwitchover, Epoch: 4})), []string{"the cluster is at epoch 5, you looked at epoch 4", "baton status"}},
		"a request that a later version could read":  {newWorld(asked(cluster.Request{Kind: "teleport"})), []string{"does not know requests of kind", `"teleport"`}},
		"a switchover while the primary is no more ": {newWorld(fact("db1", func(f *cluster.Fact) { f.Serving = 0 }), switchover("db3")), []string{"db1 does not serve now", "baton status"}},
	} {
		t.Run(name, func(t *testing.T) {
			out := Next(tt.world, noon)
			if out.Next != nil || len(out.Refused) != 1 || len(out.Done) != 0 {
				t.Fatalf("it is not refused, or something is changed: %+v", out)
			}
			for _, part := range tt.want {
				if said := out.Refused[0].Refused; !strings.Contains(said, part) {
					t.Errorf("said is %q, which lacks %q", said, part)
				}
			}
		})
	}
	for name, w := range map[string]World{
		"what it has received in this moment is no lag": newWorld(behind("0-1-1050", 0), switchover("db3")),
		"one that is behind and quick":                  newWorld(behind("0-1-20100", 5000), switchover("db3")),
	} {
		if out := Next(w, noon); out.Next == nil || out.Next.Phase != cluster.PhaseHandoff {
			t.Errorf("%s: %+v", name, out)
		}
	}
}

// TestOfTwoRequestsAtOnceOneIsCarriedOut: they are taken one after the other, in the
// order in which they came, and the second sees what the first has made.
func TestOfTwoRequestsAtOnceOneIsCarriedOut(t *testing.T) {
	two := func(w *World) {
		for i, to := range []cluster.NodeName{"db2", "db3"} {
			w.Requests = append(w.Requests, Seen[cluster.Request]{Rev: cluster.Revision(60 + i), Value: cluster.Request{Schema: 1, ID: "r" + string(to), Kind: cluster.RequestSwitchover, To: to, By: "ann"}})
		}
	}
	w := newWorld(two)
	first := Next(w, noon)
	if first.Next == nil || first.Next.Candidate != "db2" || len(first.Done) != 1 || first.Done[0] != "rdb2" || len(first.Refused) != 0 {
		t.Fatalf("the first leads to %+v", first)
	}
	w.Record, w.RecordRev, w.PhaseAt, w.Requests = *first.Next, 51, noon, w.Requests[1:]
	second := Next(w, noon)
	if second.Next != nil || len(second.Refused) != 1 || !strings.Contains(second.Refused[0].Refused, "a switch is going on already (handoff at epoch 6): wait for it to end") {
		t.Errorf("the second leads to %+v", second)
	}
}
