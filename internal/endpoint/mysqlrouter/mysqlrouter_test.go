package mysqlrouter_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/db/dbtest"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/daemon"
	"github.com/baton-db/baton/internal/endpoint/endpointtest"
	"github.com/baton-db/baton/internal/endpoint/mysqlrouter"
)

func to(at map[cluster.NodeName]netip.AddrPort, n cluster.NodeName, epoch cluster.Epoch) endpoint.Target {
	return endpoint.Target{Epoch: epoch, Node: n, Addresses: []netip.Addr{at[n].Addr()}, Port: int(at[n].Port())}
}

func lead(t testing.TB, e *mysqlrouter.Endpoint, target endpoint.Target) {
	t.Helper()
	if err := errors.Join(e.Set(t.Context(), target), endpoint.Verify(t.Context(), "router", e, target)); err != nil {
		t.Fatal(err)
	}
}

func TestASectionBehavesAsAnEndpoint(t *testing.T) {
	endpointtest.Run(t, func(t *testing.T) endpointtest.Subject {
		r := newRouter(t).start()
		return endpointtest.Subject{Endpoint: endpointtest.Elsewhere{Endpoint: r.open(nowhere())}, Again: func() endpoint.Endpoint { return r.open(nowhere()) },
			Here: to(nowhere(), "db1", 0), There: to(nowhere(), "db2", 0), Silence: r.freeze,
			Meddle: func(context.Context) error {
				return os.WriteFile(r.path("shop.conf"), []byte("[routing:shop]\ndestinations = 127.0.0.1:2\n"), 0o644)
			}}
	})
}

// TestClientsAreLedWhereItSays: real servers behind it are asked who they are, and a
// client that was connected is cut.
func TestClientsAreLedWhereItSays(t *testing.T) {
	r := newRouter(t).start()
	at, servers := map[cluster.NodeName]netip.AddrPort{}, map[cluster.NodeName]*dbtest.Server{}
	for id, n := range []cluster.NodeName{"db1", "db2"} {
		s := dbtest.Start(t, dbtest.Options{ID: uint32(id + 1)})
		s.Exec(t, "SET GLOBAL read_only=0", "CREATE USER who@'%' IDENTIFIED BY 'x'")
		at[n], servers[n] = netip.AddrPortFrom(netip.MustParseAddr(s.Host), uint16(s.Port)), s
	}
	e := r.open(at, func(o *mysqlrouter.Options) { o.User, o.Password = "who", "x" })
	lead(t, e, to(at, "db1", 1))
	client, err := net.Dial("tcp", r.listen.String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_ = client.SetDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(client, make([]byte, 20)); err != nil {
		t.Fatalf("nobody greets: %v", err)
	}
	lead(t, e, to(at, "db2", 2))
	if _, err := io.Copy(io.Discard, client); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a client of the old primary is connected still")
	}
	if got := e.Tells(); !strings.HasPrefix(got, "through "+r.listen.String()+" server_id 2 of ") {
		t.Errorf("it tells %q", got)
	}
	pid := r.pid()
	lead(t, e, to(at, "db2", 3))
	if r.pid() != pid {
		t.Error("another reign of the same primary restarted it")
	}

	swapped := map[cluster.NodeName]netip.AddrPort{"db1": at["db2"], "db2": at["db1"]}
	wrong := r.open(swapped, func(o *mysqlrouter.Options) { o.User, o.Password = "who", "x" })
	if _, err := wrong.Observe(t.Context()); !errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), "db1 answers at "+r.listen.String()) || !strings.Contains(err.Error(), "shop.conf names db2: is that the port of [routing:shop]?") {
		t.Errorf("another node answers: %v", err)
	}
	strange := r.open(map[cluster.NodeName]netip.AddrPort{"db1": at["db1"], "db2": at["db1"]}, func(o *mysqlrouter.Options) { o.User, o.Password = "who", "x" })
	if _, err := strange.Observe(t.Context()); !errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), "answers at "+r.listen.String()+", which is no node's server") {
		t.Errorf("a stranger answers: %v", err)
	}
	silent := r.open(map[cluster.NodeName]netip.AddrPort{"db1": netip.MustParseAddrPort("127.0.0.1:1"), "db2": at["db1"]}, func(o *mysqlrouter.Options) { o.User, o.Password = "who", "x" })
	if _, err := silent.Observe(t.Context()); !errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), "names db2, which is another server. It may be one of the replicas that cannot be asked: db1 (dial tcp 127.0.0.1:1: connect: connection refused); is that") {
		t.Errorf("it may be a replica that is down: %v", err)
	}
	denied := r.open(at, func(o *mysqlrouter.Options) { o.User, o.Password = "who", "wr0ng" })
	if _, err := denied.Observe(t.Context()); err == nil || errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), "Access denied for user 'who'") || strings.Contains(err.Error(), "wr0ng") {
		t.Errorf("a wrong password: %v", err)
	}
	servers["db2"].Kill(t)
	if _, err := e.Observe(t.Context()); err == nil || errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), "ask who answers at "+r.listen.String()) || !strings.Contains(err.Error(), "Can't connect to remote MySQL server") {
		t.Errorf("a primary that is dead: %v", err)
	}
}

