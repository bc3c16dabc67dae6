package dnstest

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/endpoint/endpointtest"
)

// Zone is what a server is to serve, and who may update it.
type Zone struct {
	Name string // shop.test
	Key  Key    // may update it
	// Also is a key that the server knows and that may do nothing.
	Also Key
	// Fixed is a second zone of the same server that nobody may update.
	Fixed string
}

// Key is a TSIG key.
type Key struct{ Name, Algorithm, Secret string }

func (z Zone) file() string {
	return fmt.Sprintf("$TTL 60\n@ IN SOA ns.%[1]s. hostmaster.%[1]s. 1 3600 600 86400 1\n@ IN NS ns.%[1]s.\nns IN A 127.0.0.1\n", z.Name)
}

func newServer(t testing.TB) *Server {
	t.Helper()
	return &Server{Addr: Free(t), Dir: t.TempDir()}
}

const bindHead = `options {
	directory "%[1]s"; pid-file none; session-keyfile none; lock-file none; managed-keys-directory "%[1]s";
	listen-on port %[3]d { %[2]s; }; listen-on-v6 { none; };
	recursion no; dnssec-validation no; empty-zones-enable no; minimal-responses no; notify no; allow-transfer { none; };
	%[4]s
};
controls { };
`

// BIND starts a name server with a zone.
func BIND(t testing.TB, z Zone) *Server {
	t.Helper()
	program := endpointtest.Program(t, "named")
	s := newServer(t)
	write(t, filepath.Join(s.Dir, "zone"), z.file())
	write(t, filepath.Join(s.Dir, "fixed"), Zone{Name: z.Fixed}.file())
	conf := fmt.Sprintf(bindHead, s.Dir, s.Addr.Addr(), s.Addr.Port(), "")
	for _, k := range []Key{z.Key, z.Also} {
		conf += fmt.Sprintf("key %q { algorithm %s; secret %q; };\n", k.Name, k.Algorithm, k.Secret)
	}
	conf += fmt.Sprintf("zone %q { type primary; file \"zone\"; update-policy { grant %s zonesub A AAAA CNAME TXT; }; };\n", z.Name, z.Key.Name)
	if z.Fixed != "" {
		conf += fmt.Sprintf("zone %q { type primary; file \"fixed\"; };\n", z.Fixed)
	}
	s.named(t, program, conf, s.serves(z.Name))
	return s
}

// Secondary starts a BIND on an address, which has a zone from other servers.
func Secondary(t testing.TB, at netip.AddrPort, zone string, primaries ...netip.AddrPort) *Server {
	t.Helper()
	program := endpointtest.Program(t, "named")
	s := &Server{Addr: at, Dir: t.TempDir()}
	var from strings.Builder
	for _, p := range primaries {
		fmt.Fprintf(&from, "%s port %d; ", p.Addr(), p.Port())
	}
	conf := fmt.Sprintf(bindHead, s.Dir, at.Addr(), at.Port(), "min-refresh-time 1; min-retry-time 1; serial-query-rate 1000;")
	conf += fmt.Sprintf("zone %q { type secondary; file \"zone\"; primaries { %s}; };\n", zone, from.String())
	s.named(t, program, conf, s.serves(zone))
	return s
}

func (s *Server) named(t testing.TB, program, conf string, ready func() error) {
	t.Helper()
	file := filepath.Join(s.Dir, "named.conf")
	write(t, file, conf)
	s.start(t, ready, unconfined(t, s.Dir, program), "-g", "-n", "1", "-c", file)
}

// Knot starts a name server with a zone.
func Knot(t testing.TB, z Zone) *Server {
	t.Helper()
	program := endpointtest.Program(t, "knotd")
	s := newServer(t)
	write(t, filepath.Join(s.Dir, "zone"), z.file())
	write(t, filepath.Join(s.Dir, "fixed"), Zone{Name: z.Fixed}.file())
	conf := fmt.Sprintf(`server:
    rundir: %[1]q
    pidfile: knot.pid
    listen: %[2]s@%[3]d
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: %[1]q
    journal-db-max-size: 16M
log:
  - target: stderr
    any: info
key:
`, s.Dir, s.Addr.Addr(), s.Addr.Port())
	for _, k := range []Key{z.Key, z.Also} {
		conf += fmt.Sprintf("  - id: %s\n    algorithm: %s\n    secret: %s\n", k.Name, k.Algorithm, k.Secret)
	}
	conf += fmt.Sprintf("acl:\n  - id: ours\n    key: %s\n    action: update\n", z.Key.Name)
	conf += fmt.Sprintf("zone:\n  - domain: %s\n    storage: %q\n    file: zone\n    acl: ours\n    zonefile-sync: -1\n", z.Name, s.Dir)
	if z.Fixed != "" {
		conf += fmt.Sprintf("  - domain: %s\n    storage: %q\n    file: fixed\n", z.Fixed, s.Dir)
	}
	file := filepath.Join(s.Dir, "knot.conf")
	write(t, file, conf)
	s.start(t, s.serves(z.Name), program, "-c", file)
	return s
}

