package probe_test

import (
	"database/sql"
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/detect"
	"github.com/baton-db/baton/internal/db/dbtest"
	"github.com/baton-db/baton/internal/probe"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// prober asks a server with so much patience that only silence exhausts it.
func prober(t *testing.T, target probe.Target) *probe.Prober {
	t.Helper()
	target.Node, target.User, target.Password = "db1", "probe", "secret"
	for _, d := range []*time.Duration{&target.HostTimeout, &target.PortTimeout, &target.ServerTimeout, &target.BusinessTimeout} {
		if *d == 0 {
			*d = dbtest.Patience
		}
	}
	p, err := probe.New(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// server starts one that knows the account of the probes.
func server(t *testing.T) *dbtest.Server {
	t.Helper()
	s := dbtest.Start(t, dbtest.Options{})
	s.Unlogged(t, "CREATE USER probe@'127.0.0.1' IDENTIFIED BY 'secret'")
	return s
}

func want(t *testing.T, what string, r probe.Result, class probe.Class) {
	t.Helper()
	if r.Class != class {
		t.Errorf("%s, %s: %s (%s), want %s", what, r.Layer, r.Class, r.Detail, class)
	}
}

// needRaw skips where no raw socket can be had.
func needRaw(t *testing.T, p *probe.Prober) {
	t.Helper()
	if os.Getuid() == 0 {
		return
	}
	if r := p.Ask(t.Context(), detect.Host); r.Class == probe.Unavailable {
		t.Skipf("SKIPPED, NOTHING WAS TESTED: pinging needs root or CAP_NET_RAW: %s", r.Detail)
	}
}

func TestAServerThatWorksAnswersOnEveryLayer(t *testing.T) {
	t.Parallel()
	s := server(t)
	p := prober(t, probe.Target{Address: loopback, Port: uint16(s.Port), Business: "SELECT @@global.read_only"})
	needRaw(t, p)
	for round := range 2 {
		results := p.AskAll(t.Context(), p.Layers()...)
		if len(results) != 4 {
			t.Fatalf("%d layers", len(results))
		}
		for _, r := range results {
			want(t, "round "+strconv.Itoa(round), r, probe.Answered)
			if e, ok := r.Evidence(); !ok || e.Outcome != detect.Answered || e.Latency <= 0 || e.Sent != r.Sent || !r.Alive() {
				t.Errorf("%s: evidence %+v", r.Layer, e)
			}
		}
	}
	if n := s.Value(t, "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'probe'"); n != "2" {
		t.Errorf("the two layers that log in hold one connection each; there are %s", n)
	}
}

func TestAFrozenServerDoesNotAnswerThoughItsHostAcceptsConnections(t *testing.T) {
	t.Parallel()
	s := server(t)
	p := prober(t, probe.Target{Address: loopback, Port: uint16(s.Port), ServerTimeout: 20 * time.Millisecond})
	patient := prober(t, probe.Target{Address: loopback, Port: uint16(s.Port)})
	before := connections(t, s)
	s.Freeze(t)
	fresh := prober(t, probe.Target{Address: loopback, Port: uint16(s.Port), ServerTimeout: 20 * time.Millisecond})
	for range 20 {
		for what, p := range map[string]*probe.Prober{"over a held connection": p, "over a new connection": fresh} {
			r := p.Ask(t.Context(), detect.Server)
			want(t, what, r, probe.NoAnswer)
			if e, ok := r.Evidence(); !ok || e.Outcome != detect.NoAnswer || r.Alive() {
				t.Errorf("%s: evidence %+v", what, e)
			}
		}
	}
	want(t, "frozen", patient.Ask(t.Context(), detect.Port), probe.Answered)
	s.Thaw(t)
	want(t, "thawed", patient.Ask(t.Context(), detect.Server), probe.Answered)
	// Two probers asked twenty times each while it was frozen. Their questions
	// were left open for two seconds each, however often they were asked.
	if n := connections(t, s) - before; n >= 20 {
		t.Errorf("%d connections were queued up at the frozen server", n)
	}
}

func connections(t *testing.T, s *dbtest.Server) int {
	t.Helper()
	n, err := strconv.Atoi(s.Value(t, "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'Connections'"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestADeadServerRefusesAndIsSeenAgainAtOnce(t *testing.T) {
	t.Parallel()
	s := dbtest.Start(t, dbtest.Options{Port: freePort(t)})
	s.Unlogged(t, "CREATE USER probe@'127.0.0.1' IDENTIFIED BY 'secret'")
	p := prober(t, probe.Target{Address: loopback, Port: uint16(s.Port)})
	want(t, "up", p.Ask(t.Context(), detect.Server), probe.Answered)
	s.Kill(t)
	for _, layer := range []detect.Layer{detect.Server, detect.Port} {
		r := p.Ask(t.Context(), layer)
		want(t, "killed", r, probe.Refused)
		if e, ok := r.Evidence(); !ok || e.Outcome != detect.Refused || r.Alive() {
			t.Errorf("killed, %s: evidence %+v", layer, e)
		}
	}
	s.Up(t)
	want(t, "up again", p.Ask(t.Context(), detect.Server), probe.Answered)
	s.Stop(t)
	s.Up(t)
	want(t, "restarted while nobody asked", p.Ask(t.Context(), detect.Server), probe.Answered)
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestAServerWithoutSlotsIsToldFromADeadOne(t *testing.T) {
	t.Parallel()
	s := server(t)
	s.Unlogged(t, "CREATE USER app@'127.0.0.1'")
	held := prober(t, probe.Target{Address: loopback, Port: uint16(s.Port)})
	want(t, "at first", held.Ask(t.Context(), detect.Server), probe.Answered)
	clients := s.Client(t, "app", "")
	var conns []*sql.Conn
	for c, err := clients.Conn(t.Context()); err == nil; c, err = clients.Conn(t.Context()) {
		conns = append(conns, c)
	}
	if len(conns) == 0 {
		t.Fatal("no client got in")
	}
	want(t, "over a held connection", held.Ask(t.Context(), detect.Server), probe.Answered)
	late := prober(t, probe.Target{Address: loopback, Port: uint16(s.Port)})
	r := late.Ask(t.Context(), detect.Server)
	want(t, "over a new connection", r, probe.TooManyConnections)
	if e, ok := r.Evidence(); !ok || e.Outcome != detect.NoAnswer || !r.Alive() {
		t.Errorf("evidence %+v", e)
	}
	for _, c := range conns {
		c.Close()
	}
}

func TestWhatTheServerSaysIsAnAnswerEvenIfItIsNo(t *testing.T) {
	t.Parallel()
	s := server(t)
	p := prober(t, probe.Target{Address: loopback, Port: uint16(s.Port), Business: "SELECT * FROM nowhere.at_all"})
	r := p.Ask(t.Context(), detect.Business)
	want(t, "a table that is not there", r, probe.Denied)
	s.Unlogged(t, "GRANT SELECT ON *.* TO probe@'127.0.0.1'")
	r = prober(t, probe.Target{Address: loopback, Port: uint16(s.Port), Business: "SELECT * FROM nowhere.at_all"}).Ask(t.Context(), detect.Business)
	want(t, "a table that is not there, to one who may see it", r, probe.ServerError)
	s.Unlogged(t, "DROP USER probe@'127.0.0.1'")
	p = prober(t, probe.Target{Address: loopback, Port: uint16(s.Port)})
	r = p.Ask(t.Context(), detect.Server)
	want(t, "an account that is not there", r, probe.Denied)
	if e, ok := r.Evidence(); !ok || e.Outcome != detect.Answered {
		t.Errorf("evidence %+v", e)
	}
}

func TestTargetsThatCannotBeAskedAreRefused(t *testing.T) {
	for name, target := range map[string]probe.Target{
		"no address": {Port: 1, User: "u"},
		"no port":    {Address: loopback, User: "u"},
		"no user":    {Address: loopback, Port: 1},
	} {
		if _, err := probe.New(target); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
