package dnsupdate

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/baton-db/baton/internal/core/cluster"
)

// reign is what is written beside the name.
type reign struct {
	Cluster string
	Epoch   cluster.Epoch
	Node    cluster.NodeName
}

// reignName is where it is written.
func reignName(name string) string { return "_baton." + name }

const reignFormat = "cluster=%s epoch=%d node=%s"

func (r reign) String() string { return fmt.Sprintf(reignFormat, r.Cluster, r.Epoch, r.Node) }

func parseReign(text string) (r reign, err error) {
	if _, err := fmt.Sscanf(text, reignFormat, &r.Cluster, &r.Epoch, &r.Node); err != nil || r.String() != text {
		return reign{}, fmt.Errorf("holds %.80q, which is not of Baton's making", text)
	}
	return r, nil
}

// state is what a zone holds at a name.
type state struct {
	addresses []netip.Addr
	ttl       uint32 // of the first address
	alias     string // by CNAME
	texts     []dns.RR
}

// reign is what is written beside the name.
func (s state) reign() (reign, error) {
	switch len(s.texts) {
	case 0:
		return reign{}, errors.New("does not say that Baton has set it")
	case 1:
		return parseReign(strings.Join(s.texts[0].(*dns.TXT).Txt, ""))
	}
	return reign{}, fmt.Errorf("holds %d texts, which is not of Baton's making", len(s.texts))
}

// is reports whether everything but the time to live is as wanted.
func (s state) is(w wanted) bool {
	says, err := s.reign()
	return err == nil && says == w.reign && s.alias == "" && slices.Equal(s.addresses, []netip.Addr{w.address})
}

// wanted is what a zone is to hold at a name.
type wanted struct {
	reign   reign
	address netip.Addr
	ttl     uint32
}

// message is the update that turns what was read into what is wanted, and that is
// refused if the reign is not the one that was read any more.
func (w wanted) message(o Options, have state) *dns.Msg {
	m := new(dns.Msg)
	m.SetUpdate(o.Zone)
	beside := &dns.TXT{Hdr: header(reignName(o.Name), dns.TypeTXT, w.ttl), Txt: []string{w.reign.String()}}
	if len(have.texts) == 0 {
		m.RRsetNotUsed([]dns.RR{beside})
	} else {
		var read []dns.RR
		for _, t := range have.texts {
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
	m.Insert([]dns.RR{addressRecord(o.Name, w.address, w.ttl), beside})
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
