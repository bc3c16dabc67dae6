package wire

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"

	"github.com/go-sql-driver/mysql"
	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/db"
)

// Link is one open connection.
type Link struct {
	Conn *sql.Conn
	ID   uint64 // the server's number for it
	PID  int    // the process at the other end; 0 if unknown

	pool *sql.DB
}

// Close ends the connection.
func (l *Link) Close() error { return errors.Join(l.Conn.Close(), l.pool.Close()) }

// dial opens a connection, for as long as ctx lasts.
type dial func(ctx context.Context) (*Link, error)

// DialAgent opens a connection as the agent's account, for a statement that lasts.
func (s *Server) DialAgent(ctx context.Context) (*Link, error) {
	return s.dialer(s.Agent, false, nil)(ctx)
}

// DialWriter opens a connection as the account of probes and markers.
func (s *Server) DialWriter(ctx context.Context) (*Link, error) {
	return s.dialer(s.Writer, false, nil)(ctx)
}

// dialer connects over the unix socket, and where the slots are used up over
// the extra port. settings come on top of those of the dialect.
func (s *Server) dialer(account db.Account, several bool, settings map[string]string) dial {
	all := map[string]string{
		"wait_timeout":      "31536000", // held connections are idle for long
		"lock_wait_timeout": "5",
		"autocommit":        "1",
		"sql_mode":          "'STRICT_ALL_TABLES'",
	}
	maps.Copy(all, s.dialect.Settings)
	maps.Copy(all, settings)
	return func(ctx context.Context) (*Link, error) {
		l, err := connect(ctx, account, several, all, "unix", s.Socket)
		if err != nil && s.ExtraPort != 0 && Verdict(err) == db.TooManyConnections {
			extra := net.JoinHostPort("127.0.0.1", fmt.Sprint(s.ExtraPort))
			if l, extraErr := connect(ctx, account, several, all, "tcp", extra); extraErr == nil {
				return l, nil
			}
			return nil, err // what is wrong is that no slot is left
		}
		if Code(err) == ErUnknownVariable {
			return nil, s.unknown(ctx, account, err)
		}
		return l, err
	}
}

// unknown says why a server does not know a variable of the dialect: mostly that
// it is of another flavor.
func (s *Server) unknown(ctx context.Context, account db.Account, why error) error {
	l, err := connect(ctx, account, false, nil, "unix", s.Socket)
	if err != nil {
		return why
	}
	defer l.Close()
	if err := s.dialect.speaksWith(ctx, l); err != nil {
		return err
	}
	return why
}

// connect opens one connection; several lets it run several statements at once.
func connect(ctx context.Context, account db.Account, several bool, settings map[string]string, network, address string) (*Link, error) {
	l := &Link{}
	c := mysql.NewConfig()
	c.User, c.Passwd = account.User, account.Password
	c.Net, c.Addr = network, address
	c.InterpolateParams = true
	c.MultiStatements = several
	c.Logger = &mysql.NopLogger{}
	c.ConnectionAttributes = "program_name:baton"
	c.Params = settings
	c.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil {
			l.PID = peerPID(nc)
		}
		return nc, err
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, fmt.Errorf("connect to %s as %s: %w", address, account.User, err)
	}
	l.pool = sql.OpenDB(connector)
	l.pool.SetMaxOpenConns(1)
	if l.Conn, err = l.pool.Conn(ctx); err != nil {
		l.pool.Close()
		return nil, fmt.Errorf("connect to %s as %s: %w", address, account.User, err)
	}
	if err := l.Conn.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&l.ID); err != nil {
		l.Close()
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

// Held is a connection that is kept, used by one caller at a time, and opened
// again after it broke.
type Held struct {
	dial dial
	turn chan struct{} // holds one token while nobody uses the link

	mu     sync.Mutex
	link   *Link
	closed bool
}

func newHeld(d dial) *Held {
	h := &Held{dial: d, turn: make(chan struct{}, 1)}
	h.turn <- struct{}{}
	return h
}

// Use calls f with the connection. The connection is dropped if f returns an
// error that the server did not send, since nobody knows its state then; and as
// a held one that broke says nothing of the server yet, f is called once more
// with a new one.
func (h *Held) Use(ctx context.Context, f func(*Link) error) error {
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
		if err = f(l); !Breaks(err) {
			return err
		}
		h.drop()
		if fresh || ctx.Err() != nil {
			return err
		}
	}
}

func (h *Held) open(ctx context.Context) (l *Link, fresh bool, err error) {
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
		l.Close()
		return nil, true, errClosed
	}
	h.link = l
	return l, true, nil
}

var errClosed = errors.New("closed by Baton")

func (h *Held) drop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.link != nil {
		h.link.Close()
		h.link = nil
	}
}

func (h *Held) close() error {
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

// Query runs one statement and returns its rows as text.
func (l *Link) Query(ctx context.Context, q string, args ...any) ([]map[string]string, error) {
	r, err := l.Conn.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return rows(r)
}

// Exec runs one statement.
func (l *Link) Exec(ctx context.Context, q string, args ...any) error {
	_, err := l.Conn.ExecContext(ctx, q, args...)
	return err
}

// Value reads the only value of a query.
func (l *Link) Value(ctx context.Context, q string, args ...any) (string, error) {
	var v sql.NullString
	err := l.Conn.QueryRowContext(ctx, q, args...).Scan(&v)
	return v.String, err
}
