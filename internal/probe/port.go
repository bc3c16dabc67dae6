package probe

import (
	"context"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// connect looks whether the port takes connections, without making one: the
// SYN-ACK is answered by a reset. The server never sees it. Otherwise it would
// log an aborted connection for each probe, and where it resolves host names
// block this host after max_connect_errors of them.
func (p *Prober) connect(ctx context.Context) (Class, string) {
	d := net.Dialer{ControlContext: func(_ context.Context, _, _ string, raw syscall.RawConn) (err error) {
		controlled := raw.Control(func(fd uintptr) {
			// Without quick ACKs the kernel holds back the last one of the
			// handshake for a while (tcp(7)), and a close with no time to linger
			// sends a reset in its place.
			if err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 0); err == nil {
				err = unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
			}
		})
		if controlled != nil {
			return controlled
		}
		return err
	}}
	conn, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(p.target.Address, p.target.Port).String())
	if err == nil {
		conn.Close()
	}
	return classify(err)
}
