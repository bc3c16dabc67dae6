package mariadb_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/dbtest"
	"github.com/baton-db/baton/internal/db/mariadb"
)

var driver = dbtest.Driver{
	Flavor: dbtest.MariaDB,
	Open: func(s *dbtest.Server, agent, prober db.Account, nodeOf func(string, int) (cluster.NodeName, bool)) (db.Server, error) {
		return mariadb.Open(db.Config{Socket: s.Socket, Agent: agent, Writer: prober, NodeOf: nodeOf})
	},
	Accounts: func(agent, prober, replication db.Account) []string {
		return mariadb.LeastPrivilegeSQL(db.Accounts{Agent: agent, Probe: prober, Replication: replication, From: []string{"127.0.0.1"}})
	},
}

func TestAServerThatCannotBeReachedIsNotOpened(t *testing.T) {
	_, err := mariadb.Open(db.Config{Socket: "/x", Agent: db.Account{User: "same"}, Writer: db.Account{User: "same"}})
	if err == nil || !strings.Contains(err.Error(), "an account of its own") || !strings.Contains(err.Error(), "foreign") {
		t.Errorf("all that is wrong is told at once; got %v", err)
	}
}

func TestTheExtraPortAnswersWhenNoSlotIsLeft(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, extra, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	s := dbtest.Start(t, dbtest.Options{Args: []string{"--extra-port=" + extra, "--extra-max-connections=2", "--max-connections=10"}})
	agent, prober := db.Account{User: "baton", Password: "a"}, db.Account{User: "baton_probe", Password: "p"}
	s.Unlogged(t, driver.Accounts(agent, prober, db.Account{User: "r", Password: "r"})...)
	s.Unlogged(t, "CREATE USER app@'127.0.0.1'")
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
	nobody := func(string, int) (cluster.NodeName, bool) { return "", false }
	without, err := driver.Open(s, agent, prober, nobody)
	if err != nil {
		t.Fatal(err)
	}
	defer without.Close()
	if a := without.WriteProbe(ctx); a.Verdict != db.TooManyConnections || a.Works() || !a.Answered() {
		t.Errorf("without the extra port: %+v", a)
	}
	port, err := net.LookupPort("tcp", extra)
	if err != nil {
		t.Fatal(err)
	}
	with, err := mariadb.Open(db.Config{Socket: s.Socket, Agent: agent, Writer: prober, NodeOf: nobody, ExtraPort: port})
	if err != nil {
		t.Fatal(err)
	}
	defer with.Close()
	if a := with.WriteProbe(ctx); a.Verdict != db.ReadOnly {
		t.Errorf("with the extra port: %+v", a)
	}
	if id, err := with.Identify(ctx); err != nil || id.ExtraPort != port {
		t.Errorf("identity %+v, %v", id, err)
	}
}

func TestConformance(t *testing.T) { driver.Run(t) }
