package dbtest

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/db"
)

// The accounts that every test server of the suite has.
var (
	agent       = db.Account{User: "baton", Password: "agent's \\ own"}
	prober      = db.Account{User: "baton_probe", Password: "probe"}
	replication = db.Account{User: "baton_repl", Password: "it's \\ replication"}
)

// Driver is what the suite needs to know of a driver.
type Driver struct {
	Flavor string
	// Open opens a driver for a server; nodeOf names the node that listens on a
	// port of the loopback address.
	Open func(s *Server, agent, prober db.Account, nodeOf func(host string, port int) (cluster.NodeName, bool)) (db.Server, error)
	// Accounts are the statements that make the accounts.
	Accounts func(agent, prober, replication db.Account) []string
}

// Run holds a driver to everything that package db promises.
func (d Driver) Run(t *testing.T) {
	for name, test := range map[string]func(*testing.T, Driver){
		"looking":       looking,
		"probing":       probing,
		"sessions":      sessions,
		"replicating":   replicating,
		"nothing lost":  nothingLost,
		"serving":       serving,
		"numbers":       numbers,
		"its own words": ownWords,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, d)
		})
	}
}

// node is a server with a driver for it.
type node struct {
	*Server
	db   db.Server
	name cluster.NodeName
	t    *testing.T
}

// nodes starts servers db1, db2 … which know each other; all are read-only, and
// a client app may do everything in the schema app, where it is let.
func nodes(t *testing.T, d Driver, n int) []*node {
	t.Helper()
	var all []*node
	nodeOf := func(_ string, port int) (cluster.NodeName, bool) {
		for _, n := range all {
			if n.Port == port {
				return n.name, true
			}
		}
		return "", false
	}
	for i := range n {
		one := &node{Server: Start(t, Options{ID: uint32(i + 1), Flavor: d.Flavor}), name: cluster.NodeName([]string{"db1", "db2", "db3"}[i]), t: t}
		one.Unlogged(t, d.Accounts(agent, prober, replication)...)
		one.Unlogged(t, "CREATE USER app@'127.0.0.1' IDENTIFIED BY 'app'", "GRANT ALL ON app.* TO app@'127.0.0.1'")
		open, err := d.Open(one.Server, agent, prober, nodeOf)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { open.Close() })
		one.db = open
		all = append(all, one)
	}
	return all
}

// within gives a test's call to a server more than enough time.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	t.Cleanup(cancel)
	return ctx
}

func (n *node) observe() db.Observation {
	n.t.Helper()
	o, err := n.db.Observe(within(n.t))
	if err != nil {
		n.t.Fatal(err)
	}
	return o
}

// session opens a session that ends with the test, if not before.
func (n *node) session() db.Session {
	n.t.Helper()
	s, err := n.db.Session(within(n.t))
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { s.Close() })
	return s
}

// do takes one step in a session of its own.
func (n *node) do(step func(context.Context, db.Session) error) {
	n.t.Helper()
	s := n.session()
	defer s.Close()
	if err := step(within(n.t), s); err != nil {
		n.t.Fatal(err)
	}
}

// promote makes a writable primary with a table app.t.
func (n *node) promote() {
	n.t.Helper()
	n.do(func(ctx context.Context, s db.Session) error {
		if err := s.Detach(ctx); err != nil {
			return err
		}
		if err := s.SetReadOnly(ctx, false, time.Second); err != nil {
			return err
		}
		return n.db.EnsureSchema(ctx)
	})
	n.Exec(n.t, "CREATE DATABASE IF NOT EXISTS app", "CREATE TABLE IF NOT EXISTS app.t (v INT PRIMARY KEY) ENGINE=InnoDB")
}

func (n *node) source(semiSync bool) db.Source {
	return db.Source{Node: n.name, Host: "127.0.0.1", Port: n.Port, Account: replication, Heartbeat: 50 * time.Millisecond, SemiSync: semiSync}
}

// follow makes n a replica that has caught up and is connected.
func (n *node) follow(source *node, semiSync bool) {
	n.t.Helper()
	n.do(func(ctx context.Context, s db.Session) error {
		for {
			err := s.Follow(ctx, source.source(semiSync))
			var unapplied *db.UnappliedError
			if !errors.As(err, &unapplied) {
				return err
			}
			if err := s.WaitApplied(ctx, unapplied.Missing, nil); err != nil {
				return err
			}
		}
	})
	want := source.observe().Server.Executed
	n.until("it has caught up with "+string(source.name), func(o db.Observation) bool {
		return o.Server.Replica.Receiver && o.Server.Executed.Contains(want)
	})
}

// until returns the first observation for which holds is true.
func (n *node) until(what string, holds func(db.Observation) bool) (o db.Observation) {
	n.t.Helper()
	Until(n.t, func() bool {
		o = n.observe()
		return holds(o)
	}, func() string { return what + "; it is: " + describe(o) })
	return o
}

func describe(o db.Observation) string {
	r := o.Server.Replica
	return "executed " + o.Server.Executed.String() + ", received " + r.Received.String() + ", source " + string(r.Source) + r.Foreign + ", error " + r.Error + " " + o.Problem
}

// has waits until a row of app.t is visible.
func (n *node) has(v int) {
	n.t.Helper()
	n.Await(n.t, "1", "SELECT COUNT(*) FROM app.t WHERE v = ?", v)
}

func (n *node) executed() gtid.Set { return n.observe().Server.Executed }

// rows returns a whole result as text.
func (n *node) rows(query string) (all []map[string]string) {
	n.t.Helper()
	r, err := n.root.QueryContext(within(n.t), query)
	if err != nil {
		n.t.Fatalf("%s: %v", query, err)
	}
	defer r.Close()
	names, err := r.Columns()
	values, into := make([]sql.NullString, len(names)), make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	for err == nil && r.Next() {
		err = r.Scan(into...)
		row := map[string]string{}
		for i, name := range names {
			row[name] = values[i].String
		}
		all = append(all, row)
	}
	if err := errors.Join(err, r.Err()); err != nil {
		n.t.Fatalf("%s: %v", query, err)
	}
	return all
}