// TestWhatTheRouterDoesNotComeUpWithIsTakenBack: another file of the same router's is
// wrong, which shows only when it begins anew.
func TestWhatTheRouterDoesNotComeUpWithIsTakenBack(t *testing.T) {
	r := newRouter(t).start()
	lead(t, r.open(nowhere()), to(nowhere(), "db1", 1))
	good, main := r.read("shop.conf"), r.read("main.conf")
	// A restart that says so, and mends nothing, as systemctl does.
	refused := r.open(nowhere(), func(o *mysqlrouter.Options) {
		o.Restart = []string{"sh", "-c", "if grep -q '::1' " + o.File + "; then echo 'Job for mysqlrouter.service failed' >&2; exit 1; fi; " + r.restart()}
	})
	pid := r.pid()
	err := refused.Set(t.Context(), to(nowhere(), "db2", 2))
	if err == nil || !strings.Contains(err.Error(), "Job for mysqlrouter.service failed") || !strings.Contains(err.Error(), "what was there before is back") {
		t.Errorf("it says %v", err)
	}
	if r.read("shop.conf") != good {
		t.Errorf("the file holds %s", r.read("shop.conf"))
	}
	r.await("it was restarted with what was there before", func() bool { return r.pid() != 0 && r.pid() != pid && r.dials() })

	// The real one refuses what it reads, and does not run any more.
	breaks := r.open(nowhere(), func(o *mysqlrouter.Options) {
		o.Restart = []string{"sh", "-c", "if grep -q '::1' " + o.File + "; then echo 'bind_address = nonsense nonsense' >>" + r.path("main.conf") + "; else cp " + r.path("main.good") + " " + r.path("main.conf") + "; fi; " + r.restart()}
	})
	r.write("main.good", main)
	err = r.until("it has failed", breaks, to(nowhere(), "db2", 2), r.failed)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "MySQL Router has not come up with it, its log says why") {
		t.Errorf("it says %v", err)
	}
	if r.read("shop.conf") != good {
		t.Errorf("the file holds %s", r.read("shop.conf"))
	}
	r.await("it listens again, with what was there before", r.dials)
	lead(t, r.open(nowhere()), to(nowhere(), "db2", 2))
}

