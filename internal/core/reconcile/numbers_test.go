package reconcile

import (
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
)

// TestNoNumberIsGivenTwice: a primary that may have lost what others have received
// skips numbers before it takes writes, and goes on in no reign of an earlier life.
func TestNoNumberIsGivenTwice(t *testing.T) {
	again := func(changes ...change) Plan {
		return Next(primaryOf(append([]change{phase(cluster.PhasePromoting, 6, "db1", "db1"), func(in *Input) {
			in.Lease = lease.Held{Epoch: 6, Until: noon.Add(500_000_000)}
			in.Record.Quorums = []cluster.AckQuorum{
				{Epoch: 5, Primary: "db1", Members: []cluster.NodeName{"db2", "db3"}, K: 1, Start: in.Own.Server.Start},
				{Epoch: 6, Primary: "db1", Members: []cluster.NodeName{"db2", "db3"}, K: 1, Start: in.Own.Server.Start},
			}
			in.Own.Server.ReadOnly = true
			in.Host.Done[ProbeAddresses] = 6
		}}, changes...)...))
	}
	for name, tt := range map[string]struct {
		change change
		skips  bool
	}{
		"it is in the life in which it served":              {func(*Input) {}, false},
		"its server has restarted since its reign":          {func(in *Input) { in.Record.Quorums[0].Start = "before" }, true},
		"another one's server has restarted":                {func(in *Input) { in.Record.Quorums[0].Primary, in.Record.Quorums[0].Start = "db2", "before" }, false},
		"a person forced the election":                      {func(in *Input) { in.Record.Forced = 6 }, true},
		"a person forced an earlier one":                    {func(in *Input) { in.Record.Forced = 5 }, false},
		"commits wait for nobody":                           {func(in *Input) { in.Record.Quorums[1].Members, in.Own.Server.SemiSrc.Enabled = nil, false }, true},
		"replication is asynchronous, and commits never do": {func(in *Input) { in.Settings.Durability, in.Own.Server.SemiSrc.Enabled = cluster.Async, false }, true},
	} {
		t.Run(name, func(t *testing.T) {
			plan := again(tt.change)
			for _, s := range plan.Steps {
				if s.Kind == SetWritable {
					if s.On != tt.skips {
						t.Errorf("skips: %t", s.On)
					}
					return
				}
			}
			t.Errorf("it does not begin to take writes: %v, %s", plan.Steps, plan.Waits)
		})
	}
	for name, members := range map[string][]cluster.NodeName{"others acknowledge": {"db2"}, "nobody acknowledges": nil} {
		t.Run("its server restarts in its reign, "+name, func(t *testing.T) {
			plan := Next(primaryOf(func(in *Input) {
				in.Record.Quorums[len(in.Record.Quorums)-1].Members = members
				in.Record.Quorums[len(in.Record.Quorums)-1].Start = "before"
			}))
			if !plan.Has(Fence) || plan.Has(SetWritable) || plan.Lease != 0 {
				t.Errorf("it goes on: %v, lease %d", plan.Steps, plan.Lease)
			}
		})
	}
}
