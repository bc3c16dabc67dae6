package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Keepalived is what a person says of the keepalived that is to have an address in
// place of Baton.
type Keepalived struct {
	Addresses []netip.Prefix
	Interface string
	RouterID  int
	Advert    time.Duration // between two advertisements
	Program   string        // of Baton
}

// Keepalived writes the configuration of this node's keepalived, with which Baton
// decides who has the addresses, and keepalived moves them.
func (c *Config) Keepalived(k Keepalived) (string, error) {
	switch {
	case c.Witness():
		return "", fmt.Errorf("%s is a witness, and has no server that an address could lead to", c.Node)
	case len(k.Addresses) == 0:
		return "", fmt.Errorf("there is no address: name it with its prefix length, such as 10.77.0.60/24")
	case k.Interface == "":
		return "", fmt.Errorf("there is no interface")
	case k.RouterID < 1 || k.RouterID > 255:
		return "", fmt.Errorf("%d is no virtual router id: it is 1 to 255, and one of its own in its network", k.RouterID)
	case k.Advert < 10*time.Millisecond || k.Advert > 40*time.Second:
		return "", fmt.Errorf("advertisements every %s: VRRP knows 10ms to 40s", k.Advert)
	}
	for _, a := range k.Addresses {
		if slices.ContainsFunc(c.Addresses, func(own Address) bool { return own.Address == a.Addr() }) {
			return "", fmt.Errorf("%s stands in addresses:, so Baton binds it itself: two that move one address would fight; remove it there", a.Addr())
		}
	}
	// An instance speaks one family. Addresses of the other one go with it unasked.
	family, peers := c.Self().Address, c.keepalivedPeers()
	var main, excluded []netip.Prefix
	for _, a := range k.Addresses {
		if a.Addr().Is4() == family.Is4() {
			main = append(main, a)
		} else {
			excluded = append(excluded, a)
		}
	}
	if len(main) == 0 { // nodes are known by the other family only: the group's own multicast will do
		main, excluded, peers = excluded, nil, nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, keepalivedHead, c.Node, c.Cluster, k.Program, c.Socket(), c.Cluster, k.Interface, k.RouterID, k.Advert.Seconds())
	if len(peers) > 0 {
		fmt.Fprintf(&b, "    unicast_src_ip %s\n", family)
		block(&b, "unicast_peer", peers)
	}
	block(&b, "virtual_ipaddress", lines(main, k.Interface))
	if len(excluded) > 0 {
		block(&b, "virtual_ipaddress_excluded", lines(excluded, k.Interface))
	}
	b.WriteString("    track_script {\n        baton_primary\n    }\n}\n")
	return b.String(), nil
}

const keepalivedHead = `# keepalived on %s, for cluster %s: Baton decides who has the address and keeps
# everybody else's clients out; keepalived moves it. Made by "baton config keepalived".
global_defs {
    script_user root
    enable_script_security
    vrrp_version 3
    vrrp_garp_master_repeat 5
    vrrp_garp_master_refresh 10
}
vrrp_script baton_primary {
    script "%s check primary --socket %s --timeout 900ms"
    interval 1
    timeout 1
    fall 1
    rise 1
    init_fail
}
vrrp_instance baton_%s {
    state BACKUP
    interface %s
    virtual_router_id %d
    priority 100
    advert_int %g
`

// keepalivedPeers are the other nodes that may have the address.
func (c *Config) keepalivedPeers() []string {
	var peers []string
	for _, n := range c.Nodes {
		if n.Role == cluster.Data && n.Name != c.Node {
			peers = append(peers, n.Address.String())
		}
	}
	return peers
}

func lines(addresses []netip.Prefix, device string) []string {
	var all []string
	for _, a := range addresses {
		all = append(all, fmt.Sprintf("%s dev %s", a, device))
	}
	return all
}

func block(b *strings.Builder, name string, lines []string) {
	fmt.Fprintf(b, "    %s {\n", name)
	for _, l := range lines {
		fmt.Fprintf(b, "        %s\n", l)
	}
	b.WriteString("    }\n")
}
