package mariadb_test

import (
	"log/slog"
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/dbtest"
	"github.com/baton-db/baton/internal/db/mariadb"
)

var driver = dbtest.Driver{
	Open: func(s *dbtest.Server, agent, prober db.Account, nodeOf func(string, int) (cluster.NodeName, bool)) (db.Server, error) {
		return mariadb.Open(mariadb.Config{Socket: s.Socket, Agent: agent, Writer: prober, NodeOf: nodeOf, Log: slog.New(slog.DiscardHandler)})
	},
	Accounts: func(agent, prober, replication db.Account) []string {
		return mariadb.LeastPrivilegeSQL(mariadb.Accounts{Agent: agent, Probe: prober, Replication: replication, From: []string{"127.0.0.1"}})
	},
}

func TestConformance(t *testing.T) { driver.Run(t) }
