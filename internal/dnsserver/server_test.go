package dnsserver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint/dnsupdate/dnstest"
)

// running is a server that answers on an address.
type running struct {
	*Server
	addr netip.AddrPort
	log  *dnstest.Output
	now  atomic.Int64
	stop func() error
}

func serve(t *testing.T, change func(*Options)) *running {
	t.Helper()
	r := &running{addr: dnstest.Free(t), log: &dnstest.Output{}}
	r.now.Store(1000)
	o := Options{Zone: zone(), Log: slog.New(slog.NewTextHandler(r.log, nil)), Now: func() cluster.Instant { return cluster.Instant(r.now.Load()) }}
	if change != nil {
		change(&o)
	}
	r.Server = New(o)
	ctx, cancel := context.WithCancel(t.Context())
	listening, ended := make(chan struct{}), make(chan error, 1)
	var all sync.WaitGroup
	all.Go(func() { ended <- r.Serve(ctx, r.addr.String(), func() { close(listening) }) })
	all.Go(func() { r.Tell(ctx) })
	var once sync.Once
	var err error
	r.stop = func() error {
		once.Do(func() { cancel(); all.Wait(); err = <-ended })
		return err
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-listening:
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	}
	return r
}

func (r *running) ask(t *testing.T, network, name string, kind uint16) *dns.Msg {
	t.Helper()
	m, err := dnstest.Ask(r.addr, network, name, kind)
	if err != nil {
		t.Fatalf("%s: %v", network, err)
	}
	return m
}

func TestItIsAnsweredByUDPAndTCP(t *testing.T) {
	r := serve(t, nil)
	for _, network := range []string{"udp", "tcp"} {
		if got := said(r.ask(t, network, "primary.shop.test", dns.TypeA)); got != "SERVFAIL" {
			t.Errorf("%s, before anything is known: %s", network, got)
		}
	}
	r.Know(known())
	for _, network := range []string{"udp", "tcp"} {
		if got, want := said(r.ask(t, network, "primary.shop.test", dns.TypeA)), "NOERROR aa; primary.shop.test. 1 IN A 10.77.0.11"; got != want {
			t.Errorf("%s: %s, want %s", network, got, want)
		}
	}
	next := known()
	next.Primary, next.Epoch = "db2", 8
	r.Know(next.After(r.Known(), 60))
	if got, want := said(r.ask(t, "udp", "primary.shop.test", dns.TypeA)), "NOERROR aa; primary.shop.test. 1 IN A 10.77.0.12"; got != want {
		t.Errorf("after a switch: %s, want %s", got, want)
	}
	r.now.Add(int64(time.Minute) + 1)
	if got := said(r.ask(t, "udp", "primary.shop.test", dns.TypeA)); got != "SERVFAIL" {
		t.Errorf("a minute without the store: %s", got)
	}
	heard := next
	heard.HeardAt = cluster.Instant(r.now.Load())
	r.Know(heard.After(r.Known(), 60))
	if got, want := said(r.ask(t, "udp", "primary.shop.test", dns.TypeA)), "NOERROR aa; primary.shop.test. 1 IN A 10.77.0.12"; got != want {
		t.Errorf("when it is back: %s, want %s", got, want)
	}
}

