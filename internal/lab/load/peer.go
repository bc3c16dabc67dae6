package load

import (
	"context"
	"database/sql/driver"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
)

// A peer is a client host and the address that it connects to.
type peer struct{ host, address string }

// A conn is a logged-in connection that remembers what the network said: the
// driver reports a reset and a timeout alike.
type conn struct {
	driver.Conn
	wire *wire
}

// class says how a use of the connection ended.
func (c *conn) class(err error) Class { return classifyWith(c.wire, err) }

func classifyWith(w *wire, err error) Class {
	if err == nil {
		return OK
	}
	if class := classify(err); class != Closed && class != Other {
		return class
	}
	if cause := w.cause(); cause != nil {
		return classify(cause)
	}
	return classify(err)
}

// connect logs in. Both limits end it; each counts anew for every packet.
func (c *Client) connect(ctx context.Context, p peer, connect, answer time.Duration) (*conn, Class) {
	w := new(wire)
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.DBName = c.opts.User, c.opts.Password, "tcp", p.address, "app"
	cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout = connect, answer, answer
	cfg.InterpolateParams = true // one round trip a write
	cfg.Logger = &mysql.NopLogger{}
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := c.opts.Dial(ctx, p.host, network, address)
		if err != nil {
			return nil, err
		}
		w.Conn = nc
		return w, nil
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		panic(fmt.Sprintf("the load's own driver settings are wrong: %v", err))
	}
	began := c.rec.now()
	dc, err := connector.Connect(ctx)
	if ctx.Err() != nil { // the load ends: neither a success nor a failure
		if err == nil {
			dc.Close()
		}
		return nil, Other
	}
	class := classifyWith(w, err)
	c.rec.connect(Connect{Began: began, Took: c.rec.now() - began, Plain: connect == PlainLimit, Class: class})
	if err != nil {
		return nil, class
	}
	return &conn{Conn: dc, wire: w}, OK
}

// A wire is a connection that remembers its first error.
type wire struct {
	net.Conn
	mu  sync.Mutex
	err error
}

func (w *wire) cause() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *wire) remember(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.remember(err)
	return n, err
}

func (w *wire) Write(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	w.remember(err)
	return n, err
}
