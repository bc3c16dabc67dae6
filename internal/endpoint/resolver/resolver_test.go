package resolver_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/dnsupdate"
	"github.com/baton-db/baton/internal/endpoint/dnsupdate/dnstest"
	"github.com/baton-db/baton/internal/endpoint/resolver"
)

func nodeOf(a netip.Addr) (cluster.NodeName, bool) {
	n, known := map[string]cluster.NodeName{"10.77.0.11": "db1", "fd77::12": "db2"}[a.String()]
	return n, known
}

func target(epoch cluster.Epoch, node cluster.NodeName, address string) endpoint.Target {
	return endpoint.Target{Epoch: epoch, Node: node, Addresses: []netip.Addr{netip.MustParseAddr(address)}}
}

const minute = cluster.Instant(time.Minute)

// A name moves from db1 to db2. Of two real resolvers one remembers for longer than it
// may, as caches in between do that a site has forgotten.
func TestAResolverThatRemembersTooLongIsNamed(t *testing.T) {
	key := dnstest.Key{Name: "baton", Algorithm: "hmac-sha256", Secret: base64.StdEncoding.EncodeToString([]byte("a secret of thirty-two letters.."))}
	server := dnstest.BIND(t, dnstest.Zone{Name: "shop.test", Key: key, Also: dnstest.Key{Name: "other", Algorithm: key.Algorithm, Secret: key.Secret}})
	good := dnstest.Unbound(t, "shop.test", server.Addr, "cache-max-ttl: 0")
	stuck := dnstest.Unbound(t, "shop.test", server.Addr, "cache-min-ttl: 3600")
	name, err := dnsupdate.Open("db", dnsupdate.Options{Name: "db.shop.test", Zone: "shop.test", Servers: []netip.AddrPort{server.Addr}, Cluster: "shop", NodeOf: nodeOf,
		Key: dnsupdate.Key{Name: key.Name, Algorithm: key.Algorithm, Secret: key.Secret}, TTL: time.Second, SwitchTTL: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	w := &resolver.Watch{Name: "db.shop.test", Resolvers: []netip.AddrPort{good.Addr, stuck.Addr}, Forget: 10 * time.Second, NodeOf: nodeOf}
	// check looks at a moment of a clock that the test turns.
	check := func(to endpoint.Target, now cluster.Instant) string {
		if err := w.Check(t.Context(), to, now); err != nil {
			return err.Error()
		}
		return ""
	}
	one, two := target(1, "db1", "10.77.0.11"), target(2, "db2", "fd77::12")
	if err := name.Set(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	check(one, minute)
	if got := check(one, 2*minute); got != "" {
		t.Errorf("of the first primary: %s", got)
	}
	if err := name.Set(t.Context(), target(2, "db2", "10.77.0.99")); err != nil { // of the same family, so that it is remembered
		t.Fatal(err)
	}
	moved := target(2, "db2", "10.77.0.99")
	if got := check(moved, 3*minute); got != "" {
		t.Errorf("while it may be remembered: %s", got)
	}
	want := "look at the resolvers: " + stuck.Addr.String() + " still leads to 10.77.0.11 (db1), although 10s was the longest that it may remember"
	if got := check(moved, 4*minute); got != want {
		t.Errorf("when it may not any more:\ngot  %s\nwant %s", got, want)
	}
	// Of the other family nothing is remembered.
	two.Epoch = 3
	if err := name.Set(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	check(two, 5*minute)
	if got := check(two, 6*minute); got != "" {
		t.Errorf("of an IPv6 address: %s", got)
	}
}

// answering runs a resolver that says what a test wants.
func answering(t *testing.T, network string, answer func(m *dns.Msg)) netip.AddrPort {
	t.Helper()
	addr, started, ended := dnstest.Free(t), make(chan struct{}), make(chan error, 1)
	s := &dns.Server{Addr: addr.String(), Net: network, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		answer(m)
		_ = w.WriteMsg(m)
	})}
	go func() { ended <- s.ListenAndServe() }()
	select {
	case <-started:
	case err := <-ended:
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown(); <-ended })
	return addr
}

func TestWhatIsWrongWithAResolverIsSaid(t *testing.T) {
	with := func(records ...string) func(*dns.Msg) {
		return func(m *dns.Msg) {
			for _, r := range records {
				rr, err := dns.NewRR(r)
				if err != nil {
					panic(err)
				}
				m.Answer = append(m.Answer, rr)
			}
		}
	}
	for name, tt := range map[string]struct {
		network string
		answer  func(*dns.Msg)
		says    string // empty: nothing
	}{
		"it is right":                 {"udp", with("db.shop.test. 1 IN A 10.77.0.11"), ""},
		"it is right, by an alias":    {"udp", with("db.shop.test. 1 IN CNAME x.shop.test.", "x.shop.test. 1 IN A 10.77.0.11"), ""},
		"it is right, by TCP alone":   {"tcp", with("db.shop.test. 1 IN A 10.77.0.11"), ""},
		"it fails":                    {"udp", func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }, "answers SERVFAIL"},
		"it does not know the name":   {"udp", func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }, "answers NXDOMAIN"},
		"it knows no address":         {"udp", with(), "knows no address of db.shop.test"},
		"it leads to nobody's":        {"udp", with("db.shop.test. 1 IN A 10.9.9.9"), "still leads to 10.9.9.9, although"},
		"it leads to another as well": {"udp", with("db.shop.test. 1 IN A 10.77.0.11", "db.shop.test. 1 IN A 10.9.9.9"), "still leads to 10.77.0.11 (db1), 10.9.9.9, although"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &resolver.Watch{Name: "db.shop.test", Resolvers: []netip.AddrPort{answering(t, tt.network, tt.answer)}, NodeOf: nodeOf}
			to := target(1, "db1", "10.77.0.11")
			if err := w.Check(t.Context(), to, 1); err != nil {
				t.Fatalf("at once: %v", err)
			}
			err := w.Check(t.Context(), to, 2)
			switch {
			case tt.says == "" && err != nil:
				t.Error(err)
			case tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)):
				t.Errorf("got %v, want that it says %q", err, tt.says)
			}
		})
	}
}

