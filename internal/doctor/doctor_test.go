package doctor

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/dbtest"
	"github.com/baton-db/baton/internal/db/flavor"
	"github.com/baton-db/baton/internal/pki"
)

// The accounts of every server in these tests.
var (
	agent       = db.Account{User: "baton", Password: "agent-secret"}
	replication = db.Account{User: "baton_repl", Password: "repl-secret"}
	prober      = db.Account{User: "baton_probe", Password: "probe-secret"}
)

// settled makes the accounts on a server, as `baton init` says them, and all
// else as a server should be.
func settled(t *testing.T, o dbtest.Options) *dbtest.Server {
	t.Helper()
	s := dbtest.Start(t, o)
	driver, err := flavor.Of(orMariaDB(o.Flavor))
	if err != nil {
		t.Fatal(err)
	}
	accounts := driver.Accounts(db.Accounts{
		Agent: agent, Replication: replication, Probe: prober, From: []string{"127.0.0.1", "127.0.0.2", "127.0.0.3"},
	})
	s.Unlogged(t, append(accounts, "SET GLOBAL sync_binlog = 1", "SET GLOBAL innodb_flush_log_at_trx_commit = 1")...)
	return s
}

// fileOf writes a configuration of three nodes on this host, db1 being the own
// one, and everything that it names. more is appended.
func fileOf(t *testing.T, own *dbtest.Server, ports [3]int, more string) string {
	t.Helper()
	dir := t.TempDir()
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("agent.password", agent.Password)
	put("repl.password", replication.Password)
	put("probe.password", prober.Password)
	put("baton.yaml", fmt.Sprintf(`node: db1
cluster: shop
data_dir: %[1]s/data
run_dir: %[1]s/run
nodes:
  - {name: db1, role: data, address: 127.0.0.1, server: {port: %[3]d}}
  - {name: db2, role: data, address: 127.0.0.2, server: {port: %[4]d}}
  - {name: db3, role: data, address: 127.0.0.3, server: {port: %[5]d}}
server:
  flavor: mariadb
  socket: %[2]s
  password_file: agent.password
  replication: {user: baton_repl, password_file: repl.password}
  probe: {user: baton_probe, password_file: probe.password}
%[6]s`, dir, own.Socket, ports[0], ports[1], ports[2], more))
	authority, err := pki.NewAuthority("shop", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.Issue("db1", []netip.Addr{netip.MustParseAddr("127.0.0.1")}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "tls"), 0o700); err != nil {
		t.Fatal(err)
	}
	put("tls/ca.crt", string(authority.Pair().Cert))
	put("tls/db1.crt", string(pair.Cert))
	put("tls/db1.key", string(pair.Key))
	return filepath.Join(dir, "baton.yaml")
}

