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

// A Stage says how far connections have to be to be listed.
type Stage uint32

// The stages. In Established a client believes that it is connected and may wait
// for an answer; Any is everything but a listening socket and TIME_WAIT.
const (
	Established Stage = 1<<1 | 1<<8 // ESTABLISHED, CLOSE_WAIT
	Any         Stage = liveStates
)

// Connections lists the connections of this host's own sockets at some addresses
// and ports. The kernel chooses them, so that connections elsewhere cost next to
// nothing. One goroutine at a time may use it.
type Connections struct {
	conn     *nlConn
	families []byte
	program  []byte
	at       []netip.AddrPort
}

// OpenConnections prepares for listing what is connected to those of this host's
// addresses, in the network namespace of the calling thread.
func OpenConnections(at []netip.AddrPort) (*Connections, error) {
	if len(at) == 0 {
		return nil, errors.New("list connections: no address to look at is given")
	}
	c, err := dialNetlink(unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("list the connections of %v: %w", at, err)
	}
	list := &Connections{conn: c, at: at, program: addressProgram(at), families: []byte{unix.AF_INET6}}
	for _, a := range at {
		if a.Addr().Is4() {
			list.families = []byte{unix.AF_INET, unix.AF_INET6} // those of a [::] listener are in the latter
			break
		}
	}
	return list, nil
}

// Close ends it.
func (c *Connections) Close() { c.conn.close() }

// Each hands every connection to f, in no order.
func (c *Connections) Each(ctx context.Context, stage Stage, f func(Socket)) error {
	return c.each(ctx, stage, func(s diagSocket) { f(s.Socket) })
}

func (c *Connections) each(ctx context.Context, stage Stage, f func(diagSocket)) error {
	for _, family := range c.families {
		req := netlink.Message{Header: netlink.Header{Type: sockDiagByFamily}, Data: diagRequest(family, uint32(stage), c.program)}
		err := c.conn.dump(ctx, req, func(body []byte) error {
			if len(body) < diagMsgLen {
				return fmt.Errorf("socket answer of %d bytes, want %d", len(body), diagMsgLen)
			}
			f(readDiag(body))
			return nil
		})
		if err != nil {
			return fmt.Errorf("list the connections of %v: %w", c.at, err)
		}
	}
	return nil
}

// diagJump is INET_DIAG_BC_JMP.
const diagJump = 1

// addressProgram is the kernel's filter for sockets whose own end is one of those:
// for each a condition that jumps to the next one if it does not hold and falls
// through to a jump to the end, which accepts. The last one jumps past the end,
// which refuses.
func addressProgram(at []netip.AddrPort) []byte {
	const opLen, hostLen = 4, 8
	var conditions [][]byte
	left := 0
	for _, a := range at {
		ip := a.Addr().AsSlice()
		family := byte(unix.AF_INET)
		if a.Addr().Is6() {
			family = unix.AF_INET6
		}
		size := opLen + hostLen + len(ip)
		b := []byte{byte(diagLocal), byte(size), 0, 0, family, byte(8 * len(ip)), 0, 0}
		b = binary.NativeEndian.AppendUint32(b, uint32(a.Port()))
		conditions = append(conditions, append(b, ip...))
		left += size + opLen
	}
	var program []byte
	for i, b := range conditions {
		last := i == len(conditions)-1
		// Not matching, it goes on after the jump that follows; after the last
		// condition there is none, and it ends 4 bytes past the end.
		binary.NativeEndian.PutUint16(b[2:], uint16(len(b)+opLen))
		program = append(program, b...)
		if left -= len(b) + opLen; !last {
			// All that is left, but the jump that the last condition does without.
			program = append(program, diagJump, opLen)
			program = binary.NativeEndian.AppendUint16(program, uint16(left))
		}
	}
	return program
}

// ResetAt resets the connections of this host's own sockets at some addresses and ports,
// and returns how many there were: before an address goes to another host, as long as the
// resets still leave. Connections at other addresses stay. It works in the network
// namespace of the calling thread.
func ResetAt(ctx context.Context, at []netip.AddrPort) (int, error) {
	c, err := OpenConnections(at)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	var found []diagSocket
	if err := c.each(ctx, Any, func(s diagSocket) { found = append(found, s) }); err != nil {
		return 0, err
	}
	n, err := destroySockets(ctx, c.conn, found)
	if err != nil {
		return n, fmt.Errorf("reset the connections of %v (%d are): %w", at, n, err)
	}
	return n, nil
}
