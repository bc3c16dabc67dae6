package bfd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	port = 3784 // RFC 5881, section 4
	// Packets are sent from one of these ports, the same for as long as a session lasts.
	firstSource, lastSource = 49152, 65535
	// network is the class of control traffic (CS6), which switches let pass first.
	network = 0xc0
)

// listener receives packets of one family.
type listener struct {
	conn *net.UDPConn
	raw  syscall.RawConn
}

func listen(v6 bool) (*listener, error) {
	name := "udp4"
	if v6 {
		name = "udp6"
	}
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return control(raw, func(fd int) error {
			if v6 {
				return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1)
			}
			return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVTTL, 1)
		})
	}}
	conn, err := lc.ListenPacket(context.Background(), name, fmt.Sprintf(":%d", port))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%w: does another BFD run on this host, such as FRR's bfdd or BIRD's?", err)
	}
	if err != nil {
		return nil, err
	}
	udp := conn.(*net.UDPConn)
	raw, err := udp.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, udp.Close())
	}
	return &listener{udp, raw}, nil
}

func (l *listener) close() { _ = l.conn.Close() }

// deliver is called with where a packet comes from, its TTL, and what it says.
type deliver func(from netip.Addr, ttl int, b []byte)

// read hands on packets until the socket is closed.
func (l *listener) read(to deliver) {
	for {
		err := l.raw.Read(func(fd uintptr) bool { return receive(int(fd), to) })
		if err != nil {
			return
		}
	}
}

// drain hands on those that wait already.
func (l *listener) drain(to deliver) {
	_ = l.raw.Control(func(fd uintptr) {
		for receive(int(fd), to) {
		}
	})
}

// receive hands on one packet, if one waits. Errors of the socket are those of packets.
func receive(fd int, to deliver) bool {
	var b, control [256]byte
	n, m, _, from, err := unix.Recvmsg(fd, b[:], control[:], unix.MSG_DONTWAIT)
	if errors.Is(err, unix.EAGAIN) {
		return false
	}
	if err != nil {
		return errors.Is(err, unix.EINTR)
	}
	to(address(from), ttlOf(control[:m]), b[:n])
	return true
}

func address(sa unix.Sockaddr) netip.Addr {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(sa.Addr)
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(sa.Addr)
	}
	return netip.Addr{}
}

// ttlOf is the TTL that a packet arrived with, 0 if the kernel does not say.
func ttlOf(control []byte) int {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return 0
	}
	for _, m := range messages {
		v4 := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_TTL
		v6 := m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_HOPLIMIT
		if (v4 || v6) && len(m.Data) >= 4 {
			return int(binary.NativeEndian.Uint32(m.Data))
		}
	}
	return 0
}

// errUnheard is that nobody listens at the neighbour's, which it said to an earlier packet.
const errUnheard = syscall.ECONNREFUSED

// sender sends to one neighbour, from one port.
type sender struct {
	to     netip.Addr
	from   netip.Addr
	conn   net.Conn
	source int
}

// send opens the socket if there is none: there may be no way to the neighbour yet, or
// no longer the one that there was.
func (s *sender) send(b []byte) error {
	if s.conn == nil {
		if err := s.open(); err != nil {
			return err
		}
	}
	_, err := s.conn.Write(b)
	if err != nil && !errors.Is(err, errUnheard) {
		_ = s.conn.Close()
		s.conn = nil
	}
	return err
}

func (s *sender) open() (err error) {
	for range 100 {
		source := s.source
		if source == 0 {
			source = firstSource + rand.IntN(lastSource-firstSource+1)
		}
		d := net.Dialer{LocalAddr: &net.UDPAddr{IP: s.from.AsSlice(), Port: source}, Control: s.configure}
		s.conn, err = d.Dial("udp", netip.AddrPortFrom(s.to, port).String())
		if err == nil {
			s.source = source
			return nil
		}
		if s.source = 0; !errors.Is(err, syscall.EADDRINUSE) {
			return err
		}
	}
	return err
}

func (s *sender) configure(_, _ string, raw syscall.RawConn) error {
	return control(raw, func(fd int) error {
		if s.to.Is6() {
			return errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, 255),
				unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, network))
		}
		return errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, 255),
			unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, network))
	})
}

func (s *sender) close() {
	if s.conn != nil {
		_ = s.conn.Close()
	}
}

func control(raw syscall.RawConn, do func(fd int) error) error {
	var err error
	if failed := raw.Control(func(fd uintptr) { err = do(int(fd)) }); failed != nil {
		return failed
	}
	return err
}
