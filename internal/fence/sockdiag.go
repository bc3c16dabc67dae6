package fence

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Message types of linux/sock_diag.h.
const (
	sockDiagByFamily = 20
	sockDestroy      = 21
)

// Sizes and offsets of linux/inet_diag.h.
const (
	diagReqLen   = 56 // struct inet_diag_req_v2
	diagIDLen    = 48 // struct inet_diag_sockid
	diagReqID    = 8  // its offset in a request
	diagMsgID    = 4  // its offset in an answer, struct inet_diag_msg
	diagMsgLen   = 72
	diagBytecode = 1 // INET_DIAG_REQ_BYTECODE
)

// liveStates are the states of connections that can be destroyed: all but
// LISTEN, which SOCK_DESTROY would close as well, and TIME_WAIT, of which
// nobody waits for anything.
const liveStates = 1<<1 | // ESTABLISHED
	1<<2 | // SYN_SENT
	1<<3 | // SYN_RECV
	1<<4 | // FIN_WAIT1
	1<<5 | // FIN_WAIT2
	1<<8 | // CLOSE_WAIT
	1<<9 | // LAST_ACK
	1<<11 // CLOSING

// diagSide says which of a socket's two ports is looked at.
type diagSide byte

const (
	diagLocal  diagSide = 7 // INET_DIAG_BC_S_COND
	diagRemote diagSide = 8 // INET_DIAG_BC_D_COND
)

// diagSocket is one answer of a dump.
type diagSocket struct {
	Socket
	family byte
	id     [diagIDLen]byte // goes back as it came, with the cookie that makes it unique
}

// dumpSockets returns the TCP connections of one family with that port. IPv4
// connections of a [::] listener appear in the IPv6 dump only, as
// IPv4-mapped addresses; here they come back as IPv4.
func dumpSockets(ctx context.Context, c *nlConn, fam byte, side diagSide, port uint16) ([]diagSocket, error) {
	var socks []diagSocket
	req := netlink.Message{Header: netlink.Header{Type: sockDiagByFamily}, Data: dumpRequest(fam, side, port)}
	err := c.dump(ctx, req, func(body []byte) error {
		if len(body) < diagMsgLen {
			return fmt.Errorf("socket answer of %d bytes, want %d", len(body), diagMsgLen)
		}
		socks = append(socks, readDiag(body))
		return nil
	})
	return socks, err
}

// dumpRequest is an inet_diag_req_v2 with a filter that the kernel runs.
func dumpRequest(fam byte, side diagSide, port uint16) []byte {
	const condLen = 12 // struct inet_diag_bc_op, struct inet_diag_hostcond without an address
	// Matching jumps to the end of the program, which accepts; not matching
	// jumps past it, which refuses.
	b := []byte{byte(side), condLen}
	b = binary.NativeEndian.AppendUint16(b, condLen+4)
	b = append(b, unix.AF_UNSPEC, 0, 0, 0) // any address
	return diagRequest(fam, liveStates, binary.NativeEndian.AppendUint32(b, uint32(port)))
}

// diagRequest is an inet_diag_req_v2 for TCP sockets in those states.
func diagRequest(fam byte, states uint32, program []byte) []byte {
	b := make([]byte, diagReqLen, diagReqLen+4+len(program))
	b[0], b[1] = fam, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[4:], states)
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(program)))
	b = binary.NativeEndian.AppendUint16(b, diagBytecode)
	return append(b, program...)
}

func readDiag(body []byte) diagSocket {
	s := diagSocket{family: body[0]}
	copy(s.id[:], body[diagMsgID:])
	addr := func(at int) netip.Addr {
		if s.family == unix.AF_INET {
			return netip.AddrFrom4([4]byte(s.id[at : at+4]))
		}
		return netip.AddrFrom16([16]byte(s.id[at : at+16])).Unmap()
	}
	s.Local = netip.AddrPortFrom(addr(4), binary.BigEndian.Uint16(s.id[0:]))
	s.Remote = netip.AddrPortFrom(addr(20), binary.BigEndian.Uint16(s.id[2:]))
	return s
}

// destroyBatch is how many sockets go into one system call. The kernel works
// through it without giving up the processor, so it is bounded.
const destroyBatch = 128

// destroySockets destroys those sockets. A socket that ended by itself
// meanwhile is not counted, and no error.
func destroySockets(ctx context.Context, c *nlConn, socks []diagSocket) (destroyed int, err error) {
	for len(socks) > 0 {
		n := min(destroyBatch, len(socks))
		did, err := destroyOnce(ctx, c, socks[:n])
		destroyed += did
		if err != nil {
			return destroyed, err
		}
		socks = socks[n:]
	}
	return destroyed, nil
}

func destroyOnce(ctx context.Context, c *nlConn, socks []diagSocket) (destroyed int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	msgs := make([]netlink.Message, len(socks))
	for i, s := range socks {
		data := make([]byte, diagReqLen)
		data[0], data[1] = s.family, unix.IPPROTO_TCP
		binary.NativeEndian.PutUint32(data[4:], liveStates)
		copy(data[diagReqID:], s.id[:])
		msgs[i] = netlink.Message{Header: netlink.Header{Type: sockDestroy, Flags: netlink.Request}, Data: data}
	}
	last := &msgs[len(msgs)-1]
	last.Header.Flags |= netlink.Acknowledge
	wire, err := c.number(msgs)
	if err != nil {
		return 0, err
	}
	c.drain()
	if err := c.send(wire); err != nil {
		return 0, fmt.Errorf("send to the kernel: %w", err)
	}
	// The kernel reports each failure, and the last message in any case.
	destroyed = len(socks)
	err = c.receive(func(h unix.NlMsghdr, body []byte) (bool, error) {
		if h.Type != unix.NLMSG_ERROR {
			return false, nil
		}
		if ackErr := ackError(h, body); ackErr != nil {
			destroyed--
			if !errors.Is(ackErr, unix.ENOENT) {
				return true, ackErr
			}
		}
		return h.Seq == last.Header.Sequence, nil
	})
	if err != nil {
		c.drain()
		return 0, err
	}
	return destroyed, nil
}
