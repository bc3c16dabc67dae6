package haproxy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/endpointtest"
	"github.com/baton-db/baton/internal/endpoint/haproxy"
	"github.com/baton-db/baton/internal/endpoint/haproxy/haproxytest"
)

// sections have a backend of each kind. Nothing listens on the nodes' addresses.
const sections = `
listen write
    bind unix@DIR/write
    server current 127.0.0.1:1 disabled
listen each
    bind unix@DIR/each
    server db1 10.77.0.11:3306 disabled
    server second 10.77.0.12:3306 disabled
    server db3 10.77.0.13:3307 disabled
`

func nodes() map[cluster.NodeName]netip.AddrPort {
	return map[cluster.NodeName]netip.AddrPort{"db1": netip.MustParseAddrPort("10.77.0.11:3306"),
		"db2": netip.MustParseAddrPort("10.77.0.12:3306"), "db3": netip.MustParseAddrPort("10.77.0.13:3307")}
}

func to(n cluster.NodeName, epoch cluster.Epoch) endpoint.Target {
	at := nodes()[n]
	return endpoint.Target{Epoch: epoch, Node: n, Addresses: []netip.Addr{at.Addr()}, Port: int(at.Port())}
}

func slot(sockets ...string) haproxy.Options {
	return haproxy.Options{Sockets: sockets, Backend: "write", Server: "current", Nodes: nodes(), Shutdown: true}
}

func each(sockets ...string) haproxy.Options {
	return haproxy.Options{Sockets: sockets, Backend: "each", Servers: map[cluster.NodeName]string{"db2": "second"}, Nodes: nodes(), Shutdown: true}
}

func TestABackendBehavesAsAnEndpoint(t *testing.T) {
	for name, tt := range map[string]struct {
		options func(...string) haproxy.Options
		meddles string
	}{
		"one server whose address changes": {slot, "set server write/current addr 10.77.0.12 port 3306"},
		"a server for each node":           {each, "set server each/db1 state maint; set server each/second state ready"},
	} {
		t.Run(name, func(t *testing.T) {
			endpointtest.Run(t, func(t *testing.T) endpointtest.Subject {
				h := haproxytest.Start(t, "admin", sections)
				open := func() endpoint.Endpoint { return haproxy.Open("lb", tt.options(h.Socket)) }
				return endpointtest.Subject{Endpoint: endpointtest.Elsewhere{Endpoint: open()}, Again: open, Here: to("db1", 0), There: to("db2", 0),
					Meddle:  func(context.Context) error { h.Ask(t, tt.meddles); return nil },
					Silence: func() { h.Freeze(t) }}
			})
		})
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	h := haproxytest.Start(t, "admin", sections)
	low := haproxytest.Start(t, "operator", sections)
	lower := haproxytest.Start(t, "user", sections)
	with := func(o haproxy.Options, change func(*haproxy.Options)) haproxy.Options { change(&o); return o }
	for name, tt := range map[string]struct {
		options haproxy.Options
		says    string
	}{
		"no such backend":      {with(slot(h.Socket), func(o *haproxy.Options) { o.Backend = "nope" }), `ask "show servers state nope": it answers "Can't find backend."`},
		"no such server":       {with(slot(h.Socket), func(o *haproxy.Options) { o.Server = "nope" }), "backend write has no server nope, only current"},
		"a node has no server": {with(each(h.Socket), func(o *haproxy.Options) { o.Servers = nil }), "backend each has no server db2, only db1, db3, second"},
		"nobody listens":       {slot(h.Dir + "/nobody"), h.Dir + "/nobody: connect to its runtime API: connect: no such file or directory"},
		"an operator's socket": {slot(low.Socket), "permission denied: its `stats socket` needs `level admin`"},
		"a user's socket":      {slot(lower.Socket), "permission denied: its `stats socket` needs `level admin`"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := haproxy.Open("lb", tt.options).Set(ctx, to("db1", 1))
			if err == nil || !strings.Contains(err.Error(), tt.says) || errors.Is(err, endpoint.ErrForeign) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
		})
	}
}

