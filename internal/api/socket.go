package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrServed says that somebody already serves on a socket.
var ErrServed = errors.New("another baton answers there already")

// Listen opens a unix socket that only the owner may use (mode 0600). What a
// dead process left at path is replaced; a socket that somebody serves is not.
func Listen(path string) (net.Listener, error) {
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, ErrServed)
	}
	if old, err := os.Lstat(path); err == nil && old.Mode().Type() != os.ModeSocket {
		return nil, fmt.Errorf("listen on %s: there is something that is no socket; move it away", path)
	}
	// Between bind and chmod the socket has the mode that the umask gives, so
	// it is made where nobody else can look and moved into place afterwards.
	dir, err := os.MkdirTemp(filepath.Dir(path), ".new")
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	defer os.RemoveAll(dir)
	hidden := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: hidden, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(hidden, 0o600), os.Rename(hidden, path)); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	ours, err := os.Lstat(path)
	if err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return &socket{Listener: l, path: path, ours: ours}, nil
}

// socket removes its path when it closes, unless somebody else's is there now.
type socket struct {
	net.Listener
	path string
	ours os.FileInfo
}

func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

func (s *socket) Close() error {
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.ours) {
		_ = os.Remove(s.path) // a leftover is replaced at the next start
	}
	return s.Listener.Close()
}

// Peer is who is at the other end of a connection, as the kernel says.
type Peer struct {
	User string // name, or uid:N where there is none; "unknown" without credentials
	UID  int
	PID  int
}

type peerKey struct{}

func withPeer(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, peerKey{}, peerOn(conn))
}

func peerOf(ctx context.Context) Peer {
	if p, ok := ctx.Value(peerKey{}).(Peer); ok {
		return p
	}
	return Peer{User: "unknown", UID: -1}
}

// peerOn asks the kernel who connected (SO_PEERCRED, unix(7)).
func peerOn(conn net.Conn) Peer {
	unknown := Peer{User: "unknown", UID: -1}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return unknown
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return unknown
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err != nil || credErr != nil {
		return unknown
	}
	p := Peer{User: "uid:" + strconv.Itoa(int(cred.Uid)), UID: int(cred.Uid), PID: int(cred.Pid)}
	if u, err := user.LookupId(strconv.Itoa(p.UID)); err == nil {
		p.User = u.Username
	}
	return p
}
