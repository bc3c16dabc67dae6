package vip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/baton-db/baton/internal/clock"
)

// A host in another network than an address, or one of which the address is on loopback,
// cannot ask who has it: routers are in between. It sends an ICMP echo (RFC 792, RFC 4443
// section 4) that bears a token, and the host that has the address says whether it came.

// routedLimit bounds a look through routers, which may be learning the way just then, or
// repeat the question for a neighbour after a second.
const (
	routedLimit = 1500 * time.Millisecond
	routedEvery = 100 * time.Millisecond
)

// Question is what a host is asked to look at.
type Question struct {
	IPs []netip.Addr `json:"ips"`
	// Token is borne by the echoes; empty: none is sent.
	Token string `json:"token,omitempty"`
	// Control is an address of the asking host that does not move: whether an echo to it
	// comes through says whether one to another address could.
	Control netip.Addr `json:"control,omitzero"`
}

// Routed is what came of an echo.
type Routed struct {
	Via      string        `json:"via"` // by this host's own routes
	Answered bool          `json:"answered,omitempty"`
	After    time.Duration `json:"after_ns,omitempty"` // until the answer
}

// payload is what an echo to an address bears.
func payload(token string, ip netip.Addr) []byte { return []byte("baton " + token + " " + ip.String()) }

// reach sends echoes to an address until one is answered.
func (a *Asker) reach(ctx context.Context, ip netip.Addr, token string) (*Routed, error) {
	via, err := a.via(ip)
	if err != nil {
		return nil, err
	}
	conn, err := a.set.listenICMP(ip.Is6(), false)
	if err != nil {
		return nil, fmt.Errorf("send an echo to %s: %w", ip, err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, routedLimit)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
	r := &Routed{Via: via}
	body := payload(token, ip)
	began := clock.Now()
	for seq := 1; ctx.Err() == nil; seq++ {
		// The kernel fills in the checksum of version 6.
		m := icmp.Message{Type: echoType(ip.Is6()), Body: &icmp.Echo{ID: 0xba, Seq: seq, Data: body}}
		frame, err := m.Marshal(nil)
		if err != nil {
			return nil, fmt.Errorf("send an echo to %s: %w", ip, err)
		}
		if _, err := conn.WriteTo(frame, &net.IPAddr{IP: ip.AsSlice()}); err != nil {
			return r, fmt.Errorf("send an echo to %s via %s: %w", ip, via, errors.Unwrap(err))
		}
		_ = conn.SetReadDeadline(time.Now().Add(routedEvery))
		if answered(conn, ip.Is6(), body) {
			r.Answered, r.After = true, clock.Now().Sub(began)
			return r, nil
		}
	}
	return r, nil
}

func echoType(v6 bool) icmp.Type {
	if v6 {
		return ipv6.ICMPTypeEchoRequest
	}
	return ipv4.ICMPTypeEcho
}

// answered reads until an echo comes back that bears body, or the deadline.
func answered(conn net.PacketConn, v6 bool, body []byte) bool {
	buf := make([]byte, 1500)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return false
		}
		if bytes.Equal(echoIn(buf[:n], v6), body) {
			return true
		}
	}
}

// echoIn is what an echo bears, or the answer to one; nil: it is neither.
func echoIn(packet []byte, v6 bool) []byte {
	protocol := 1
	if v6 {
		protocol = protoICMPv6
	}
	m, err := icmp.ParseMessage(protocol, packet)
	if err != nil {
		return nil
	}
	e, ok := m.Body.(*icmp.Echo)
	if !ok {
		return nil
	}
	return e.Data
}

// listenICMP opens a socket that hears echoes that come to this host, or answers to its
// own.
func (s *Set) listenICMP(v6, requests bool) (conn net.PacketConn, err error) {
	network, at := "ip4:icmp", "0.0.0.0"
	if v6 {
		network, at = "ip6:ipv6-icmp", "::"
	}
	err = inNamespace(s.ns, func() (err error) {
		conn, err = new(net.ListenConfig).ListenPacket(context.Background(), network, at)
		return err
	})
	if err != nil {
		return nil, err
	}
	if v6 {
		var f ipv6.ICMPFilter
		f.SetAll(true)
		f.Accept(ipv6.ICMPTypeEchoReply)
		if requests {
			f.SetAll(true)
			f.Accept(ipv6.ICMPTypeEchoRequest)
		}
		err = ipv6.NewPacketConn(conn).SetICMPFilter(&f)
	} else {
		var f ipv4.ICMPFilter
		f.SetAll(true)
		f.Accept(ipv4.ICMPTypeEchoReply)
		if requests {
			f.SetAll(true)
			f.Accept(ipv4.ICMPTypeEcho)
		}
		err = ipv4.NewPacketConn(conn).SetICMPFilter(&f)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("choose what a socket hears: %w", err), conn.Close())
	}
	return conn, nil
}

// via is where this host's routes send what is for an address.
func (a *Asker) via(ip netip.Addr) (string, error) {
	routes, err := a.set.kernel.handle.RouteGet(ip.AsSlice())
	if err != nil || len(routes) == 0 {
		return "", fmt.Errorf("there is no route to %s: %w", ip, err)
	}
	name := a.set.kernel.name(routes[0].LinkIndex)
	if gw, ok := netip.AddrFromSlice(routes[0].Gw); ok {
		return gw.Unmap().String() + " on " + name, nil
	}
	return name, nil
}

// Ear hears which echoes come to this host.
type Ear struct {
	conns []net.PacketConn
	all   sync.WaitGroup

	mu    sync.Mutex
	heard map[string]bool
	news  chan struct{} // closed when something was heard
}

// Hear begins to hear the echoes that come to some addresses and bear one of those
// tokens. Close it.
func (s *Set) Hear(ips []netip.Addr, tokens []string) (*Ear, error) {
	e := &Ear{heard: map[string]bool{}, news: make(chan struct{})}
	for _, v6 := range []bool{false, true} {
		if !slices.ContainsFunc(ips, func(ip netip.Addr) bool { return ip.Is6() == v6 }) {
			continue
		}
		conn, err := s.listenICMP(v6, true)
		if err != nil {
			e.Close()
			return nil, fmt.Errorf("hear the echoes that come: %w", err)
		}
		e.conns = append(e.conns, conn)
		e.all.Go(func() { e.hear(conn, v6, tokens) })
	}
	return e, nil
}

func (e *Ear) hear(conn net.PacketConn, v6 bool, tokens []string) {
	buf := make([]byte, 1500)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		words := strings.Fields(string(echoIn(buf[:n], v6)))
		if len(words) != 3 || words[0] != "baton" || !slices.Contains(tokens, words[1]) {
			continue
		}
		e.mu.Lock()
		e.heard[words[1]+" "+words[2]] = true
		close(e.news)
		e.news = make(chan struct{})
		e.mu.Unlock()
	}
}

// Came reports whether an echo with that token came that was sent to that address, and
// waits for it until ctx ends.
func (e *Ear) Came(ctx context.Context, token string, ip netip.Addr) bool {
	for {
		e.mu.Lock()
		came, news := e.heard[token+" "+ip.String()], e.news
		e.mu.Unlock()
		if came {
			return true
		}
		select {
		case <-news:
		case <-ctx.Done():
			return false
		}
	}
}

// Close ends the hearing.
func (e *Ear) Close() {
	for _, c := range e.conns {
		_ = c.Close()
	}
	e.all.Wait()
}