func load(t *testing.T, file string) *config.Config {
	t.Helper()
	cfg, found := config.Load(file)
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// nobody is a port on which nobody listens: it is reserved (RFC 6335).
const nobody = 1023

// aboutServers leaves out what this host is like, and the accidents of a run.
func aboutServers(found config.Findings, s *dbtest.Server) []string {
	var all []string
	for _, f := range found {
		if strings.HasPrefix(f.Key, "server") || strings.Contains(f.Key, ".server.") {
			f.File, f.Line = "", 0
			text := strings.NewReplacer(s.Dir, "DIR", fmt.Sprint(s.Port), "PORT").Replace(f.String())
			all = append(all, text)
		}
	}
	return all
}

const (
	db2Silent  = "warning: server of db2: it cannot be asked from here, so it was not checked: ask the server at 127.0.0.2:1023 as baton_probe: the server cannot be asked now: dial tcp 127.0.0.2:1023: connect: connection refused; run `baton config check` on db2 too"
	db3Silent  = "warning: server of db3: it cannot be asked from here, so it was not checked: ask the server at 127.0.0.3:1023 as baton_probe: the server cannot be asked now: dial tcp 127.0.0.3:1023: connect: connection refused; run `baton config check` on db3 too"
	wouldStart = " (mariadbd --defaults-file=DIR/my.cnf --print-defaults); "
)

func TestARealServerThatIsNotAsItShouldBe(t *testing.T) {
	for name, tt := range map[string]struct {
		options dbtest.Options
		prepare func(t *testing.T, s *dbtest.Server)
		want    []string
		starts  bool // an agent may start nevertheless
	}{
		"all is in order": {starts: true},
		"no binary log": {options: dbtest.Options{Args: []string{"--skip-log-bin"}},
			want: []string{"server of db1: it writes no binary log, so nobody could replicate from it (SELECT @@global.log_bin); write log_bin = binlog into its option file and restart it"}},
		"it does not log what it replicates": {options: dbtest.Options{Args: []string{"--skip-log-slave-updates"}},
			want: []string{"server of db1: it does not log what it replicates, so nobody could replicate from it (SELECT @@global.log_slave_updates); write log_slave_updates = ON into its option file and restart it"}},
		"it would start writable, and replicate by itself": {options: dbtest.Options{Args: []string{"--read-only=OFF", "--skip-slave-start=OFF"}},
			want: []string{
				"server of db1: it would come up writable if somebody started it" + wouldStart + "write read_only = ON into its option file; nothing has to be restarted for that",
				"server of db1: it would start replication by itself, from whatever source it had last" + wouldStart + "write skip_slave_start = ON into its option file; nothing has to be restarted for that",
			}},
		"privileges that are missing, and one too many": {
			prepare: func(t *testing.T, s *dbtest.Server) {
				s.Unlogged(t, "REVOKE CONNECTION ADMIN ON *.* FROM 'baton'@'localhost'", "GRANT READ_ONLY ADMIN ON *.* TO 'baton_probe'@'localhost'")
			},
			want: []string{
				"server of db1: 'baton'@'localhost' lacks the privilege CONNECTION ADMIN (SHOW GRANTS FOR 'baton'@'localhost'); GRANT CONNECTION ADMIN ON *.* TO 'baton'@'localhost'",
				"server of db1: 'baton_probe'@'localhost' has the privilege READ_ONLY ADMIN, which it must not have (SHOW GRANTS FOR 'baton_probe'@'localhost'); REVOKE READ_ONLY ADMIN ON *.* FROM 'baton_probe'@'localhost'",
			}},
		"the account of the write probe has another password": {
			prepare: func(t *testing.T, s *dbtest.Server) {
				s.Unlogged(t, "ALTER USER 'baton_probe'@'localhost' IDENTIFIED BY 'other'")
			},
			want: []string{"server of db1: 'baton_probe'@'localhost' lacks the privilege to log in (SHOW GRANTS FOR 'baton_probe'@'localhost'); run accounts.sql of `baton init` on the primary, " +
				"or give the account the password in CONF/probe.password: look at the probe's privileges: connect to DIR/s.sock as baton_probe: Error 1045 (28000): Access denied for user 'baton_probe'@'localhost' (using password: YES)"}},
		"the agent is turned away": {
			prepare: func(t *testing.T, s *dbtest.Server) { s.Unlogged(t, "DROP USER 'baton'@'localhost'") },
			want: []string{"server of db1: it cannot be asked: ask the server at DIR/s.sock as baton: Error 1045 (28000): Access denied for user 'baton'@'localhost' (using password: YES); " +
				"start it, and see that the account of server.user exists (accounts.sql of `baton init`)"}},
		"settings that lose on power": {
			prepare: func(t *testing.T, s *dbtest.Server) {
				s.Exec(t, "SET GLOBAL sync_binlog = 0", "SET GLOBAL innodb_flush_log_at_trx_commit = 2", "SET GLOBAL binlog_format = MIXED")
			},
			want: []string{
				"warning: server of db1: its binary log is in format MIXED, which is applied differently on different servers, and of which nothing can be undone (SELECT @@global.binlog_format); SET GLOBAL binlog_format = ROW, and write it into its option file",
				"warning: server of db1: after a power loss it lacks transactions that it had acknowledged (sync_binlog=0); if the primary fails next, they are lost (SELECT @@global.sync_binlog); SET GLOBAL sync_binlog = 1, and write it into its option file",
				"warning: server of db1: after a power loss it lacks transactions that it had acknowledged (innodb_flush_log_at_trx_commit=2); if the primary fails next, they are lost (SELECT @@global.innodb_flush_log_at_trx_commit); SET GLOBAL innodb_flush_log_at_trx_commit = 1, and write it into its option file",
			}, starts: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := settled(t, tt.options)
			if tt.prepare != nil {
				tt.prepare(t, s)
			}
			cfg := load(t, fileOf(t, s, [3]int{s.Port, nobody, nobody}, ""))
			before := s.Value(t, "SELECT CONCAT(@@global.gtid_binlog_pos, ' ', @@global.read_only, ' ', (SELECT COUNT(*) FROM information_schema.schemata))")

			var want []string
			for _, w := range tt.want {
				want = append(want, strings.ReplaceAll(w, "CONF", filepath.Dir(cfg.File)))
			}
			if diff := cmp.Diff(append(slices.Clone(want), db2Silent, db3Silent), aboutServers(Check(t.Context(), cfg), s)); diff != "" {
				t.Error(diff)
			}
			found := atStart(t, cfg)
			if diff := cmp.Diff(want, aboutServers(found, s)); diff != "" {
				t.Errorf("at the start of an agent: %s", diff)
			}
			if bad := found.Errors(); (len(bad) == 0) != tt.starts {
				t.Errorf("an agent may start: %v, want %v: %s", len(bad) == 0, tt.starts, bad)
			}
			after := s.Value(t, "SELECT CONCAT(@@global.gtid_binlog_pos, ' ', @@global.read_only, ' ', (SELECT COUNT(*) FROM information_schema.schemata))")
			if before != after {
				t.Errorf("the check changed the server: %s, before %s", after, before)
			}
		})
	}
}

