package mariadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/go-sql-driver/mysql"
	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/db"
)

// link is one open connection.
type link struct {
	pool *sql.DB
	conn *sql.Conn
	id   uint64 // the server's number for it
	pid  int    // the process at the other end; 0 if unknown
}

func (l *link) close() error { return errors.Join(l.conn.Close(), l.pool.Close()) }

// dial opens a connection, for as long as ctx lasts.
type dial func(ctx context.Context) (*link, error)

// dialer connects over the unix socket, and where the slots are used up over
// the extra port.
func (s *Server) dialer(account db.Account, several bool) dial {
	return func(ctx context.Context) (*link, error) {
		l, err := s.connect(ctx, account, several, "unix", s.config.Socket)
		if err != nil && s.config.ExtraPort != 0 && verdict(err) == db.TooManyConnections {
			extra := net.JoinHostPort("127.0.0.1", fmt.Sprint(s.config.ExtraPort))
			return s.connect(ctx, account, several, "tcp", extra)
		}
		return l, err
	}
}

// connect opens one connection; several lets it run several statements at once.
func (s *Server) connect(ctx context.Context, account db.Account, several bool, network, address string) (*link, error) {
	l := &link{}
	c := mysql.NewConfig()
	c.User, c.Passwd = account.User, account.Password
	c.Net, c.Addr = network, address
	c.InterpolateParams = true
	c.MultiStatements = several
	c.Logger = &mysql.NopLogger{}
	c.ConnectionAttributes = "program_name:baton"
	c.Params = map[string]string{
		"wait_timeout":       "31536000", // held connections are idle for long
		"max_statement_time": "0",        // our own deadlines rule
		"lock_wait_timeout":  "5",
		"autocommit":         "1",
		"sql_mode":           "'STRICT_ALL_TABLES'",
	}
	c.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil {
			l.pid = peerPID(nc)
		}
		return nc, err
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, fmt.Errorf("connect to %s as %s: %w", address, account.User, err)
	}
	l.pool = sql.OpenDB(connector)
	l.pool.SetMaxOpenConns(1)
	if l.conn, err = l.pool.Conn(ctx); err != nil {
		l.pool.Close()
		return nil, fmt.Errorf("connect to %s as %s: %w", address, account.User, err)
	}
	if err := l.conn.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&l.id); err != nil {
		l.close()
		return nil, fmt.Errorf("connect to %s as %s: %w", address, account.User, err)
	}
	return l, nil
}

// peerPID returns the process that listens on the other end of a unix socket.
func peerPID(nc net.Conn) (pid int) {
	u, ok := nc.(*net.UnixConn)
	if !ok {
		return 0
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid
}

// held is a connection that is kept, used by one caller at a time, and opened
// again after it broke.
type held struct {
	dial dial
	turn chan struct{} // holds one token while nobody uses the link

	mu     sync.Mutex
	link   *link
	closed bool
}

func newHeld(d dial) *held {
	h := &held{dial: d, turn: make(chan struct{}, 1)}
	h.turn <- struct{}{}
	return h
}

// use calls f with the connection. The connection is dropped if f returns an
// error that the server did not send, since nobody knows its state then; and as
// a held one that broke says nothing of the server yet, f is called once more
// with a new one.
func (h *held) use(ctx context.Context, f func(*link) error) error {
	select {
	case <-h.turn:
	case <-ctx.Done():
		return fmt.Errorf("wait for the connection: %w", ctx.Err())
	}
	defer func() { h.turn <- struct{}{} }()
	for {
		l, fresh, err := h.open(ctx)
		if err != nil {
			return err
		}
		if err = f(l); !breaks(err) {
			return err
		}
		h.drop()
		if fresh || ctx.Err() != nil {
			return err
		}
	}
}

func (h *held) open(ctx context.Context) (l *link, fresh bool, err error) {
	h.mu.Lock()
	l, closed := h.link, h.closed
	h.mu.Unlock()
	switch {
	case closed:
		return nil, false, errClosed
	case l != nil:
		return l, false, nil
	}
	if l, err = h.dial(ctx); err != nil {
		return nil, true, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		l.close()
		return nil, true, errClosed
	}
	h.link = l
	return l, true, nil
}

var errClosed = errors.New("closed by Baton")

func (h *held) drop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.link != nil {
		h.link.close()
		h.link = nil
	}
}

func (h *held) close() error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.drop()
	return nil
}

// rows reads the rest of a result as text, each row by the names of its columns.
func rows(r *sql.Rows) ([]map[string]string, error) {
	names, err := r.Columns()
	if err != nil {
		return nil, err
	}
	values := make([]sql.NullString, len(names))
	into := make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	var all []map[string]string
	for r.Next() {
		if err := r.Scan(into...); err != nil {
			return nil, err
		}
		row := make(map[string]string, len(names))
		for i, n := range names {
			row[n] = values[i].String
		}
		all = append(all, row)
	}
	return all, r.Err()
}

// query runs one statement and returns its rows as text.
func (l *link) query(ctx context.Context, q string, args ...any) ([]map[string]string, error) {
	r, err := l.conn.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return rows(r)
}

func (l *link) exec(ctx context.Context, q string, args ...any) error {
	_, err := l.conn.ExecContext(ctx, q, args...)
	return err
}

// value reads the only value of a query.
func (l *link) value(ctx context.Context, q string, args ...any) (string, error) {
	var v sql.NullString
	err := l.conn.QueryRowContext(ctx, q, args...).Scan(&v)
	return v.String, err
}
