// Package dnsserver answers DNS questions about one zone: which address the primary
// of the cluster has, and which the replicas, as this node knows it from the record
// and the facts of the others. Every node runs one.
//
// It is authoritative for that zone and answers for nothing else, never recursively,
// and it decides nothing: who is primary and which replicas are well is told to it.
// The rule: what it does not know any more it does not say. A node that has lost the
// store goes on with what it knew for as long as it was told to, then it fails.
package dnsserver

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Zone is what does not change while the server runs.
type Zone struct {
	Name    string // shop.example.org
	Cluster string
	Nodes   []Node
	// NameServers are the names in the NS records, the first of which is the SOA
	// record's; none: those of the nodes, in the zone.
	NameServers []string
	// Primary and Replicas are the labels of the names that lead to them.
	Primary  string
	Replicas string
	TTL      time.Duration
	// Stale is for how long answers are given from what was known when the store was
	// last heard.
	Stale time.Duration
}

// Node is a node as the zone has it: an address record of its name.
type Node struct {
	Name    cluster.NodeName
	Address netip.Addr
	Port    uint16 // of its server; 0: it has none
}

// Snapshot is what a node knew at one moment.
type Snapshot struct {
	// Serial is that of the SOA record: see After.
	Serial uint32
	// HeardAt is when the store, from which all this comes, was last heard.
	HeardAt cluster.Instant
	Epoch   cluster.Epoch
	// Primary is where clients that write are led; empty: nowhere.
	Primary cluster.NodeName
	// Replicas is where clients that only read are led, sorted.
	Replicas []cluster.NodeName
}

// After gives s the serial that follows from the snapshot before it: the same if the
// zone's contents are the same, otherwise that of the newest revision of the store
// that s rests on, and a greater one in any case. So nodes that know the same have the
// same serial, and a node that knows more has a greater one, whatever their clocks
// say. Serials are compared as RFC 1982 has it.
func (s Snapshot) After(before *Snapshot, newest cluster.Revision) Snapshot {
	s.Serial = uint32(newest)
	switch {
	case before == nil:
	case before.Epoch == s.Epoch && before.Primary == s.Primary && slices.Equal(before.Replicas, s.Replicas):
		s.Serial = before.Serial
	case int32(s.Serial-before.Serial) <= 0:
		s.Serial = before.Serial + 1
	}
	return s
}

// The SOA record's times, in seconds. Secondaries learn of changes by NOTIFY; the
// refresh is for one that was lost. They give up what they have after an hour without
// any node.
const (
	refresh = 10
	retry   = 5
	expire  = 3600
)

// contents are the zone's records under one snapshot.
type contents struct {
	of      *Snapshot
	origin  string
	soa     *dns.SOA
	records []dns.RR // all but the SOA record
	names   map[string][]dns.RR
}

// contents builds the zone.
func (z Zone) contents(s *Snapshot) *contents {
	c := &contents{of: s, origin: dns.CanonicalName(z.Name), names: map[string][]dns.RR{}}
	ttl := uint32(z.TTL / time.Second)
	head := func(name string, kind uint16) dns.RR_Header {
		return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
	}
	in := func(label string) string { return dns.CanonicalName(label + "." + z.Name) }
	add := func(rr dns.RR) { c.records = append(c.records, rr) }
	servers := z.servers()
	c.soa = &dns.SOA{Hdr: head(c.origin, dns.TypeSOA), Ns: servers[0], Mbox: in("hostmaster"), Serial: s.Serial, Refresh: refresh, Retry: retry, Expire: expire, Minttl: ttl}
	for _, name := range servers {
		add(&dns.NS{Hdr: head(c.origin, dns.TypeNS), Ns: name})
	}
	lead := func(label string, to []cluster.NodeName) {
		for _, n := range z.Nodes {
			if !slices.Contains(to, n.Name) {
				continue
			}
			add(address(head, in(label), n.Address))
			// RFC 2782: for clients that know the port by the name of the service.
			add(&dns.SRV{Hdr: head(in("_mysql._tcp."+label), dns.TypeSRV), Weight: 1, Port: n.Port, Target: in(string(n.Name))})
		}
	}
	for _, n := range z.Nodes {
		add(address(head, in(string(n.Name)), n.Address))
	}
	lead(z.Primary, []cluster.NodeName{s.Primary})
	lead(z.Replicas, s.Replicas)
	add(&dns.TXT{Hdr: head(in(z.Primary), dns.TypeTXT), Txt: []string{fmt.Sprintf("cluster=%s epoch=%d node=%s", z.Cluster, s.Epoch, s.Primary)}})

	c.index(c.soa)
	for _, rr := range c.records {
		c.index(rr)
	}
	// These exist even while nobody is there to be led to.
	for _, label := range []string{z.Primary, z.Replicas} {
		c.exists(in("_mysql._tcp." + label))
	}
	return c
}

// servers are the names of the name servers.
func (z Zone) servers() (names []string) {
	for _, name := range z.NameServers {
		names = append(names, dns.CanonicalName(name))
	}
	if len(names) == 0 {
		for _, n := range z.Nodes {
			names = append(names, dns.CanonicalName(string(n.Name)+"."+z.Name))
		}
	}
	return names
}

func address(head func(string, uint16) dns.RR_Header, name string, a netip.Addr) dns.RR {
	if a.Unmap().Is4() {
		return &dns.A{Hdr: head(name, dns.TypeA), A: a.Unmap().AsSlice()}
	}
	return &dns.AAAA{Hdr: head(name, dns.TypeAAAA), AAAA: a.AsSlice()}
}

func (c *contents) index(rr dns.RR) {
	name := rr.Header().Name
	c.exists(name)
	c.names[name] = append(c.names[name], rr)
}

// exists notes a name and those above it in the zone: one between two others has no
// records but is there (RFC 8020).
func (c *contents) exists(name string) {
	for strings.HasSuffix(name, "."+c.origin) || name == c.origin {
		if _, known := c.names[name]; !known {
			c.names[name] = nil
		}
		at, end := dns.NextLabel(name, 0)
		if end {
			return
		}
		name = name[at:]
	}
}

// has returns the records of a kind at a name, and whether there is such a name.
func (c *contents) has(name string, kind uint16) (found []dns.RR, exists bool) {
	all, exists := c.names[name]
	for _, rr := range all {
		if rr.Header().Rrtype == kind {
			found = append(found, rr)
		}
	}
	return found, exists
}