func TestTwoRealServersWithOneID(t *testing.T) {
	one := settled(t, dbtest.Options{ID: 7})
	two := settled(t, dbtest.Options{ID: 7, Bind: "127.0.0.2"})
	cfg := load(t, fileOf(t, one, [3]int{one.Port, two.Port, nobody}, ""))
	want := []string{
		"server of db2: it has the same server_id as that of db1, so neither replicates from the other (SELECT @@global.server_id); give every server its own server_id in its option file and restart it",
		db3Silent,
	}
	if diff := cmp.Diff(want, aboutServers(Check(t.Context(), cfg), one)); diff != "" {
		t.Error(diff)
	}
}

// What the account of probes may see of another server is enough to judge it.
func TestAnotherServerWithoutABinaryLog(t *testing.T) {
	one := settled(t, dbtest.Options{ID: 1})
	two := settled(t, dbtest.Options{ID: 2, Bind: "127.0.0.2", Args: []string{"--skip-log-bin"}})
	cfg := load(t, fileOf(t, one, [3]int{one.Port, two.Port, nobody}, ""))
	want := []string{
		"server of db2: it writes no binary log, so nobody could replicate from it (SELECT @@global.log_bin); write log_bin = binlog into its option file and restart it",
		db3Silent,
	}
	if diff := cmp.Diff(want, aboutServers(Check(t.Context(), cfg), one)); diff != "" {
		t.Error(diff)
	}
}

// Whom this host's server is to replicate from must let it.
func TestAnotherServerThatLetsNobodyReplicate(t *testing.T) {
	one := settled(t, dbtest.Options{ID: 1})
	two := settled(t, dbtest.Options{ID: 2, Bind: "127.0.0.2"})
	cfg := load(t, fileOf(t, one, [3]int{one.Port, two.Port, nobody}, ""))

	two.Unlogged(t, "REVOKE REPLICATION SLAVE ON *.* FROM 'baton_repl'@'127.0.0.1'")
	want := []string{
		"server of db2: 'baton_repl'@'127.0.0.1' lacks the privilege REPLICATION SLAVE (SHOW GRANTS FOR 'baton_repl'@'127.0.0.1'); GRANT REPLICATION SLAVE ON *.* TO 'baton_repl'@'127.0.0.1'",
		db3Silent,
	}
	if diff := cmp.Diff(want, aboutServers(Check(t.Context(), cfg), one)); diff != "" {
		t.Error(diff)
	}
	two.Unlogged(t, "DROP USER 'baton_repl'@'127.0.0.1'")
	found := strings.Join(aboutServers(Check(t.Context(), cfg), one), "\n")
	if !strings.Contains(found, "server of db2: 'baton_repl'@'127.0.0.1' lacks the privilege to log in") {
		t.Errorf("the missing account is not in %s", found)
	}
	if err := atStart(t, cfg).Err(); err != nil {
		t.Errorf("another server keeps this host's agent from starting: %v", err)
	}
}

