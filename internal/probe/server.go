package probe

import (
	"context"
	"database/sql"
	"net/netip"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
)

// patience is how long an unanswered question is left open, and its connection
// with it, before the next one takes a new connection. A frozen server's kernel
// goes on accepting connections: a new one for every probe would fill the
// server's queue, and clients would wait behind it once the server is thawed.
const patience = 2 * time.Second

// asker asks one statement of a server, over a connection that is held.
type asker struct {
	pool      *sql.DB
	statement string

	mu      sync.Mutex
	pending *question
	running sync.WaitGroup
}

// question is one that may be under way for longer than a probe waits.
type question struct {
	giveUp context.CancelFunc
	done   chan struct{} // closed once err is set
	err    error
}

func newAsker(t Target, statement string) (*asker, error) {
	c := mysql.NewConfig()
	c.User, c.Passwd = t.User, t.Password
	c.Net, c.Addr = "tcp", netip.AddrPortFrom(t.Address, t.Port).String()
	c.Logger = &mysql.NopLogger{}
	c.ConnectionAttributes = "program_name:baton-probe"
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	a := &asker{statement: statement}
	// The pool is the held connection: it notices one that broke while it was
	// idle and takes a new one.
	a.pool = sql.OpenDB(connector)
	a.pool.SetMaxOpenConns(1)
	a.pool.SetMaxIdleConns(1)
	return a, nil
}

// ask returns once the server has answered, or ctx has ended. A question that
// is still open from before is waited for; it is answered now or not at all.
func (a *asker) ask(ctx context.Context) (Class, string) {
	q := a.begin()
	select {
	case <-q.done:
		return classify(q.err)
	case <-ctx.Done():
		return classify(ctx.Err())
	}
}

// begin returns the question under way, or a new one. An answer that came while
// nobody waited tells nothing of now.
func (a *asker) begin() *question {
	a.mu.Lock()
	defer a.mu.Unlock()
	if q := a.pending; q != nil {
		select {
		case <-q.done:
		default:
			return q
		}
	}
	ctx, giveUp := context.WithTimeout(context.Background(), patience)
	q := &question{giveUp: giveUp, done: make(chan struct{})}
	a.pending = q
	a.running.Go(func() {
		defer giveUp()
		defer close(q.done)
		q.err = a.put(ctx)
	})
	return q
}

// put asks and reads the whole answer. A held connection that turns out broken
// says nothing of the server yet: it is asked again over a new one.
func (a *asker) put(ctx context.Context) error {
	before := a.pool.Stats().OpenConnections
	err := a.once(ctx)
	if class, _ := classify(err); class == Refused && before > 0 && ctx.Err() == nil {
		return a.once(ctx)
	}
	return err
}

func (a *asker) once(ctx context.Context) error {
	rows, err := a.pool.QueryContext(ctx, a.statement)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}

func (a *asker) close() {
	a.mu.Lock()
	if a.pending != nil {
		a.pending.giveUp()
	}
	a.mu.Unlock()
	a.running.Wait()
	a.pool.Close()
}
