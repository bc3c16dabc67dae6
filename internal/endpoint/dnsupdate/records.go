package dnsupdate

import (
	"net/netip"

	"github.com/miekg/dns"

	"github.com/baton-db/baton/internal/endpoint/dnsname"
)

// state is what a zone's server has said of a name.
type state struct {
	dnsname.Held
	read []dns.RR // beside the name, as they were read
}

// wanted is what a zone is to hold at a name.
type wanted dnsname.Wanted

// message is the update that turns what was read into what is wanted, and that is
// refused if the reign is not the one that was read any more.
func (w wanted) message(o Options, have state) *dns.Msg {
	m := new(dns.Msg)
	m.SetUpdate(o.Zone)
	beside := &dns.TXT{Hdr: header(dnsname.Beside(o.Name), dns.TypeTXT, w.TTL), Txt: []string{w.Reign.String()}}
	if len(have.read) == 0 {
		m.RRsetNotUsed([]dns.RR{beside})
	} else {
		var read []dns.RR
		for _, t := range have.read {
			read = append(read, dns.Copy(t))
		}
		m.Used(read)
	}
	// Of both families and an alias: a client that prefers one of those would
	// still be led elsewhere.
	var all []dns.RR
	for _, kind := range []uint16{dns.TypeCNAME, dns.TypeA, dns.TypeAAAA} {
		all = append(all, &dns.ANY{Hdr: header(o.Name, kind, 0)})
	}
	m.RemoveRRset(append(all, beside))
	m.Insert([]dns.RR{addressRecord(o.Name, w.Address, w.TTL), beside})
	return m
}

func header(name string, kind uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

func addressRecord(name string, a netip.Addr, ttl uint32) dns.RR {
	if a.Is4() {
		return &dns.A{Hdr: header(name, dns.TypeA, ttl), A: a.AsSlice()}
	}
	return &dns.AAAA{Hdr: header(name, dns.TypeAAAA, ttl), AAAA: a.AsSlice()}
}
