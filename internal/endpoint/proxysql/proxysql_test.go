package proxysql_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/endpointtest"
	"github.com/baton-db/baton/internal/endpoint/proxysql"
	"github.com/baton-db/baton/internal/endpoint/proxysql/proxysqltest"
)

// Hostgroups of writers and readers, as a person has set them up: db1 writes, db2 and
// db3 read. Hostgroup 30 is somebody else's.
const (
	writer = "INSERT INTO mysql_servers (hostgroup_id, hostname, max_connections, weight, comment) VALUES (10, '10.77.0.11', 500, 7, 'the big one')"
	reader = "INSERT INTO mysql_servers (hostgroup_id, hostname, port, max_connections, max_replication_lag, use_ssl) VALUES (20, '10.77.0.12', 3306, 200, 5, 1), (20, 'db3.example.org', 3307, 200, 5, 1)"
	others = "INSERT INTO mysql_servers (hostgroup_id, hostname, status) VALUES (30, '10.77.0.11', 'ONLINE'), (30, '10.88.0.1', 'OFFLINE_SOFT')"
)

func hosts() map[cluster.NodeName]proxysql.Host {
	return map[cluster.NodeName]proxysql.Host{"db1": {Name: "10.77.0.11", Port: 3306}, "db2": {Name: "10.77.0.12", Port: 3306}, "db3": {Name: "db3.example.org", Port: 3307}}
}

func start(t testing.TB) *proxysqltest.Server { return proxysqltest.Start(t, writer, reader, others) }

func options(servers ...*proxysqltest.Server) proxysql.Options {
	o := proxysql.Options{User: proxysqltest.User, Password: proxysqltest.Password, Writers: 10, Readers: 20, PrimaryReads: true, Save: true, Hosts: hosts()}
	for _, s := range servers {
		o.Admins = append(o.Admins, s.At())
	}
	return o
}

func to(n cluster.NodeName, epoch cluster.Epoch) endpoint.Target {
	return endpoint.Target{Epoch: epoch, Node: n, Port: hosts()[n].Port}
}

func lead(t testing.TB, e *proxysql.Endpoint, target endpoint.Target) {
	t.Helper()
	if err := errors.Join(e.Set(t.Context(), target), endpoint.Verify(t.Context(), "proxysql", e, target)); err != nil {
		t.Fatal(err)
	}
}

func TestAHostgroupBehavesAsAnEndpoint(t *testing.T) {
	endpointtest.Run(t, func(t *testing.T) endpointtest.Subject {
		s := start(t)
		open := func() endpoint.Endpoint {
			return endpointtest.Elsewhere{Endpoint: proxysql.Open("proxysql", options(s))}
		}
		return endpointtest.Subject{Endpoint: open(), Again: open, Here: to("db1", 0), There: to("db2", 0), Silence: s.Freeze,
			Meddle: func(context.Context) error {
				s.Do("UPDATE mysql_servers SET status='OFFLINE_SOFT' WHERE hostgroup_id=10", "LOAD MYSQL SERVERS TO RUNTIME")
				return nil
			}}
	})
}

// TestWhatASwitchMakesOfTheTables shows the rows in all three layers, and after a
// restart of ProxySQL: the settings of rows stay, a new one has those of its hostgroup,
// and nothing else is touched.
func TestWhatASwitchMakesOfTheTables(t *testing.T) {
	s := start(t)
	e := proxysql.Open("proxysql", options(s))
	lead(t, e, to("db1", 1))
	lead(t, e, to("db2", 2))
	const columns = "SELECT hostgroup_id, hostname, port, status, weight, max_connections, max_replication_lag, use_ssl, comment FROM "
	want := []string{
		"10 10.77.0.11 3306 OFFLINE_HARD 7 500 0 0 the big one",
		"10 10.77.0.12 3306 ONLINE 7 500 0 0 made by Baton",
		"20 10.77.0.11 3306 ONLINE 1 200 5 1 made by Baton",
		"20 10.77.0.12 3306 ONLINE 1 200 5 1 ",
		"20 db3.example.org 3307 ONLINE 1 200 5 1 ",
		"30 10.77.0.11 3306 ONLINE 1 1000 0 0 ",
		"30 10.88.0.1 3306 OFFLINE_SOFT 1 1000 0 0 ",
	}
	for _, layer := range []string{"mysql_servers", "runtime_mysql_servers", "disk.mysql_servers"} {
		if got := s.Ask(columns + layer + " ORDER BY 1, 2"); !slices.Equal(got, want) {
			t.Errorf("%s:\n%s", layer, strings.Join(got, "\n"))
		}
	}
	s.Restart()
	if err := endpoint.Verify(t.Context(), "proxysql", e, to("db2", 2)); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	s.Asked()
	lead(t, e, to("db2", 3))
	if err := e.Tend(t.Context(), to("db2", 3)); err != nil || len(s.Asked()) > 0 {
		t.Errorf("another reign of the same primary changed something: %v", err)
	}
}

