package dnsupdate_test

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint/dnsupdate/dnstest"
)

// throughResolver is the address that clients of a resolver get, and for how long
// they may keep it.
func throughResolver(t *testing.T, resolver *dnstest.Server, name string) (address string, ttl uint32) {
	t.Helper()
	m, err := resolver.Ask(name+"."+zone, dns.TypeA)
	if err != nil || len(m.Answer) != 1 {
		t.Fatalf("the resolver answers %v (%v)", m, err)
	}
	return m.Answer[0].(*dns.A).A.String(), m.Answer[0].Header().Ttl
}

// What the time to live is for: a resolver in between goes on giving the old answer,
// but no longer than that. Verification asks the zone's server and does not wait.
func TestAResolverGivesTheNewAnswerWhenTheTimeToLiveIsOver(t *testing.T) {
	t.Parallel()
	s := dnstest.BIND(t, served())
	resolver := dnstest.Unbound(t, zone, s.Addr)

	_, err := open(t, options("long", resolver.Addr)).Observe(t.Context())
	if want := "FORMERR: the server does not understand a signed message: dns.servers has to name the primary server of zone shop.test"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a resolver for a server: got %v, want that it says %q", err, want)
	}

	long := options("long", s.Addr)
	long.TTL, long.SwitchTTL = time.Hour, time.Hour
	var now atomic.Int64
	long.Now, long.Resolvers = func() cluster.Instant { return cluster.Instant(now.Load()) }, []netip.AddrPort{resolver.Addr}
	e := open(t, long)
	mustSet(t, e, db1(1))
	if got, _ := throughResolver(t, resolver, "long"); got != "10.77.0.11" {
		t.Fatalf("the resolver says %s", got)
	}
	mustSet(t, e, db2(2)) // observed, too
	if got, ttl := throughResolver(t, resolver, "long"); got != "10.77.0.11" || ttl > 3600 {
		t.Errorf("the resolver says %s for %d s: is there a cache in between at all?", got, ttl)
	}
	// An hour later by the agent's clock it may remember nothing of that any more.
	if err := e.Tend(t.Context(), db2(2)); err != nil {
		t.Errorf("while it may remember: %v", err)
	}
	now.Add(int64(2 * time.Hour))
	err = e.Tend(t.Context(), db2(2))
	if want := resolver.Addr.String() + " still leads to 10.77.0.11 (db1), although 1h0m2s was the longest that it may remember"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("when it may not any more: %v, want that it says %q", err, want)
	}

	short := options("short", s.Addr)
	short.SwitchTTL = time.Second
	e = open(t, short)
	mustSet(t, e, db1(1))
	if got, _ := throughResolver(t, resolver, "short"); got != "10.77.0.11" {
		t.Fatalf("the resolver says %s", got)
	}
	mustSet(t, e, db2(2))
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		got, ttl := throughResolver(t, resolver, "short")
		if got == "10.77.0.12" {
			return
		}
		if ttl > 1 {
			t.Fatalf("the resolver keeps %s for %d s", got, ttl)
		}
		select {
		case <-again.C:
		case <-t.Context().Done():
			t.Fatal("the resolver never gives the new answer")
		}
	}
}
