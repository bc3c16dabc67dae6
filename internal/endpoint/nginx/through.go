package nginx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
)

// through is what came of trying to reach a server through nginx, in one reign.
type through struct {
	epoch cluster.Epoch
	node  cluster.NodeName
	tells string // of the server that was reached
	err   error  // why none was, and since when; nil: one was, or nobody has tried
	since time.Time
	pause time.Duration
	again cluster.Instant // not before
}

// The pauses between tries that fail: each may be counted by the server.
const (
	firstPause   = time.Second
	longestPause = 5 * time.Minute
)

// Tend implements endpoint.Tender: a client that connects to nginx is greeted by a
// database server. It is tried until that is so once in every reign, for the server
// counts a client that goes without having logged in, and with growing pauses.
func (e *Endpoint) Tend(ctx context.Context, target endpoint.Target) error {
	if e.o.Through == "" {
		return nil
	}
	if e.through.epoch != target.Epoch || e.through.node != target.Node {
		e.through = through{epoch: target.Epoch, node: target.Node, pause: firstPause}
	}
	t, began := &e.through, e.now()
	if t.tells != "" || began < t.again {
		return t.err
	}
	version, err := greeted(ctx, e.o.Through)
	over := e.now()
	if err == nil {
		t.tells, t.err = fmt.Sprintf("through %s a server greets (%s), %.3g ms", e.o.Through, version, float64(over.Sub(began).Microseconds())/1000), nil
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return err // something else is wanted
	}
	if t.err == nil {
		t.since = e.o.Wall()
	}
	t.err = fmt.Errorf("connect through nginx at %s: %w (since %s)", e.o.Through, err, t.since.UTC().Format(time.RFC3339))
	t.again, t.pause = over.Add(t.pause), min(2*t.pause, longestPause)
	return t.err
}

// Tells implements endpoint.Teller.
func (e *Endpoint) Tells() string { return e.through.tells }

// greeted connects and reads with what a server begins: a packet of a header of four
// bytes, a protocol's number, and a version that ends with a zero (MySQL's protocol,
// HandshakeV10), or an error (ERR_Packet).
func greeted(ctx context.Context, at string) (version string, err error) {
	network := "tcp"
	if strings.HasPrefix(at, "/") {
		network = "unix"
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, at)
	if err != nil {
		if op := (*net.OpError)(nil); errors.As(err, &op) {
			err = op.Err
		}
		return "", ended(ctx, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	head := make([]byte, 4)
	if _, err := io.ReadFull(conn, head); err != nil {
		return "", noGreeting(ctx, err)
	}
	length := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	const most = 4096
	if length < 2 || length > most || head[3] != 0 {
		return "", errors.New("what answers is no database server")
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(conn, body); err != nil {
		return "", noGreeting(ctx, err)
	}
	switch body[0] {
	case 10:
		name, _, ok := bytes.Cut(body[1:], []byte{0})
		if !ok {
			return "", errors.New("what answers is no database server")
		}
		return string(name), nil
	case 0xff:
		return "", fmt.Errorf("the server refuses: %s", strings.ToValidUTF8(string(body[min(3, length):]), "?"))
	}
	return "", errors.New("what answers is no database server")
}

// noGreeting says what an end before the greeting means: nginx closes the connection of
// a client for which it reaches no server.
func noGreeting(ctx context.Context, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		return errors.New("it takes the connection, and reaches no server")
	}
	return ended(ctx, err)
}

// ended returns why the context ended where that is why a call failed.
func ended(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return context.DeadlineExceeded
	}
	return err
}