// TestTheOldPrimaryGoesInTheSameStep: it is one LOAD, before which nothing has changed
// for clients.
func TestTheOldPrimaryGoesInTheSameStep(t *testing.T) {
	s := start(t)
	o := options(s)
	o.Readers = 0
	e := proxysql.Open("proxysql", o)
	lead(t, e, to("db1", 1))
	s.Asked()
	lead(t, e, to("db2", 2))
	want := []string{
		"UPDATE mysql_servers SET status='OFFLINE_HARD' WHERE hostgroup_id=10 AND hostname='10.77.0.11' AND port=3306",
		"INSERT INTO mysql_servers (hostgroup_id, hostname, port, status, comment, weight, compression, max_connections, max_replication_lag, use_ssl, max_latency_ms) VALUES (10, '10.77.0.12', 3306, 'ONLINE', 'made by Baton', 7, 0, 500, 0, 0, 0)",
		"LOAD MYSQL SERVERS TO RUNTIME",
		"SAVE MYSQL SERVERS TO DISK",
	}
	if got := s.Asked(); !slices.Equal(got, want) {
		t.Errorf("it says\n%s", strings.Join(got, "\n"))
	}
	lead(t, e, to("db1", 3))
	if got := s.Servers("runtime_mysql_servers")[:3]; !slices.Equal(got, []string{"10 10.77.0.11:3306 ONLINE", "10 10.77.0.12:3306 OFFLINE_HARD", "20 10.77.0.12:3306 ONLINE"}) {
		t.Errorf("and back: %q", got)
	}
	if err := e.Set(t.Context(), endpoint.Target{Epoch: 4}); err != nil {
		t.Fatal(err)
	}
	if got, err := e.Observe(t.Context()); err != nil || got.Node != "" {
		t.Errorf("led nowhere: %s, %v", got, err)
	}
}

// TestWhatWasInterruptedIsFinished: an earlier call came as far as each of its steps.
func TestWhatWasInterruptedIsFinished(t *testing.T) {
	for name, at := range map[string]string{"in the midst of the rows": "INSERT INTO", "before it was loaded": "LOAD", "before it was saved": "SAVE"} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			e := proxysql.Open("proxysql", options(s))
			s.Fail(at, "database or disk is full")
			if err := e.Set(t.Context(), to("db2", 2)); err == nil || !strings.Contains(err.Error(), "disk is full") {
				t.Fatalf("it says %v", err)
			}
			led := endpoint.Verify(t.Context(), "proxysql", e, to("db2", 2)) == nil
			if led != (at == "SAVE") {
				t.Errorf("led there: %t", led)
			}
			again := proxysql.Open("proxysql", options(s))
			if led { // what leads there already is tended
				if err := again.Tend(t.Context(), to("db2", 2)); err == nil || !strings.Contains(err.Error(), "disk is full") {
					t.Errorf("nobody is told: %v", err)
				}
				s.Fail(at, "")
				if err := again.Tend(t.Context(), to("db2", 2)); err != nil {
					t.Error(err)
				}
			} else {
				s.Fail(at, "")
				lead(t, again, to("db2", 2))
			}
			s.Restart()
			if err := endpoint.Verify(t.Context(), "proxysql", again, to("db2", 2)); err != nil {
				t.Errorf("after a restart: %v", err)
			}
		})
	}
}