// A host with several addresses answers from the one that was asked: resolvers drop
// what comes from another.
func TestItAnswersFromTheAddressThatWasAsked(t *testing.T) {
	s := New(Options{Zone: zone(), Log: slog.New(slog.DiscardHandler), Now: func() cluster.Instant { return 1000 }})
	s.Know(known())
	port := dnstest.Free(t).Port()
	ctx, stop := context.WithCancel(t.Context())
	listening, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- s.Serve(ctx, netip.AddrPortFrom(netip.IPv4Unspecified(), port).String(), func() { close(listening) })
	}()
	select {
	case <-listening:
	case err := <-ended:
		t.Fatal(err)
	}
	for _, address := range []string{"127.0.0.1", "127.0.0.2"} {
		for _, network := range []string{"udp", "tcp"} {
			m, err := dnstest.Ask(netip.AddrPortFrom(netip.MustParseAddr(address), port), network, "primary.shop.test", dns.TypeA)
			if err != nil || len(m.Answer) != 1 {
				t.Errorf("%s of %s: %v (%v)", network, address, m, err)
			}
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAnAddressThatIsTakenIsSaid(t *testing.T) {
	r := serve(t, nil)
	for name, taken := range map[string]string{"by another server": r.addr.String(), "not of this host": "192.0.2.1:53"} {
		err := New(Options{Zone: zone(), Log: slog.New(slog.DiscardHandler)}).Serve(t.Context(), taken, func() { t.Errorf("%s: it listens", name) })
		if err == nil || !strings.Contains(err.Error(), "answer DNS on "+taken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestItEndsWithAClientThatSaysNothing(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	r := serve(t, nil)
	silent, err := net.Dial("tcp", r.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	r.ask(t, "tcp", "primary.shop.test", dns.TypeA)
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, ignore)
}

func TestManyRefusalsAreFewLines(t *testing.T) {
	r := serve(t, nil)
	r.Know(known())
	for range 50 {
		r.ask(t, "udp", "www.example.org", dns.TypeA)
	}
	r.ask(t, "tcp", "shop.test", dns.TypeAXFR)
	count := func() int { return strings.Count(r.log.String(), "DNS questions were not answered") }
	if n := count(); n != 1 {
		t.Errorf("%d lines in the first minute: %s", n, r.log)
	}
	now := r.now.Add(int64(time.Minute))
	heard := known()
	heard.HeardAt = cluster.Instant(now)
	r.Know(heard)
	r.ask(t, "udp", "www.example.org", dns.TypeA)
	if n := count(); n != 2 || !strings.Contains(r.log.String(), `"for another zone"=50`) || !strings.Contains(r.log.String(), `"for the whole zone, by one that is no secondary"=1`) {
		t.Errorf("%d lines after a minute: %s", n, r.log)
	}
}

// A real secondary learns of a change by NOTIFY, long before it would look by itself,
// and from whichever node is left.
func TestASecondaryFollows(t *testing.T) {
	at := dnstest.Free(t)
	as := func(o *Options) {
		o.Secondaries, o.From = []netip.AddrPort{at}, netip.MustParseAddr("127.0.0.1")
	}
	one, two := serve(t, as), serve(t, as)
	one.Know(known())
	two.Know(known())
	bind := dnstest.Secondary(t, at, "shop.test", one.addr, two.addr)
	if got, want := held(t, bind), "NOERROR aa; primary.shop.test. 1 IN A 10.77.0.11"; got != want {
		t.Fatalf("at first: %s, want %s", got, want)
	}
	if err := one.stop(); err != nil {
		t.Fatal(err)
	}
	next := known()
	next.Primary, next.Epoch, next.Replicas = "db2", 8, nil
	two.Know(next.After(two.Known(), 60))
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for want := "NOERROR aa; primary.shop.test. 1 IN A 10.77.0.12"; ; {
		got := held(t, bind)
		if got == want {
			break
		}
		select {
		case <-again.C:
		case <-t.Context().Done():
			t.Fatalf("the secondary goes on with %s", got)
		}
	}
	if got := said(mustAsk(t, bind, "replicas.shop.test")); !strings.HasPrefix(got, "NXDOMAIN aa") && !strings.HasPrefix(got, "NOERROR aa; authority") {
		t.Errorf("a name without records: %s", got)
	}
}

func mustAsk(t *testing.T, s *dnstest.Server, name string) *dns.Msg {
	t.Helper()
	m, err := s.Ask(name, dns.TypeA)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// held is where the secondary leads, without what it says besides.
func held(t *testing.T, s *dnstest.Server) string {
	m := mustAsk(t, s, "primary.shop.test")
	m.Ns, m.Extra = nil, nil
	return said(m)
}

func TestWhatASecondaryAnswersIsSaid(t *testing.T) {
	refuses, listening := dnstest.Free(t), make(chan struct{})
	server := &dns.Server{Addr: refuses.String(), Net: "udp", NotifyStartedFunc: func() { close(listening) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetRcode(q, dns.RcodeRefused)
		_ = w.WriteMsg(m)
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	<-listening
	t.Cleanup(func() {
		_ = server.Shutdown()
		<-ended
	})
	s := New(Options{Zone: zone(), Secondaries: []netip.AddrPort{refuses}, Log: slog.New(slog.DiscardHandler)})
	s.Know(known())
	err := s.tellOnce(t.Context(), refuses)
	if want := "it answers REFUSED: it has to have this node among the primary servers of zone shop.test"; err == nil || err.Error() != want {
		t.Errorf("refused: %v, want %s", err, want)
	}
	deaf, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.tellOnce(short, netip.MustParseAddrPort(deaf.LocalAddr().String())); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("silent: %v", err)
	}
}

func TestAFloodIsDropped(t *testing.T) {
	var p pace
	now := cluster.Instant(1000)
	burst := func() (n int) {
		for range 3 * atOnce {
			if p.allows(now) {
				n++
			}
		}
		return n
	}
	if n := burst(); n != atOnce {
		t.Errorf("%d questions at once, want %d", n, atOnce)
	}
	now += cluster.Instant(100 * time.Millisecond)
	if n := burst(); n != mostAsked/10 {
		t.Errorf("%d questions after a tenth of a second, want %d", n, mostAsked/10)
	}
	now += cluster.Instant(time.Hour)
	if n := burst(); n != atOnce {
		t.Errorf("%d questions after an hour, want %d", n, atOnce)
	}
}

// The server's clock stands still here: after as many as may come at once, nothing is
// answered by either way, until it goes on.
func TestAFloodIsDroppedByBothWays(t *testing.T) {
	r := serve(t, nil)
	r.Know(known())
	for range atOnce {
		r.ask(t, "udp", "primary.shop.test", dns.TypeA)
	}
	if m, err := dnstest.Ask(r.addr, "tcp", "primary.shop.test", dns.TypeA); err == nil {
		t.Errorf("answered by TCP: %s", m)
	}
	out, err := net.Dial("udp", r.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	wire, err := question("primary.shop.test.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Write(wire); err != nil {
		t.Fatal(err)
	}
	dropped := func() int { // and not told yet: the one by TCP was
		r.tally.mu.Lock()
		defer r.tally.mu.Unlock()
		return r.tally.counts[tooMany]
	}
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for dropped() == 0 {
		select {
		case <-again.C:
		case <-t.Context().Done():
			t.Fatal("the question by UDP was not dropped")
		}
	}
	r.now.Add(int64(time.Minute))
	heard := known()
	heard.HeardAt = cluster.Instant(r.now.Load())
	r.Know(heard)
	if got, want := said(r.ask(t, "udp", "primary.shop.test", dns.TypeA)), "NOERROR aa; primary.shop.test. 1 IN A 10.77.0.11"; got != want {
		t.Errorf("after the flood: %s, want %s", got, want)
	}
	if log := r.log.String(); strings.Count(log, `last_why="too many at a time"`) != 1 {
		t.Errorf("the log says %s", log)
	}
}

// BenchmarkQuestion is one question by UDP and its answer.
func BenchmarkQuestion(b *testing.B) {
	s := New(Options{Zone: zone(), Log: slog.New(slog.DiscardHandler)})
	now := known()
	now.HeardAt = s.o.Now()
	s.Know(now)
	wire, err := question("primary.shop.test.", dns.TypeA).Pack()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		q := new(dns.Msg)
		if err := q.Unpack(wire); err != nil {
			b.Fatal(err)
		}
		m, _ := s.o.Zone.answer(asked{msg: q, at: s.o.Now()}, s.now.Load())
		if _, err := m.Pack(); err != nil {
			b.Fatal(err)
		}
	}
}
