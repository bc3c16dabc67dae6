package dnsupdate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/dnsname"
)

// fudge is by how many seconds the clocks of both ends may differ; what RFC 8945,
// section 10, recommends.
const fudge = 300

// session is one connection to one of the zone's servers. It is by TCP: an update
// that is lost or comes twice is then nobody's business but the kernel's.
type session struct {
	conn   net.Conn
	server netip.AddrPort
	o      Options
}

// ask has do speak with the first server that carries it out.
func (e *Endpoint) ask(ctx context.Context, do func(*session) error) error {
	var all error
	for i, server := range e.o.Servers {
		part, cancel := endpoint.Share(ctx, len(e.o.Servers)-i)
		err := e.askOne(part, server, do)
		cancel()
		var old *endpoint.OldEpochError
		switch {
		case err == nil || errors.As(err, &old):
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("ask %s: %w", server, ctx.Err())
		case all == nil:
			all = err
		default:
			all = fmt.Errorf("%w; %w", all, err)
		}
	}
	return all
}

// askOne has do speak with one server.
func (e *Endpoint) askOne(ctx context.Context, server netip.AddrPort, do func(*session) error) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", server.String())
	if err != nil {
		return ended(ctx, fmt.Errorf("reach the server of the zone: %w", err), server)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return ended(ctx, do(&session{conn: conn, server: server, o: e.o}), server)
}

// ended says why a call ended if that is the reason for err.
func ended(ctx context.Context, err error, server netip.AddrPort) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("ask %s: %w", server, ctx.Err())
}

// texts reads what is written beside the name.
func (s *session) texts(name string, have *state) (err error) {
	if have.read, err = s.lookUp(dnsname.Beside(name), dns.TypeTXT); err != nil {
		return err
	}
	for _, rr := range have.read {
		if txt, ok := rr.(*dns.TXT); ok {
			have.Texts = append(have.Texts, strings.Join(txt.Txt, ""))
		} else {
			have.Texts = append(have.Texts, rr.String()) // an alias
		}
	}
	return nil
}

// addresses reads where the name leads.
func (s *session) addresses(name string, have *state) error {
	for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
		found, err := s.lookUp(name, kind)
		if err != nil {
			return err
		}
		for _, rr := range found {
			if len(have.Addresses) == 0 {
				have.TTL = rr.Header().Ttl
			}
			switch rr := rr.(type) {
			case *dns.CNAME:
				have.Alias = rr.Target
			case *dns.A:
				a, _ := netip.AddrFromSlice(rr.A)
				have.Addresses = append(have.Addresses, a.Unmap())
			case *dns.AAAA:
				a, _ := netip.AddrFromSlice(rr.AAAA)
				have.Addresses = append(have.Addresses, a)
			}
		}
	}
	return nil
}

// lookUp returns what the zone has of that kind at a name, or the alias there.
func (s *session) lookUp(name string, kind uint16) ([]dns.RR, error) {
	m := new(dns.Msg)
	m.SetQuestion(name, kind)
	m.RecursionDesired = false
	answer, err := s.exchange(m)
	if err != nil {
		return nil, err
	}
	doing := "look up " + shown(name)
	switch answer.Rcode {
	case dns.RcodeSuccess, dns.RcodeNameError:
	default:
		return nil, s.refused(doing, answer)
	}
	if !answer.Authoritative {
		return nil, fmt.Errorf("%s: %s does not answer for zone %s itself: dns.servers has to name a server that holds the zone", doing, s.server, shown(s.o.Zone))
	}
	var found []dns.RR
	for _, rr := range answer.Answer {
		h := rr.Header()
		if canonical(h.Name) == name && (h.Rrtype == kind || h.Rrtype == dns.TypeCNAME && kind != dns.TypeTXT) {
			found = append(found, rr)
		}
	}
	return found, nil
}

// update sends one update.
func (s *session) update(m *dns.Msg) error {
	answer, err := s.exchange(m)
	if err != nil {
		return err
	}
	if answer.Rcode != dns.RcodeSuccess {
		return s.refused("update "+shown(s.o.Name), answer)
	}
	return nil
}

// exchange sends a signed message and returns the answer, whose signature is right
// unless it is an error that servers do not sign.
func (s *session) exchange(m *dns.Msg) (*dns.Msg, error) {
	m.SetTsig(s.o.Key.Name, s.o.Key.Algorithm, fudge, s.o.Wall().Unix())
	// A new one for every exchange: it takes a second message to be the continuation
	// of the first, and signs it so.
	c := dns.Conn{Conn: s.conn, TsigSecret: map[string]string{s.o.Key.Name: s.o.Key.Secret}}
	if err := c.WriteMsg(m); err != nil {
		return nil, fmt.Errorf("ask %s: %w", s.server, err)
	}
	answer, err := c.ReadMsg()
	if answer == nil {
		return nil, fmt.Errorf("await the answer of %s: %w", s.server, err)
	}
	signature := answer.IsTsig()
	switch {
	case answer.Id != m.Id || !answer.Response || answer.Opcode != m.Opcode:
		return nil, fmt.Errorf("await the answer of %s: another one came", s.server)
	case signature != nil && signature.Error != dns.RcodeSuccess:
		return nil, s.badKey(signature)
	case err != nil:
		return nil, fmt.Errorf("read the answer of %s: %w", s.server, err)
	case signature == nil && (answer.Rcode == dns.RcodeSuccess || answer.Rcode == dns.RcodeNameError):
		return nil, fmt.Errorf("read the answer of %s: it is not signed with key %s, so it may be anybody's", s.server, shown(s.o.Key.Name))
	}
	return answer, nil
}
