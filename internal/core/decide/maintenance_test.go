package decide

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/core/cluster"
)

func inMaintenance(nodes ...cluster.NodeName) change {
	return record(func(r *cluster.Record) {
		for _, n := range nodes {
			*r = r.WithMaintenance(cluster.Maintenance{Node: n, By: "ann", Why: "new disk"})
		}
	})
}

func TestWhoIsInMaintenance(t *testing.T) {
	on := func(n cluster.NodeName) change {
		return asked(cluster.Request{Kind: cluster.RequestMaintenance, Node: n, Why: "new disk", At: "now", Epoch: 3})
	}
	off := func(n cluster.NodeName) change {
		return asked(cluster.Request{Kind: cluster.RequestMaintenanceEnd, Node: n})
	}
	names := func(r *cluster.Record) (all []cluster.NodeName) {
		for _, m := range r.Maintenance {
			all = append(all, m.Node)
		}
		return all
	}
	for name, tt := range map[string]struct {
		world   World
		want    []cluster.NodeName
		refused bool
	}{
		"a replica, whatever epoch one looked at": {newWorld(on("db3")), []cluster.NodeName{"db3"}, false},
		"a second one":                               {newWorld(inMaintenance("db3"), on("db2")), []cluster.NodeName{"db2", "db3"}, false},
		"one that was already":                       {newWorld(inMaintenance("db3"), on("db3")), []cluster.NodeName{"db3"}, false},
		"the work is done":                           {newWorld(inMaintenance("db2", "db3"), off("db3")), []cluster.NodeName{"db2"}, false},
		"it was in none":                             {newWorld(off("db3")), nil, false},
		"in the middle of an election":               {newWorld(electingAfterDb1, on("db1")), []cluster.NodeName{"db1"}, false},
		"not the primary":                            {newWorld(on("db1")), nil, true},
		"not who is about to be":                     {newWorld(phase(cluster.PhaseHandoff, 0), record(func(r *cluster.Record) { r.Candidate = "db2" }), on("db2")), nil, true},
		"not a node that there is not":               {newWorld(on("db9")), nil, true},
		"a switchover to one in maintenance is none": {newWorld(inMaintenance("db3"), asked(cluster.Request{Kind: cluster.RequestSwitchover, To: "db3"})), nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			out := Next(tt.world, noon)
			if (len(out.Refused) > 0) != tt.refused || (out.Next == nil) != tt.refused {
				t.Fatalf("refused %+v, next %+v", out.Refused, out.Next)
			}
			if tt.refused {
				return
			}
			if diff := cmp.Diff(tt.want, names(out.Next)); diff != "" || len(out.Done) != 1 || out.Next.Epoch != tt.world.Record.Epoch {
				t.Errorf("(-want +got):\n%s%+v", diff, out)
			}
		})
	}
}

// Its promise counts, and what it has is fetched from it; it is not chosen.
func TestANodeInMaintenanceIsNotChosen(t *testing.T) {
	election := newWorld(electingAfterDb1, promise("db2", "0-1-120"), promise("db3", "0-1-100"), inMaintenance("db2"))
	out := Next(election, noon)
	if out.Next == nil || out.Next.Primary != "db3" || out.Next.Source != "db2" || !out.Next.Required.Contains(position("0-1-120")) {
		t.Errorf("got %s (%s), %+v", out.Why, out.Detail, out.Next)
	}
	nobody := newWorld(electingAfterDb1, promise("db2", "0-1-100"), promise("db3", "0-1-100"), inMaintenance("db2", "db3"))
	if out := Next(nobody, noon); out.Next != nil || out.Why != cluster.NobodyToPromote {
		t.Errorf("all are being worked on, and: %s, %+v", out.Why, out.Next)
	}
	if o, _ := IfPrimaryWereGone(newWorld(inMaintenance("db2", "db3")), noon); o.Stuck != cluster.NobodyToPromote {
		t.Errorf("the outlook is %+v", o)
	}
	if choice, ok := Preview(newWorld(inMaintenance("db2")), "", noon); !ok || choice.Winner != "db3" || choice.Passed[0].Reason != cluster.PassedMaintenance || choice.Passed[0].Detail != "ann works on it: new disk" {
		t.Errorf("a switchover would go to %+v", choice)
	}
	lost := newWorld(network("db1", cluster.Down), network("db2", cluster.Up), network("db3", cluster.Down), inMaintenance("db2"))
	if out := Next(lost, noon); out.Next != nil && out.Next.Phase == cluster.PhaseFencing {
		t.Errorf("the only other node that clients reach is being worked on, and: %s", out.Why)
	}
}
