package fence

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// A Clock is the timer of a connection that runs.
type Clock uint8

// The timers that the kernel tells of (idiag_timer of struct inet_diag_msg).
const (
	NoTimer        Clock = 0
	Retransmission Clock = 1 // something sent is not acknowledged yet
	Keepalive      Clock = 2
	TimeWait       Clock = 3
	WindowProbe    Clock = 4 // the other side takes nothing more at the moment
)

// Watch is how the kernel keeps watch over one connection.
type Watch struct {
	Socket
	Timer   Clock
	Expires int64 // of the timer, in milliseconds
	// What the kernel has counted; Told is false if it does not say (struct tcp_info).
	Told        bool
	SegmentsIn  uint32 // all that came in
	DataIn      uint32 // those of them with data
	DataOut     uint32
	SinceDataIn uint32 // in milliseconds
	SinceAckIn  uint32
	SinceOut    uint32
}

// Watches lists the clients' connections on the database ports with their timers.
func Watches(ctx context.Context, scope Scope) ([]Watch, error) {
	c, err := dialNetlink(unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("list the timers of clients on ports %v: %w", scope.Ports, err)
	}
	defer c.close()
	var all []Watch
	for _, port := range scope.Ports {
		for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
			request := dumpRequest(family, diagLocal, port)
			request[diagReqExt] = 1 << (diagInfo - 1)
			err := c.dump(ctx, netlink.Message{Header: netlink.Header{Type: sockDiagByFamily}, Data: request}, func(body []byte) error {
				w, err := readWatch(body)
				if err == nil && scope.isClient(w.Socket) && isEstablished(body[1]) {
					all = append(all, w)
				}
				return err
			})
			if err != nil {
				return nil, fmt.Errorf("list the timers of clients on port %d: %w", port, err)
			}
		}
	}
	return all, nil
}

// Of linux/inet_diag.h, and offsets in struct tcp_info of linux/tcp.h.
const (
	diagExpires = 52 // the offset of idiag_expires, in milliseconds

	infoLastSent   = 44
	infoLastAck    = 56
	infoSegmentsIn = 140
	infoDataIn     = 152
	infoDataOut    = 156
	infoLen        = 160 // up to there
)

func isEstablished(state byte) bool { return uint32(Established)&(1<<state) != 0 }

func readWatch(body []byte) (Watch, error) {
	if len(body) < diagMsgLen {
		return Watch{}, fmt.Errorf("socket answer of %d bytes, want %d", len(body), diagMsgLen)
	}
	w := Watch{Socket: readDiag(body).Socket, Timer: Clock(body[diagMsgTimer]), Expires: int64(binary.NativeEndian.Uint32(body[diagExpires:]))}
	attributes, err := netlink.NewAttributeDecoder(body[diagMsgLen:])
	if err != nil {
		return Watch{}, fmt.Errorf("read the answer about a socket: %w", err)
	}
	for attributes.Next() {
		info := attributes.Bytes()
		if attributes.Type() != diagInfo || len(info) < infoLen {
			continue
		}
		at := func(offset int) uint32 { return binary.NativeEndian.Uint32(info[offset:]) }
		w.Told, w.SegmentsIn, w.DataIn, w.DataOut = true, at(infoSegmentsIn), at(infoDataIn), at(infoDataOut)
		w.SinceOut, w.SinceDataIn, w.SinceAckIn = at(infoLastSent), at(tcpInfoHeardFrom), at(infoLastAck)
	}
	if err := attributes.Err(); err != nil {
		return Watch{}, fmt.Errorf("read the answer about a socket: %w", err)
	}
	return w, nil
}
