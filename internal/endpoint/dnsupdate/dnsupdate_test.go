package dnsupdate_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/dnsupdate"
	"github.com/baton-db/baton/internal/endpoint/dnsupdate/dnstest"
	"github.com/baton-db/baton/internal/endpoint/endpointtest"
)

const zone = "shop.test"

func secret(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func ourKey() dnstest.Key {
	return dnstest.Key{Name: "baton", Algorithm: "hmac-sha256", Secret: secret("a secret of thirty-two letters..")}
}

func served() dnstest.Zone {
	return dnstest.Zone{Name: zone, Key: ourKey(), Fixed: "fixed.test",
		Also: dnstest.Key{Name: "stranger", Algorithm: "hmac-sha256", Secret: secret("another of thirty-two letters...")}}
}

// kinds are the name servers that people run.
func kinds() map[string]func(testing.TB, dnstest.Zone) *dnstest.Server {
	return map[string]func(testing.TB, dnstest.Zone) *dnstest.Server{"bind": dnstest.BIND, "knot": dnstest.Knot, "powerdns": dnstest.PowerDNS}
}

// TestANameInAZone tries everything on each of them. Every test has a name of its own
// in the zone, db, so that one server serves for all.
func TestANameInAZone(t *testing.T) {
	for kind, start := range kinds() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := start(t, served())
			for i, tt := range []struct {
				name string
				test func(t *testing.T, s *dnstest.Server, db string)
			}{
				{"it behaves as an endpoint", behavesAsAnEndpoint},
				{"the zone holds what is documented", holdsWhatIsDocumented},
				{"what is so is not written again", notWrittenAgain},
				{"the epoch outlives the agent", epochOutlivesTheAgent},
				{"an old reign that was on its way does not win", onItsWay},
				{"an answer that is lost does no harm", lostAnswer},
				{"many at once end with the newest", manyAtOnce},
				{"what somebody else wrote is named and replaced", somebodyElse},
				{"the time to live is short for a while after a switch", shortForAWhile},
				{"what is refused is explained", func(t *testing.T, s *dnstest.Server, db string) { explains(t, s, kind, db) }},
			} {
				t.Run(tt.name, func(t *testing.T) { tt.test(t, s, fmt.Sprintf("own%d", i)) })
			}
		})
	}
}

func nodeOf(a netip.Addr) (cluster.NodeName, bool) {
	n, known := map[string]cluster.NodeName{"10.77.0.11": "db1", "10.77.0.12": "db2", "fd77::13": "db3"}[a.String()]
	return n, known
}

func at(epoch cluster.Epoch, node, address string) endpoint.Target {
	return endpoint.Target{Epoch: epoch, Node: cluster.NodeName(node), Addresses: []netip.Addr{netip.MustParseAddr(address)}, Port: 3306}
}

func db1(epoch cluster.Epoch) endpoint.Target { return at(epoch, "db1", "10.77.0.11") }
func db2(epoch cluster.Epoch) endpoint.Target { return at(epoch, "db2", "10.77.0.12") }
func db3(epoch cluster.Epoch) endpoint.Target { return at(epoch, "db3", "fd77::13") }

// options lead a name of the test's own to where the servers say.
func options(name string, servers ...netip.AddrPort) dnsupdate.Options {
	k := ourKey()
	return dnsupdate.Options{Name: name + "." + zone, Zone: zone, Servers: servers, Cluster: "shop", NodeOf: nodeOf,
		Key: dnsupdate.Key{Name: k.Name, Algorithm: k.Algorithm, Secret: k.Secret},
		TTL: 30 * time.Second, SwitchTTL: 5 * time.Second, SwitchFor: time.Minute}
}