func TestOfSeveralTheOthersAreSetWhenOneIsDown(t *testing.T) {
	one, two := haproxytest.Start(t, "admin", sections), haproxytest.Start(t, "admin", sections)
	down := haproxytest.Start(t, "admin", sections)
	e := haproxy.Open("lb", slot(one.Socket, down.Socket, two.Socket))
	if err := e.Set(t.Context(), to("db1", 1)); err != nil {
		t.Fatal(err)
	}
	if err := endpoint.Verify(t.Context(), "lb", e, to("db1", 1)); err != nil {
		t.Error(err)
	}
	one.Ask(t, "set server write/current addr 10.77.0.12")
	if _, err := e.Observe(t.Context()); !errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), one.Socket+" leads to db2, and "+down.Socket+" to db1") {
		t.Errorf("one of them led elsewhere: %v", err)
	}
	down.Freeze(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := e.Set(ctx, to("db3", 2))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), down.Socket) || strings.Contains(err.Error(), one.Socket) {
		t.Errorf("one does not answer: %v", err)
	}
	for _, h := range []*haproxytest.HAProxy{one, two} {
		if err := endpoint.Verify(t.Context(), "lb", haproxy.Open("lb", slot(h.Socket)), to("db3", 2)); err != nil {
			t.Error(err)
		}
	}
	if _, err := e.Observe(ctx); err == nil || errors.Is(err, endpoint.ErrForeign) {
		t.Errorf("where all of them lead is not known, and it says %v", err)
	}
}

func TestWhatASecondPersonDid(t *testing.T) {
	h := haproxytest.Start(t, "admin", sections)
	e := haproxy.Open("lb", each(h.Socket))
	if err := e.Set(t.Context(), to("db1", 1)); err != nil {
		t.Fatal(err)
	}
	h.Ask(t, "set server each/db3 state ready")
	if _, err := e.Observe(t.Context()); !errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), "backend each leads to [db1 db3] at the same time") {
		t.Errorf("two at the same time: %v", err)
	}
	s := haproxy.Open("lb", slot(h.Socket))
	if err := s.Set(t.Context(), to("db1", 1)); err != nil {
		t.Fatal(err)
	}
	for _, meddles := range []string{"state maint", "state drain"} {
		h.Ask(t, "set server write/current "+meddles)
		if got, err := s.Observe(t.Context()); err != nil || got.Node != "" {
			t.Errorf("%s: leads to %s, %v", meddles, got, err)
		}
		if err := errors.Join(s.Set(t.Context(), to("db1", 1)), endpoint.Verify(t.Context(), "lb", s, to("db1", 1))); err != nil {
			t.Errorf("after %s: %v", meddles, err)
		}
	}
	h.Ask(t, "set server write/current addr 192.0.2.1")
	if _, err := s.Observe(t.Context()); !errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), "write/current is at 192.0.2.1:3306, where no node's server is") {
		t.Errorf("at a stranger's address: %v", err)
	}
}

// patience is longer than anything takes on a busy machine.
const patience = time.Minute

func TestAServerThatHAProxyFindsDownIsSeen(t *testing.T) {
	h := haproxytest.Start(t, "admin", `
listen each
    bind unix@DIR/each
    server db1 127.0.0.1:1 check inter 10ms fall 1 disabled
    server second 127.0.0.1:1 disabled
    server db3 127.0.0.1:1 disabled
`)
	e := haproxy.Open("lb", each(h.Socket))
	if err := e.Set(t.Context(), to("db1", 1)); err != nil {
		t.Fatal(err)
	}
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for limit := time.After(patience); ; {
		_, err := e.Observe(t.Context())
		if err != nil {
			const found = "each/db1 is ready, but HAProxy's own checks find it DOWN (L4CON"
			if !errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), found) {
				t.Fatalf("it says %v", err)
			}
			// While the next check is under way, HAProxy does not say what the last one met.
			if strings.Contains(err.Error(), found+", Connection refused)") {
				return
			}
		}
		select {
		case <-again.C:
		case <-limit:
			t.Fatal("it is not seen")
		}
	}
}

