package clouddns_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/cloudapi"
	"github.com/baton-db/baton/internal/endpoint/cloudapi/cloudtest"
	"github.com/baton-db/baton/internal/endpoint/clouddns"
	"github.com/baton-db/baton/internal/endpoint/endpointtest"
)

const (
	theName = "db." + zoneName
	beside  = "_baton." + theName
)

var addresses = map[netip.Addr]cluster.NodeName{
	netip.MustParseAddr("10.77.0.11"): "db1", netip.MustParseAddr("10.77.0.12"): "db2", netip.MustParseAddr("fd00::12"): "db2",
}

func at(node string, epoch cluster.Epoch, address string) endpoint.Target {
	return endpoint.Target{Epoch: epoch, Node: cluster.NodeName(node), Addresses: []netip.Addr{netip.MustParseAddr(address)}, Port: 3306}
}

func here() endpoint.Target  { return at("db1", 7, "10.77.0.11") }
func there() endpoint.Target { return at("db2", 8, "10.77.0.12") }

// stage is a vendor with a zone, and a name in it.
type stage struct {
	vendor
	*cloudtest.Server
	zone *store
	now  cluster.Instant

	resolvers []netip.AddrPort
}

func newStage(t *testing.T, v vendor) *stage {
	s := &stage{vendor: v, zone: &store{}, now: cluster.Instant(time.Hour)}
	s.Server = v.start(t, s.zone)
	// Somebody else's, which has to stay as it is.
	s.zone.entries = []entry{{id: "1", name: "www." + zoneName, kind: "A", value: "192.0.2.80", ttl: 300},
		{id: "2", name: theName, kind: "TXT", value: "v=spf1 -all", ttl: 300}}
	return s
}

const others = theName + " 300 TXT v=spf1 -all\nwww." + zoneName + " 300 A 192.0.2.80"

func (s *stage) open() *clouddns.Endpoint { return s.openAs(cloudtest.ID, cloudtest.Secret) }

func (s *stage) openAs(id, secret string) *clouddns.Endpoint {
	return clouddns.Open("name", clouddns.Options{Name: theName, Zone: s.vendor.open(s.URL, id, secret), TTL: 60 * time.Second, SwitchTTL: 30 * time.Second, SwitchFor: 10 * time.Minute, Resolvers: s.resolvers,
		Cluster: "shop", Now: func() cluster.Instant { return s.now },
		NodeOf: func(a netip.Addr) (cluster.NodeName, bool) { n, ok := addresses[a]; return n, ok }})
}

// holds compares the zone with what is wanted of the name, and others.
func (s *stage) holds(t *testing.T, want ...string) {
	t.Helper()
	var got string
	s.Change(func() { got = s.zone.String() })
	all := strings.Join(append(want, others), "\n")
	if got != all {
		t.Errorf("the zone holds\n%s\nwant\n%s", got, all)
	}
}

// set sets a name and gives it its time to live, as the reconciler does.
func set(t *testing.T, e *clouddns.Endpoint, to endpoint.Target) {
	t.Helper()
	if err := errors.Join(e.Set(t.Context(), to), e.Tend(t.Context(), to)); err != nil {
		t.Fatal(err)
	}
}

func each(t *testing.T, do func(t *testing.T, s *stage)) {
	for name, v := range vendors() {
		t.Run(name, func(t *testing.T) { do(t, newStage(t, v)) })
	}
}

func TestANameBehavesAsAnEndpoint(t *testing.T) {
	for name, v := range vendors() {
		t.Run(name, func(t *testing.T) {
			endpointtest.Run(t, func(t *testing.T) endpointtest.Subject {
				s := newStage(t, v)
				return endpointtest.Subject{
					Endpoint: s.open(), Again: func() endpoint.Endpoint { return s.open() },
					Here: here(), There: there(),
					Meddle: func(context.Context) error {
						s.Change(func() {
							for i, e := range s.zone.entries {
								if e.kind == "A" && e.name == theName {
									s.zone.entries[i].value = "10.77.0.12"
								}
							}
						})
						return nil
					},
					Silence: s.Silence,
				}
			})
		})
	}
}

