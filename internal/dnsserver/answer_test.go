package dnsserver

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/baton-db/baton/internal/core/cluster"
)

func zone() Zone {
	return Zone{Name: "shop.test", Cluster: "shop", Primary: "primary", Replicas: "replicas", TTL: time.Second, Stale: time.Minute, Nodes: []Node{
		{"db1", netip.MustParseAddr("10.77.0.11"), 3306},
		{"db2", netip.MustParseAddr("10.77.0.12"), 3307},
		{"db3", netip.MustParseAddr("fd77::13"), 3306},
		{"w1", netip.MustParseAddr("10.77.0.20"), 0},
	}}
}

// known is a cluster in which db1 is primary, and two read.
func known() Snapshot {
	return Snapshot{Serial: 51, HeardAt: 1000, Epoch: 7, Primary: "db1", Replicas: []cluster.NodeName{"db2", "db3"}}
}

// said is an answer in one line: its code and flags, what it answers, and by whose
// authority.
func said(m *dns.Msg) string {
	parts := []string{dns.RcodeToString[m.Rcode]}
	for _, f := range []struct {
		is   bool
		name string
	}{{m.Authoritative, "aa"}, {m.Truncated, "tc"}, {m.RecursionAvailable, "ra"}} {
		if f.is {
			parts = append(parts, f.name)
		}
	}
	text := strings.Join(parts, " ")
	for _, section := range []struct {
		name    string
		records []dns.RR
	}{{"", m.Answer}, {" authority", m.Ns}, {" more", m.Extra}} {
		for _, rr := range section.records {
			if rr.Header().Rrtype == dns.TypeOPT {
				continue
			}
			text += fmt.Sprintf(";%s %s", section.name, strings.ReplaceAll(rr.String(), "\t", " "))
		}
	}
	return text
}

func question(name string, kind uint16) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(name, kind)
	m.Id = 0
	return m
}

const soa = "shop.test. 1 IN SOA db1.shop.test. hostmaster.shop.test. 51 10 5 3600 1"

