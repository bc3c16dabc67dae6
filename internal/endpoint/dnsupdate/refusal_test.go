package dnsupdate_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/baton-db/baton/internal/endpoint/dnsupdate"
	"github.com/baton-db/baton/internal/endpoint/dnsupdate/dnstest"
)

// explains: servers refuse in different words; what each of them means is said.
func explains(t *testing.T, s *dnstest.Server, kind, db string) {
	type says map[string]string // by server
	cases := map[string]struct {
		change func(*dnsupdate.Options)
		want   says
	}{
		"a wrong secret": {func(o *dnsupdate.Options) { o.Key.Secret = secret("not what the server has got.....") }, says{
			"bind":     "sign as baton at ADDR: BADSIG: the server's key of that name has another secret or another algorithm: compare dns.secret_file",
			"knot":     "BADSIG: the server's key of that name has another secret",
			"powerdns": "NOTAUTH: the server does not accept key baton, because its name, algorithm or secret is another there"}},
		"a wrong algorithm": {func(o *dnsupdate.Options) { o.Key.Algorithm = "hmac-sha512" }, says{
			"bind":     "BADKEY: the server has no key baton with hmac-sha512",
			"knot":     "BADKEY: the server has no key baton with hmac-sha512",
			"powerdns": "NOTAUTH: the server does not accept key baton, because its name, algorithm"}},
		"a key that it does not have": {func(o *dnsupdate.Options) { o.Key.Name = "nobody" }, says{
			"bind":     "sign as nobody at ADDR: BADKEY: the server has no key nobody with hmac-sha256, or none that may update zone shop.test: create or allow it there",
			"knot":     "BADKEY: the server has no key nobody",
			"powerdns": "NOTAUTH: the server does not accept key nobody"}},
		"a key that may not update": {func(o *dnsupdate.Options) { o.Key.Name, o.Key.Secret = "stranger", served().Also.Secret }, says{
			"bind":     "update db.shop.test at ADDR: REFUSED: the server does not let key stranger update db.shop.test (A, AAAA, CNAME) and _baton.db.shop.test (TXT): allow that for zone shop.test",
			"knot":     "BADKEY: the server has no key stranger with hmac-sha256, or none that may update zone shop.test",
			"powerdns": "REFUSED: the server does not let key stranger update db.shop.test"}},
		"a zone that it does not have": {func(o *dnsupdate.Options) { o.Zone, o.Name = "crm.test", "db.crm.test" }, says{
			"bind":     "look up _baton.db.crm.test at ADDR: REFUSED: the server does not have zone crm.test, or does not let key baton query it: dns.servers has to name",
			"knot":     "REFUSED: the server does not have zone crm.test",
			"powerdns": "REFUSED: the server does not have zone crm.test"}},
		"a name outside of the zone": {func(o *dnsupdate.Options) { o.Name = "db.fixed.test" }, says{
			"bind":     "update db.fixed.test at ADDR: NOTZONE: db.fixed.test is not in zone shop.test: correct dns.zone or dns.name",
			"knot":     "sign as baton at ADDR: BADKEY: the server has no key baton with hmac-sha256, or none that may update zone shop.test", // its key may not ask there
			"powerdns": "NOTZONE: db.fixed.test is not in zone shop.test"}},
		"a zone that nobody may update": {func(o *dnsupdate.Options) { o.Zone, o.Name = "fixed.test", "db.fixed.test" }, says{
			"bind":     "REFUSED: the server does not let key baton update db.fixed.test",
			"knot":     "BADKEY: the server has no key baton with hmac-sha256, or none that may update zone fixed.test",
			"powerdns": "REFUSED: the server does not let key baton update db.fixed.test"}},
		"a clock that is wrong": {func(o *dnsupdate.Options) { o.Wall = func() time.Time { return time.Now().Add(-time.Hour) } }, says{
			"bind":     "BADTIME: the clocks of this host and of the server differ by more than five minutes, by 1h0m",
			"knot":     "BADTIME: the clocks of this host and of the server differ by more than five minutes, by 1h0m",
			"powerdns": "NOTAUTH: the server does not accept key baton"}},
	}
	for name, tt := range cases {
		o := options(db, s.Addr)
		tt.change(&o)
		err := open(t, o).Set(t.Context(), db1(1))
		var refused *dnsupdate.RefusedError
		want := strings.ReplaceAll(tt.want[kind], "ADDR", s.Addr.String())
		if !errors.As(err, &refused) || !strings.Contains(asDB(err.Error()), want) {
			t.Errorf("%s: got %v\nwant that it says %q", name, err, want)
		}
		if err != nil && strings.Contains(err.Error(), o.Key.Secret) {
			t.Errorf("%s: it tells the secret", name)
		}
	}
	if got := holds(t, s, db, dns.TypeA); got != "" {
		t.Errorf("the zone holds %s", got)
	}
}

