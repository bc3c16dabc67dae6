package mariadb_test

import (
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/dbtest"
)

// BenchmarkObserve measures what one look costs: it is taken every L/4 on every
// node.
func BenchmarkObserve(b *testing.B) {
	s := dbtest.Start(b, dbtest.Options{})
	agent, prober := db.Account{User: "baton", Password: "a"}, db.Account{User: "baton_probe", Password: "p"}
	s.Unlogged(b, driver.Accounts(agent, prober, db.Account{User: "r", Password: "r"})...)
	server, err := driver.Open(s, agent, prober, func(string, int) (cluster.NodeName, bool) { return "", false })
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := server.Observe(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
