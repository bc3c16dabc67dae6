package node

import (
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
)

// TestAssess holds the conditions of a primary against a sentence about it.
func TestAssess(t *testing.T) {
	well := func() (*Node, cluster.Fact) {
		n := &Node{Self: "db1", Mode: cluster.Active, Board: NewBoard(), Conditions: Conditions{},
			Settings: cluster.Settings{Nodes: []cluster.Node{{Name: "db1", Role: cluster.Data}, {Name: "db2", Role: cluster.Data}}, Durability: cluster.Async}}
		n.Board.Record = cluster.Record{Epoch: 5, Phase: cluster.PhaseSteady, Primary: "db1"}
		n.Board.Facts["db2"] = decide.Seen[cluster.Fact]{Value: cluster.Fact{Node: "db2", Server: cluster.ServerFact{ID: 2}}}
		n.Host.Addresses, n.Host.Bound = 2, 2
		return n, cluster.Fact{Node: "db1", Serving: 5, Server: cluster.ServerFact{State: cluster.ServerUp, ID: 1, BinLog: true, LogUpdates: true}}
	}
	for name, tt := range map[string]struct {
		change func(*Node, *cluster.Fact)
		want   cluster.Reason
		detail string
	}{
		"all is well":                            {func(*Node, *cluster.Fact) {}, "", ""},
		"no binary log":                          {func(_ *Node, f *cluster.Fact) { f.Server.BinLog = false }, cluster.MisconfiguredNode, "it writes no binary log"},
		"it does not log what it replicates":     {func(_ *Node, f *cluster.Fact) { f.Server.LogUpdates = false }, cluster.MisconfiguredNode, "it does not log what it replicates"},
		"the server id of another node":          {func(_ *Node, f *cluster.Fact) { f.Server.ID = 2 }, cluster.MisconfiguredNode, "it has the server id 2, as db2 has"},
		"a server that is down has no settings":  {func(_ *Node, f *cluster.Fact) { f.Server = cluster.ServerFact{State: cluster.ServerStopped} }, cluster.ServerDown, "the server is stopped"},
		"an address is not bound":                {func(n *Node, _ *cluster.Fact) { n.Host.Bound = 1 }, cluster.EndpointWrong, "1 of 2 virtual addresses are bound on the primary and answer"},
		"the addresses are muted":                {func(n *Node, _ *cluster.Fact) { n.Host.Muted = true }, cluster.EndpointWrong, "0 of 2 virtual addresses are bound on the primary and answer"},
		"not all are bound while it is promoted": {func(n *Node, _ *cluster.Fact) { n.Host.Bound, n.Board.Record.Phase = 1, cluster.PhasePromoting }, "", ""},
		"a replica has no addresses":             {func(n *Node, f *cluster.Fact) { n.Host.Bound, n.Board.Record.Primary, f.Serving = 0, "db2", 0 }, "", ""},
		"an endpoint leads elsewhere": {func(n *Node, _ *cluster.Fact) {
			n.Leads = []cluster.Lead{{Endpoint: "app", Wanted: "db1", To: "db2"}}
		}, cluster.EndpointWrong, "app leads to db2, wanted db1"},
		"an endpoint is being led here": {func(n *Node, _ *cluster.Fact) {
			n.Leads = []cluster.Lead{{Endpoint: "app", Wanted: "db1", Unseen: true}}
		}, "", ""},
		"the first attempt at it failed": {func(n *Node, _ *cluster.Fact) {
			n.Leads = []cluster.Lead{{Endpoint: "app", Wanted: "db1", Unseen: true, Because: "nobody answers"}}
		}, cluster.EndpointWrong, "where app leads is not known, wanted db1, because nobody answers"},
		"a replica is not asked for what the primary leads": {func(n *Node, f *cluster.Fact) {
			n.Board.Record.Primary, f.Serving, n.Leads = "db2", 0, []cluster.Lead{{Endpoint: "app", Wanted: "db1", To: "db2"}}
		}, "", ""},
		"a replica says where its own proxy leads": {func(n *Node, f *cluster.Fact) {
			n.Board.Record.Primary, f.Serving, n.Leads = "db2", 0, []cluster.Lead{{On: "db1", Endpoint: "proxy", Wanted: "db2", To: "db1"}}
		}, cluster.EndpointWrong, "proxy on db1 leads to db1, wanted db2"},
		"a witness says where its own proxy leads": {func(n *Node, f *cluster.Fact) {
			n.Settings.Nodes[0].Role, n.Board.Record.Primary, f.Serving = cluster.Witness, "db2", 0
			n.Leads = []cluster.Lead{{On: "db1", Endpoint: "proxy", Wanted: "db2", Because: "nginx is not running"}}
		}, cluster.EndpointWrong, "proxy on db1 leads to nowhere, wanted db2, because nginx is not running"},
		"the clients' network is lost": {func(_ *Node, f *cluster.Fact) {
			f.Network = cluster.LayerView{State: cluster.Down, Evidence: "eth1 has no carrier"}
		}, cluster.NetworkLost, "eth1 has no carrier"},
		"the clients' network was bad at one look": {func(_ *Node, f *cluster.Fact) {
			f.Network = cluster.LayerView{State: cluster.Suspect, Evidence: "eth1 has no carrier"}
		}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			n, f := well()
			tt.change(n, &f)
			n.Assess(f)
			got := n.Conditions.list(time.Time{})
			for i := range got {
				got[i].Since = ""
			}
			switch {
			case tt.want == "" && len(got) > 0, tt.want != "" && (len(got) != 1 || got[0].Reason != tt.want || got[0].Detail != tt.detail):
				t.Errorf("conditions %+v, want %s %q", got, tt.want, tt.detail)
			}
		})
	}
}