func TestAServerThatCannotWriteIsSaid(t *testing.T) {
	t.Parallel()
	s := dnstest.BIND(t, served())
	if err := os.Mkdir(filepath.Join(s.Dir, "zone.jnl"), 0o700); err != nil {
		t.Fatal(err)
	}
	err := open(t, options("db", s.Addr)).Set(t.Context(), db1(1))
	if want := "SERVFAIL: the server could not carry it out, and its own log says why"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want that it says %q", err, want)
	}
}

func TestASecretThatIsNoneIsRefusedWithoutBeingShown(t *testing.T) {
	for _, text := range []string{"hunter2!", "", "key \"baton\" { secret \"aGk=\"; };"} {
		o := options("db", netip.MustParseAddrPort("127.0.0.1:53"))
		o.Key.Secret = text
		_, err := dnsupdate.Open("shop-db", o)
		if err == nil || !strings.Contains(err.Error(), "the secret of TSIG key baton is not base64") || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// impostor answers every question as a test wants it.
func impostor(t *testing.T, secret string, change func(answer *dns.Msg)) netip.AddrPort {
	t.Helper()
	addr, k := dnstest.Free(t), ourKey()
	started, ended := make(chan struct{}), make(chan error, 1)
	server := &dns.Server{Addr: addr.String(), Net: "tcp", NotifyStartedFunc: func() { close(started) }, TsigSecret: map[string]string{k.Name + ".": secret},
		MsgAcceptFunc: func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg)
			m.SetReply(q)
			m.SetTsig(k.Name+".", k.Algorithm+".", 300, time.Now().Unix())
			change(m)
			_ = w.WriteMsg(m)
		})}
	go func() { ended <- server.ListenAndServe() }()
	select {
	case <-started:
	case err := <-ended:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Shutdown()
		<-ended
	})
	return addr
}

func TestAnAnswerThatCouldBeAnybodysIsNotBelieved(t *testing.T) {
	authoritative := func(m *dns.Msg) { m.Authoritative = true }
	for name, tt := range map[string]struct {
		with   string // secret; empty: ours
		change func(*dns.Msg)
		want   string
	}{
		"it is not signed":                 {"", func(m *dns.Msg) { m.Authoritative, m.Extra = true, nil }, "it is not signed with key baton, so it may be anybody's"},
		"it is signed with another secret": {served().Also.Secret, authoritative, "read the answer of ADDR: dns: bad signature"},
		"it is out of a cache":             {"", func(*dns.Msg) {}, "ADDR does not answer for zone shop.test itself"},
		"it answers something else":        {"", func(m *dns.Msg) { m.Id, m.Extra = m.Id+1, nil }, "await the answer of ADDR: another one came"},
	} {
		t.Run(name, func(t *testing.T) {
			with := ourKey().Secret
			if tt.with != "" {
				with = tt.with
			}
			addr := impostor(t, with, tt.change)
			e := open(t, options("db", addr))
			_, looked := e.Observe(t.Context())
			want := strings.ReplaceAll(tt.want, "ADDR", addr.String())
			for what, err := range map[string]error{"look": looked, "set": e.Set(t.Context(), db1(1))} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: got %v, want that it says %q", what, err, want)
				}
			}
		})
	}
}

func TestTheNextServerIsAskedWhereOneDoesNotDo(t *testing.T) {
	t.Parallel()
	well, frozen := dnstest.BIND(t, served()), dnstest.Knot(t, served())
	frozen.Freeze(t)
	nobody := dnstest.Free(t)
	e := open(t, options("db", nobody, frozen.Addr, well.Addr))
	for tries := 1; ; tries++ { // a busy machine may need more than its share of a second
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err := e.Set(ctx, db1(1))
		cancel()
		if err == nil {
			break
		}
		if tries == 20 {
			t.Fatal(err)
		}
	}
	if got := holds(t, well, "db", dns.TypeA); got != "db.shop.test. 5 IN A 10.77.0.11" {
		t.Errorf("the zone holds %s", got)
	}
	err := open(t, options("db", nobody, nobody)).Set(t.Context(), db1(2))
	if want := "connection refused; reach the server of the zone"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("with nobody there: got %v, want that it says %q", err, want)
	}
}
