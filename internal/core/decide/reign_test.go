package decide

import (
	"slices"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// TestTheAckSetOfANewReign holds who acknowledges in a reign that begins by the
// promise of the old primary, which is not to blame for the end of the last one.
func TestTheAckSetOfANewReign(t *testing.T) {
	blameless := record(func(r *cluster.Record) { r.Failed = nil })
	for name, tt := range map[string]struct {
		world World
		want  []cluster.NodeName
	}{
		"its replicas are alive, and their promises on the way": {newWorld(electingAfterDb1, blameless, promise("db1", "0-1-100")), []cluster.NodeName{"db2", "db3"}},
		"one has promised already":                              {newWorld(electingAfterDb1, blameless, promise("db1", "0-1-100"), promise("db3", "0-1-100")), []cluster.NodeName{"db2", "db3"}},
		"the server of one is down":                             {newWorld(electingAfterDb1, blameless, promise("db1", "0-1-100"), fact("db2", serverDown)), []cluster.NodeName{"db3"}},
		"one is silent":                                         {newWorld(electingAfterDb1, blameless, promise("db1", "0-1-100"), quiet("db2", time.Minute)), []cluster.NodeName{"db3"}},
		"one is held":                                           {newWorld(electingAfterDb1, blameless, promise("db1", "0-1-100"), fact("db3", func(f *cluster.Fact) { f.Held = "errant" })), []cluster.NodeName{"db2"}},
		"one only observes":                                     {newWorld(electingAfterDb1, blameless, promise("db1", "0-1-100"), fact("db3", func(f *cluster.Fact) { f.Mode = cluster.Observe })), []cluster.NodeName{"db2"}},
		"one had left the set before": {newWorld(electingAfterDb1, blameless, promise("db1", "0-1-100"), record(func(r *cluster.Record) {
			r.Quorums = []cluster.AckQuorum{{Epoch: 5, Primary: "db1", Members: []cluster.NodeName{"db2"}, K: 1}}
		})), []cluster.NodeName{"db2"}},
	} {
		t.Run(name, func(t *testing.T) {
			out := Next(tt.world, noon)
			if out.Next == nil || out.Next.Primary != "db1" {
				t.Fatalf("db1 was not elected: %s %s", out.Why, out.Detail)
			}
			if got := out.Next.Acks().Members; !slices.Equal(got, tt.want) {
				t.Errorf("the ack set is %v, want %v", got, tt.want)
			}
		})
	}
}
