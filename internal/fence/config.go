package fence

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Scope says which traffic is the database's, and which of it is between the
// cluster's own nodes.
type Scope struct {
	// Ports are the server's TCP ports: its port, and its extra or
	// administrative port if it has one.
	Ports []uint16
	// Own are this node's own addresses, to which the other nodes connect for
	// replication and observation. A virtual address must never be among them.
	Own []netip.Addr
	// Peers are the addresses of every other node of the cluster.
	Peers map[cluster.NodeName][]netip.Addr
}

// GateConfig describes one cluster's gate on this host.
type GateConfig struct {
	Cluster string // as in the configuration; names the table
	Scope
	// Fresh replaces a gate that is there by a closed one. Otherwise it is
	// adopted as it stands, with the lease that still runs in it.
	Fresh bool

	// Initial is the mode of a gate where there was none (empty: Closed), and
	// Until the end of its lease if that is Leased. A running cluster is taken
	// over without shutting its clients out for a moment.
	Initial Mode
	Until   cluster.Instant

	// plain leaves the owner flag away, as on kernels before 6.9. For tests.
	plain bool
}

// TableName returns the name of the nftables table (family inet) that belongs
// to a cluster.
func TableName(clusterName string) string { return "baton_" + clusterName }

// tableNamePattern is what nft reads as a name without quotes.
const tableNamePattern = `^[A-Za-z0-9][A-Za-z0-9_.-]*$`

// Validate reports everything that is wrong with the configuration.
func (c GateConfig) Validate() error {
	var errs []error
	if !regexp.MustCompile(tableNamePattern).MatchString(c.Cluster) || len(c.Cluster) > 100 {
		errs = append(errs, fmt.Errorf("cluster name %q: use up to 100 letters, digits, '_', '-' and '.'", c.Cluster))
	}
	return errors.Join(append(errs, c.Scope.Validate())...)
}

// Validate reports everything that is wrong with the scope.
func (s Scope) Validate() error {
	var errs []error
	if len(s.Ports) == 0 || slices.Contains(s.Ports, 0) {
		errs = append(errs, fmt.Errorf("database ports %v: name at least one, each from 1 to 65535", s.Ports))
	}
	owner := map[netip.Addr]string{}
	claim := func(a netip.Addr, who string) {
		if !a.IsValid() || a.IsUnspecified() || a.Is4In6() || a.Zone() != "" {
			errs = append(errs, fmt.Errorf("address %v of %s: use a plain IPv4 or IPv6 address", a, who))
			return
		}
		if other, taken := owner[a]; taken && other != who {
			// A peer with an address of ours would let every local client pass.
			errs = append(errs, fmt.Errorf("address %v belongs both to %s and to %s", a, other, who))
		}
		owner[a] = who
	}
	for _, a := range s.Own {
		claim(a, "this node")
	}
	for _, name := range s.peerNames() {
		for _, a := range s.Peers[name] {
			claim(a, "node "+string(name))
		}
	}
	return errors.Join(errs...)
}

func (s Scope) peerNames() []cluster.NodeName {
	names := make([]cluster.NodeName, 0, len(s.Peers))
	for name := range s.Peers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// peerAddrs returns the addresses of those nodes.
func (s Scope) peerAddrs(nodes []cluster.NodeName) []netip.Addr {
	var addrs []netip.Addr
	for _, name := range nodes {
		addrs = append(addrs, s.Peers[name]...)
	}
	return addrs
}

// nodeTraffic says whether a connection of the server is one of another node
// to an address of this node's own: the traffic that the gate always passes.
func (s Scope) nodeTraffic(local, remote netip.Addr) bool {
	if !slices.Contains(s.Own, local) {
		return false
	}
	for _, addrs := range s.Peers {
		if slices.Contains(addrs, remote) {
			return true
		}
	}
	return false
}
