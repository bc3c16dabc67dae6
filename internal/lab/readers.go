package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/baton-db/baton/internal/lab/network"
)

// Readers: the ways to replicas.

// readersLag is how far a replica may be behind that readers are led to.
const readersLag = "2s"

// ReaderAddresses are the virtual addresses that lead readers to replicas, if the lab has
// some.
func (l *Lab) ReaderAddresses() []netip.Addr {
	switch {
	case !l.Readers:
		return nil
	case l.ClientNet:
		return []netip.Addr{netip.MustParseAddr("10.77.2.70"), netip.MustParseAddr("fd77:2::70")}
	}
	return []netip.Addr{netip.MustParseAddr("10.77.0.70"), netip.MustParseAddr("fd77::70")}
}

// readers is the agents' configuration of them: nobody has one while no replica is well.
func (l *Lab) readers() section {
	var all []section
	for _, a := range l.ReaderAddresses() {
		all = append(all, section{"address": a.String(), "interface": network.Card(a)})
	}
	return section{"addresses": all, "max_lag": readersLag, "no_replica": "nobody"}
}

// HoldersOf are the data nodes whose hosts have an address. Two are two only if both have
// it at two looks: it may be given from one to the other in the middle of a look.
func (l *Lab) HoldersOf(ctx context.Context, a netip.Addr) ([]string, error) {
	holders, err := l.holders(ctx, a)
	if err != nil || len(holders) < 2 {
		return holders, err
	}
	again, err := l.holders(ctx, a)
	return slices.DeleteFunc(again, func(n string) bool { return !slices.Contains(holders, n) }), err
}

// WaitReaders waits until each address for readers is on a node that may have it.
func (l *Lab) WaitReaders(ctx context.Context, what string, may func(node string) bool) error {
	ctx, cancel := context.WithTimeout(ctx, steadyLimit)
	defer cancel()
	return until(ctx, what, func(ctx context.Context) error {
		for _, a := range l.ReaderAddresses() {
			holders, err := l.HoldersOf(ctx, a)
			if err != nil {
				return err
			}
			if len(holders) != 1 || !may(holders[0]) {
				return fmt.Errorf("%s is on %v", a, holders)
			}
		}
		return nil
	})
}

// ReadAt asks, as a client on a host does, who answers at an address and whether it
// takes writes.
func (l *Lab) ReadAt(ctx context.Context, from string, a netip.AddrPort) (node string, writable bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, askRoad)
	defer cancel()
	var id uint32
	var readOnly bool
	err = l.onceAt(ctx, from, a.String(), func(db querier) error {
		return db.QueryRowContext(ctx, "SELECT @@server_id, @@global.read_only").Scan(&id, &readOnly)
	})
	if err != nil {
		return "", false, fmt.Errorf("read at %s, from %s: %w", a, from, err)
	}
	return l.nodeOf(id), !readOnly, nil
}

// ReadOverChecks asks who answers readers behind the HAProxy of the road checks.
func (l *Lab) ReadOverChecks(ctx context.Context) (node string, err error) {
	ctx, cancel := context.WithTimeout(ctx, askRoad)
	defer cancel()
	return l.overMySQL(ctx, "cl", net.JoinHostPort(l.address(servicesName), strconv.Itoa(readChecksPort)))
}

// ReplicasByName are the nodes to which an agent says that the name for readers leads, of
// the road zone.
func (l *Lab) ReplicasByName(ctx context.Context, asked string) (nodes []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, askRoad)
	defer cancel()
	return l.allOverDNS(ctx, "cl", l.address(asked)+":53", "replicas."+agentsZone)
}

// Listen listens on a host of the lab, for a server of the caller's.
func (l *Lab) Listen(host string, port int) (listener net.Listener, err error) {
	err = l.net.Do(host, func() (err error) {
		listener, err = net.Listen("tcp", net.JoinHostPort(l.address(host), strconv.Itoa(port)))
		return err
	})
	return listener, err
}

// Neighbour is the link-layer address that a host's kernel has for an address.
func (l *Lab) Neighbour(ctx context.Context, host string, a netip.Addr) (mac string, err error) {
	return l.net.Neighbour(ctx, host, a)
}

// FixNeighbour has a host keep what it has for an address, whatever it hears.
func (l *Lab) FixNeighbour(ctx context.Context, host string, a netip.Addr) error {
	mac, err := l.Neighbour(ctx, host, a)
	if err != nil {
		return err
	}
	return l.net.IP(ctx, host, fmt.Sprintf("neigh replace %s lladdr %s dev eth0 nud permanent", a, mac))
}