// atStart is CheckStart of a server that is up: it answers, be it slowly on a machine
// that has much to do.
func atStart(t *testing.T, cfg *config.Config) config.Findings {
	t.Helper()
	return config.CheckStart(t.Context(), cfg, Host{Config: cfg}, newServers(cfg, time.Minute))
}

func TestTheSocketOfAnotherServer(t *testing.T) {
	s := settled(t, dbtest.Options{})
	file := fileOf(t, s, [3]int{nobody, nobody, nobody}, "  version: \"10.1\"\n")
	cfg := load(t, file)
	found := atStart(t, cfg)
	want := []string{
		fmt.Sprintf("baton.yaml:6: nodes[0].server.port: the server at %s listens on port %d, not %d; write port: %d, or the socket of the right server", s.Socket, s.Port, nobody, s.Port),
		fmt.Sprintf("baton.yaml:15: server.version: the server of db1 is of version %s, not 10.1; write the version that you run, or remove the key", s.Value(t, "SELECT @@version")),
	}
	var got []string
	for _, f := range found.Errors() {
		f.File = filepath.Base(f.File)
		got = append(got, f.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// After the start of a host the server may come later than the agent, and a
// frozen one is what the agent is there for.
func TestAServerThatDoesNotAnswerKeepsNoAgentFromStarting(t *testing.T) {
	for name, silence := range map[string]func(*dbtest.Server, *testing.T){
		"it is down":   func(s *dbtest.Server, t *testing.T) { s.Kill(t) },
		"it is frozen": func(s *dbtest.Server, t *testing.T) { s.Freeze(t); t.Cleanup(func() { s.Thaw(t) }) },
		"no slot is left": func(s *dbtest.Server, t *testing.T) {
			s.Unlogged(t, "REVOKE CONNECTION ADMIN ON *.* FROM 'baton'@'localhost'", "SET GLOBAL max_connections = 10")
			for range 20 { // each keeps its connection
				if err := s.Client(t, prober.User, prober.Password).PingContext(t.Context()); err != nil {
					if !strings.Contains(err.Error(), "Too many connections") {
						t.Fatal(err)
					}
					return
				}
			}
			t.Fatal("the slots are never used up")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := settled(t, dbtest.Options{})
			silence(s, t)
			cfg := load(t, fileOf(t, s, [3]int{s.Port, nobody, nobody}, ""))
			found := CheckStart(t.Context(), cfg)
			if err := found.Err(); err != nil {
				t.Errorf("the agent is kept from starting: %v", err)
			}
			if told := found.String(); !strings.Contains(told, "server of db1: it cannot be asked yet, so it was not checked: ") {
				t.Errorf("the silence of the server is not told of: %s", told)
			}
			if err := Check(t.Context(), cfg).Err(); err == nil || !strings.Contains(err.Error(), "server of db1: it cannot be asked: ") {
				t.Errorf("a person who checks is told %v, want that it cannot be asked", err)
			}
		})
	}
}

// An agent that only watches is there to show what is wrong.
func TestInModeObserveNoServerKeepsAnAgentFromStarting(t *testing.T) {
	s := settled(t, dbtest.Options{Args: []string{"--skip-log-bin", "--read-only=OFF"}})
	cfg := load(t, fileOf(t, s, [3]int{s.Port, nobody, nobody}, "mode: observe\n"))
	found := atStart(t, cfg)
	if err := found.Err(); err != nil {
		t.Errorf("the agent is kept from starting: %v", err)
	}
	for _, want := range []string{"warning: server of db1: it writes no binary log", "warning: server of db1: it would come up writable"} {
		if !strings.Contains(found.String(), want) {
			t.Errorf("%q is not in %s", want, found)
		}
	}
	if err := Check(t.Context(), cfg).Err(); err == nil {
		t.Error("`baton config check` finds no error")
	}
}