func TestASilentResolverLeavesTimeToSayIt(t *testing.T) {
	deaf, err := net.ListenPacket("udp", dnstest.Free(t).String())
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	at := netip.MustParseAddrPort(deaf.LocalAddr().String())
	w := &resolver.Watch{Name: "db.shop.test", Resolvers: []netip.AddrPort{at}, NodeOf: nodeOf}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	to := target(1, "db1", "10.77.0.11")
	_ = w.Check(ctx, to, 1)
	if err := w.Check(ctx, to, 2); err == nil || !strings.Contains(err.Error(), at.String()+" does not answer") {
		t.Errorf("silent: %v", err)
	}
}

// TestWhenAResolverGivesTheNewAnswerIsTold: nobody is blamed before it should, and it is
// known all the same.
func TestWhenAResolverGivesTheNewAnswerIsTold(t *testing.T) {
	answer := func(address *atomic.Value) netip.AddrPort {
		return answering(t, "udp", func(m *dns.Msg) {
			rr, err := dns.NewRR("db.shop.test. 1 IN A " + address.Load().(string))
			if err != nil {
				panic(err)
			}
			m.Answer = append(m.Answer, rr)
		})
	}
	var quick, slow atomic.Value
	quick.Store("10.77.0.12")
	slow.Store("10.77.0.11")
	one, other := answer(&quick), answer(&slow)
	w := &resolver.Watch{Name: "db.shop.test", Resolvers: []netip.AddrPort{one, other}, Forget: time.Minute, NodeOf: nodeOf}
	to := target(2, "db2", "10.77.0.12")
	check := func(to endpoint.Target, now cluster.Instant, want string) {
		t.Helper()
		if err := w.Check(t.Context(), to, now); err != nil {
			t.Errorf("blamed: %v", err)
		}
		// A resolver on a machine under load may have answered too late to count.
		for limit := time.Now().Add(time.Minute); w.Tells() != want && time.Now().Before(limit); {
			_ = w.Check(t.Context(), to, now) // it has been seen to blame nobody
		}
		if got := w.Tells(); got != want {
			t.Errorf("it tells %q, want %q", got, want)
		}
	}
	check(to, minute, one.String()+" gives the new answer at once")
	slow.Store("10.77.0.12")
	const both = " gives the new answer at once; %s gives the new answer, after at most 4s"
	check(to, minute+cluster.Instant(4*time.Second), one.String()+fmt.Sprintf(both, other))
	check(to, minute+cluster.Instant(8*time.Second), one.String()+fmt.Sprintf(both, other))
	quick.Store("10.77.0.11")
	check(target(3, "db1", "10.77.0.11"), 2*minute, one.String()+" gives the new answer at once")
}

// TestASilentResolverHoldsNobodyUpWhileItMayRemember: what is tended is looked at again
// soon after a switch.
func TestASilentResolverHoldsNobodyUpWhileItMayRemember(t *testing.T) {
	deaf, err := net.ListenPacket("udp", dnstest.Free(t).String())
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	w := &resolver.Watch{Name: "db.shop.test", Resolvers: []netip.AddrPort{netip.MustParseAddrPort(deaf.LocalAddr().String())}, Forget: time.Hour, NodeOf: nodeOf}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := w.Check(ctx, target(1, "db1", "10.77.0.11"), 1); err != nil || w.Tells() != "" || ctx.Err() != nil {
		t.Errorf("%v, it tells %q, %v", err, w.Tells(), ctx.Err())
	}
	end, _ := ctx.Deadline()
	if left := time.Until(end); left < 30*time.Second {
		t.Errorf("%s are left of a minute", left)
	}
}