func TestARouterThatDoesNotRun(t *testing.T) {
	r := newRouter(t)
	e := r.open(nowhere())
	if err := e.Set(t.Context(), to(nowhere(), "db1", 1)); err != nil || !strings.Contains(r.read("shop.conf"), "destinations = 127.0.0.1:1\n") {
		t.Errorf("the file is not written: %v, %s", err, r.read("shop.conf"))
	}
	if _, err := e.Observe(t.Context()); err == nil || errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), "MySQL Router does not run") {
		t.Errorf("it says %v", err)
	}
	if err := daemon.NextTick(t.Context(), daemon.Ticks()); err != nil {
		t.Fatal(err)
	}
	if err := endpoint.Verify(t.Context(), "router", r.start().open(nowhere()), to(nowhere(), "db1", 1)); err != nil {
		t.Errorf("once it runs: %v", err)
	}
	// Its file came while it was being started, so it may have read the one before.
	note := strings.Replace(r.read("note-loaded.json"), `"ticks":`, `"ticks":9`, 1)
	r.write("note-loaded.json", note)
	if _, err := e.Observe(t.Context()); !errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), "has not read "+r.path("shop.conf")+": it is older") {
		t.Errorf("one that is older than the file: %v", err)
	}
	pid := r.pid()
	lead(t, e, to(nowhere(), "db1", 1))
	if r.pid() == pid {
		t.Error("it was not restarted")
	}
	r.stop()
	for name, holds := range map[string]string{"the number of another program": strconv.Itoa(os.Getpid()), "no number": "x", "nothing": ""} {
		r.write("pid", holds)
		if _, err := e.Observe(t.Context()); err == nil || errors.Is(err, endpoint.ErrForeign) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	r := newRouter(t)
	main := r.read("main.conf")
	r.write("main.conf", main+strings.TrimPrefix(r.read("shop.conf"), "[routing:shop]\n"))
	r.args = r.args[:1]
	r.start()
	pid := r.pid()
	const says = "was started without "
	if err := r.open(nowhere()).Set(t.Context(), to(nowhere(), "db2", 1)); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "start it with --extra-config="+r.path("shop.conf")) {
		t.Errorf("a router without the file: %v", err)
	}
	if r.pid() != pid || !strings.Contains(r.read("shop.conf"), "127.0.0.1:1") {
		t.Error("it was restarted, or the file replaced, for nothing")
	}
	r.stop()

	r.write("main.conf", main)
	r.args = append(r.args, "-a", r.path("shop.conf"))
	r.start()
	lead(t, r.open(nowhere()), to(nowhere(), "db1", 1))
	other := r.open(nowhere(), func(o *mysqlrouter.Options) {
		o.Listen = netip.AddrPortFrom(o.Listen.Addr(), 9)
	})
	if _, err := other.Observe(t.Context()); err == nil || errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), "does not listen on port 9") {
		t.Errorf("another port: %v", err)
	}
	if err := other.Set(t.Context(), endpoint.Target{Epoch: 9}); err == nil || !strings.Contains(err.Error(), "cannot lead nowhere") {
		t.Errorf("nowhere: %v", err)
	}
	idle := r.open(nowhere(), func(o *mysqlrouter.Options) { o.Restart = []string{"touch", r.path("told")} })
	err := r.until("it was told", idle, to(nowhere(), "db2", 2), func() bool { _, err := os.Stat(r.path("told")); return err == nil })
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "what was there before is back") {
		t.Errorf("a restart that restarts nothing: %v", err)
	}
	// What it had read last is in place again, but with a note that it is to be read anew.
	lead(t, r.open(nowhere()), to(nowhere(), "db1", 3))

	r.freeze()
	asks := r.open(nowhere(), func(o *mysqlrouter.Options) { o.User = "app" })
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := asks.Observe(ctx); err == nil || !strings.Contains(err.Error(), "ask who answers at "+r.listen.String()+": no answer within ") {
		t.Errorf("one that hangs: %v", err)
	}
}

// TestSIGHUPReadsNoDestinations is why there is a restart. MySQL Router has no command
// for it, and its REST interface only reads.
func TestSIGHUPReadsNoDestinations(t *testing.T) {
	r := newRouter(t)
	says := func(name string) netip.AddrPort {
		return endpointtest.Serve(t, func(c net.Conn) {
			_, _ = io.WriteString(c, "\x05\x00\x00\x00\xff\x51\x04"+name)
		})
	}
	greets := func() string {
		c, err := net.Dial("tcp", r.listen.String())
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		b, _ := io.ReadAll(c)
		return string(b)
	}
	config := func(at netip.AddrPort) {
		r.write("shop.conf", "[routing:shop]\nrouting_strategy = first-available\ndestinations = "+at.String()+"\n")
	}
	config(says("on"))
	r.start()
	config(says("tw"))
	if err := os.Remove(r.path("mysqlrouter.log")); err != nil {
		t.Fatal(err)
	}
	r.await("it has heard the signal, at which it opens its log anew", func() bool {
		r.signal(syscall.SIGHUP) // one that comes while it begins may be lost
		_, err := os.Stat(r.path("mysqlrouter.log"))
		return err == nil
	})
	if got := greets(); !strings.Contains(got, "on") {
		t.Errorf("after a SIGHUP %q answers: a restart is not needed any more", got)
	}
	r.signal(syscall.SIGTERM)
	r.await("it has begun anew", func() bool { return strings.Contains(greets(), "tw") })
}

func BenchmarkRestart(b *testing.B) {
	r := newRouter(b).start()
	e := r.open(nowhere())
	var epoch cluster.Epoch
	for b.Loop() {
		epoch++
		n := cluster.NodeName("db1")
		if epoch%2 == 0 {
			n = "db2"
		}
		lead(b, e, to(nowhere(), n, epoch))
	}
}
