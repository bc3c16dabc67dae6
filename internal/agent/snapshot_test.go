package agent

import (
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/core/gtid"
)

// TestADryRunKnowsWhoIsTooFarBehind: named with --to such a node would be refused, so
// it is not shown as one that could be named.
func TestADryRunKnowsWhoIsTooFarBehind(t *testing.T) {
	server := func(received string) decide.Seen[cluster.Fact] {
		var f cluster.Fact
		f.Server.Executed, f.Server.Replica.Received = gtid.MustParse("0-1-100"), gtid.MustParse(received)
		return decide.Seen[cluster.Fact]{Value: f}
	}
	w := decide.World{
		Settings: cluster.Settings{Handoff: 10 * time.Second},
		Facts:    map[cluster.NodeName]decide.Seen[cluster.Fact]{"db2": server("0-1-100"), "db3": server("0-1-90100"), "db4": server("0-1-200")},
	}
	plan := withoutLaggards(api.Plan{Candidate: "db2", Passed: []api.Alternative{
		{Node: "db3", Reason: cluster.PassedBehind, Possible: true}, {Node: "db4", Reason: cluster.PassedBehind, Detail: "a little", Possible: true},
	}}, w)
	if a := plan.Passed[0]; a.Possible || !strings.Contains(a.Detail, "90000 transactions still to apply") {
		t.Errorf("a laggard: %+v", a)
	}
	if a := plan.Passed[1]; !a.Possible || a.Detail != "a little" {
		t.Errorf("one that is a little behind: %+v", a)
	}
}
