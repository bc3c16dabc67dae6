package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/endpoint/proxysql/proxysqltest"
	"github.com/baton-db/baton/internal/lab"
)

// Where the stand-in for ProxySQL has its admin interface: on the host cl2.
const (
	adminHost = "cl2"
	adminPort = 6032
	adminAt   = "10.77.0.101:6032"
)

// TestProxySQLLeadsToThePrimary: real agents and a server of ours that speaks ProxySQL's
// admin protocol and keeps its tables, as ProxySQL itself is not to be had.
func TestProxySQLLeadsToThePrimary(t *testing.T) {
	rare(t)
	password := filepath.Join(t.TempDir(), "proxysql.password")
	if err := os.WriteFile(password, []byte(proxysqltest.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := up(t, lab.Options{Endpoints: []map[string]any{{
		"name": "proxysql", "check": "1s", "timeout": "2s",
		"proxysql": map[string]any{"admins": []string{adminAt}, "user": proxysqltest.User, "password_file": password, "writer_hostgroup": 10, "reader_hostgroup": 20},
	}}})
	isNamed(t, l) // nobody is there yet
	listener, err := l.Listen(adminHost, adminPort)
	if err != nil {
		t.Fatal(err)
	}
	p := proxysqltest.StartOn(t, listener,
		"INSERT INTO mysql_servers (hostgroup_id, hostname, max_connections, comment) VALUES (10, '10.77.0.11', 500, 'as a person wrote it'), (20, '10.77.0.12', 200, '')")
	proxyLeads(t, l, p)
	one := func(name string, f func(t *testing.T)) {
		if !t.Failed() { // otherwise the lab may be in any state
			t.Run(name, f)
		}
	}
	for range runs(t) {
		for _, fault := range []string{"crash", "switchover", "power"} {
			one(fault, func(t *testing.T) {
				old := primaryOf(t, l)
				inject(t, l, fault, old)
				anotherServes(t, l, old)
				proxyLeads(t, l, p) // while the old one is still dead
				if _, err := l.Heal(inTime(t)); err != nil {
					t.Fatal(err)
				}
				if err := l.Settle(inTime(t)); err != nil {
					t.Fatal(err)
				}
				proxyLeads(t, l, p)
			})
		}
		one("by hand", func(t *testing.T) { handEditIsPutRight(t, l, p) })
		one("dead", func(t *testing.T) { deadAdminDelaysNobody(t, l, p) })
	}
}

// proxyLeads waits until ProxySQL sends writers to the primary alone and readers to every
// replica, in its memory and on its disk, and until status says that it does.
func proxyLeads(t *testing.T, l *lab.Lab, p *proxysqltest.Server) {
	t.Helper()
	primary := primaryOf(t, l)
	if err := l.WaitStatus(inTime(t), "ProxySQL leads to "+primary, []string{primary}, func(st api.Status) error {
		for _, table := range []string{"runtime_mysql_servers", "disk.mysql_servers"} {
			at := func(hostgroup int) []string {
				return p.Ask(fmt.Sprintf("SELECT hostname || ':' || port FROM %s WHERE hostgroup_id=%d AND status='ONLINE'", table, hostgroup))
			}
			if got := at(10); !slices.Equal(got, []string{l.DirectAddress(primary)}) {
				return fmt.Errorf("%s sends writers to %v", table, got)
			}
			readers := at(20)
			for _, n := range replicas(l, primary) {
				if !slices.Contains(readers, l.DirectAddress(n)) {
					return fmt.Errorf("%s sends readers to %v, and not to %s", table, readers, n)
				}
			}
		}
		e, err := leadCalled(st, "proxysql")
		if err == nil && (!e.Settled || string(e.To) != primary || e.Because != "") {
			err = fmt.Errorf("status says %+v", e)
		}
		return err
	}); err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(p.Servers("runtime_mysql_servers"), "\n"))
	}
}

// handEditIsPutRight: somebody has ProxySQL send writers to a replica, too.
func handEditIsPutRight(t *testing.T, l *lab.Lab, p *proxysqltest.Server) {
	proxyLeads(t, l, p)
	primary := primaryOf(t, l)
	st, err := l.ClusterStatus(inTime(t), primary)
	if err != nil {
		t.Fatal(err)
	}
	before, err := leadCalled(st, "proxysql")
	if err != nil {
		t.Fatal(err)
	}
	replica, _, _ := strings.Cut(l.DirectAddress(replicas(l, primary)[0]), ":")
	p.Do("INSERT OR REPLACE INTO mysql_servers (hostgroup_id, hostname, status) VALUES (10, '"+replica+"', 'ONLINE')", "LOAD MYSQL SERVERS TO RUNTIME")
	if err := l.WaitStatus(inTime(t), "it is found out", []string{primary}, func(st api.Status) error {
		e, err := leadCalled(st, "proxysql")
		if err == nil && e.Repaired <= before.Repaired {
			err = fmt.Errorf("status says %+v", e)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	proxyLeads(t, l, p)
}

// deadAdminDelaysNobody: nobody answers at the admin interface while the primary moves.
func deadAdminDelaysNobody(t *testing.T, l *lab.Lab, p *proxysqltest.Server) {
	ctx := inTime(t)
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	p.Close()
	if err := l.Switchover(ctx, ""); err != nil {
		t.Error(err)
	}
	isNamed(t, l)
	takesWrites(t, l, "10.77.0.50:3306")
	listener, err := l.Listen(adminHost, adminPort)
	if err != nil {
		t.Fatal(err)
	}
	p.Serve(listener)
	proxyLeads(t, l, p)
}

// isNamed waits until status says that nobody answers at ProxySQL's admin interface, to
// people, too.
func isNamed(t *testing.T, l *lab.Lab) {
	t.Helper()
	primary := primaryOf(t, l)
	if err := l.WaitStatus(inTime(t), "status says that nobody answers at "+adminAt, []string{primary}, func(st api.Status) error {
		e, err := leadCalled(st, "proxysql")
		if err == nil && (e.Settled || string(e.Wanted) != primary || !strings.Contains(e.Because, adminAt)) {
			err = fmt.Errorf("it says %+v", e)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if said := baton(t, l, primary, "status"); !strings.Contains(said, adminAt) {
		t.Errorf("people are told:\n%s", said)
	}
}
