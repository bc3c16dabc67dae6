package dnsupdate

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/baton-db/baton/internal/endpoint/dnsname"
)

// RefusedError is a server's no, with what to do about it.
type RefusedError struct {
	Doing  string // "update db.example.org"
	Server netip.AddrPort
	Code   int // a response code (RFC 6895), that of the TSIG record if it has one
	Advice string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s at %s: %s: %s", e.Doing, e.Server, codeName(e.Code), e.Advice)
}

func codeName(code int) string {
	if name, known := dns.RcodeToString[code]; known {
		return name
	}
	return "code " + strconv.Itoa(code)
}

// lost reports whether the update's prerequisite was not met.
func (e *RefusedError) lost() bool {
	switch e.Code {
	case dns.RcodeYXRrset, dns.RcodeNXRrset, dns.RcodeYXDomain, dns.RcodeNameError:
		return e.updates()
	}
	return false
}

func (e *RefusedError) updates() bool { return strings.HasPrefix(e.Doing, "update ") }

// refused explains an answer that is an error.
func (s *session) refused(doing string, answer *dns.Msg) error {
	name, zone, key := shown(s.o.Name), shown(s.o.Zone), shown(s.o.Key.Name)
	e := &RefusedError{Doing: doing, Server: s.server, Code: answer.Rcode}
	switch answer.Rcode {
	case dns.RcodeRefused:
		e.Advice = fmt.Sprintf("the server does not let key %s update %s (A, AAAA, CNAME) and %s (TXT): allow that for zone %s", key, name, shown(dnsname.Beside(s.o.Name)), zone)
		if !e.updates() {
			e.Advice = fmt.Sprintf("the server does not have zone %s, or does not let key %s query it: dns.servers has to name the zone's primary server", zone, key)
		}
	case dns.RcodeNotAuth:
		e.Advice = fmt.Sprintf("the server does not accept key %s, because its name, algorithm or secret is another there, or it is not the primary server of zone %s", key, zone)
	case dns.RcodeNotZone:
		e.Advice = fmt.Sprintf("%s is not in zone %s: correct dns.zone or dns.name", name, zone)
	case dns.RcodeServerFailure:
		e.Advice = "the server could not carry it out, and its own log says why; usual causes are a journal or a zone file that it may not write, and a zone that did not load"
	case dns.RcodeNotImplemented:
		e.Advice = "the server takes no updates: switch dynamic updates on there"
	case dns.RcodeFormatError:
		e.Advice = fmt.Sprintf("the server does not understand a signed message: dns.servers has to name the primary server of zone %s, and no resolver", zone)
	default:
		e.Advice = "see the server's log"
	}
	return e
}

// badKey explains why a server did not accept the signature (RFC 8945, section 5.2).
func (s *session) badKey(t *dns.TSIG) error {
	key, algorithm := shown(s.o.Key.Name), shown(s.o.Key.Algorithm)
	e := &RefusedError{Doing: "sign as " + key, Server: s.server, Code: int(t.Error)}
	switch t.Error {
	case dns.RcodeBadKey:
		e.Advice = fmt.Sprintf("the server has no key %s with %s, or none that may update zone %s: create or allow it there, or correct dns.key and dns.algorithm", key, algorithm, shown(s.o.Zone))
	case dns.RcodeBadSig:
		e.Advice = "the server's key of that name has another secret or another algorithm: compare dns.secret_file and dns.algorithm with what it has"
	case dns.RcodeBadTime:
		e.Advice = "the clocks of this host and of the server differ by more than five minutes"
		if there, err := strconv.ParseInt(t.OtherData, 16, 64); err == nil && there > 0 {
			e.Advice += fmt.Sprintf(", by %s", time.Unix(there, 0).Sub(s.o.Wall()).Abs().Round(time.Minute))
		}
		e.Advice += ": set them right"
	default:
		e.Advice = "the server does not accept the signature"
	}
	return e
}
