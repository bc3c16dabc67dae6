package public

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// How much whoever asks may hold: of time, of memory, of connections.
const (
	headerTime = 2 * time.Second
	readTime   = 5 * time.Second
	writeTime  = 10 * time.Second
	idleTime   = 30 * time.Second
	headerSize = 4 << 10 // net/http adds as much again

	guests       = 256 // connections at a time
	guestsOfHost = 64  // from one address
)

// Serve answers on l until ctx ends. With secure it speaks TLS. Only HTTP/1 is spoken:
// nobody who checks needs more, and a connection of it holds little.
func Serve(ctx context.Context, l net.Listener, secure *tls.Config, h http.Handler, log *slog.Logger) error {
	l = &crowd{Listener: l, from: map[netip.Addr]int{}, most: guests, mostFrom: guestsOfHost}
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	var plain http.Protocols
	plain.SetHTTP1(true)
	server := &http.Server{
		Handler: h, Protocols: &plain, DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime, MaxHeaderBytes: headerSize,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("answer over HTTP on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	_ = server.Close() // nobody who only asks loses anything by it
	<-ended
	return nil
}

// crowd is a listener that lets in only so many at a time, in all and from one
// address: the others are sent away at once.
type crowd struct {
	net.Listener
	most, mostFrom int

	mu   sync.Mutex
	all  int
	from map[netip.Addr]int
}

// Accept implements net.Listener.
func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := addressOf(conn.RemoteAddr())
		if c.enter(from) {
			return &guest{Conn: conn, leave: sync.OnceFunc(func() { c.leave(from) })}, nil
		}
		_ = conn.Close()
	}
}

func addressOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

func (c *crowd) enter(from netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= c.most || c.from[from] >= c.mostFrom {
		return false
	}
	c.all++
	c.from[from]++
	return true
}

func (c *crowd) leave(from netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.from[from]--; c.from[from] == 0 {
		delete(c.from, from)
	}
}

// guest is a connection that has been let in.
type guest struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.leave()
	return g.Conn.Close()
}
