package dnsserver

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/baton-db/baton/internal/core/cluster"
)

// How many questions a second are answered, and how many at once after a quiet time.
// This runs in the process that renews the lease: a flood of questions must not cost it
// the role. Resolvers that keep an answer for a second ask far less.
const (
	mostAsked = 5000
	atOnce    = 1000
)

const tooMany refusal = "too many at a time"

var errTooMany = errors.New("too many questions")

// pace lets mostAsked questions a second through.
type pace struct {
	mu   sync.Mutex
	left float64
	at   cluster.Instant // when left was true; 0: never yet
}

func (p *pace) allows(now cluster.Instant) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == 0 {
		p.left = atOnce
	} else if now > p.at {
		p.left = min(atOnce, p.left+now.Sub(p.at).Seconds()*mostAsked)
	}
	p.at = max(p.at, now)
	if p.left < 1 {
		return false
	}
	p.left--
	return true
}

// paced drops what comes too fast, before anything else is done with it.
type paced struct {
	dns.Reader
	s *Server
}

func (p paced) ReadUDP(conn *net.UDPConn, timeout time.Duration) ([]byte, *dns.SessionUDP, error) {
	m, from, err := p.Reader.ReadUDP(conn, timeout)
	if err != nil || p.s.pace.allows(p.s.o.Now()) {
		return m, from, err
	}
	p.s.tally.count(tooMany, addressOf(from.RemoteAddr()), nil)
	return m[:0], from, nil // shorter than any message: its buffer is used again
}

func (p paced) ReadTCP(conn net.Conn, timeout time.Duration) ([]byte, error) {
	m, err := p.Reader.ReadTCP(conn, timeout)
	if err != nil || p.s.pace.allows(p.s.o.Now()) {
		return m, err
	}
	p.s.tally.count(tooMany, addressOf(conn.RemoteAddr()), nil)
	return nil, errTooMany // which ends the connection
}

func addressOf(a net.Addr) netip.Addr {
	at, _ := netip.ParseAddrPort(a.String())
	return at.Addr().Unmap()
}
