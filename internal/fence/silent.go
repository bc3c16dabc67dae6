package fence

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Of linux/inet_diag.h and linux/tcp.h.
const (
	diagInfo         = 2  // INET_DIAG_INFO: a struct tcp_info comes along
	diagReqExt       = 2  // offset of idiag_ext in a request
	diagMsgTimer     = 2  // offset of idiag_timer in an answer
	diagMsgRetrans   = 3  // offset of idiag_retrans
	timerRetransmit  = 1  // of idiag_timer
	tcpInfoHeardFrom = 52 // offset of tcpi_last_data_recv, in milliseconds
)

// ResetSilent destroys the TCP connections with a peer that have one of those
// ports on either side, and either repeat what was not acknowledged or have
// received nothing for so long; silent 0 means the former only. It returns how
// many there were. The other end of each has its reset if the network is there.
// It works in the network namespace of the calling thread.
//
// It is for connections of our own whose network was away for a moment: TCP
// repeats what was lost after 200, 600, 1400 ms and so on, so that one that is
// opened anew speaks much sooner.
//
// Needs CAP_NET_ADMIN and CONFIG_INET_DIAG_DESTROY (EOPNOTSUPP without it).
func ResetSilent(ctx context.Context, peer netip.Addr, ports []uint16, silent time.Duration) (int, error) {
	c, err := dialNetlink(unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, fmt.Errorf("reset silent connections with %s: %w", peer, err)
	}
	defer c.close()
	var found []diagSocket
	for _, port := range ports {
		for _, fam := range []byte{unix.AF_INET, unix.AF_INET6} {
			for _, side := range []diagSide{diagLocal, diagRemote} {
				if found, err = appendSilent(ctx, c, found, dumpRequest(fam, side, port), peer, silent); err != nil {
					return 0, fmt.Errorf("look for silent connections with %s on port %d: %w", peer, port, err)
				}
			}
		}
	}
	// One pass: whoever has lost a connection opens a new one at once.
	n, err := destroySockets(ctx, c, found)
	if err != nil {
		return n, fmt.Errorf("reset silent connections with %s (%d are): %w", peer, n, err)
	}
	return n, nil
}

func appendSilent(ctx context.Context, c *nlConn, found []diagSocket, request []byte, peer netip.Addr, silent time.Duration) ([]diagSocket, error) {
	request[diagReqExt] = 1 << (diagInfo - 1)
	req := netlink.Message{Header: netlink.Header{Type: sockDiagByFamily}, Data: request}
	err := c.dump(ctx, req, func(body []byte) error {
		if len(body) < diagMsgLen {
			return fmt.Errorf("socket answer of %d bytes, want %d", len(body), diagMsgLen)
		}
		if s := readDiag(body); s.Remote.Addr() == peer && (repeats(body) || silent > 0 && heard(body) >= silent) {
			found = append(found, s)
		}
		return nil
	})
	return found, err
}

// repeats reports whether a connection has sent something again and still has no
// acknowledgement.
func repeats(body []byte) bool {
	return body[diagMsgTimer] == timerRetransmit && body[diagMsgRetrans] > 0
}

// heard is how long ago a connection last received something, or was opened; 0
// if the kernel does not say.
func heard(body []byte) time.Duration {
	ad, err := netlink.NewAttributeDecoder(body[diagMsgLen:])
	if err != nil {
		return 0
	}
	for ad.Next() {
		if b := ad.Bytes(); ad.Type() == diagInfo && len(b) >= tcpInfoHeardFrom+4 {
			return time.Duration(binary.NativeEndian.Uint32(b[tcpInfoHeardFrom:])) * time.Millisecond
		}
	}
	return 0
}
