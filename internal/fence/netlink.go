package fence

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// nlAnswerWait bounds the wait for an answer of the kernel. It answers inside
// the send; only a kernel that is out of memory stays silent.
const nlAnswerWait = 2 * time.Second

// nlConn is one netlink socket with one request in flight.
//
// The libraries' connections are not used for requests because a table with
// the owner flag belongs to one socket, whose port number the caller must know
// and which must outlive an error; and because one answer for a whole batch,
// instead of one for each message, is half of the cost of a renewal.
type nlConn struct {
	fd   int
	port uint32 // the kernel's name for this socket, in every message's header
	seq  uint32
	buf  []byte
}

// dialNetlink opens a socket in the network namespace of the calling thread.
func dialNetlink(protocol int) (*nlConn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket, protocol %d: %w", protocol, err)
	}
	c := &nlConn{fd: fd, buf: make([]byte, 256<<10)}
	if err := c.prepare(); err != nil {
		c.close()
		return nil, fmt.Errorf("prepare netlink socket, protocol %d: %w", protocol, err)
	}
	return c, nil
}

func (c *nlConn) prepare() error {
	if err := unix.Bind(c.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	name, err := unix.Getsockname(c.fd)
	if err != nil {
		return fmt.Errorf("read own port: %w", err)
	}
	sa, ok := name.(*unix.SockaddrNetlink)
	if !ok {
		return fmt.Errorf("read own port: the socket's name is a %T", name)
	}
	c.port = sa.Pid
	wait := unix.NsecToTimeval(nlAnswerWait.Nanoseconds())
	if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return fmt.Errorf("bound the wait for answers: %w", err)
	}
	// Larger buffers and short errors with a text are a convenience: a kernel
	// without them works as well.
	_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20)
	_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4<<20)
	_ = unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	_ = unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	return nil
}

func (c *nlConn) close() { _ = unix.Close(c.fd) }

// number gives the messages consecutive sequence numbers and returns their
// wire form. Only the last one asks for an acknowledgement; errors come for any.
func (c *nlConn) number(msgs []netlink.Message) ([]byte, error) {
	var wire []byte
	for i := range msgs {
		c.seq++
		msgs[i].Header.Sequence = c.seq
		msgs[i].Header.PID = c.port
		msgs[i].Header.Length = uint32(unix.SizeofNlMsghdr + (len(msgs[i].Data)+3)&^3)
		b, err := msgs[i].MarshalBinary()
		if err != nil {
			return nil, fmt.Errorf("encode netlink message: %w", err)
		}
		wire = append(wire, b...)
	}
	return wire, nil
}

func (c *nlConn) send(wire []byte) error {
	for {
		err := unix.Sendto(c.fd, wire, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// receive hands each waiting message to f, until f says that it was the last.
func (c *nlConn) receive(f func(unix.NlMsghdr, []byte) (last bool, err error)) error {
	for {
		n, _, err := unix.Recvfrom(c.fd, c.buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if errors.Is(err, unix.EAGAIN) {
			return fmt.Errorf("the kernel did not answer within %v: %w", nlAnswerWait, err)
		}
		if err != nil {
			return err
		}
		for m := c.buf[:n]; len(m) >= unix.SizeofNlMsghdr; {
			h := unix.NlMsghdr{
				Len:   binary.NativeEndian.Uint32(m),
				Type:  binary.NativeEndian.Uint16(m[4:]),
				Flags: binary.NativeEndian.Uint16(m[6:]),
				Seq:   binary.NativeEndian.Uint32(m[8:]),
				Pid:   binary.NativeEndian.Uint32(m[12:]),
			}
			if h.Len < unix.SizeofNlMsghdr || int(h.Len) > len(m) {
				return fmt.Errorf("netlink message of %d bytes in a datagram of %d", h.Len, len(m))
			}
			last, err := f(h, m[unix.SizeofNlMsghdr:h.Len])
			if last || err != nil {
				return err
			}
			m = m[min(int(h.Len+3)&^3, len(m)):]
		}
	}
}

// drain throws away what is left of an answer. The kernel has queued all of it
// before the send returned.
func (c *nlConn) drain() {
	for {
		if _, _, err := unix.Recvfrom(c.fd, c.buf, unix.MSG_DONTWAIT); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// transact sends the batch in one datagram, reads until the acknowledgement of
// message acked, and returns the first error that the kernel reports.
func (c *nlConn) transact(ctx context.Context, msgs []netlink.Message, acked int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	msgs[acked].Header.Flags |= netlink.Acknowledge
	wire, err := c.number(msgs)
	if err != nil {
		return err
	}
	c.drain()
	if err := c.send(wire); err != nil {
		return fmt.Errorf("send to the kernel: %w", err)
	}
	first := msgs[0].Header.Sequence
	err = c.receive(func(h unix.NlMsghdr, body []byte) (bool, error) {
		if h.Type != unix.NLMSG_ERROR || h.Seq < first {
			return false, nil
		}
		if err := ackError(h, body); err != nil {
			return true, err
		}
		return h.Seq == msgs[acked].Header.Sequence, nil
	})
	if err != nil {
		c.drain()
	}
	return err
}

// dump sends one dump request and hands each answer to f.
func (c *nlConn) dump(ctx context.Context, req netlink.Message, f func(body []byte) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	req.Header.Flags |= netlink.Request | netlink.Dump
	wire, err := c.number([]netlink.Message{req})
	if err != nil {
		return err
	}
	c.drain()
	if err := c.send(wire); err != nil {
		return fmt.Errorf("send to the kernel: %w", err)
	}
	err = c.receive(func(h unix.NlMsghdr, body []byte) (bool, error) {
		if h.Seq != c.seq {
			return false, nil
		}
		if h.Flags&unix.NLM_F_DUMP_INTR != 0 {
			return true, errDumpInterrupted
		}
		switch h.Type {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			return true, ackError(h, body)
		}
		return false, f(body)
	})
	if err != nil {
		c.drain()
	}
	return err
}

// errDumpInterrupted says that what was dumped changed meanwhile: dump again.
var errDumpInterrupted = errors.New("the dump was interrupted by a change")

// ackError decodes an NLMSG_ERROR body; nil for an acknowledgement.
func ackError(h unix.NlMsghdr, body []byte) error {
	if len(body) < 4 {
		return errors.New("netlink acknowledgement is cut short")
	}
	code := int32(binary.NativeEndian.Uint32(body))
	if code == 0 {
		return nil
	}
	errno := unix.Errno(-code)
	// With NETLINK_CAP_ACK the failed message's header follows, then the attributes.
	const attrs = 4 + unix.SizeofNlMsghdr
	if h.Flags&unix.NLM_F_ACK_TLVS == 0 || len(body) < attrs {
		return errno
	}
	ad, err := netlink.NewAttributeDecoder(body[attrs:])
	if err != nil {
		return errno
	}
	for ad.Next() {
		if ad.Type() == unix.NLMSGERR_ATTR_MSG {
			return fmt.Errorf("%s: %w", ad.String(), errno)
		}
	}
	return errno
}