func open(t testing.TB, o dnsupdate.Options) *dnsupdate.Endpoint {
	t.Helper()
	e, err := dnsupdate.Open("shop-db", o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// edit changes the zone as a person with nsupdate would, who knows nothing of Baton.
func edit(s *dnstest.Server, change func(m *dns.Msg)) error {
	m := new(dns.Msg)
	m.SetUpdate(dns.Fqdn(zone))
	change(m)
	k := ourKey()
	m.SetTsig(k.Name+".", k.Algorithm+".", 300, time.Now().Unix())
	c := dns.Client{Net: "tcp", Timeout: time.Minute, TsigSecret: map[string]string{k.Name + ".": k.Secret}}
	answer, _, err := c.Exchange(m, s.Addr.String())
	if err == nil && answer.Rcode != dns.RcodeSuccess {
		err = fmt.Errorf("edit the zone: %s", dns.RcodeToString[answer.Rcode])
	}
	return err
}

func record(text string) dns.RR {
	rr, err := dns.NewRR(text)
	if err != nil {
		panic(err)
	}
	return rr
}

// replace puts records where a name had others.
func replace(s *dnstest.Server, name string, records ...string) error {
	return edit(s, func(m *dns.Msg) {
		m.RemoveName([]dns.RR{&dns.ANY{Hdr: dns.RR_Header{Name: name + "." + zone + "."}}})
		for _, r := range records {
			m.Insert([]dns.RR{record(name + "." + zone + ". " + r)})
		}
	})
}

func behavesAsAnEndpoint(t *testing.T, s *dnstest.Server, db string) {
	n := 0
	endpointtest.Run(t, func(t *testing.T) endpointtest.Subject {
		n++
		name := fmt.Sprint(db, "-", n)
		return endpointtest.Subject{
			Endpoint: open(t, options(name, s.Addr)), Again: func() endpoint.Endpoint { return open(t, options(name, s.Addr)) },
			Here: db1(0), There: db2(0),
			Meddle:  func(context.Context) error { return replace(s, name, "60 A 10.77.0.12") },
			Silence: func() { s.Freeze(t) },
		}
	})
}

func mustSet(t testing.TB, e endpoint.Endpoint, target endpoint.Target) {
	t.Helper()
	if err := e.Set(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	if err := endpoint.Verify(t.Context(), "the name", e, target); err != nil {
		t.Fatal(err)
	}
}

// holds returns what the zone has of some kind at a name, as its file would.
func holds(t *testing.T, s *dnstest.Server, name string, kind uint16) string {
	t.Helper()
	m, err := s.Ask(name+"."+zone, kind)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, rr := range m.Answer {
		all = append(all, strings.ReplaceAll(rr.String(), "\t", " "))
	}
	return asDB(strings.Join(all, "; "))
}

// asDB is a text as if the test's own name were db.
func asDB(text string) string {
	return regexp.MustCompile(`own\d+\.`).ReplaceAllString(text, "db.")
}

func holdsWhatIsDocumented(t *testing.T, s *dnstest.Server, db string) {
	e := open(t, options(db, s.Addr))
	mustSet(t, e, db1(7))
	for _, tt := range []struct {
		name string
		kind uint16
		want string
	}{
		{db, dns.TypeA, "db.shop.test. 5 IN A 10.77.0.11"},
		{db, dns.TypeAAAA, ""},
		{"_baton." + db, dns.TypeTXT, `_baton.db.shop.test. 5 IN TXT "cluster=shop epoch=7 node=db1"`},
	} {
		if got := holds(t, s, tt.name, tt.kind); got != tt.want {
			t.Errorf("%s %s: %s, want %s", tt.name, dns.TypeToString[tt.kind], got, tt.want)
		}
	}
	mustSet(t, e, db3(8)) // IPv6: the old address is gone, not beside it
	if a, aaaa := holds(t, s, db, dns.TypeA), holds(t, s, db, dns.TypeAAAA); a != "" || aaaa != "db.shop.test. 5 IN AAAA fd77::13" {
		t.Errorf("after a move from IPv4 to IPv6: %q and %q", a, aaaa)
	}
}

func notWrittenAgain(t *testing.T, s *dnstest.Server, db string) {
	e := open(t, options(db, s.Addr))
	mustSet(t, e, db1(1))
	before, err := s.Ask(zone, dns.TypeSOA)
	if err != nil {
		t.Fatal(err)
	}
	mustSet(t, e, db1(1))
	mustSet(t, open(t, options(db, s.Addr)), db1(1))
	after, err := s.Ask(zone, dns.TypeSOA)
	if err != nil || after.Answer[0].String() != before.Answer[0].String() {
		t.Errorf("the zone was %v and is %v (%v)", before.Answer, after.Answer, err)
	}
}

func epochOutlivesTheAgent(t *testing.T, s *dnstest.Server, db string) {
	mustSet(t, open(t, options(db, s.Addr)), db2(9))
	late := open(t, options(db, s.Addr))
	for what, call := range map[string]func() error{
		"set":  func() error { return late.Set(t.Context(), db1(8)) },
		"tend": func() error { return late.Tend(t.Context(), db1(8)) },
	} {
		var old *endpoint.OldEpochError
		if err := call(); !errors.As(err, &old) || old.Known != 9 || old.Asked != 8 {
			t.Errorf("%s: another instance, epoch 8 after 9: %v", what, err)
		}
	}
	if got := holds(t, s, db, dns.TypeA); got != "db.shop.test. 5 IN A 10.77.0.12" {
		t.Errorf("the zone holds %s", got)
	}
}

// An older reign that has looked before the newer one wrote, and writes after it, is
// refused by the server: that is what the prerequisite is for.
func onItsWay(t *testing.T, s *dnstest.Server, db string) {
	mustSet(t, open(t, options(db, s.Addr)), db1(1))
	wire := lead(t, s.Addr)
	late := open(t, options(db, wire.addr))
	wire.hold(func(m *dns.Msg) bool { return m.Opcode == dns.OpcodeUpdate })
	told := make(chan error, 1)
	go func() { told <- late.Set(t.Context(), db1(2)) }()
	<-wire.held
	mustSet(t, open(t, options(db, s.Addr)), db2(3))
	close(wire.release)
	var old *endpoint.OldEpochError
	if err := <-told; !errors.As(err, &old) || old.Known != 3 {
		t.Errorf("the update of epoch 2 that arrived after epoch 3: %v", err)
	}
	if got := holds(t, s, db, dns.TypeA); got != "db.shop.test. 5 IN A 10.77.0.12" {
		t.Errorf("the zone holds %s", got)
	}
}

// The update is carried out, and nobody hears of it: the same reign asks again, and
// finds it done.
func lostAnswer(t *testing.T, s *dnstest.Server, db string) {
	mustSet(t, open(t, options(db, s.Addr)), db1(1))
	wire := lead(t, s.Addr)
	wire.lose(func(m *dns.Msg) bool { return m.Opcode == dns.OpcodeUpdate })
	e := open(t, options(db, wire.addr))
	if err := e.Set(t.Context(), db2(2)); err == nil {
		t.Error("content without an answer")
	}
	if got := holds(t, s, db, dns.TypeA); got != "db.shop.test. 5 IN A 10.77.0.12" {
		t.Errorf("the zone holds %s", got)
	}
	before, err := s.Ask(zone, dns.TypeSOA)
	if err != nil {
		t.Fatal(err)
	}
	mustSet(t, e, db2(2))
	after, err := s.Ask(zone, dns.TypeSOA)
	if err != nil || after.Answer[0].String() != before.Answer[0].String() {
		t.Errorf("it was written again: the zone was %v and is %v (%v)", before.Answer, after.Answer, err)
	}
}

func manyAtOnce(t *testing.T, s *dnstest.Server, db string) {
	var all sync.WaitGroup
	for epoch := cluster.Epoch(1); epoch <= 6; epoch++ {
		all.Go(func() {
			target := db1(epoch)
			if epoch%2 == 0 {
				target = db2(epoch)
			}
			err := open(t, options(db, s.Addr)).Set(t.Context(), target)
			var old *endpoint.OldEpochError
			if err != nil && !errors.As(err, &old) {
				t.Errorf("epoch %d: %v", epoch, err)
			}
		})
	}
	all.Wait()
	got, err := open(t, options(db, s.Addr)).Observe(t.Context())
	if err != nil || got.Epoch != 6 || got.Node != "db2" {
		t.Errorf("it leads to %s of epoch %d: %v", got, got.Epoch, err)
	}
}

func somebodyElse(t *testing.T, s *dnstest.Server, db string) {
	ours := `5 TXT "cluster=shop epoch=3 node=db1"`
	cases := map[string]struct {
		name, reign []string
		says        string
		leads       cluster.NodeName
	}{
		"an address of nobody":       {[]string{"60 A 10.9.9.9"}, []string{ours}, "db.shop.test has 10.9.9.9, which is no node's address", ""},
		"no reign":                   {[]string{"60 A 10.77.0.11"}, nil, "db.shop.test has 10.77.0.11, and _baton.db.shop.test does not say that Baton has set it", "db1"},
		"an alias":                   {[]string{"60 CNAME www.shop.test."}, []string{ours}, "db.shop.test is an alias for www.shop.test", ""},
		"two addresses":              {[]string{"60 A 10.77.0.11", "60 A 10.77.0.12"}, []string{ours}, "db.shop.test has several addresses: [", ""},
		"one of each family":         {[]string{"60 A 10.77.0.11", "60 AAAA fd77::13"}, []string{ours}, "db.shop.test has several addresses: [10.77.0.11 fd77::13]", ""},
		"no address":                 {nil, []string{ours}, "db.shop.test has no address, although _baton.db.shop.test says that it was set", ""},
		"a reign of another cluster": {[]string{"60 A 10.77.0.11"}, []string{`5 TXT "cluster=crm epoch=99 node=db1"`}, "db.shop.test is of cluster crm, not shop, as _baton.db.shop.test says", "db1"},
		"nonsense for a reign":       {[]string{"60 A 10.77.0.11"}, []string{`5 TXT "epoch 3"`}, `db.shop.test has 10.77.0.11, and _baton.db.shop.test holds "epoch 3", which is not of Baton's making`, "db1"},
		"two reigns":                 {[]string{"60 A 10.77.0.11"}, []string{ours, `5 TXT "cluster=shop epoch=4 node=db2"`}, "_baton.db.shop.test holds 2 texts, which is not of Baton's making", "db1"},
	}
	e := open(t, options(db, s.Addr))
	for name, tt := range cases {
		if err := errors.Join(replace(s, db, tt.name...), replace(s, "_baton."+db, tt.reign...)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := e.Observe(t.Context())
		if !errors.Is(err, endpoint.ErrForeign) || !strings.Contains(asDB(err.Error()), tt.says) || got.Node != tt.leads {
			t.Errorf("%s: it leads to %s, %v; want %s, and that it says %q", name, got, err, tt.leads, tt.says)
		}
		mustSet(t, e, db1(4))
	}
}

func shortForAWhile(t *testing.T, s *dnstest.Server, db string) {
	var now atomic.Int64
	o := options(db, s.Addr)
	o.Now = func() cluster.Instant { return cluster.Instant(now.Load()) }
	ttl := func(e *dnsupdate.Endpoint, target endpoint.Target, want string) {
		t.Helper()
		if err := e.Tend(t.Context(), target); err != nil {
			t.Fatal(err)
		}
		if got := holds(t, s, db, dns.TypeA); got != want {
			t.Errorf("after %s the zone holds %s, want %s", time.Duration(now.Load()), got, want)
		}
	}
	e := open(t, o)
	mustSet(t, e, db1(1))
	ttl(e, db1(1), "db.shop.test. 5 IN A 10.77.0.11")
	now.Add(int64(o.SwitchFor) - 1)
	ttl(e, db1(1), "db.shop.test. 5 IN A 10.77.0.11")
	now.Add(1)
	ttl(e, db1(1), "db.shop.test. 30 IN A 10.77.0.11")
	// Somebody else's edit is put right with the usual one.
	if err := replace(s, db, "600 A 10.77.0.11"); err != nil {
		t.Fatal(err)
	}
	ttl(e, db1(1), "db.shop.test. 30 IN A 10.77.0.11")
	mustSet(t, e, db2(2))
	ttl(e, db2(2), "db.shop.test. 5 IN A 10.77.0.12")
	// A shorter one, as before a planned switch, and the agent started anew.
	o.TTL = 2 * time.Second
	e = open(t, o)
	mustSet(t, e, db2(2))
	ttl(e, db2(2), "db.shop.test. 2 IN A 10.77.0.12")
}

// wire passes DNS messages on to a server by TCP, and can hold one up.
type wire struct {
	addr    netip.AddrPort
	held    chan struct{}
	release chan struct{}

	mu   sync.Mutex
	when func(*dns.Msg) bool // is held up
	lost func(*dns.Msg) bool // is answered, and the answer does not arrive
}

func (w *wire) hold(when func(*dns.Msg) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.when = when
}

func (w *wire) lose(which func(*dns.Msg) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost = which
}

// loses says, once, whether the answer to a message is to be lost.
func (w *wire) loses(m *dns.Msg) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost == nil || !w.lost(m) {
		return false
	}
	w.lost = nil
	return true
}

// holds says, once, whether a message is to be held up.
func (w *wire) holds(m *dns.Msg) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.when == nil || !w.when(m) {
		return false
	}
	w.when = nil
	return true
}

func lead(t *testing.T, to netip.AddrPort) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: netip.MustParseAddrPort(l.Addr().String()), held: make(chan struct{}), release: make(chan struct{})}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { w.pass(in, to) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return w
}

func (w *wire) pass(in net.Conn, to netip.AddrPort) {
	defer in.Close()
	out, err := net.Dial("tcp", to.String())
	if err != nil {
		return
	}
	defer out.Close()
	asks, answers := dns.Conn{Conn: in}, dns.Conn{Conn: out}
	for {
		question, err := asks.ReadMsgHeader(nil)
		if err != nil {
			return
		}
		m := new(dns.Msg)
		if err := m.Unpack(question); err != nil {
			return
		}
		if w.holds(m) {
			close(w.held)
			<-w.release
		}
		if _, err := answers.Write(question); err != nil {
			return
		}
		answer, err := answers.ReadMsgHeader(nil)
		if err != nil {
			return
		}
		if w.loses(m) {
			return
		}
		if _, err := asks.Write(answer); err != nil {
			return
		}
	}
}
