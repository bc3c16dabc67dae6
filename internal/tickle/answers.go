package tickle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// answers hears which clients have answered. This host's kernel has answered them by
// then, so they need no other packet: behind nothing but switches and routers one is
// enough, and the others are only for those whose firewall drops it.
type answers struct {
	sockets []listener
	which   map[Connection]int
}

// A listener is a raw socket that gets a copy of every short TCP segment to an address
// of this host.
type listener struct {
	fd    int
	local netip.Addr
}

const (
	// short is the longest that an answer can be, headers included: RFC 9293 allows 40
	// bytes of options.
	short = ipv4Len + tcpLen + 40
	// heardAtOnce bounds how many segments are looked at between two bursts.
	heardAtOnce = 4 * burst
	// room is for the answers to several bursts.
	room = 1 << 20
)

// hear begins to listen at the addresses that packets are sent from.
func hear(all []Connection, from sockets) (*answers, error) {
	a := &answers{which: make(map[Connection]int, len(all))}
	for i, c := range all {
		a.which[c] = i
	}
	for local := range from {
		l, err := listen(local)
		if err != nil {
			a.close()
			return nil, fmt.Errorf("hear the answers to %s: %w", local, err)
		}
		a.sockets = append(a.sockets, l)
	}
	return a, nil
}

func listen(local netip.Addr) (listener, error) {
	family := unix.AF_INET
	if local.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_TCP)
	if err != nil {
		return listener{}, err
	}
	// What carries data is of clients that this host serves.
	only := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_LEN},
		{Code: unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K, K: short, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: short},
	}
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(only)), Filter: &only[0]})
	if err == nil {
		err = unix.Bind(fd, sockaddr(local))
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room)
	}
	if err != nil && !errors.Is(err, unix.EPERM) { // a smaller buffer misses some, and they get all that there are
		_ = unix.Close(fd)
		return listener{}, err
	}
	return listener{fd, local}, nil
}

// take tells which of the connections have answered since the last time. It waits for
// nobody.
func (a *answers) take(answered func(i int)) {
	var b [short]byte
	for _, l := range a.sockets {
		for range heardAtOnce {
			n, from, err := unix.Recvfrom(l.fd, b[:], 0)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				break // there is nothing more
			}
			if c, ok := l.of(b[:n], from); ok {
				if i, known := a.which[c]; known {
					answered(i)
				}
			}
		}
	}
}

// of is the connection that a segment is of; the header of IPv4 is in front of it.
func (l listener) of(segment []byte, from unix.Sockaddr) (c Connection, ok bool) {
	var remote netip.Addr
	switch from := from.(type) {
	case *unix.SockaddrInet4:
		if len(segment) == 0 {
			return c, false
		}
		remote, segment = netip.AddrFrom4(from.Addr), segment[min(len(segment), int(segment[0]&0xf)*4):]
	case *unix.SockaddrInet6:
		remote = netip.AddrFrom16(from.Addr)
	}
	if len(segment) < tcpLen || segment[13]&ackFlag == 0 {
		return c, false
	}
	return Connection{
		Local:  netip.AddrPortFrom(l.local, binary.BigEndian.Uint16(segment[2:])),
		Remote: netip.AddrPortFrom(remote, binary.BigEndian.Uint16(segment)),
	}, true
}

func (a *answers) close() {
	for _, l := range a.sockets {
		_ = unix.Close(l.fd)
	}
}
