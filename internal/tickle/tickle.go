// Package tickle tells the clients of a dead host that their connections are over:
// it has each of them find out by itself.
//
// For each connection it sends ACKs with numbers that mean nothing, from the virtual
// address that this host has taken over. The client's kernel answers with the numbers
// that it expects (RFC 9293, section 3.10.7.4; RFC 5961, section 5), this host's
// kernel knows no such connection and answers with a reset that fits (section 3.5.2).
// An idle client has ECONNRESET within milliseconds instead of never.
//
// It takes no connection away from anybody: the reset is the answer of this host's
// own kernel, which gives it only where it has no such connection. So one that a
// client has made to this host meanwhile, from the same port too, survives: its
// answer to the ACK is a duplicate that its own end takes in. The rule that must not
// be broken: nothing is sent from an address that is not this host's, nor once the
// caller may not any more.
//
// A stateful firewall in between takes an ACK with a number above the window for invalid
// and drops it, and lets one below pass as a late duplicate: one in four, if nothing is
// known of a connection. So a SYN with ACK follows, which Linux's lets pass whatever its
// numbers, because it may know less of the connection than the two ends do, and which the
// client answers like the ACK (RFC 5961, section 4.2). Then come three more ACKs: with the
// first they have the numbers of {0, 2³¹}², of which one is below both windows, whatever
// they are. The SYN is not the first: a client's kernel may answer only so many of them
// in a second.
package tickle

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
)

// A Connection is one of a client with the old host.
type Connection struct {
	Local, Remote netip.AddrPort // the virtual address, and the client
}

// ErrMayNot says that the caller did not allow to go on.
var ErrMayNot = errors.New("this host may not speak for the addresses any more")

// Options say how to send.
type Options struct {
	// Rate is how many packets go out in a second; 0: 100,000, which is 54 Mbit/s
	// and, of five packets each, ten thousand connections in half a second.
	Rate int
	// May is asked before every burst, every few milliseconds, whether this host
	// still speaks for the addresses.
	May func() bool
}

const (
	standardRate = 100_000
	burst        = 64 // packets, sent or not needed, between two looks at the clock
	// sendWait bounds the wait for room in the socket's buffer.
	sendWait = 10 * time.Millisecond
)

// A Sent is what came of it.
type Sent struct {
	Connections int   // for which all packets that they need were handed to the kernel
	Failed      int   // for which one could not be
	Why         error // why, of the first of those
}

// Send sends to each connection. All have their first packet before any has its
// second, for the first one is all that most need; who has answered gets no more. It works in the network namespace
// of the calling thread, and needs CAP_NET_RAW.
//
// The error says why it ended early: ctx, ErrMayNot, or an address that is not this
// host's.
func Send(ctx context.Context, all []Connection, o Options) (Sent, error) {
	sockets := sockets{}
	defer sockets.close()
	for _, c := range all {
		if err := sockets.open(c.Local.Addr()); err != nil {
			return Sent{}, err
		}
	}
	heard, err := hear(all, sockets)
	if err != nil {
		return Sent{}, err
	}
	defer heard.close()
	done := make([]bool, len(all)) // they have answered, or nothing can be sent to them
	var sent Sent
	p := pace{rate: o.Rate, begun: clock.Now()}
	if p.rate == 0 {
		p.rate = standardRate
	}
	for round, n := range numbers() {
		for i, c := range all {
			if (round*len(all)+i)%burst == 0 {
				if err := p.wait(ctx); err != nil {
					return sent, err
				}
				if o.May != nil && !o.May() {
					return sent, ErrMayNot
				}
				heard.take(func(i int) { done[i] = true })
			}
			if done[i] {
				continue
			}
			p.sent++
			if err := sockets.send(c, n); err != nil {
				done[i] = true
				sent.Failed++
				if sent.Why == nil {
					sent.Why = fmt.Errorf("send from %s to %s: %w", c.Local, c.Remote, err)
				}
			}
		}
	}
	sent.Connections = len(all) - sent.Failed
	return sent, nil
}

// A number is the sequence and the acknowledgement number of a packet, and its flags.
type number struct {
	seq, ack uint32
	flags    byte
}

func numbers() []number {
	const half = 1 << 31
	return []number{{0, 0, ackFlag}, synAck(), {half, half, ackFlag}, {0, half, ackFlag}, {half, 0, ackFlag}}
}

func synAck() number { return number{0, 0, synFlag | ackFlag} }

// pace keeps the packets apart, so that no switch or neighbour table on the way has
// to drop them.
type pace struct {
	rate, sent int
	begun      cluster.Instant
}

// wait waits until what has been sent was due.
func (p *pace) wait(ctx context.Context) error {
	due := time.Duration(p.sent) * time.Second / time.Duration(p.rate)
	ahead := due - clock.Now().Sub(p.begun)
	if ahead < time.Millisecond {
		return ctx.Err()
	}
	t := time.NewTimer(ahead)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sockets are raw sockets, by the address that they send from. The kernel binds one
// only to an address of this host.
type sockets map[netip.Addr]int

func (s sockets) open(from netip.Addr) error {
	if _, is := s[from]; is {
		return nil
	}
	family := unix.AF_INET
	if from.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return fmt.Errorf("open a raw socket: %w", err)
	}
	s[from] = fd
	if err := unix.Bind(fd, sockaddr(from)); err != nil {
		return fmt.Errorf("speak for %s: %w", from, err)
	}
	wait := unix.NsecToTimeval(sendWait.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait); err != nil {
		return fmt.Errorf("bound the time to send: %w", err)
	}
	return nil
}

func (s sockets) send(c Connection, n number) error {
	b := packet(c.Local, c.Remote, n)
	for {
		err := unix.Sendto(s[c.Local.Addr()], b, 0, sockaddr(c.Remote.Addr()))
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (s sockets) close() {
	for _, fd := range s {
		_ = unix.Close(fd)
	}
}

func sockaddr(a netip.Addr) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Addr: a.As16()}
}
