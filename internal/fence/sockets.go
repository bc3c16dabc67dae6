package fence

import (
	"context"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Socket is one TCP connection, seen from this host. IPv4 addresses are plain
// also where the server listens on [::].
type Socket struct {
	Local, Remote netip.AddrPort
}

// destroyPasses bounds how often DestroyClientSockets looks for sockets that
// came to be while it worked. Behind a closed gate the second look finds none.
const destroyPasses = 3

// DestroyClientSockets resets every client connection on the database ports,
// in both families, and returns how many there were. Each client has its reset
// within a millisecond or so, if its address is still on this host. Connections
// of other nodes to this node's own addresses stay; one that came through a
// virtual address goes, whoever's it is. Listening sockets stay. It works in
// the network namespace of the calling thread.
//
// It is for the clients' sake and no fence: a statement that is running commits
// all the same. Close the gate first, so that nobody comes back.
//
// Needs CAP_NET_ADMIN and CONFIG_INET_DIAG_DESTROY (EOPNOTSUPP without it).
func DestroyClientSockets(ctx context.Context, scope Scope) (int, error) {
	c, err := dialNetlink(unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, fmt.Errorf("destroy client sockets on ports %v: %w", scope.Ports, err)
	}
	defer c.close()
	n, err := destroy(ctx, c, scope.Ports, diagLocal, scope.isClient)
	if err != nil {
		return n, fmt.Errorf("destroy client sockets on ports %v (%d are): %w", scope.Ports, n, err)
	}
	return n, nil
}

func (s Scope) isClient(c Socket) bool { return !s.nodeTraffic(c.Local.Addr(), c.Remote.Addr()) }

// destroy destroys the connections with one of the ports on that side for
// which match says so.
func destroy(ctx context.Context, c *nlConn, ports []uint16, side diagSide, match func(Socket) bool) (int, error) {
	total := 0
	for range destroyPasses {
		found, err := findSockets(ctx, c, ports, side, match)
		if err != nil {
			return total, err
		}
		if len(found) == 0 {
			break
		}
		n, err := destroySockets(ctx, c, found)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func findSockets(ctx context.Context, c *nlConn, ports []uint16, side diagSide, match func(Socket) bool) ([]diagSocket, error) {
	var found []diagSocket
	for _, port := range ports {
		for _, fam := range []byte{unix.AF_INET, unix.AF_INET6} {
			socks, err := dumpSockets(ctx, c, fam, side, port)
			if err != nil {
				return nil, fmt.Errorf("list sockets of port %d: %w", port, err)
			}
			for _, s := range socks {
				if match(s.Socket) {
					found = append(found, s)
				}
			}
		}
	}
	return found, nil
}
