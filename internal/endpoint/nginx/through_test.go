package nginx_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/endpointtest"
	"github.com/baton-db/baton/internal/endpoint/nginx"
)

// greets is a server that begins with those bytes, and counts who has come.
func greets(t *testing.T, with string, came *atomic.Int64) netip.AddrPort {
	t.Helper()
	return endpointtest.Serve(t, func(c net.Conn) {
		came.Add(1)
		_, _ = c.Write([]byte(with))
		_, _ = c.Read(make([]byte, 1)) // until the client goes
	})
}

// packet is one of MySQL's protocol, the first that a server sends.
func packet(body string) string {
	return string([]byte{byte(len(body)), byte(len(body) >> 8), byte(len(body) >> 16), 0}) + body
}

// TestAServerIsReachedThroughIt: a server's greeting as MariaDB sends it, begins.
func TestAServerIsReachedThroughIt(t *testing.T) {
	var came atomic.Int64
	good := packet("\x0a5.5.5-10.11.14-MariaDB\x00\x07\x00\x00\x00abcdefgh\x00")
	at := map[cluster.NodeName]netip.AddrPort{
		"db1": greets(t, good, &came),
		"db2": netip.MustParseAddrPort("127.0.0.1:1"),
		"db3": greets(t, packet("\xff\x69\x04Host '10.0.0.9' is blocked"), new(atomic.Int64)),
		"db4": greets(t, "220 mail.example.com ESMTP\r\n", new(atomic.Int64)),
		"db5": greets(t, "", new(atomic.Int64)),
	}
	p := newProxy(t, streamConf).start()
	o := p.options(at)
	o.Through = filepath.Join(p.dir, "front")
	o.Wall = func() time.Time { return time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC) }
	e, err := nginx.Open("proxy", o)
	if err != nil {
		t.Fatal(err)
	}
	lead := func(n cluster.NodeName, epoch cluster.Epoch, limit time.Duration) error {
		t.Helper()
		want := to(n, at[n], epoch)
		if err := errors.Join(e.Set(t.Context(), want), endpoint.Verify(t.Context(), "proxy", e, want)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		return e.Tend(ctx, want)
	}
	for i := range 3 { // once in a reign, whatever the address of it is
		epoch := cluster.Epoch(1 + i/2)
		if err := lead("db1", epoch, patience); err != nil || came.Load() != int64(epoch) {
			t.Fatalf("reign %d: %v, %d have connected", epoch, err, came.Load())
		}
	}
	if !regexp.MustCompile(`^through /\S+/front a server greets \(5\.5\.5-10\.11\.14-MariaDB\), [0-9.e+]+ ms$`).MatchString(e.Tells()) {
		t.Errorf("it tells %q", e.Tells())
	}
	for n, want := range map[cluster.NodeName]string{
		"db2": "it takes the connection, and reaches no server",
		"db3": "the server refuses: Host '10.0.0.9' is blocked",
		"db4": "what answers is no database server",
	} {
		if err := lead(n, 9, patience); err == nil || !strings.HasSuffix(err.Error(), "front: "+want+" (since 2026-11-20T10:00:00Z)") {
			t.Errorf("%s: %v, want %q", n, err, want)
		}
	}
	if err := lead("db5", 9, 100*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a server that says nothing: %v", err)
	}
	p.stop()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := e.Tend(ctx, to("db1", at["db1"], 10)); err == nil || !strings.Contains(err.Error(), "connect through nginx at") {
		t.Errorf("without nginx: %v", err)
	}
}

// TestAServerThatIsNotReachedIsTriedLessAndLess: nobody answers for an hour, then a server
// does.
func TestAServerThatIsNotReachedIsTriedLessAndLess(t *testing.T) {
	var came atomic.Int64
	var says atomic.Value
	says.Store("")
	front := endpointtest.Serve(t, func(c net.Conn) {
		came.Add(1)
		_, _ = c.Write([]byte(says.Load().(string)))
	})
	dir := t.TempDir()
	passed := time.Duration(0)
	begun := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	e, err := nginx.Open("proxy", nginx.Options{File: filepath.Join(dir, "file"), Note: filepath.Join(dir, "note"), Upstream: "shop", Cluster: "shop", Through: front.String(),
		Wall: func() time.Time { return begun.Add(passed) }})
	if err != nil {
		t.Fatal(err)
	}
	e.SetClock(func() cluster.Instant { return cluster.Instant(passed) })
	want := endpoint.Target{Epoch: 3, Node: "db1"}
	var tried []time.Duration
	for ; passed < time.Hour; passed += 10 * time.Second {
		before := came.Load()
		err := e.Tend(t.Context(), want)
		if err == nil || !strings.HasSuffix(err.Error(), "it takes the connection, and reaches no server (since 2026-11-20T10:00:00Z)") {
			t.Fatalf("after %s: %v", passed, err)
		}
		if came.Load() != before {
			tried = append(tried, passed)
		}
	}
	if !slices.Equal(tried[:6], []time.Duration{0, 10 * time.Second, 20 * time.Second, 30 * time.Second, 40 * time.Second, 60 * time.Second}) || len(tried) > 22 || time.Hour-tried[len(tried)-1] > 6*time.Minute {
		t.Errorf("tried after %v", tried)
	}
	says.Store(packet("\x0a11.4.2-MariaDB\x00"))
	passed += 5 * time.Minute
	if err := e.Tend(t.Context(), want); err != nil || !strings.HasPrefix(e.Tells(), "through ") {
		t.Errorf("a server answers again: %v, %q", err, e.Tells())
	}
	before := came.Load()
	says.Store("")
	want.Epoch++ // another reign is tried at once, and what the one before found is not said of it
	if err := e.Tend(t.Context(), want); err == nil || came.Load() == before || e.Tells() != "" {
		t.Errorf("another reign: %v, %q", err, e.Tells())
	}
}
