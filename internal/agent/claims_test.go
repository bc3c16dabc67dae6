package agent

import (
	"net"
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
)

func TestOfTwoHostsWithAnAddressTheOneWithTheLeaseOfTheNewestEpochKeepsIt(t *testing.T) {
	const now = cluster.Instant(1000)
	record := cluster.Record{Epoch: 7, Primary: "db1"}
	for name, tt := range map[string]struct {
		record cluster.Record
		held   lease.Held
		want   bool
	}{
		"the primary, whose lease runs":                     {record, lease.Held{Epoch: 7, Until: now + 1}, true},
		"the primary, whose lease ran out":                  {record, lease.Held{Epoch: 7, Until: now}, false},
		"the primary, which was fenced":                     {record, lease.Held{Epoch: 7, Until: now + 1, Latched: 7}, false},
		"a primary with the lease of the reign before":      {record, lease.Held{Epoch: 6, Until: now + 1}, false},
		"the old primary, whose lease still runs":           {cluster.Record{Epoch: 8, Primary: "db2"}, lease.Held{Epoch: 7, Until: now + 1}, false},
		"a host that never had the role":                    {cluster.Record{Epoch: 7, Primary: "db2"}, lease.Held{}, false},
		"during an election nobody is":                      {cluster.Record{Epoch: 8, Previous: "db1"}, lease.Held{Epoch: 7, Until: now + 1}, false},
		"a primary that hands over, until the candidate is": {cluster.Record{Epoch: 8, Phase: cluster.PhaseHandoff, Primary: "db1", Candidate: "db2"}, lease.Held{Epoch: 8, Until: now + 1}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := rightful("db1", tt.record, tt.held, now); got != tt.want {
				t.Errorf("rightful: %t, want %t", got, tt.want)
			}
		})
	}
}

func TestAClaimNamesTheNodeOrSaysThatItIsNone(t *testing.T) {
	peers := map[cluster.NodeName]cluster.Fact{"db2": {MACs: []string{"02:00:00:00:00:02"}}, "db3": {MACs: []string{"02:00:00:00:00:03", "02:00:00:00:01:03"}}}
	for mac, want := range map[string]struct {
		node   cluster.NodeName
		reason cluster.Reason
		text   string
	}{
		"02:00:00:00:01:03": {"db3", cluster.AddressDuplicate, "10.0.0.9 is claimed by db3 (02:00:00:00:01:03) too"},
		"02:00:00:00:00:99": {"", cluster.AddressForeign, "10.0.0.9 is claimed by 02:00:00:00:00:99 too, which is no node of this cluster"},
	} {
		hw, err := net.ParseMAC(mac)
		if err != nil {
			t.Fatal(err)
		}
		c := claim{of: "10.0.0.9", mac: hw, node: ownerOf(hw.String(), peers)}
		if c.node != want.node || c.reason() != want.reason || c.String() != want.text {
			t.Errorf("%s: %s, %q", c.reason(), c.node, c)
		}
	}
}

func TestAClaimUnderTheLinkLayerAddressOfAllNodesNamesNone(t *testing.T) {
	hw := net.HardwareAddr{2, 0, 0, 0, 0, 9}
	c := claim{of: "10.0.0.9", mac: hw, virtual: true}
	if c.reason() != cluster.AddressDuplicate || c.String() != "10.0.0.9 is claimed by another host too, under the link-layer address that moves with it (02:00:00:00:00:09)" {
		t.Errorf("%s: %s", c.reason(), c)
	}
}