// TestWhatHAProxyFindsIsTold: by its own checks, which take a moment, or without any.
func TestWhatHAProxyFindsIsTold(t *testing.T) {
	at := map[cluster.NodeName]netip.AddrPort{"db1": echo(t, "db1"), "db2": echo(t, "db2")}
	h := haproxytest.Start(t, "admin", `
listen each
    bind unix@DIR/each
    server db1 `+at["db1"].String()+` check inter 10ms rise 1 disabled
    server db2 `+at["db2"].String()+` disabled
`)
	e := haproxy.Open("lb", haproxy.Options{Sockets: []string{h.Socket}, Backend: "each", Nodes: at})
	tells := func(n cluster.NodeName) string {
		if _, err := e.Observe(t.Context()); err != nil {
			t.Fatal(err)
		}
		return e.Tells()
	}
	if got := tells(""); got != "" {
		t.Errorf("while it leads nowhere: %q", got)
	}
	for n, want := range map[cluster.NodeName]string{"db1": "HAProxy at " + h.Socket + " finds each/db1 UP (L4OK)", "db2": "HAProxy at " + h.Socket + " has each/db2 ready, and does not check it"} {
		if err := e.Set(t.Context(), endpoint.Target{Node: n, Addresses: []netip.Addr{at[n].Addr()}, Port: int(at[n].Port())}); err != nil {
			t.Fatal(err)
		}
		again := time.NewTicker(10 * time.Millisecond)
		defer again.Stop()
		for limit := time.After(patience); ; {
			got := tells(n)
			if got == want {
				break
			}
			select {
			case <-again.C:
			case <-limit:
				t.Fatalf("it tells %q, want %q", got, want)
			}
		}
	}
}

// echo is a server that says its name and what it hears.
func echo(t *testing.T, name string) netip.AddrPort {
	t.Helper()
	return endpointtest.Serve(t, func(c net.Conn) {
		_, _ = io.WriteString(c, name)
		_, _ = io.Copy(c, c)
	})
}

// client connects through HAProxy and returns who answers.
func client(t *testing.T, socket string) (net.Conn, string) {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	name := make([]byte, 3)
	if _, err := io.ReadFull(c, name); err != nil {
		t.Fatalf("nobody answers: %v", err)
	}
	return c, string(name)
}

func TestSessionsToTheOldServer(t *testing.T) {
	for name, shutdown := range map[string]bool{"are ended": true, "are kept": false} {
		for kind, backend := range map[string]string{"slot": "write", "each": "each"} {
			t.Run(name+", "+kind, func(t *testing.T) {
				at := map[cluster.NodeName]netip.AddrPort{"db1": echo(t, "db1"), "db2": echo(t, "db2")}
				h := haproxytest.Start(t, "admin", `
listen write
    bind unix@DIR/write
    server current 127.0.0.1:1 disabled
listen each
    bind unix@DIR/each
    server db1 `+at["db1"].String()+` disabled
    server db2 `+at["db2"].String()+` disabled
`)
				o := haproxy.Options{Sockets: []string{h.Socket}, Backend: backend, Shutdown: shutdown, Nodes: at}
				if kind == "slot" {
					o.Server = "current"
				}
				e := haproxy.Open("lb", o)
				lead := func(n cluster.NodeName, epoch cluster.Epoch) {
					want := endpoint.Target{Epoch: epoch, Node: n, Addresses: []netip.Addr{at[n].Addr()}, Port: int(at[n].Port())}
					if err := e.Set(t.Context(), want); err != nil {
						t.Fatal(err)
					}
					if err := endpoint.Verify(t.Context(), "lb", e, want); err != nil {
						t.Fatal(err)
					}
				}
				lead("db1", 1)
				old, who := client(t, h.Dir+"/"+backend)
				if who != "db1" {
					t.Errorf("led to %s", who)
				}
				lead("db2", 2)
				if _, who := client(t, h.Dir+"/"+backend); who != "db2" {
					t.Errorf("led to %s afterwards", who)
				}
				_, _ = io.WriteString(old, "x")
				_, err := io.ReadFull(old, make([]byte, 1))
				if kept := err == nil; kept == shutdown {
					t.Errorf("kept: %t (%v)", kept, err)
				}
				lead("db2", 3) // nothing is changed, and nobody disturbed
			})
		}
	}
}

func TestWhatIsSoIsNotSetAgain(t *testing.T) {
	h := haproxytest.Start(t, "operator", sections) // may look, may not set
	o := each(h.Socket)
	if err := haproxy.Open("lb", o).Set(t.Context(), endpoint.Target{Epoch: 1}); err != nil {
		t.Errorf("all are in maintenance already: %v", err)
	}
}

func BenchmarkSwitch(b *testing.B) {
	for name, options := range map[string]func(...string) haproxy.Options{"slot": slot, "each": each} {
		b.Run(name, func(b *testing.B) {
			h := haproxytest.Start(b, "admin", sections)
			e := haproxy.Open("lb", options(h.Socket))
			var epoch cluster.Epoch
			for b.Loop() {
				epoch++
				target := to("db1", epoch)
				if epoch%2 == 0 {
					target = to("db2", epoch)
				}
				if err := e.Set(b.Context(), target); err != nil {
					b.Fatal(err)
				}
				if err := endpoint.Verify(b.Context(), "lb", e, target); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