func TestReaders(t *testing.T) {
	s := start(t)
	o := options(s)
	o.PrimaryReads = false
	e := proxysql.Open("proxysql", o)
	s.Do("UPDATE mysql_servers SET status='OFFLINE_SOFT' WHERE hostname='db3.example.org'") // somebody works on it
	readers := func() []string {
		return s.Ask("SELECT hostname, status FROM runtime_mysql_servers WHERE hostgroup_id=20 ORDER BY 1")
	}
	lead(t, e, to("db2", 2))
	if got := readers(); !slices.Equal(got, []string{"10.77.0.11 ONLINE", "10.77.0.12 OFFLINE_HARD", "db3.example.org OFFLINE_SOFT"}) {
		t.Errorf("db2 is primary: %q", got)
	}
	s.Do("UPDATE runtime_mysql_servers SET status='SHUNNED' WHERE hostgroup_id=20 AND hostname='10.77.0.11'")
	s.Asked()
	lead(t, e, to("db2", 2))
	if got := s.Asked(); len(got) > 0 {
		t.Errorf("a reader that ProxySQL has shunned: %q", got)
	}
	lead(t, e, to("db1", 3))
	if got := readers(); !slices.Equal(got, []string{"10.77.0.11 OFFLINE_HARD", "10.77.0.12 ONLINE", "db3.example.org OFFLINE_SOFT"}) {
		t.Errorf("db1 is primary: %q", got)
	}
	s.Do("UPDATE runtime_mysql_servers SET status='SHUNNED' WHERE hostgroup_id=20 AND hostname='10.77.0.11'")
	lead(t, e, to("db1", 3))
	if got := readers()[0]; got != "10.77.0.11 OFFLINE_HARD" {
		t.Errorf("the primary had been shunned as a reader: %q", got)
	}
	// ProxySQL forgets at runtime whom nobody may use, once no connection is left.
	forget := "DELETE FROM runtime_mysql_servers WHERE status='OFFLINE_HARD'"
	s.Do(forget)
	s.Asked()
	lead(t, e, to("db1", 3))
	if got := s.Asked(); len(got) > 0 {
		t.Errorf("ProxySQL has forgotten whom nobody may use, and is disturbed: %q", got)
	}
	lead(t, e, to("db2", 4))
	if got := readers(); !slices.Equal(got, []string{"10.77.0.11 ONLINE", "10.77.0.12 OFFLINE_HARD", "db3.example.org OFFLINE_SOFT"}) {
		t.Errorf("db2 is primary again: %q", got)
	}
}

func TestWhereItLeadsAstray(t *testing.T) {
	for name, tt := range map[string]struct{ does, says string }{
		"the primary is shunned":     {"UPDATE runtime_mysql_servers SET status='SHUNNED' WHERE hostgroup_id=10", "hostgroup 10 has db1, but ProxySQL has shunned it"},
		"two at the same time":       {"INSERT INTO runtime_mysql_servers SELECT 10, '10.77.0.12', 3306, 0, 'ONLINE', 1, 0, 1, 0, 0, 0, ''", "hostgroup 10 leads to db1 and db2 at the same time"},
		"a stranger":                 {"UPDATE runtime_mysql_servers SET hostname='192.0.2.1' WHERE hostgroup_id=10", "hostgroup 10 leads to 192.0.2.1:3306, where no node's server is"},
		"a stranger beside it":       {"INSERT INTO runtime_mysql_servers SELECT 10, '192.0.2.1', 3306, 0, 'SHUNNED', 1, 0, 1, 0, 0, 0, ''", "hostgroup 10 leads to db1 and 192.0.2.1:3306 at the same time"},
		"a stranger in all layers":   {"INSERT INTO mysql_servers (hostgroup_id, hostname) VALUES (10, 'old''s.example.org'); DELETE FROM runtime_mysql_servers; INSERT INTO runtime_mysql_servers SELECT * FROM mysql_servers", "leads to db1 and old's.example.org:3306 at the same time"},
		"another port of the server": {"UPDATE runtime_mysql_servers SET port=3399 WHERE hostgroup_id=10", "10.77.0.11:3399, where no node's server is"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			e := proxysql.Open("proxysql", options(s))
			lead(t, e, to("db1", 1))
			s.Do(tt.does)
			if _, err := e.Observe(t.Context()); !errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), "ProxySQL at "+s.At()) {
				t.Errorf("it says %v", err)
			}
			lead(t, e, to("db1", 1)) // put right
		})
	}
}

