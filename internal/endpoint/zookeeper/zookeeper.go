// Package zookeeper answers which primary a node of a ZooKeeper names, and makes
// it name another: what watches the node follows.
//
// It opens a session for each call and ends it with the call, so it keeps no
// connection, nothing that it leaves behind is ephemeral, and no request waits in
// a queue for a server that comes back long after the reign is over. The rule: a
// value of a newer reign is never overwritten; a write names the version read.
package zookeeper

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"path"
	"time"

	"github.com/baton-db/baton/internal/endpoint"
)

// Options say which node of which ZooKeeper it is.
type Options struct {
	Servers  []string // host:port, tried one after the other
	Node     string   // its path
	User     string   // of the scheme digest; empty: none
	Password string
	TLS      *tls.Config // nil: plain text
	Cluster  string      // Baton's, written into the value
}

// Endpoint is one node. It implements endpoint.Endpoint.
type Endpoint struct {
	endpoint.InCell
	o Options
}

// Open prepares the use of a node. It connects to nobody.
func Open(name string, o Options) *Endpoint {
	e := &Endpoint{o: o}
	e.InCell = endpoint.InCell{Name: name, Key: o.Node, Cluster: o.Cluster, Cell: e}
	return e
}

// Read implements endpoint.Cell. The server first catches up with its leader, so
// that it does not tell what has been replaced already.
func (e *Endpoint) Read(ctx context.Context) (text []byte, version int64, err error) {
	version = noNode
	err = e.inSession(ctx, func(s *session) error {
		if _, err := s.ask(opSync, packet{}.text(e.o.Node)); err != nil {
			return err
		}
		got, err := s.ask(opGetData, append(packet{}.text(e.o.Node), 0)) // no watch
		switch {
		case errors.Is(err, errNoNode):
			return nil
		case err != nil:
			return err
		}
		text = append([]byte{}, got.buffer()...)
		version = got.version()
		return got.whole()
	})
	return text, version, err
}

// Swap implements endpoint.Cell. A node that is missing is made, and those above
// it, if the user may. Of a new one everybody may do everything, or, where there
// is a user, everybody may read it and that user may change it.
func (e *Endpoint) Swap(ctx context.Context, text []byte, version int64) (done bool, err error) {
	err = e.inSession(ctx, func(s *session) error {
		if version == noNode {
			err = s.create(e.o.Node, string(text), e.o.User != "")
		} else {
			_, err = s.ask(opSetData, packet{}.text(e.o.Node).text(string(text)).number(int32(version)))
		}
		if errors.Is(err, errBadVersion) || errors.Is(err, errNodeExists) || errors.Is(err, errNoNode) {
			return nil // somebody was faster
		}
		done = err == nil
		return err
	})
	return done, err
}

// inSession does something with the first server with which a session is had.
func (e *Endpoint) inSession(ctx context.Context, do func(*session) error) error {
	var errs []error
	for i, server := range e.o.Servers {
		part, cancel := endpoint.Share(ctx, len(e.o.Servers)-i)
		err := e.with(part, server, do)
		cancel()
		var said code
		if err == nil || errors.As(err, &said) {
			return err
		}
		if errs = append(errs, err); ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// with opens a session with one server, for one call.
func (e *Endpoint) with(ctx context.Context, server string, do func(*session) error) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", server)
	if err != nil {
		return fmt.Errorf("connect to ZooKeeper: %w", err)
	}
	defer conn.Close()
	raw := conn
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if e.o.TLS != nil {
		config := e.o.TLS.Clone()
		if host, _, err := net.SplitHostPort(server); err == nil && config.ServerName == "" {
			config.ServerName = host
		}
		conn = tls.Client(conn, config)
	}
	s := &session{conn: conn}
	err = s.begin(e.o.User, e.o.Password)
	if err == nil {
		err = do(s)
		s.end()
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("it hung up: it has no quorum, or this is not the port of its clients")
	}
	return fmt.Errorf("ZooKeeper at %s: %w", server, err)
}

// session is a connection on which requests are answered one after the other.
type session struct {
	conn net.Conn
	last int32
}

// sessionTime is how long the server keeps a session whose end did not reach it, in ms.
const sessionTime = 4000

func (s *session) begin(user, password string) error {
	hello := packet{}.number(0).long(0).number(sessionTime).long(0).text(string(make([]byte, 16)))
	if err := send(s.conn, append(hello, 0)); err != nil { // a server that only reads is of no use
		return err
	}
	got, err := receive(s.conn)
	if err != nil {
		return err
	}
	got.number() // of the protocol
	granted, id := got.number(), got.long()
	if err := got.whole(); err != nil {
		return err
	}
	if granted <= 0 || id == 0 {
		return errors.New("it refuses the session")
	}
	if user == "" {
		return nil
	}
	_, err = s.exchange(authRequest, opAuth, packet{}.number(0).text("digest").text(user+":"+password))
	return err
}

// end tells the server that the session is over, which then need not wait for it.
func (s *session) end() {
	_ = send(s.conn, packet{}.number(s.last+1).number(opClose))
}

func (s *session) ask(op int32, body packet) (*answer, error) {
	s.last++
	return s.exchange(s.last, op, body)
}

func (s *session) exchange(id, op int32, body packet) (*answer, error) {
	if err := send(s.conn, append(packet{}.number(id).number(op), body...)); err != nil {
		return nil, err
	}
	for {
		got, err := receive(s.conn)
		if err != nil {
			return nil, err
		}
		of := got.number()
		got.long() // the transaction
		failed := code(got.number())
		switch {
		case got.whole() != nil:
			return nil, got.whole()
		case of != id:
			continue // an event that nobody asked for
		case failed != 0:
			return nil, failed
		}
		return got, nil
	}
}

// Permissions: read alone, and read, write, create, delete and admin together.
const (
	mayRead = 1
	mayAll  = 31
)

// create makes a node, and first those above it that are missing. own says that it
// belongs to who has logged in.
func (s *session) create(node, text string, own bool) error {
	rights := packet{}.number(1).number(mayAll).text("world").text("anyone")
	if own {
		rights = packet{}.number(2).number(mayAll).text("auth").text("").number(mayRead).text("world").text("anyone")
	}
	for {
		_, err := s.ask(opCreate, append(packet{}.text(node).text(text), rights.number(0)...)) // 0: for good
		if !errors.Is(err, errNoNode) || path.Dir(node) == "/" {
			return err
		}
		if err := s.create(path.Dir(node), "", own); err != nil && !errors.Is(err, errNodeExists) {
			return err
		}
	}
}
