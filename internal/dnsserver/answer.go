package dnsserver

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/baton-db/baton/internal/core/cluster"
)

// largestUDP is how large an answer by UDP may be: what passes everywhere in one piece
// (DNS flag day 2020).
const largestUDP = 1232

// asked is one question, with what matters of the way it came.
type asked struct {
	msg       *dns.Msg
	tcp       bool
	secondary bool // by one that may have the whole zone
	at        cluster.Instant
}

// refusal is why a question is not answered, for the tally; empty: it is.
type refusal string

const (
	notOurs     refusal = "for another zone"
	notSupport  refusal = "of a kind that is not supported"
	notAllowed  refusal = "for the whole zone, by one that is no secondary"
	notKnown    refusal = "although this node does not know the answer"
	notReadable refusal = "that are no proper questions"
)

// answer answers one question from the contents of the zone; nil: nothing is known.
func (z Zone) answer(q asked, c *contents) (*dns.Msg, refusal) {
	m := new(dns.Msg)
	m.SetReply(q.msg)
	m.RecursionAvailable = false
	m.Compress = true
	fail := func(code int, why refusal, extended uint16, text string) (*dns.Msg, refusal) {
		m.Rcode = code
		explain(m, q.msg, extended, text)
		return m, why
	}
	if len(q.msg.Question) != 1 {
		return fail(dns.RcodeFormatError, notReadable, dns.ExtendedErrorCodeOther, "one question at a time")
	}
	question := q.msg.Question[0]
	name := dns.CanonicalName(question.Name)
	edns := q.msg.IsEdns0()
	switch {
	case edns != nil && edns.Version() != 0:
		return fail(dns.RcodeBadVers, notReadable, dns.ExtendedErrorCodeOther, "EDNS version 0 is spoken")
	case q.msg.Opcode != dns.OpcodeQuery:
		return fail(dns.RcodeNotImplemented, notSupport, dns.ExtendedErrorCodeNotSupported, "")
	case question.Qclass != dns.ClassINET && question.Qclass != dns.ClassANY,
		!dns.IsSubDomain(dns.CanonicalName(z.Name), name):
		return fail(dns.RcodeRefused, notOurs, dns.ExtendedErrorCodeNotAuthoritative, "")
	case c == nil:
		return fail(dns.RcodeServerFailure, notKnown, dns.ExtendedErrorCodeNotReady, "this node has not learned from the store who is primary")
	}
	if age := q.at.Sub(c.of.HeardAt); age > z.Stale {
		return fail(dns.RcodeServerFailure, notKnown, dns.ExtendedErrorCodeOther, fmt.Sprintf("this node has not heard the store for %s", age.Round(time.Second)))
	}
	switch question.Qtype {
	case dns.TypeAXFR, dns.TypeIXFR:
		switch {
		case name != c.origin:
			return fail(dns.RcodeRefused, notOurs, dns.ExtendedErrorCodeNotAuthoritative, "")
		case !q.secondary:
			return fail(dns.RcodeRefused, notAllowed, dns.ExtendedErrorCodeProhibited, "only those in dns.secondaries may transfer the zone")
		}
		m.Authoritative = true
		m.Answer = c.transfer(q)
		return fit(m, q), ""
	}
	m.Authoritative = true
	found, exists := c.has(name, question.Qtype)
	switch {
	case question.Qtype == dns.TypeANY && len(c.names[name]) > 0:
		// RFC 8482, section 4.2: no list of everything for who only wants a large answer.
		m.Answer = []dns.RR{&dns.HINFO{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeHINFO, Class: dns.ClassINET, Ttl: c.soa.Hdr.Ttl}, Cpu: "RFC8482"}}
	case len(found) > 0:
		m.Answer = turned(found, q.msg.Id)
		m.Extra = c.besides(found)
	default: // RFC 2308
		m.Ns = []dns.RR{c.soa}
		if !exists {
			m.Rcode = dns.RcodeNameError
		}
	}
	explain(m, q.msg, 0, "")
	return fit(m, q), ""
}

// transfer is the whole zone, or the SOA record alone for a secondary that has it, or
// that has to come again by TCP (RFC 5936, RFC 1995).
func (c *contents) transfer(q asked) []dns.RR {
	if q.msg.Question[0].Qtype == dns.TypeIXFR {
		for _, rr := range q.msg.Ns {
			if has, is := rr.(*dns.SOA); is && int32(c.soa.Serial-has.Serial) <= 0 {
				return []dns.RR{c.soa}
			}
		}
	}
	if !q.tcp {
		return []dns.RR{c.soa}
	}
	return append(append([]dns.RR{c.soa}, c.records...), c.soa)
}

// turned begins with another record from question to question, so that clients which
// take the first one are spread.
func turned(records []dns.RR, by uint16) []dns.RR {
	n := int(by) % len(records)
	return slices.Concat(records[n:], records[:n])
}

// besides are the addresses of what records name, if they are in the zone.
func (c *contents) besides(records []dns.RR) (more []dns.RR) {
	for _, rr := range records {
		var name string
		switch rr := rr.(type) {
		case *dns.NS:
			name = rr.Ns
		case *dns.SRV:
			name = rr.Target
		default:
			continue
		}
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
			found, _ := c.has(name, kind)
			more = append(more, found...)
		}
	}
	return more
}

// explain answers EDNS with EDNS, and says why an answer is an error (RFC 8914).
func explain(m, q *dns.Msg, code uint16, text string) {
	edns := q.IsEdns0()
	if edns == nil || m.IsEdns0() != nil {
		return
	}
	m.SetEdns0(largestUDP, edns.Do())
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		opt := m.IsEdns0()
		opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: code, ExtraText: text})
	}
}

// fit cuts an answer to what the asker can take.
func fit(m *dns.Msg, q asked) *dns.Msg {
	size := dns.MaxMsgSize
	if !q.tcp {
		size = dns.MinMsgSize
		if edns := q.msg.IsEdns0(); edns != nil {
			size = min(max(int(edns.UDPSize()), dns.MinMsgSize), largestUDP)
		}
	}
	m.Truncate(size)
	return m
}

// inWords is how a question is shown.
func inWords(m *dns.Msg) string {
	if m == nil || len(m.Question) != 1 {
		return "nothing that was read"
	}
	q := m.Question[0]
	return fmt.Sprintf("%.80q %s", strings.ToLower(q.Name), dns.Type(q.Qtype))
}