func TestOfSeveralTheOthersAreSetWhenOneIsDown(t *testing.T) {
	one, hung, gone, two := start(t), start(t), start(t), start(t)
	e := proxysql.Open("proxysql", options(one, hung, gone, two))
	lead(t, e, to("db1", 1))
	two.Do("UPDATE mysql_servers SET status='OFFLINE_HARD' WHERE hostgroup_id=10", "LOAD MYSQL SERVERS TO RUNTIME")
	if _, err := e.Observe(t.Context()); !errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), one.At()+" leads to db1, and "+two.At()+" to nowhere") {
		t.Errorf("one of them led elsewhere: %v", err)
	}
	hung.Freeze()
	gone.Close()
	// The others have all the time that they need; the one that hangs makes it last.
	ctx, cancel := context.WithCancelCause(t.Context())
	set := make(chan error, 1)
	go func() { set <- e.Set(ctx, to("db2", 2)) }()
	for _, s := range []*proxysqltest.Server{one, two} {
		alone := proxysql.Open("proxysql", options(s))
		for again := time.NewTicker(time.Millisecond); endpoint.Verify(t.Context(), "", alone, to("db2", 2)) != nil; <-again.C {
			if t.Context().Err() != nil {
				t.Fatal("one that is well was not set")
			}
		}
	}
	cancel(nil)
	err := <-set
	if err == nil || !strings.Contains(err.Error(), hung.At()) || !strings.Contains(err.Error(), gone.At()+": connect to its admin interface") {
		t.Errorf("it says %v", err)
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = free.Close()
	for name, tt := range map[string]struct {
		change func(*proxysql.Options)
		before func(*proxysqltest.Server)
		says   []string
	}{
		"a wrong password": {change: func(o *proxysql.Options) { o.Password = "wr0ng" },
			says: []string{"as baton: Error 1045 (28000): ProxySQL Error: Access denied for user 'baton'", "admin-admin_credentials has to list this user, with this password"}},
		"nobody listens":   {change: func(o *proxysql.Options) { o.Admins = []string{free.Addr().String()} }, says: []string{"connect to its admin interface as baton", "connection refused"}},
		"a read-only one":  {before: func(s *proxysqltest.Server) { s.Fail("UPDATE", "attempt to write a readonly database") }, says: []string{"readonly database", "PROXYSQL READWRITE"}},
		"a stats user":     {before: func(s *proxysqltest.Server) { s.Fail("SELECT", "no such table: mysql_servers") }, says: []string{"this user is of admin-stats_credentials"}},
		"a database":       {before: func(s *proxysqltest.Server) { s.Fail("SELECT", "No database selected") }, says: []string{"not ProxySQL's admin interface, whose port is 6032"}},
		"another version":  {before: func(s *proxysqltest.Server) { s.Do("ALTER TABLE mysql_servers DROP COLUMN max_latency_ms") }, says: []string{"no such column: max_latency_ms"}},
		"no such writers":  {change: func(o *proxysql.Options) { o.Writers = 11 }, says: []string{"hostgroup 11 is not known: it has no servers, and no user and no query rule leads to it"}},
		"no such readers":  {change: func(o *proxysql.Options) { o.Readers = 21 }, says: []string{"hostgroup 21 is not known"}},
		"a syntax refused": {before: func(s *proxysqltest.Server) { s.Fail("LOAD", `near "LOAD": syntax error`) }, says: []string{`ask "LOAD MYSQL SERVERS TO RUNTIME"`, `near "LOAD": syntax error`}},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			o := options(s)
			if tt.change != nil {
				tt.change(&o)
			}
			if tt.before != nil {
				tt.before(s)
			}
			err := proxysql.Open("proxysql", o).Set(t.Context(), to("db2", 1))
			if err == nil || errors.Is(err, endpoint.ErrForeign) || strings.Contains(err.Error(), o.Password) {
				t.Fatalf("it says %v", err)
			}
			for _, says := range tt.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("it says %v, not %q", err, says)
				}
			}
		})
	}
	if err := proxysql.Open("proxysql", options(start(t))).Set(t.Context(), to("db9", 1)); err == nil || !strings.Contains(err.Error(), "db9 has no server here") {
		t.Errorf("a node without a server: %v", err)
	}
}

// TestAHostgroupThatAUserOrARuleLeadsToMayBeEmpty: that is how one begins.
func TestAHostgroupThatAUserOrARuleLeadsToMayBeEmpty(t *testing.T) {
	s := proxysqltest.Start(t, "INSERT INTO runtime_mysql_users VALUES ('app', 10)", "INSERT INTO runtime_mysql_query_rules VALUES (1, 20)")
	o := options(s)
	o.Hosts = map[cluster.NodeName]proxysql.Host{"db1": hosts()["db1"], "db2": hosts()["db2"]}
	lead(t, proxysql.Open("proxysql", o), to("db1", 1))
	if got := s.Servers("disk.mysql_servers"); !slices.Equal(got, []string{"10 10.77.0.11:3306 ONLINE", "20 10.77.0.12:3306 ONLINE"}) {
		t.Errorf("%q", got)
	}
}

