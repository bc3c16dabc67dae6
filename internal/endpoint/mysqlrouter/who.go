package mysqlrouter

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
)

// who is what tells servers from each other, of either flavor.
type who struct {
	id   uint32
	host string
	port int
}

func (w who) String() string {
	return fmt.Sprintf("server_id %d of %s, port %d,", w.id, w.host, w.port)
}

// asked compares who answers clients of the router with what the node's server says of
// itself.
func (e *Endpoint) asked(ctx context.Context, node cluster.NodeName) error {
	here, err := e.ask(ctx, e.o.Listen.String())
	if err != nil {
		return fmt.Errorf("ask who answers at %s: %w", e.o.Listen, err)
	}
	e.tells = fmt.Sprintf("through %s %s answers", e.o.Listen, here)
	var silent []string // replicas that may be the one who answers
	for _, s := range e.nodes(node) {
		there, err := e.ask(ctx, s.HostPort())
		switch {
		case err != nil && s.Node == node:
			return fmt.Errorf("ask %s itself: %w", node, err)
		case err != nil:
			silent = append(silent, fmt.Sprintf("%s (%v)", s.Node, err))
		case there == here && s.Node == node:
			return nil
		case there == here:
			return endpoint.Astray("%s answers at %s, though %s names %s: is that the port of [routing:%s]?", s.Node, e.o.Listen, e.o.File, node, e.o.Section)
		}
	}
	if len(silent) > 0 {
		return endpoint.Astray("%s answers at %s, though %s names %s, which is another server. It may be one of the replicas that cannot be asked: %s; is that the port of [routing:%s]?",
			here, e.o.Listen, e.o.File, node, strings.Join(silent, ", "), e.o.Section)
	}
	return endpoint.Astray("%s answers at %s, which is no node's server", here, e.o.Listen)
}

// ask asks one server, over a connection that begins and ends as it should. It takes no
// more than half of the time that is left: who it was that did not answer has to be said.
func (e *Endpoint) ask(ctx context.Context, at string) (w who, err error) {
	if end, limited := ctx.Deadline(); limited {
		half := time.Until(end) / 2
		short, cancel := context.WithTimeoutCause(ctx, half, fmt.Errorf("no answer within %s", half.Round(100*time.Millisecond)))
		defer cancel()
		ctx = short
	}
	c := mysql.NewConfig()
	c.User, c.Passwd = e.o.User, e.o.Password
	c.Net, c.Addr = "tcp", at
	c.Logger = &mysql.NopLogger{}
	c.ConnectionAttributes = "program_name:baton"
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return who{}, err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	err = db.QueryRowContext(ctx, "SELECT @@global.server_id, @@global.hostname, @@global.port").Scan(&w.id, &w.host, &w.port)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return w, err
}