// pdnsSchema is where Debian has the tables of PowerDNS.
const pdnsSchema = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql"

// PowerDNS starts a name server with a zone in an SQLite database.
func PowerDNS(t testing.TB, z Zone) *Server {
	t.Helper()
	program, sqlite, util := endpointtest.Program(t, "pdns_server"), endpointtest.Program(t, "sqlite3"), endpointtest.Program(t, "pdnsutil")
	schema, err := os.ReadFile(pdnsSchema)
	if err != nil {
		t.Fatalf("pdns-server is here without pdns-backend-sqlite3: %v", err)
	}
	s := newServer(t)
	database := filepath.Join(s.Dir, "pdns.sqlite3")
	run(t, string(schema), sqlite, database)
	write(t, filepath.Join(s.Dir, "pdns.conf"), fmt.Sprintf(`launch=gsqlite3
gsqlite3-database=%s
gsqlite3-pragma-synchronous=0
local-address=%s
local-port=%d
socket-dir=%s
dnsupdate=yes
allow-dnsupdate-from=
receiver-threads=1
distributor-threads=1
disable-syslog=yes
security-poll-suffix=
`, database, s.Addr.Addr(), s.Addr.Port(), s.Dir))
	var sql strings.Builder
	zones := []string{z.Name}
	if z.Fixed != "" {
		zones = append(zones, z.Fixed)
	}
	for i, name := range zones {
		fmt.Fprintf(&sql, "INSERT INTO domains (id, name, type) VALUES (%d, '%s', 'NATIVE');\n", i+1, name)
		for _, rr := range [][3]string{
			{name, "SOA", fmt.Sprintf("ns.%[1]s hostmaster.%[1]s 1 3600 600 86400 1", name)},
			{name, "NS", "ns." + name}, {"ns." + name, "A", "127.0.0.1"},
		} {
			fmt.Fprintf(&sql, "INSERT INTO records (domain_id, name, type, content, ttl, prio, disabled, auth) VALUES (%d, '%s', '%s', '%s', 60, 0, 0, 1);\n", i+1, rr[0], rr[1], rr[2])
		}
	}
	fmt.Fprintf(&sql, "INSERT INTO domainmetadata (domain_id, kind, content) VALUES (1, 'TSIG-ALLOW-DNSUPDATE', '%s'), (1, 'ALLOW-DNSUPDATE-FROM', '127.0.0.0/8');\n", z.Key.Name)
	for _, k := range []Key{z.Key, z.Also} {
		fmt.Fprintf(&sql, "INSERT INTO tsigkeys (name, algorithm, secret) VALUES ('%s', '%s', '%s');\n", k.Name, k.Algorithm, k.Secret)
	}
	run(t, sql.String(), sqlite, database)
	run(t, "", util, "--config-dir="+s.Dir, "rectify-zone", z.Name)
	s.start(t, s.serves(z.Name), program, "--config-dir="+s.Dir, "--daemon=no", "--guardian=no")
	return s
}

// Unbound starts a resolver that asks a server for its zone, with further settings of
// its server: clause.
func Unbound(t testing.TB, zone string, server netip.AddrPort, settings ...string) *Server {
	t.Helper()
	program := endpointtest.Program(t, "unbound")
	s := newServer(t)
	file := filepath.Join(s.Dir, "unbound.conf")
	write(t, file, fmt.Sprintf(`server:
    directory: %[1]q
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    num-threads: 1
    interface: %[2]s@%[3]d
    access-control: 127.0.0.0/8 allow
    do-not-query-localhost: no
    module-config: "iterator"
    local-zone: "test." nodefault
    infra-host-ttl: 0
    %[7]s
remote-control:
    control-enable: no
stub-zone:
    name: %[4]q
    stub-addr: %[5]s@%[6]d
`, s.Dir, s.Addr.Addr(), s.Addr.Port(), zone, server.Addr(), server.Port(), strings.Join(settings, "\n    ")))
	s.start(t, s.serves(zone), unconfined(t, s.Dir, program), "-d", "-p", "-c", file)
	return s
}
