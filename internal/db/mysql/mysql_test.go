package mysql_test

import (
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