func TestTheNameIsWrittenWithItsReignAndOnce(t *testing.T) {
	each(t, func(t *testing.T, s *stage) {
		e := s.open()
		for range 2 {
			if err := e.Set(t.Context(), here()); err != nil {
				t.Fatal(err)
			}
		}
		s.holds(t, beside+" 30 TXT cluster=shop epoch=7 node=db1", theName+" 30 A 10.77.0.11")
		once := 2
		if s.swaps {
			once = 1
		}
		if s.zone.writes != once {
			t.Errorf("%d writes", s.zone.writes)
		}
		s.now = s.now.Add(10 * time.Minute)
		if err := e.Tend(t.Context(), here()); err != nil {
			t.Fatal(err)
		}
		if got, err := e.Observe(t.Context()); err != nil || got.Node != "db1" || got.Epoch != 7 {
			t.Errorf("it leads to %s by epoch %d, %v", got, got.Epoch, err)
		}
		s.Change(func() {
			if !strings.Contains(s.zone.String(), theName+" 60 A 10.77.0.11") {
				t.Errorf("ten minutes later the zone holds\n%s", s.zone)
			}
		})
		writes := s.zone.writes
		if err := e.Tend(t.Context(), here()); err != nil || s.zone.writes != writes {
			t.Errorf("tended again it writes again, %v", err)
		}
	})
}

func TestWhatElseLeadsElsewhereIsRemoved(t *testing.T) {
	for why, entries := range map[string][]entry{
		"an alias":               {{id: "9", name: theName, kind: "CNAME", value: "old.example.org", ttl: 60}},
		"several addresses":      {{id: "7", name: theName, kind: "A", value: "192.0.2.1", ttl: 60}, {id: "8", name: theName, kind: "A", value: "10.77.0.12", ttl: 60}, {id: "9", name: theName, kind: "AAAA", value: "fd00::1", ttl: 60}},
		"another cluster's":      {{id: "7", name: theName, kind: "A", value: "10.77.0.12", ttl: 60}, {id: "8", name: beside, kind: "TXT", value: "cluster=crm epoch=30 node=db7", ttl: 60}},
		"two reigns":             {{id: "7", name: theName, kind: "A", value: "10.77.0.12", ttl: 60}, {id: "8", name: beside, kind: "TXT", value: "cluster=shop epoch=8 node=db2", ttl: 30}, {id: "9", name: beside, kind: "TXT", value: "cluster=shop epoch=7 node=db1", ttl: 60}},
		"some clients elsewhere": {{id: "7", name: theName, kind: "A", value: "10.77.0.12", ttl: 60, line: "telecom"}},
	} {
		t.Run(why, func(t *testing.T) {
			each(t, func(t *testing.T, s *stage) {
				if _, isCloudflare := s.vendor.open("", "", "").(*clouddns.Cloudflare); isCloudflare && why == "some clients elsewhere" {
					t.Skip("all clients get the same there")
				}
				if why == "an alias" {
					s.zone.entries = s.zone.entries[:1] // DNS has no other records beside an alias
				}
				s.zone.entries = append(s.zone.entries, entries...)
				e := s.open()
				if got, err := e.Observe(t.Context()); !errors.Is(err, endpoint.ErrForeign) {
					t.Errorf("it is seen to lead to %s, %v", got, err)
				}
				set(t, e, there())
				got, err := e.Observe(t.Context())
				if err != nil || got.Node != "db2" || got.Epoch != 8 {
					t.Errorf("it leads to %s by epoch %d, %v", got, got.Epoch, err)
				}
				want := []string{beside + " 30 TXT cluster=shop epoch=8 node=db2", theName + " 30 A 10.77.0.12"}
				if why == "an alias" {
					want[1] += "\n" + strings.TrimPrefix(others, theName+" 300 TXT v=spf1 -all\n")
					if got := s.zone.String(); got != strings.Join(want, "\n") {
						t.Errorf("the zone holds\n%s", got)
					}
					return
				}
				s.holds(t, want...)
			})
		})
	}
}

