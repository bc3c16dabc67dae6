package bgp

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"golang.org/x/sys/unix"
)

// askWhy asks routers that refuse a session why they do, each time that GoBGP has been
// refused and waits some seconds until it tries again: it does not keep what they say.
func (s *Speaker) askWhy(ctx context.Context, links map[netip.Addr]*link) {
	var asking sync.WaitGroup
	defer asking.Wait()
	for _, n := range s.o.Neighbors {
		w := links[n.Address].words
		asking.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-w.unsaid:
				}
				for range asks {
					select {
					case <-ctx.Done():
						return
					case <-time.After(askAfter):
					}
					if text := s.ask(ctx, n); text != "" {
						w.set(text)
						break
					}
				}
			}
		})
	}
}

const (
	// A router that has refused a session does not listen for a second, if it is BIRD;
	// GoBGP comes again after six.
	askAfter = 1200 * time.Millisecond
	asks     = 3
)

// askLimit bounds the time of one question.
const askLimit = 2 * time.Second

// ask begins a session with a router, and returns what it says against it; empty if it
// says nothing.
func (s *Speaker) ask(ctx context.Context, n Neighbor) string {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	d := net.Dialer{Control: n.dresser(n.AS == s.o.AS)}
	if n.Local.IsValid() {
		d.LocalAddr = &net.TCPAddr{IP: n.Local.AsSlice()}
	}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(n.Address.String(), strconv.Itoa(n.port())))
	if err != nil {
		return ""
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	as := uint16(gobgp.AS_TRANS)
	if s.o.AS < 1<<16 {
		as = uint16(s.o.AS)
	}
	capabilities := []gobgp.ParameterCapabilityInterface{gobgp.NewCapFourOctetASNumber(s.o.AS)}
	for _, f := range n.families(s.o) {
		capabilities = append(capabilities, gobgp.NewCapMultiProtocol(f))
	}
	open, err := gobgp.NewBGPOpenMessage(as, uint16(n.Hold/time.Second), s.o.RouterID, []gobgp.OptionParameterInterface{gobgp.NewOptionParameterCapability(capabilities)})
	if err != nil {
		return ""
	}
	if b, err := open.Serialize(); err != nil {
		return ""
	} else if _, err := conn.Write(b); err != nil {
		return ""
	}
	for {
		m, err := read(conn)
		if err != nil {
			return ""
		}
		switch body := m.Body.(type) {
		case *gobgp.BGPNotification:
			return "the router says: " + named(body.ErrorCode, body.ErrorSubcode)
		case *gobgp.BGPKeepAlive:
			return "" // it would have one
		}
	}
}

func read(conn io.Reader) (*gobgp.BGPMessage, error) {
	head := make([]byte, gobgp.BGP_HEADER_LENGTH)
	if _, err := io.ReadFull(conn, head); err != nil {
		return nil, err
	}
	h := &gobgp.BGPHeader{}
	if err := h.DecodeFromBytes(head); err != nil {
		return nil, err
	}
	if h.Len < gobgp.BGP_HEADER_LENGTH || h.Len > gobgp.BGP_MAX_MESSAGE_LENGTH {
		return nil, fmt.Errorf("a message of %d bytes", h.Len)
	}
	body := make([]byte, h.Len-gobgp.BGP_HEADER_LENGTH)
	if _, err := io.ReadFull(conn, body); err != nil {
		return nil, err
	}
	return gobgp.ParseBGPBody(h, body)
}

// dresser gives sockets what the neighbour asks of connections: password and TTL.
func (n Neighbor) dresser(ownAS bool) func(network, address string, raw syscall.RawConn) error {
	return func(_, _ string, raw syscall.RawConn) error {
		var err error
		if failed := raw.Control(func(fd uintptr) { err = n.dress(int(fd), ownAS) }); failed != nil {
			return failed
		}
		return err
	}
}

func (n Neighbor) dress(fd int, ownAS bool) error {
	if n.Password != "" {
		sig := unix.TCPMD5Sig{Keylen: uint16(len(n.Password))}
		copy(sig.Key[:], n.Password)
		sig.Addr.Family = unix.AF_INET6
		at := sig.Addr.Data[6:] // behind the port, and what IPv6 calls the flow
		if n.Address.Is4() {
			sig.Addr.Family, at = unix.AF_INET, sig.Addr.Data[2:]
		}
		copy(at, n.Address.AsSlice())
		if err := unix.SetsockoptTCPMD5Sig(fd, unix.IPPROTO_TCP, unix.TCP_MD5SIG, &sig); err != nil {
			return fmt.Errorf("set the password: %w", err)
		}
	}
	ttl := n.Hops + 1
	if n.TTLSecurity {
		ttl = 255
	} else if ownAS {
		return nil // GoBGP leaves it at the host's default, too
	}
	if n.Address.Is4() {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, ttl)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, ttl)
}
