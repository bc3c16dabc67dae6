package doctor

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/db/dbtest"
)

// onMySQL loads a configuration whose servers are of that flavor.
func onMySQL(t *testing.T, s *dbtest.Server) *config.Config {
	t.Helper()
	file := fileOf(t, s, [3]int{s.Port, nobody, nobody}, "")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), "flavor: mariadb", "flavor: mysql", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return load(t, file)
}

func TestARealMySQL(t *testing.T) {
	const (
		option      = "into its option file and restart it"
		skipsItsOwn = "warning: server of db1: if it loses what it once wrote itself (a power loss, a restored backup), it skips that silently for ever (…); " +
			"write replicate_same_server_id = ON (with gtid_mode ON that makes no loops) "
	)
	for name, tt := range map[string]struct {
		args   []string
		revoke string
		stops  bool // server.stop is written
		want   []string
		starts bool
	}{
		"all is in order": {starts: true},
		"options that Baton cannot do without": {args: []string{"--gtid-mode=ON_PERMISSIVE", "--performance-schema=OFF", "--super-read-only=OFF", "--skip-replica-start=OFF", "--replicate-same-server-id=OFF"},
			want: []string{
				"server of db1: it would come up writable if somebody started it (…); write super_read_only = ON into its option file; nothing has to be restarted for that",
				"server of db1: it would start replication by itself, from whatever source it had last (…); write skip_replica_start = ON into its option file; nothing has to be restarted for that",
				"server of db1: its transactions have no identifiers that all servers know, by which Baton compares servers (SELECT @@global.gtid_mode, @@global.enforce_gtid_consistency); write gtid_mode = ON and enforce_gtid_consistency = ON " + option,
				"server of db1: it does not show when a heartbeat of its source came in, so that a replica of a dead source looks like one of an idle source (SELECT @@global.performance_schema); write performance_schema = ON " + option,
				skipsItsOwn + option,
			}},
		"options that weaken": {args: []string{"--relay-log-recovery=ON", "--replicate-same-server-id=OFF"}, starts: true,
			want: []string{
				"warning: server of db1: at every start it throws away what it received and has not applied; if the primary is dead by then, acknowledged transactions are lost (SELECT @@global.relay_log_recovery); write relay_log_recovery = OFF " + option,
				skipsItsOwn + option,
			}},
		"no clone plugin, and the node is to be recloned": {args: []string{}, stops: true, starts: true,
			want: []string{"warning: server of db1: its clone plugin is not loaded, so `baton rejoin --reclone` can neither copy its data nor give it another server's " +
				"(SELECT plugin_status FROM information_schema.plugins WHERE plugin_name = 'clone'); write plugin_load_add = mysql_clone.so " + option}},
		"the clone plugin is there": {args: []string{"--plugin-load-add=mysql_clone.so"}, stops: true, starts: true},
		"a privilege that is missing": {revoke: "REVOKE SYSTEM_VARIABLES_ADMIN ON *.* FROM 'baton'@'localhost'",
			want: []string{"server of db1: 'baton'@'localhost' lacks the privilege SYSTEM_VARIABLES_ADMIN (SHOW GRANTS FOR 'baton'@'localhost'); GRANT SYSTEM_VARIABLES_ADMIN ON *.* TO 'baton'@'localhost'"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := settled(t, dbtest.Options{Flavor: dbtest.MySQL, Args: tt.args})
			if tt.revoke != "" {
				s.Unlogged(t, tt.revoke)
			}
			cfg := onMySQL(t, s)
			if tt.stops {
				own := cfg.Nodes[0].Server
				own.Start, own.Stop = []string{"true"}, []string{"true"}
			}
			found := atStart(t, cfg)
			var got []string
			for _, f := range aboutServers(found, s) {
				// How the server is asked for its options is long, and differs.
				if from, rest, asked := strings.Cut(f, " (/"); asked {
					_, to, _ := strings.Cut(rest, "--print-defaults)")
					f = from + " (…)" + to
				}
				got = append(got, f)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if bad := found.Errors(); (len(bad) == 0) != tt.starts {
				t.Errorf("an agent may start: %v, want %v: %s", len(bad) == 0, tt.starts, bad)
			}
		})
	}
}

// What a server is, it says itself; a file that says otherwise is wrong, and
// nothing more is said of such a server.
func TestAServerOfAnotherFlavor(t *testing.T) {
	mysql := settled(t, dbtest.Options{Flavor: dbtest.MySQL})
	found := atStart(t, load(t, fileOf(t, mysql, [3]int{mysql.Port, nobody, nobody}, "")))
	version := mysql.Value(t, "SELECT VERSION()")
	wants(t, found, mysql, "server.flavor: the server of db1 is mysql "+version+", not mariadb; write flavor: mysql, if that is what you run")

	mariadb := settled(t, dbtest.Options{})
	found = atStart(t, onMySQL(t, mariadb))
	version = mariadb.Value(t, "SELECT VERSION()")
	wants(t, found, mariadb, "server.flavor: the server of db1 is mariadb "+version+", not mysql; write flavor: mariadb, if that is what you run")
}

func wants(t *testing.T, found config.Findings, s *dbtest.Server, want string) {
	t.Helper()
	if got := aboutServers(found, s); len(found.Errors()) != 1 || !slices.Contains(got, want) {
		t.Errorf("got %q, want %q and nothing else", found.Errors(), want)
	}
}

func orMariaDB(flavor string) string {
	if flavor == "" {
		return config.MariaDB
	}
	return flavor
}