func TestProxySQLsOwnHandIsToldOf(t *testing.T) {
	s := start(t)
	e := proxysql.Open("proxysql", options(s))
	s.Do("INSERT INTO mysql_replication_hostgroups (writer_hostgroup, reader_hostgroup) VALUES (10, 20), (30, 40)", "LOAD MYSQL SERVERS TO RUNTIME")
	lead(t, e, to("db1", 1))
	const says = "its own monitor moves servers between hostgroups 10 and 20 by their read_only as well (mysql_replication_hostgroups)"
	if err := e.Tend(t.Context(), to("db1", 1)); err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("it says %v", err)
	}
	s.Do("UPDATE runtime_global_variables SET variable_value='false'")
	if err := e.Tend(t.Context(), to("db1", 1)); err != nil {
		t.Errorf("its monitor is off: %v", err)
	}
	s.Do("UPDATE runtime_global_variables SET variable_value='true'", "DELETE FROM mysql_replication_hostgroups WHERE writer_hostgroup=10", "LOAD MYSQL SERVERS TO RUNTIME")
	if err := e.Tend(t.Context(), to("db1", 1)); err != nil {
		t.Errorf("the row is gone: %v", err)
	}
}

func TestItsConnectionsAreTold(t *testing.T) {
	s, other := start(t), start(t)
	e := proxysql.Open("proxysql", options(s, other))
	lead(t, e, to("db2", 1))
	if got := e.Tells(); got != "" {
		t.Errorf("without any it tells %q", got)
	}
	s.Do("INSERT INTO stats_mysql_connection_pool (hostgroup, srv_host, srv_port, status, ConnUsed, ConnFree, ConnERR) VALUES " +
		"(10, '10.77.0.11', 3306, 'OFFLINE_HARD', 2, 0, 7), (10, '10.77.0.12', 3306, 'ONLINE', 3, 4, 0), (10, '192.0.2.1', 3306, 'OFFLINE_HARD', 0, 0, 0), (20, '10.77.0.12', 3306, 'ONLINE', 9, 9, 9)")
	want := "ProxySQL at " + s.At() + " has db1 OFFLINE_HARD (sessions still use it), db2 ONLINE (connected)"
	for range 3 { // nothing else is said when only their number is another
		if _, err := e.Observe(t.Context()); err != nil || e.Tells() != want {
			t.Errorf("it tells %q, want %q (%v)", e.Tells(), want, err)
		}
		s.Do("UPDATE stats_mysql_connection_pool SET ConnUsed=ConnUsed+1, ConnFree=ConnFree+2, ConnERR=ConnERR+3 WHERE ConnUsed>0")
	}
	s.Do("UPDATE stats_mysql_connection_pool SET ConnUsed=0, ConnFree=0 WHERE hostgroup=10 AND srv_host='10.77.0.12'", "UPDATE stats_mysql_connection_pool SET ConnUsed=0 WHERE srv_host='10.77.0.11'")
	want = "ProxySQL at " + s.At() + " has db2 ONLINE (without connections)"
	if _, err := e.Observe(t.Context()); err != nil || e.Tells() != want {
		t.Errorf("it tells %q, want %q (%v)", e.Tells(), want, err)
	}
	s.Fail("SELECT srv_host", "no such column: ConnUsed")
	if err := endpoint.Verify(t.Context(), "proxysql", e, to("db2", 1)); err != nil || e.Tells() != "" {
		t.Errorf("they cannot be read, and it tells %q (%v)", e.Tells(), err)
	}
}

func TestWithoutSavingTheDiskStaysAsItIs(t *testing.T) {
	s := start(t)
	o := options(s)
	o.Save = false
	lead(t, proxysql.Open("proxysql", o), to("db2", 1))
	if got := s.Servers("disk.mysql_servers")[0]; got != "10 10.77.0.11:3306 ONLINE" {
		t.Errorf("on the disk: %q", got)
	}
}

func BenchmarkSet(b *testing.B) {
	s := start(b)
	e := proxysql.Open("proxysql", options(s))
	var epoch cluster.Epoch
	for b.Loop() {
		epoch++
		n := cluster.NodeName("db1")
		if epoch%2 == 0 {
			n = "db2"
		}
		lead(b, e, to(n, epoch))
	}
}