func TestTheOtherFamilyTakesThePlaceOfTheFirst(t *testing.T) {
	each(t, func(t *testing.T, s *stage) {
		e := s.open()
		for _, to := range []endpoint.Target{here(), at("db2", 8, "fd00::12")} {
			if err := e.Set(t.Context(), to); err != nil {
				t.Fatal(err)
			}
		}
		s.holds(t, beside+" 30 TXT cluster=shop epoch=8 node=db2", theName+" 30 AAAA fd00::12")
	})
}

// A newer reign writes between the look of an older one and its change.
func TestWhoeverIsFasterIsNotOverwrittenByAnOlderReign(t *testing.T) {
	each(t, func(t *testing.T, s *stage) {
		e := s.open()
		if err := e.Set(t.Context(), at("db2", 6, "10.77.0.12")); err != nil {
			t.Fatal(err)
		}
		newer := func() {
			s.zone.entries = append(s.zone.entries[:2], entry{id: "77", name: theName, kind: "A", value: "10.77.0.12", ttl: 30},
				entry{id: "78", name: beside, kind: "TXT", value: "cluster=shop epoch=8 node=db2", ttl: 30})
		}
		s.Change(func() { s.zone.before = newer })
		err := e.Set(t.Context(), here())
		var old *endpoint.OldEpochError
		if s.swaps {
			if !errors.As(err, &old) || old.Known != 8 {
				t.Errorf("epoch 7 while 8 is written: %v", err)
			}
			s.holds(t, beside+" 30 TXT cluster=shop epoch=8 node=db2", theName+" 30 A 10.77.0.12")
			return
		}
		// The record that was to be changed is gone: the change fails, and the next look
		// sees the newer reign.
		if err == nil {
			t.Error("a record that is gone was changed")
		}
		if err := e.Set(t.Context(), here()); !errors.As(err, &old) || old.Known != 8 {
			t.Errorf("epoch 7 after 8 was written: %v", err)
		}
	})
}

func TestOddThingsOfVendorsAreSaidAndPutRight(t *testing.T) {
	reign := entry{id: "8", name: beside, kind: "TXT", value: "cluster=shop epoch=8 node=db2", ttl: 30}
	for name, tt := range map[string]struct {
		vendor  vendor
		entries []entry
		says    string
	}{
		"a proxied record":        {cloudflare(), []entry{{id: "7", name: theName, kind: "A", value: "10.77.0.12", ttl: 30, proxied: true}, reign}, "is proxied by Cloudflare"},
		"an alias of Route 53's":  {route53(), []entry{{id: "7", name: theName, kind: "A"}, {id: "9", name: theName, kind: "AAAA"}, reign}, "is an alias of Route 53's for lb.example.com"},
		"a routing policy":        {route53(), []entry{{id: "7", name: theName, kind: "A", value: "10.77.0.12", ttl: 30, line: "blue"}, {id: "9", name: theName, kind: "A", value: "10.77.0.12", ttl: 30, line: "green"}, reign}, "has a routing policy of Route 53's (green)"},
		"a record that is off":    {alidns(), []entry{{id: "7", name: theName, kind: "A", value: "10.77.0.12", ttl: 30, off: true}, reign}, "has no address, although " + beside},
		"a record that is paused": {dnspod(), []entry{{id: "7", name: theName, kind: "A", value: "10.77.0.12", ttl: 30, off: true}, reign}, "has no address, although " + beside},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, tt.vendor)
			s.zone.entries = append(s.zone.entries, tt.entries...)
			e := s.open()
			if _, err := e.Observe(t.Context()); !errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want that it says %q", err, tt.says)
			}
			set(t, e, there())
			s.holds(t, beside+" 30 TXT cluster=shop epoch=8 node=db2", theName+" 30 A 10.77.0.12")
		})
	}
}

