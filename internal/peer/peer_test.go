package peer_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/peer"
	"github.com/baton-db/baton/internal/pki"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// authority is a cluster's, with the certificates that its nodes show.
type authority struct {
	*pki.Authority
	dir string
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	a, err := pki.NewAuthority("shop", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := a.Pair().Write(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")); err != nil {
		t.Fatal(err)
	}
	return authority{a, dir}
}

func (a authority) identity(t *testing.T, node cluster.NodeName) *pki.Identity {
	t.Helper()
	f := pki.Files{CA: filepath.Join(a.dir, "ca.crt"), Cert: filepath.Join(a.dir, string(node)+".crt"), Key: filepath.Join(a.dir, string(node)+".key")}
	pair, err := a.Issue(string(node), []netip.Addr{loopback}, time.Now())
	if err == nil {
		err = pair.Write(f.Cert, f.Key)
	}
	if err != nil {
		t.Fatal(err)
	}
	id, err := pki.Load(f, string(node), []netip.Addr{loopback}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// listen is node's link, which knows of the others where they listen.
func listen(t *testing.T, id *pki.Identity, node cluster.NodeName, others map[cluster.NodeName]netip.AddrPort, quiet time.Duration) *peer.Link {
	t.Helper()
	nodes := map[cluster.NodeName]netip.AddrPort{node: netip.AddrPortFrom(loopback, 0)}
	for n, at := range others {
		nodes[n] = at
	}
	l, err := peer.Listen(t.Context(), peer.Options{Self: node, Nodes: nodes, Server: id.Server(), Quiet: quiet, Log: slog.New(slog.DiscardHandler),
		Client: func(n cluster.NodeName) *tls.Config { return id.Client(string(n)) }})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// serve serves until the test ends.
func serve(t *testing.T, l *peer.Link) netip.AddrPort {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return at(l.Addr())
}

func at(a net.Addr) netip.AddrPort { return netip.MustParseAddrPort(a.String()) }

// two are db1, which calls, and db2, whose handlers setup registers.
func two(t *testing.T, quiet time.Duration, setup func(*peer.Link)) (db1 *peer.Link) {
	t.Helper()
	a := newAuthority(t)
	db2 := listen(t, a.identity(t, "db2"), "db2", map[cluster.NodeName]netip.AddrPort{"db1": netip.AddrPortFrom(loopback, 1)}, quiet)
	setup(db2)
	db1 = listen(t, a.identity(t, "db1"), "db1", map[cluster.NodeName]netip.AddrPort{"db2": serve(t, db2)}, quiet)
	t.Cleanup(func() { _ = db1.Close() })
	return db1
}

type question struct{ Epoch int }
type answer struct{ Caller cluster.NodeName }

func TestTheHandlerLearnsWhoAsksAndTheCallerWhatItAnswered(t *testing.T) {
	asked := 0
	db1 := two(t, 0, func(l *peer.Link) {
		l.Handle("promise", peer.JSON(func(_ context.Context, from cluster.NodeName, q question) (answer, error) {
			if asked = q.Epoch; q.Epoch < 0 {
				return answer{}, errors.New("a newer epoch is known")
			}
			return answer{from}, nil
		}))
	})
	var got answer
	if err := db1.Call(t.Context(), "db2", "promise", question{7}, &got); err != nil || got.Caller != "db1" || asked != 7 {
		t.Errorf("answer %+v to epoch %d, %v", got, asked, err)
	}
	var refused peer.Refusal
	if err := db1.Call(t.Context(), "db2", "promise", question{-1}, &got); !errors.As(err, &refused) || refused != (peer.Refusal{Node: "db2", Why: "a newer epoch is known"}) {
		t.Errorf("refusal: %v", err)
	}
	if err := db1.Call(t.Context(), "db2", "unheard", question{}, &got); err == nil || !strings.Contains(err.Error(), "another version") {
		t.Errorf("a question that nobody knows: %v", err)
	}
	if err := db1.Call(t.Context(), "db9", "promise", question{}, &got); err == nil || !strings.Contains(err.Error(), "no other node") {
		t.Errorf("a node that nobody knows: %v", err)
	}
	if err := db1.Call(t.Context(), "db2", "promise", strings.Repeat("x", 2<<20), &got); err == nil {
		t.Error("a question of two megabytes was taken")
	}
}

func TestOnlyNodesOfThisClusterAreHeard(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	heard := 0
	db2 := listen(t, ours.identity(t, "db2"), "db2", map[cluster.NodeName]netip.AddrPort{"db1": netip.AddrPortFrom(loopback, 1)}, 0)
	db2.Handle("ask", func(context.Context, cluster.NodeName, []byte) (any, error) { heard++; return answer{}, nil })
	where := map[cluster.NodeName]netip.AddrPort{"db2": serve(t, db2)}

	for name, id := range map[string]*pki.Identity{
		"a node that another authority named": theirs.identity(t, "db1"),
		"one whose name is none of the nodes": ours.identity(t, "db7"),
	} {
		l := listen(t, id, "db1", where, 0)
		var got answer
		if err := l.Call(t.Context(), "db2", "ask", question{}, &got); err == nil {
			t.Errorf("%s was answered", name)
		}
		_ = l.Close()
	}
	bare := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // a stranger without a certificate
	if conn, err := bare.DialContext(t.Context(), "tcp", where["db2"].String()); err == nil {
		_, _ = io.WriteString(conn, "POST /v1/ask HTTP/1.1\r\nHost: db2\r\nContent-Length: 2\r\n\r\n{}")
		if b, _ := io.ReadAll(conn); len(b) > 0 {
			t.Errorf("a stranger without a certificate was answered: %s", b)
		}
		_ = conn.Close()
	}
	if heard != 0 {
		t.Errorf("the handler was called %d times", heard)
	}
}

func TestWhoAnswersMustBeTheNodeThatWasAsked(t *testing.T) {
	a := newAuthority(t)
	db3 := listen(t, a.identity(t, "db3"), "db3", map[cluster.NodeName]netip.AddrPort{"db1": netip.AddrPortFrom(loopback, 1)}, 0)
	db3.Handle("ask", func(context.Context, cluster.NodeName, []byte) (any, error) { return answer{}, nil })
	db1 := listen(t, a.identity(t, "db1"), "db1", map[cluster.NodeName]netip.AddrPort{"db2": serve(t, db3)}, 0)
	defer db1.Close()
	var got answer
	if err := db1.Call(t.Context(), "db2", "ask", question{}, &got); err == nil || !strings.Contains(err.Error(), "db2") {
		t.Errorf("db3 answered in place of db2: %v", err)
	}
}

func TestAFrozenPeerHoldsACallerNoLongerThanItWaits(t *testing.T) {
	// The kernel takes connections, and nobody accepts them.
	frozen, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer frozen.Close()
	a := newAuthority(t)
	db1 := listen(t, a.identity(t, "db1"), "db1", map[cluster.NodeName]netip.AddrPort{"db2": at(frozen.Addr())}, 0)
	defer db1.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var got answer
	if err := db1.Call(ctx, "db2", "ask", question{}, &got); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the call ended with %v", err)
	}
}

func TestAHandlerThatHangsHoldsNeitherItsCallerNorTheNextCall(t *testing.T) {
	entered, held := make(chan struct{}, 1), make(chan struct{}, 1)
	db1 := two(t, 0, func(l *peer.Link) {
		l.Handle("hang", func(ctx context.Context, _ cluster.NodeName, _ []byte) (any, error) {
			entered <- struct{}{}
			<-ctx.Done() // the caller's end is the handler's
			held <- struct{}{}
			return nil, ctx.Err()
		})
		l.Handle("ask", func(context.Context, cluster.NodeName, []byte) (any, error) { return answer{"db9"}, nil })
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-entered; cancel() }()
	var got answer
	if err := db1.Call(ctx, "db2", "hang", question{}, &got); !errors.Is(err, context.Canceled) {
		t.Errorf("the call ended with %v", err)
	}
	<-held
	if err := db1.Call(t.Context(), "db2", "ask", question{}, &got); err != nil || got.Caller != "db9" {
		t.Errorf("the next call: %+v, %v", got, err)
	}
}

// blocks writes n blocks of 64 KiB.
func blocks(n int) peer.Source {
	return func(_ context.Context, _ cluster.NodeName, _ []byte, w io.Writer) error {
		block := bytes.Repeat([]byte("0123456789abcdef"), 4096)
		for range n {
			if _, err := w.Write(block); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestAStreamIsWholeOrAnError(t *testing.T) {
	broken := errors.New("the backup ended with status 1")
	db1 := two(t, 0, func(l *peer.Link) {
		l.HandleStream("whole", blocks(512))
		l.HandleStream("empty", blocks(0))
		l.HandleStream("fails", func(ctx context.Context, from cluster.NodeName, q []byte, w io.Writer) error {
			return errors.Join(blocks(3)(ctx, from, q, w), broken)
		})
		l.HandleStream("breaks", func(context.Context, cluster.NodeName, []byte, io.Writer) error {
			panic(http.ErrAbortHandler) // package http drops the connection
		})
		l.HandleStream("echo", func(_ context.Context, _ cluster.NodeName, q []byte, w io.Writer) error {
			_, err := w.Write(q)
			return err
		})
	})
	read := func(path string, q any) ([]byte, error) {
		s, err := db1.Stream(t.Context(), "db2", path, q)
		if err != nil {
			return nil, err
		}
		defer s.Close()
		return io.ReadAll(s)
	}
	if b, err := read("whole", nil); err != nil || len(b) != 512<<16 {
		t.Errorf("a whole stream: %d bytes, %v", len(b), err)
	}
	if b, err := read("empty", nil); err != nil || len(b) != 0 {
		t.Errorf("an empty stream: %d bytes, %v", len(b), err)
	}
	var refused peer.Refusal
	if b, err := read("fails", nil); !errors.As(err, &refused) || refused.Why != broken.Error() || len(b) != 3<<16 {
		t.Errorf("one whose sender fails: %d bytes, %v", len(b), err)
	}
	if _, err := read("breaks", nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("one whose connection breaks: %v", err)
	}
	var got question
	if b, err := read("echo", question{3}); err != nil || json.Unmarshal(b, &got) != nil || got.Epoch != 3 {
		t.Errorf("the question came in as %s, %v", b, err)
	}
}

func TestAStreamInWhichNothingMovesEnds(t *testing.T) {
	ended := make(chan error, 2)
	db1 := two(t, time.Second, func(l *peer.Link) {
		l.HandleStream("silent", func(ctx context.Context, from cluster.NodeName, q []byte, w io.Writer) error {
			err := blocks(1)(ctx, from, q, w)
			<-ctx.Done()
			ended <- err
			return err
		})
		l.HandleStream("endless", func(ctx context.Context, from cluster.NodeName, q []byte, w io.Writer) error {
			for {
				if err := blocks(16)(ctx, from, q, w); err != nil {
					ended <- err
					return err
				}
			}
		})
	})
	silent, err := db1.Stream(t.Context(), "db2", "silent", nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, silent); err == nil || !strings.Contains(err.Error(), "nothing came") || n != 1<<16 {
		t.Errorf("the reader got %d bytes and %v", n, err)
	}
	_ = silent.Close()
	if err := <-ended; err != nil {
		t.Errorf("the silent sender: %v", err)
	}
	// The reader does not read: its writer is held back, and does not wait for ever.
	lazy, err := db1.Stream(t.Context(), "db2", "endless", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the sender of a stream that nobody reads ended without an error")
	}
	_ = lazy.Close()
}
