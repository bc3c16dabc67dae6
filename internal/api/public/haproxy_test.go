package public_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/api/public"
	"github.com/baton-db/baton/internal/endpoint/haproxy/haproxytest"
)

// host is one on which an agent answers checks, and a server says its name.
type host struct {
	checks, server int // ports
	answers        atomic.Pointer[http.Handler]
}

func (h *host) is(n *node) {
	answer := n.handler()
	h.answers.Store(&answer)
}

func newHost(t *testing.T, name string, n *node) *host {
	t.Helper()
	h := &host{}
	h.is(n)
	checks, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- public.Serve(ctx, checks, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*h.answers.Load()).ServeHTTP(w, r) }), slog.New(slog.DiscardHandler))
	}()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, name)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = server.Close()
		<-served
	})
	h.checks, h.server = checks.Addr().(*net.TCPAddr).Port, server.Addr().(*net.TCPAddr).Port
	return h
}

// TestHAProxyFindsThePrimaryAndTheReplicasByItself: with the checks of docs/http.md.
func TestHAProxyFindsThePrimaryAndTheReplicasByItself(t *testing.T) {
	db1, db2 := newHost(t, "db1", primary()), newHost(t, "db2", replica())
	section := func(name, check string) string {
		text := fmt.Sprintf("listen %s\n    bind unix@DIR/%s\n    option httpchk %s\n    default-server check inter 20ms fall 2 rise 1 on-marked-down shutdown-sessions\n", name, name, check)
		for i, h := range []*host{db1, db2} {
			text += fmt.Sprintf("    server db%d 127.0.0.1:%d port %d\n", i+1, h.server, h.checks)
		}
		return text
	}
	h := haproxytest.Start(t, "admin", section("write", "OPTIONS /primary")+section("read", "OPTIONS /replica?lag=3s")+section("get", "GET /primary"))
	leads := func(name string) string {
		c, err := net.Dial("unix", h.Dir+"/"+name)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		who, _ := io.ReadAll(c) // nobody: the connection ends at once
		return string(who)
	}
	await := func(name, want string) {
		t.Helper()
		again := time.NewTicker(5 * time.Millisecond)
		defer again.Stop()
		steady := 0
		for limit := time.After(time.Minute); steady < 4; { // with two servers up it would be the other one's turn
			got := leads(name)
			if got == want {
				steady++
			} else {
				steady = 0
			}
			select {
			case <-again.C:
			case <-limit:
				t.Fatalf("%s leads to %q, want %q:\n%s", name, got, want, h.Ask(t, "show servers state"))
			}
		}
	}
	await("write", "db1")
	await("get", "db1")
	await("read", "db2")

	over := primary()
	over.now = over.serving.Until // the lease ends, and nothing else happens
	db1.is(over)
	await("write", "")
	await("get", "")
	db2.is(primary())
	await("write", "db2")
	await("read", "")
	db1.is(replica())
	await("read", "db1")
	late := replica()
	late.now = late.look.AppliedAt.Add(3*time.Second + 1)
	db1.is(late)
	await("read", "")
	if state := h.Ask(t, "show servers state read"); !strings.Contains(state, " db1 ") {
		t.Error(state)
	}
}
