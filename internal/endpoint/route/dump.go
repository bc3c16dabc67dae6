package route

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	wantedDumpTries = 3
	// dumpBuffer is twice what the kernel sends at once, which is no more than it is asked for.
	dumpBuffer = 64 << 10
)

// dump asks for all of something, and asks again where the list changed meanwhile. What
// read does not want is not kept: a router's table may hold as much as the Internet's, and
// this process's memory is locked.
func dump[T any](k *kernel, kind uint16, header []byte, read func(data []byte) (one T, want bool, err error), attributes ...netlink.Attribute) ([]T, error) {
	for try := 1; ; try++ {
		var all []T
		whole, err := k.list(kind, header, attributes, func(data []byte) error {
			one, want, err := read(data)
			if err == nil && want {
				all = append(all, one)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		if whole || try == wantedDumpTries {
			return all, nil
		}
	}
}

// list has take read each message of a dump, and reports whether the list is whole. The
// library's own way gives all of them at once.
func (k *kernel) list(kind uint16, header []byte, attributes []netlink.Attribute, take func(data []byte) error) (whole bool, err error) {
	m, err := message(kind, netlink.Dump, header, attributes...)
	if err != nil {
		return false, err
	}
	raw, err := k.conn.SyscallConn()
	if err != nil {
		return false, fmt.Errorf("read netlink: %w", err)
	}
	k.behind = true // until its end is read
	if m, err = k.conn.Send(m); err != nil {
		return false, err
	}
	buf := make([]byte, dumpBuffer)
	whole = true
	for {
		n, err := receive(raw, buf)
		if err != nil {
			return false, fmt.Errorf("read netlink: %w", err)
		}
		messages, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return false, fmt.Errorf("read netlink: %w", err)
		}
		for _, got := range messages {
			switch {
			case got.Header.Seq != m.Header.Sequence:
				continue
			case got.Header.Type == unix.NLMSG_DONE || got.Header.Type == unix.NLMSG_ERROR:
				k.behind = false
				return whole && !interrupted(got), ended(got)
			}
			whole = whole && !interrupted(got)
			if err := take(got.Data); err != nil {
				return false, err
			}
		}
	}
}

func interrupted(m syscall.NetlinkMessage) bool {
	return netlink.HeaderFlags(m.Header.Flags)&netlink.DumpInterrupted != 0
}

// ended returns what the end of a dump says went wrong.
func ended(m syscall.NetlinkMessage) error {
	if len(m.Data) < 4 {
		return nil
	}
	if code := -int32(binary.NativeEndian.Uint32(m.Data)); code != 0 {
		return syscall.Errno(code)
	}
	return nil
}

// receive waits for what comes next on a socket, until its deadline.
func receive(raw syscall.RawConn, buf []byte) (n int, err error) {
	waited := raw.Read(func(fd uintptr) bool {
		for {
			var flags int
			n, _, flags, _, err = unix.Recvmsg(int(fd), buf, nil, unix.MSG_DONTWAIT)
			if err == nil && flags&unix.MSG_TRUNC != 0 {
				err = errors.New("a message is too long")
			}
			if !errors.Is(err, unix.EINTR) {
				return !errors.Is(err, unix.EAGAIN)
			}
		}
	})
	if waited != nil {
		return 0, waited
	}
	return n, err
}