func TestWhatGoesWrongIsSaidInPlainWords(t *testing.T) {
	each(t, func(t *testing.T, s *stage) {
		if err := s.open().Set(t.Context(), at("db2", 6, "10.77.0.12")); err != nil {
			t.Fatal(err)
		}
		always := func(a cloudtest.Answer) func(string) *cloudtest.Answer {
			return func(string) *cloudtest.Answer { return &a }
		}
		for trouble, tt := range map[string]struct {
			answer func(action string) *cloudtest.Answer
			secret string
			says   string
			after  bool
		}{
			"throttled":      {always(s.throttled), cloudtest.Secret, "wants fewer requests", true},
			"denied":         {always(s.denied), cloudtest.Secret, map[bool]string{true: "or it lacks the permission DNS:", false: "lack the permission"}[s.write == "POST"], false},
			"broken":         {always(s.broken), cloudtest.Secret, "has trouble of its own", false},
			"a wrong secret": {nil, "wr0ng/secret", "does not know these keys, or their secret is another", false},
		} {
			s.Instead(tt.answer)
			e := s.openAs(cloudtest.ID, tt.secret)
			_, look := e.Observe(t.Context())
			for what, err := range map[string]error{"look": look, "set": e.Set(t.Context(), here())} {
				var fault *cloudapi.Fault
				if !errors.As(err, &fault) || errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), tt.secret) {
					t.Errorf("%s, %s: %v, want that it says %q", trouble, what, err, tt.says)
				} else if (fault.RetryAfter() > 0) != tt.after {
					t.Errorf("%s, %s: asked again after %s", trouble, what, fault.RetryAfter())
				}
			}
		}
	})
}

// stuckResolver answers everything with an address, for ever.
func stuckResolver(t *testing.T, address string) netip.AddrPort {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 3600}, A: net.ParseIP(address)}}
		_ = w.WriteMsg(m)
	})}
	ready, done := make(chan struct{}), make(chan error, 1)
	s.NotifyStartedFunc = func() { close(ready) }
	go func() { done <- s.ActivateAndServe() }()
	<-ready
	t.Cleanup(func() {
		if err := errors.Join(s.Shutdown(), <-done); err != nil {
			t.Error(err)
		}
	})
	return netip.MustParseAddrPort(conn.LocalAddr().String())
}

func TestAResolverThatDoesNotFollowIsNamed(t *testing.T) {
	s := newStage(t, route53())
	at := stuckResolver(t, "10.77.0.11")
	s.resolvers = []netip.AddrPort{at}
	e := s.open()
	set(t, e, there()) // it may still remember
	s.now = s.now.Add(3 * time.Minute)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // or the library has one of its own
	defer cancel()
	if err := e.Tend(ctx, there()); err == nil || !strings.Contains(err.Error(), at.String()+" still leads to 10.77.0.11 (db1)") {
		t.Errorf("got %v", err)
	}
}

// The permission to look is there, that to change is not.
func TestThePermissionThatIsMissingIsNamed(t *testing.T) {
	for name, permission := range map[string]string{"route53": "route53:ChangeResourceRecordSets", "alidns": "alidns:UpdateDomainRecord", "dnspod": "dnspod:ModifyRecord"} {
		s := newStage(t, vendors()[name])
		if err := s.open().Set(t.Context(), at("db2", 6, "10.77.0.12")); err != nil {
			t.Fatal(err)
		}
		s.Instead(func(action string) *cloudtest.Answer {
			if action == s.read {
				return nil
			}
			return &s.denied
		})
		if err := s.open().Set(t.Context(), here()); err == nil || !strings.Contains(err.Error(), "lack the permission "+permission) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
