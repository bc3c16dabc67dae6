package mysql_test

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/dbtest"
	"github.com/baton-db/baton/internal/db/mysql"
)

var driver = dbtest.Driver{
	Flavor: dbtest.MySQL,
	Open: func(s *dbtest.Server, agent, prober db.Account, nodeOf func(string, int) (cluster.NodeName, bool)) (db.Server, error) {
		return mysql.Open(db.Config{Socket: s.Socket, Agent: agent, Writer: prober, NodeOf: nodeOf})
	},
	Accounts: func(agent, prober, replication db.Account) []string {
		return mysql.LeastPrivilegeSQL(db.Accounts{Agent: agent, Probe: prober, Replication: replication, From: []string{"127.0.0.1"}})
	},
}

func TestConformance(t *testing.T) { driver.Run(t) }

func nobody(string, int) (cluster.NodeName, bool) { return "", false }

func TestAServerOfAnotherFlavorIsRefused(t *testing.T) {
	t.Parallel()
	s := dbtest.Start(t, dbtest.Options{Flavor: dbtest.MariaDB})
	driver, err := mysql.Open(db.Config{Socket: s.Socket, Agent: db.Account{User: "root"}, Writer: db.Account{User: "w"}, NodeOf: nobody})
	if err != nil {
		t.Fatal(err)
	}
	defer driver.Close()
	ctx, cancel := context.WithTimeout(t.Context(), dbtest.Patience)
	defer cancel()
	if _, err := driver.Identify(ctx); err == nil || !strings.Contains(err.Error(), "it is mariadb") || !strings.Contains(err.Error(), "correct server.flavor") {
		t.Errorf("identifying it: %v", err)
	}
	if _, err := driver.Observe(ctx); err == nil || !strings.Contains(err.Error(), "it is mariadb") {
		t.Errorf("observing it: %v", err)
	}
}

// TestASourceThatWaitsForFewerReplicasThanItShouldIsNamed, and set right by the step
// that makes it wait.
func TestASourceThatWaitsForFewerReplicasThanItShouldIsNamed(t *testing.T) {
	t.Parallel()
	s := dbtest.Start(t, dbtest.Options{Flavor: dbtest.MySQL})
	agent := db.Account{User: "baton", Password: "a"}
	s.Unlogged(t, driver.Accounts(agent, db.Account{User: "baton_probe", Password: "p"}, db.Account{User: "r", Password: "r"})...)
	server, err := mysql.Open(db.Config{Socket: s.Socket, Agent: agent, Writer: db.Account{User: "baton_probe", Password: "p"}, NodeOf: nobody, Acks: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), dbtest.Patience)
	defer cancel()
	session, err := server.Session(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	for _, tt := range []struct {
		acks int
		want string
	}{{2, ""}, {1, "rpl_semi_sync_source_wait_for_replica_count is 1"}, {2, ""}} {
		if err := session.SourceSemiSync(ctx, true, tt.acks); err != nil {
			t.Fatal(err)
		}
		o, err := server.Observe(ctx)
		if is := o.Server.SemiSrc; err != nil || is.Weak != tt.want || is.Waits() != (tt.want == "") {
			t.Errorf("%d acknowledgements: %+v, %v", tt.acks, is, err)
		}
	}
}

// TestACloneIsNoFasterThanItMayBe: the server is told the limit before it copies.
// There is nobody to copy from here.
func TestACloneIsNoFasterThanItMayBe(t *testing.T) {
	t.Parallel()
	s := dbtest.Start(t, dbtest.Options{Flavor: dbtest.MySQL, Args: []string{"--plugin-load-add=mysql_clone.so"}})
	agent := db.Account{User: "baton", Password: "a"}
	s.Unlogged(t, driver.Accounts(agent, db.Account{User: "baton_probe", Password: "p"}, db.Account{User: "r", Password: "r"})...)
	server, err := mysql.Open(db.Config{Socket: s.Socket, Agent: agent, Writer: db.Account{User: "baton_probe", Password: "p"}, NodeOf: nobody})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), dbtest.Patience)
	defer cancel()
	for _, tt := range []struct {
		rate int64
		want string
	}{{5<<19 + 1, "3|3"}, {0, "0|0"}} {
		err := server.CloneFrom(ctx, db.Source{Node: "db2", Host: "127.0.0.1", Port: 1, Account: db.Account{User: "r", Password: "r"}}, s.Dir+"/copy", tt.rate)
		if err == nil || !strings.Contains(err.Error(), "clone db2") {
			t.Errorf("cloning nobody: %v", err)
		}
		if got := s.Value(t, "SELECT CONCAT(@@global.clone_max_data_bandwidth, '|', @@global.clone_max_network_bandwidth)"); got != tt.want {
			t.Errorf("%d bytes a second: the server may take %s MiB, want %s", tt.rate, got, tt.want)
		}
	}
}

func TestTheAdministrativePortAnswersWhenNoSlotIsLeft(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	s := dbtest.Start(t, dbtest.Options{Flavor: dbtest.MySQL, Args: []string{"--admin-address=127.0.0.1", "--admin-port=" + strconv.Itoa(port), "--max-connections=10"}})
	agent, prober := db.Account{User: "baton", Password: "a"}, db.Account{User: "baton_probe", Password: "p"}
	s.Unlogged(t, driver.Accounts(agent, prober, db.Account{User: "r", Password: "r"})...)
	s.Unlogged(t, "CREATE USER app@'127.0.0.1'")
	with, err := mysql.Open(db.Config{Socket: s.Socket, Agent: agent, Writer: prober, NodeOf: nobody, ExtraPort: port})
	if err != nil {
		t.Fatal(err)
	}
	defer with.Close()
	ctx, cancel := context.WithTimeout(t.Context(), dbtest.Patience)
	defer cancel()
	clients := s.Client(t, "app", "")
	taken := 0
	for c, err := clients.Conn(ctx); err == nil; c, err = clients.Conn(ctx) {
		taken++
		defer c.Close()
	}
	if taken == 0 {
		t.Fatal("no client got in")
	}
	// One slot is left for administrators, such as the agent; it is taken too.
	for range 20 {
		without, err := mysql.Open(db.Config{Socket: s.Socket, Agent: agent, Writer: prober, NodeOf: nobody})
		if err != nil {
			t.Fatal(err)
		}
		defer without.Close()
		if a := without.ReadProbe(ctx); a.Verdict == db.TooManyConnections {
			break
		}
	}
	if a := with.WriteProbe(ctx); a.Verdict != db.TooManyConnections || a.Works() || !a.Answered() {
		t.Errorf("the write probe, which may use neither that nor the administrative port: %+v", a)
	}
	if a := with.ReadProbe(ctx); a.Verdict != db.Done {
		t.Errorf("the agent, over the administrative port: %+v", a)
	}
	if id, err := with.Identify(ctx); err != nil || id.ExtraPort != port {
		t.Errorf("identity %+v, %v", id, err)
	}
}
