package dbtest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// path is a way to a server that lets through only so much of what it says.
type path struct {
	port int

	mu      sync.Mutex
	open    *sync.Cond
	left    int64 // bytes; negative: all
	closed  bool
	through []net.Conn
}

// pathTo opens a way to a server that lets everything through.
func pathTo(t testing.TB, n *node) *path {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &path{port: l.Addr().(*net.TCPAddr).Port, left: -1}
	p.open = sync.NewCond(&p.mu)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", n.address())
			if err != nil {
				client.Close()
				continue
			}
			p.keep(client, server)
			running.Go(func() { defer server.Close(); _, _ = io.Copy(server, client) })
			running.Go(func() { defer client.Close(); _, _ = io.Copy(client, &throttled{server, p}) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.end()
		running.Wait()
	})
	return p
}

func (p *path) keep(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.through = append(p.through, conns...)
}

// allow lets so many more bytes through; a negative number lets everything.
func (p *path) allow(bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left = bytes
	p.open.Broadcast()
}

func (p *path) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.open.Broadcast()
	for _, c := range p.through {
		c.Close()
	}
}

// throttled reads what the server says, for as long as the path lets it.
type throttled struct {
	net.Conn
	path *path
}

func (r *throttled) Read(b []byte) (int, error) {
	p := r.path
	p.mu.Lock()
	for p.left == 0 && !p.closed {
		p.open.Wait()
	}
	closed := p.closed
	if p.left > 0 {
		b = b[:min(int64(len(b)), p.left)]
	}
	p.mu.Unlock()
	if closed {
		return 0, net.ErrClosed
	}
	n, err := r.Conn.Read(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left > 0 {
		p.left -= min(p.left, int64(n))
	}
	return n, err
}
