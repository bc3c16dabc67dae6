package vip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netns"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// inNamespace runs f on a thread that is in that namespace; for sockets that
// can only be opened in the namespace of the thread. They stay in it.
func inNamespace(ns netns.NsHandle, f func() error) error {
	if !ns.IsOpen() {
		return f()
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		if err := netns.Set(ns); err != nil {
			done <- fmt.Errorf("enter the network namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// sender sends Ethernet frames out of any interface. It receives nothing, so
// that it costs nothing while it is idle.
type sender struct{ fd int }

func openSender(ns netns.NsHandle) (*sender, error) {
	s := &sender{}
	err := inNamespace(ns, func() (err error) {
		s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	return s, nil
}

func (s *sender) close() error { return unix.Close(s.fd) }

func (s *sender) send(index int, frames ...[]byte) error {
	for _, f := range frames {
		to := &unix.SockaddrLinklayer{Ifindex: index, Halen: 6, Protocol: uint16(f[13])<<8 | uint16(f[12])}
		copy(to.Addr[:], f[:6])
		if err := unix.Sendto(s.fd, f, 0, to); err != nil {
			return err
		}
	}
	return nil
}

// neighbourFilter passes solicitations and advertisements only, of all IPv6
// packets of a host: next header and ICMPv6 type, at their places in a frame
// without extension headers, which neighbour discovery never has.
func neighbourFilter() ([]bpf.RawInstruction, error) {
	return bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: etherLen + 6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protoICMPv6, SkipTrue: 4},
		bpf.LoadAbsolute{Off: etherLen + ipv6Len, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: ndSolicit, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: ndAdvert, SkipTrue: 1},
		bpf.RetConstant{Val: 1 << 16},
		bpf.RetConstant{Val: 0},
	})
}

// listen opens a socket that hears what neighbours on a link say of addresses
// of one family. It hears it before the firewall does, also while muted.
func (s *Set) listen(l link, v6 bool) (*packet.Conn, error) {
	proto, cfg := etherARP, &packet.Config{}
	if v6 {
		filter, err := neighbourFilter()
		if err != nil {
			return nil, fmt.Errorf("assemble the packet filter: %w", err)
		}
		proto, cfg.Filter = etherIPv6, filter
	}
	var conn *packet.Conn
	err := inNamespace(s.ns, func() (err error) {
		conn, err = packet.Listen(&net.Interface{Index: l.index, Name: l.name, HardwareAddr: l.mac}, packet.Raw, proto, cfg)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", l.name, err)
	}
	return conn, nil
}

// retire closes a socket without making the caller wait: the kernel first sees
// every processor forget it, which can take tens of milliseconds.
func (s *Set) retire(conn *packet.Conn) {
	s.closing.Go(func() { _ = conn.Close() })
}

// ask sends the question, again after every interval, until somebody claims ip
// or the context ends. The zero address means that nobody did.
func (s *Set) ask(ctx context.Context, l link, ip netip.Addr, frame []byte, again time.Duration) (net.HardwareAddr, error) {
	conn, err := s.listen(l, ip.Is6())
	if err != nil {
		return nil, err
	}
	defer s.retire(conn)
	// A deadline in the past ends a read that is under way.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()

	buf := make([]byte, 1514)
	for ctx.Err() == nil {
		if err := s.sender.send(l.index, frame); err != nil {
			return nil, fmt.Errorf("ask for %s on %s: %w", ip, l.name, err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(again)); err != nil {
			return nil, fmt.Errorf("ask for %s on %s: %w", ip, l.name, err)
		}
		for ctx.Err() == nil {
			n, _, err := conn.ReadFrom(buf)
			if timeout(err) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("hear who has %s on %s: %w", ip, l.name, err)
			}
			if c, ok := claimIn(buf[:n]); ok && c.ip == ip && c.mac.String() != l.mac.String() {
				return c.mac, nil
			}
		}
	}
	return nil, nil
}

func timeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}
