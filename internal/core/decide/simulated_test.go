package decide

import (
	"slices"
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
)

// TestWhoLostItsOwnTransactionsComesBack: db2 was primary, crashed, and lost the
// end of its log, which it gets back only while it acknowledges. It waits to be
// let into the ack set.
func TestWhoLostItsOwnTransactionsComesBack(t *testing.T) {
	back := func(edit func(*cluster.Fact)) change {
		return func(w *World) {
			fact("db1", func(f *cluster.Fact) { f.Server.Executed = position("0-1-100,0-2-90") })(w)
			fact("db2", func(f *cluster.Fact) {
				f.Server.ID, f.Server.ReadOnly, f.Server.Executed = 2, true, position("0-1-100")
				f.Server.Replica = cluster.ReplicaFact{Applier: true, Received: position("0-1-100")}
				edit(f)
			})(w)
		}
	}
	nowhere := back(func(*cluster.Fact) {})
	stopped := back(func(f *cluster.Fact) { f.Server.Replica.Source = "db1" })
	connecting := back(func(f *cluster.Fact) { f.Server.Replica.Source, f.Server.Replica.Started = "db1", true })
	members := func(names ...cluster.NodeName) change {
		return record(func(r *cluster.Record) { r.Quorums[0].Members = names })
	}
	wait := func(w *World) { w.Settings.Alone = cluster.AloneWait }
	db3Gone := silent("db3")

	for name, tt := range map[string]struct {
		world   World
		members []cluster.NodeName
		joining cluster.NodeName
	}{
		"it follows nobody: it enters the set and follows then":     {newWorld(from("db1"), members("db3"), nowhere), []cluster.NodeName{"db2", "db3"}, ""},
		"it was cut off on its way and has stopped: likewise":       {newWorld(from("db1"), members("db3"), stopped), []cluster.NodeName{"db2", "db3"}, ""},
		"it is on its way: nothing is to be decided":                {newWorld(from("db1"), members("db3"), connecting), nil, ""},
		"nobody acknowledges and commits wait for it: it is called": {newWorld(from("db1"), members(), wait, db3Gone, nowhere), nil, "db2"},
	} {
		t.Run(name, func(t *testing.T) {
			out := Next(tt.world, noon)
			var got []cluster.NodeName
			var joining cluster.NodeName
			if out.Next != nil {
				got, joining = out.Next.Acks().Members, out.Next.Joining
			}
			if !slices.Equal(got, tt.members) || joining != tt.joining {
				t.Errorf("acknowledging %v, joining %q; want %v, %q (%s %s)", got, joining, tt.members, tt.joining, out.Why, out.Detail)
			}
		})
	}
}