func TestWhatIsAnswered(t *testing.T) {
	type change = func(*Snapshot)
	moved := func(s *Snapshot) { s.Primary, s.Replicas = "db2", nil }
	nobody := func(s *Snapshot) { s.Primary, s.Replicas = "", nil }
	for name, tt := range map[string]struct {
		asked string
		kind  uint16
		when  change
		want  string
	}{
		"the primary":                           {"primary.shop.test.", dns.TypeA, nil, "NOERROR aa; primary.shop.test. 1 IN A 10.77.0.11"},
		"the primary after a switch":            {"primary.shop.test.", dns.TypeA, moved, "NOERROR aa; primary.shop.test. 1 IN A 10.77.0.12"},
		"the primary in odd letters":            {"PriMary.Shop.TEST.", dns.TypeA, nil, "NOERROR aa; primary.shop.test. 1 IN A 10.77.0.11"},
		"the primary's other family":            {"primary.shop.test.", dns.TypeAAAA, nil, "NOERROR aa; authority " + soa},
		"the primary where there is none":       {"primary.shop.test.", dns.TypeA, nobody, "NOERROR aa; authority " + soa},
		"the replicas":                          {"replicas.shop.test.", dns.TypeA, nil, "NOERROR aa; replicas.shop.test. 1 IN A 10.77.0.12"},
		"the replicas' other family":            {"replicas.shop.test.", dns.TypeAAAA, nil, "NOERROR aa; replicas.shop.test. 1 IN AAAA fd77::13"},
		"the replicas where there are none":     {"replicas.shop.test.", dns.TypeA, moved, "NOERROR aa; authority " + soa},
		"the service":                           {"_mysql._tcp.primary.shop.test.", dns.TypeSRV, moved, "NOERROR aa; _mysql._tcp.primary.shop.test. 1 IN SRV 0 1 3307 db2.shop.test.; more db2.shop.test. 1 IN A 10.77.0.12"},
		"the service where there is none":       {"_mysql._tcp.primary.shop.test.", dns.TypeSRV, nobody, "NOERROR aa; authority " + soa},
		"a name between two others":             {"_tcp.primary.shop.test.", dns.TypeA, nil, "NOERROR aa; authority " + soa},
		"who it is":                             {"primary.shop.test.", dns.TypeTXT, nil, `NOERROR aa; primary.shop.test. 1 IN TXT "cluster=shop epoch=7 node=db1"`},
		"a node":                                {"w1.shop.test.", dns.TypeA, nil, "NOERROR aa; w1.shop.test. 1 IN A 10.77.0.20"},
		"a name that is not there":              {"prymary.shop.test.", dns.TypeA, nil, "NXDOMAIN aa; authority " + soa},
		"a name below one that is there":        {"a.primary.shop.test.", dns.TypeA, nil, "NXDOMAIN aa; authority " + soa},
		"the zone":                              {"shop.test.", dns.TypeSOA, nil, "NOERROR aa; " + soa},
		"the zone's address":                    {"shop.test.", dns.TypeA, nil, "NOERROR aa; authority " + soa},
		"everything at a name":                  {"primary.shop.test.", dns.TypeANY, nil, `NOERROR aa; primary.shop.test. 1 IN HINFO "RFC8482" ""`},
		"everything at a name without anything": {"_tcp.primary.shop.test.", dns.TypeANY, nil, "NOERROR aa; authority " + soa},
		"another zone":                          {"shop.example.", dns.TypeA, nil, "REFUSED"},
		"a zone whose name ends alike":          {"workshop.test.", dns.TypeA, nil, "REFUSED"},
		"the zone above":                        {"test.", dns.TypeSOA, nil, "REFUSED"},
		"the root":                              {".", dns.TypeNS, nil, "REFUSED"},
		"the whole zone":                        {"shop.test.", dns.TypeAXFR, nil, "REFUSED"},
		"what has just not become too old":      {"primary.shop.test.", dns.TypeA, func(s *Snapshot) { s.HeardAt = cluster.Instant(5000).Add(-time.Minute) }, "NOERROR aa; primary.shop.test. 1 IN A 10.77.0.11"},
		"what has become too old":               {"primary.shop.test.", dns.TypeA, func(s *Snapshot) { s.HeardAt = cluster.Instant(4999).Add(-time.Minute) }, "SERVFAIL"},
		"another zone, when all is too old":     {"shop.example.", dns.TypeA, func(s *Snapshot) { s.HeardAt = cluster.Instant(0).Add(-time.Hour) }, "REFUSED"},
	} {
		t.Run(name, func(t *testing.T) {
			s := known()
			if tt.when != nil {
				tt.when(&s)
			}
			m, _ := zone().answer(asked{msg: question(tt.asked, tt.kind), at: 5000}, zone().contents(&s))
			if got := said(m); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestNameServersAreTheNodesUnlessOthersAreNamed(t *testing.T) {
	s := known()
	m, _ := zone().answer(asked{msg: question("shop.test.", dns.TypeNS), at: 1000}, zone().contents(&s))
	if len(m.Answer) != 4 || len(m.Extra) != 4 {
		t.Errorf("of the nodes: %s", said(m))
	}
	z := zone()
	z.NameServers = []string{"ns1.example.org", "ns2.example.org."}
	m, _ = z.answer(asked{msg: question("shop.test.", dns.TypeNS), at: 1000}, z.contents(&s))
	if got, want := said(m), "NOERROR aa; shop.test. 1 IN NS ns1.example.org.; shop.test. 1 IN NS ns2.example.org."; got != want {
		t.Errorf("of others:\ngot  %s\nwant %s", got, want)
	}
	if got := z.contents(&s).soa.Ns; got != "ns1.example.org." {
		t.Errorf("the SOA record names %s", got)
	}
}

// What is odd about a question, or unknown, is refused as the protocol has it, and the
// reason goes along where the asker understands it.
func TestWhatIsNotAnswered(t *testing.T) {
	s := known()
	ours := zone().contents(&s)
	for name, tt := range map[string]struct {
		change func(*dns.Msg)
		from   *contents
		want   string
		why    refusal
		says   string
	}{
		"before anything is known": {func(m *dns.Msg) {}, nil, "SERVFAIL", notKnown, "this node has not learned from the store who is primary"},
		"an update":                {func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }, ours, "NOTIMP", notSupport, ""},
		"a NOTIFY":                 {func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }, ours, "NOTIMP", notSupport, ""},
		"another class":            {func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }, ours, "REFUSED", notOurs, ""},
		"no question":              {func(m *dns.Msg) { m.Question = nil }, ours, "FORMERR", notReadable, ""},
		"two questions":            {func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }, ours, "FORMERR", notReadable, ""},
		"a newer EDNS":             {func(m *dns.Msg) { m.IsEdns0().SetVersion(1) }, ours, "BADSIG", notReadable, ""}, // BADVERS has the same number
	} {
		t.Run(name, func(t *testing.T) {
			q := question("primary.shop.test.", dns.TypeA)
			q.SetEdns0(4096, false)
			tt.change(q)
			m, why := zone().answer(asked{msg: q, at: 1000}, tt.from)
			if got := said(m); got != tt.want || why != tt.why {
				t.Errorf("got %s (%s), want %s (%s)", got, why, tt.want, tt.why)
			}
			edns := m.IsEdns0()
			if edns == nil || len(edns.Option) != 1 || edns.Option[0].(*dns.EDNS0_EDE).ExtraText != tt.says && tt.says != "" {
				t.Errorf("EDNS is answered with %v", edns)
			}
			if _, err := m.Pack(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestEDNSIsAnsweredWithEDNSOnly(t *testing.T) {
	s := known()
	for name, kind := range map[string]uint16{"an answer": dns.TypeA, "none": dns.TypeMX} {
		plain, _ := zone().answer(asked{msg: question("primary.shop.test.", kind), at: 1000}, zone().contents(&s))
		if plain.IsEdns0() != nil {
			t.Errorf("%s: EDNS for who did not speak it", name)
		}
		q := question("primary.shop.test.", kind)
		q.SetEdns0(4096, true)
		spoken, _ := zone().answer(asked{msg: q, at: 1000}, zone().contents(&s))
		edns := spoken.IsEdns0()
		if edns == nil || edns.UDPSize() != largestUDP || !edns.Do() || len(edns.Option) != 0 {
			t.Errorf("%s: EDNS is answered with %v", name, edns)
		}
	}
}

func TestAnAnswerIsNoLargerThanTheAskerTakes(t *testing.T) {
	z := zone()
	var all []cluster.NodeName
	for i := range 100 {
		n := cluster.NodeName(fmt.Sprint("r", i))
		z.Nodes = append(z.Nodes, Node{n, netip.AddrFrom4([4]byte{10, 78, 0, byte(i)}), 3306})
		all = append(all, n)
	}
	s := known()
	s.Replicas = all
	for name, tt := range map[string]struct {
		edns uint16 // 0: none
		tcp  bool
		most int
	}{
		"by UDP":                         {0, false, 512},
		"by UDP, with EDNS":              {900, false, 900},
		"by UDP, with much room":         {65000, false, largestUDP},
		"by UDP, with less than anybody": {100, false, 512},
		"by TCP":                         {0, true, 65535},
	} {
		q := question("replicas.shop.test.", dns.TypeA)
		if tt.edns != 0 {
			q.SetEdns0(tt.edns, false)
		}
		m, _ := z.answer(asked{msg: q, tcp: tt.tcp, at: 1000}, z.contents(&s))
		if wire, err := m.Pack(); err != nil || len(wire) > tt.most || m.Truncated == tt.tcp || len(m.Answer) == 0 {
			t.Errorf("%s: %d bytes of at most %d, truncated: %v, %d answers (%v)", name, len(wire), tt.most, m.Truncated, len(m.Answer), err)
		}
	}
}

func TestReplicasTakeTurnsInComingFirst(t *testing.T) {
	z, s := zone(), known()
	s.Replicas = []cluster.NodeName{"db1", "db2"}
	first := map[string]int{}
	for id := range uint16(10) {
		q := question("replicas.shop.test.", dns.TypeA)
		q.Id = id
		m, _ := z.answer(asked{msg: q, at: 1000}, z.contents(&s))
		first[m.Answer[0].(*dns.A).A.String()]++
		if len(m.Answer) != 2 {
			t.Fatal(said(m))
		}
	}
	if diff := cmp.Diff(map[string]int{"10.77.0.11": 5, "10.77.0.12": 5}, first); diff != "" {
		t.Error(diff)
	}
}

func TestASecondaryGetsTheWholeZone(t *testing.T) {
	s := known()
	c := zone().contents(&s)
	ask := func(kind uint16, tcp bool, has uint32) []dns.RR {
		q := question("shop.test.", kind)
		if has != 0 {
			q.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: "shop.test.", Rrtype: dns.TypeSOA, Class: dns.ClassINET}, Serial: has}}
		}
		m, why := zone().answer(asked{msg: q, tcp: tcp, secondary: true, at: 1000}, c)
		if m.Rcode != dns.RcodeSuccess || why != "" {
			t.Errorf("%s: %s", dns.TypeToString[kind], said(m))
		}
		return m.Answer
	}
	whole := ask(dns.TypeAXFR, true, 0)
	if n := len(whole); n < 10 || whole[0] != dns.RR(c.soa) || whole[n-1] != dns.RR(c.soa) {
		t.Errorf("AXFR: %v", whole)
	}
	// All that it answers to others stands in it.
	for name, records := range c.names {
		for _, rr := range records {
			if !slices.Contains(whole, rr) {
				t.Errorf("AXFR lacks %s at %s", rr, name)
			}
		}
	}
	for name, tt := range map[string]struct {
		got  []dns.RR
		want int
	}{
		"IXFR from an older one":    {ask(dns.TypeIXFR, true, 50), len(whole)},
		"IXFR from the same":        {ask(dns.TypeIXFR, true, 51), 1},
		"IXFR from a newer one":     {ask(dns.TypeIXFR, true, 52), 1},
		"IXFR from before the wrap": {ask(dns.TypeIXFR, true, 1<<32-5), len(whole)},
		"IXFR by UDP":               {ask(dns.TypeIXFR, false, 50), 1},
	} {
		if len(tt.got) != tt.want {
			t.Errorf("%s: %d records, want %d", name, len(tt.got), tt.want)
		}
	}
}

func TestTheSerialFollowsTheContents(t *testing.T) {
	type change = func(*Snapshot)
	for name, tt := range map[string]struct {
		before *Snapshot
		change change
		newest cluster.Revision
		want   uint32
	}{
		"the first":                         {nil, func(*Snapshot) {}, 51, 51},
		"nothing has changed":               {&Snapshot{Serial: 40}, func(s *Snapshot) { s.HeardAt = 9 }, 51, 40},
		"another epoch":                     {&Snapshot{Serial: 40}, func(s *Snapshot) { s.Epoch = 8 }, 51, 51},
		"another primary":                   {&Snapshot{Serial: 40}, func(s *Snapshot) { s.Primary = "db2" }, 51, 51},
		"a replica less":                    {&Snapshot{Serial: 40}, func(s *Snapshot) { s.Replicas = s.Replicas[:1] }, 51, 51},
		"a change that the store knows not": {&Snapshot{Serial: 51}, func(s *Snapshot) { s.Replicas = nil }, 51, 52},
		"the store was founded anew":        {&Snapshot{Serial: 9000}, func(s *Snapshot) { s.Epoch = 8 }, 12, 9001},
		"the serial wraps":                  {&Snapshot{Serial: 1<<32 - 3}, func(s *Snapshot) { s.Epoch = 8 }, 1<<32 + 4, 4},
	} {
		s := known()
		if tt.before != nil {
			serial := tt.before.Serial
			*tt.before = known()
			tt.before.Serial = serial
		}
		tt.change(&s)
		if got := s.After(tt.before, tt.newest).Serial; got != tt.want {
			t.Errorf("%s: serial %d, want %d", name, got, tt.want)
		}
	}
}

// FuzzAnswer: whatever is asked gets an answer that can be sent, and nothing of another
// zone in it.
func FuzzAnswer(f *testing.F) {
	for _, kind := range []uint16{dns.TypeA, dns.TypeANY, dns.TypeAXFR, dns.TypeIXFR, dns.TypeSRV} {
		q := question("primary.shop.test.", kind)
		q.SetEdns0(1000, true)
		wire, err := q.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire, false)
		f.Add(wire, true)
	}
	s := known()
	c := zone().contents(&s)
	f.Fuzz(func(t *testing.T, wire []byte, tcp bool) {
		q := new(dns.Msg)
		if q.Unpack(wire) != nil {
			t.Skip()
		}
		m, _ := zone().answer(asked{msg: q, tcp: tcp, secondary: tcp, at: 1000}, c)
		if _, err := m.Pack(); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		for _, rr := range slices.Concat(m.Answer, m.Ns) {
			if !dns.IsSubDomain("shop.test.", rr.Header().Name) {
				t.Fatalf("%s: %s", q, rr)
			}
		}
	})
}
