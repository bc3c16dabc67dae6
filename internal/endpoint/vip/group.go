package vip

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// groups are memberships in the multicast groups on which neighbours ask for IPv6
// addresses. Switches that look at memberships hand such a question only to those who
// said that they want it, which the kernel says on the interface of the address. On one
// that sends nothing by itself it cannot; so the host joins on the interface below it,
// in that one's name.
type groups struct {
	ns     netns.NsHandle
	fd     int // 0: nothing was joined yet
	joined map[netip.Addr]int
}

// join has the host hear questions for ip on an interface, by its number.
func (g *groups) join(ip netip.Addr, index int) error {
	if ip.Is4() || g.joined[ip] == index {
		return nil
	}
	g.leave(ip)
	if g.fd == 0 {
		err := inNamespace(g.ns, func() (err error) {
			g.fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			return err
		})
		if err != nil {
			g.fd = 0
			return fmt.Errorf("open a socket to hear questions for %s: %w", ip, err)
		}
	}
	r := &unix.IPv6Mreq{Multiaddr: solicitedNode(ip).As16(), Interface: uint32(index)}
	// Two addresses may have the same group.
	if err := unix.SetsockoptIPv6Mreq(g.fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, r); err != nil && !errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("hear questions for %s: %w", ip, err)
	}
	if g.joined == nil {
		g.joined = map[netip.Addr]int{}
	}
	g.joined[ip] = index
	return nil
}

// leave ends what join did; once nothing is left, also for interfaces that are gone.
func (g *groups) leave(ip netip.Addr) {
	index, is := g.joined[ip]
	if !is {
		return
	}
	delete(g.joined, ip)
	for other, at := range g.joined {
		if at == index && solicitedNode(other) == solicitedNode(ip) {
			return
		}
	}
	if len(g.joined) == 0 {
		g.close()
		return
	}
	_ = unix.SetsockoptIPv6Mreq(g.fd, unix.IPPROTO_IPV6, unix.IPV6_LEAVE_GROUP, &unix.IPv6Mreq{Multiaddr: solicitedNode(ip).As16(), Interface: uint32(index)}) // gone with its interface
}

func (g *groups) close() {
	if g.fd != 0 {
		_ = unix.Close(g.fd)
	}
	g.fd, g.joined = 0, nil
}
