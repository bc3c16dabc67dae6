package fence

import (
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
)

var clientTargets = []netip.Addr{virtual4, virtual6, own4, own6}

func TestClosedGateRefusesEveryClientAtItsFirstSYN(t *testing.T) {
	l := newLab(t)
	serve(l.host)
	l.client.dial(virtual4, dbPort).Close() // before there is a gate, all is open
	g := openGate(l.host, testConfig())
	if m := mode(t, g); m != Closed {
		t.Fatalf("a new gate is %s, want closed", m)
	}
	for _, to := range clientTargets {
		l.client.wantRefused(to, dbPort)
	}
	l.client.wantRefused(virtual4, adminPort)
	for _, to := range []netip.Addr{loopback4, loopback6, virtual4, own4} {
		l.host.wantRefused(to, dbPort) // this host's own clients are clients too
	}
	must(t, g.OpenReadOnly(t.Context()))
	for _, to := range clientTargets {
		l.client.dial(to, dbPort)
	}
	l.host.dial(loopback6, dbPort)
	if m := mode(t, g); m != ReadOnly {
		t.Fatalf("the gate is %s, want read-only", m)
	}
}

func TestOtherPortsStayOpenWhileTheGateIsClosed(t *testing.T) {
	l := newLab(t)
	serve(l.host)
	cfg := testConfig()
	cfg.Ports = []uint16{dbPort}
	openGate(l.host, cfg)
	l.client.wantRefused(own4, dbPort)
	l.client.dial(own4, adminPort)
}

func TestClosingTheGateResetsAnEstablishedClientThatSpeaks(t *testing.T) {
	l := newLab(t)
	serve(l.host)
	g := openGate(l.host, testConfig())
	must(t, g.OpenUntil(t.Context(), clock.Now().Add(time.Minute)))
	for _, to := range clientTargets {
		c := l.client.dial(to, dbPort)
		must(t, g.Close(t.Context()))
		if _, err := io.WriteString(c, "anybody there?\n"); err != nil {
			t.Fatal(err)
		}
		wantReset(t, c)
		must(t, g.OpenUntil(t.Context(), clock.Now().Add(time.Minute)))
	}
}

func TestNoByteOfALateAnswerLeaves(t *testing.T) {
	l := newLab(t)
	srv := serve(l.host)
	g := openGate(l.host, testConfig())
	for _, open := range []bool{true, false} { // the first shows that the test can see an answer
		must(t, g.OpenReadOnly(t.Context()))
		c := l.client.dial(virtual4, dbPort)
		if _, err := io.WriteString(c, "hold\n"); err != nil {
			t.Fatal(err)
		}
		held := <-srv.accepted
		if !open {
			must(t, g.Close(t.Context()))
		}
		if _, err := io.WriteString(held, "OK\n"); err != nil {
			t.Fatal(err)
		}
		if open {
			if got, err := io.ReadAll(io.LimitReader(c, 3)); err != nil || string(got) != "OK\n" {
				t.Fatalf("read %q, %v through the open gate", got, err)
			}
			continue
		}
		// The reset travels behind whatever has left before it.
		l.host.do(func() error { _, err := DestroyClientSockets(t.Context(), testScope()); return err })
		wantReset(t, c)
	}
}

func TestTheKernelEndsTheLeaseByItself(t *testing.T) {
	l := newLab(t)
	serve(l.host)
	g := openGate(l.host, testConfig())
	end := clock.Now().Add(300 * time.Millisecond)
	must(t, g.OpenUntil(t.Context(), end))
	st, err := g.State(t.Context())
	must(t, err)
	if st.Mode == Leased && (st.Remaining <= 0 || st.Remaining > 300*time.Millisecond) {
		t.Fatalf("state %+v just after opening for 300ms", st)
	}
	wantShutAfter(t, l, end)
	if m := mode(t, g); m != Closed {
		t.Fatalf("after the lease the gate is %s, want closed", m)
	}
}

// wantShutAfter connects again and again, and fails if an attempt that began
// after the end of the lease gets through.
func wantShutAfter(t *testing.T, l *lab, end cluster.Instant) {
	t.Helper()
	for {
		begun := clock.Now()
		c, err := l.client.tryDial(virtual4, dbPort)
		if err == nil {
			c.Close()
		}
		if begun < end {
			continue
		}
		if err == nil {
			t.Fatalf("a client connected %v after the end of the lease", begun.Sub(end))
		}
		return
	}
}

// The two bounds are shown one by one: with the other one far away.
func TestEitherBoundAloneClosesTheGate(t *testing.T) {
	hour := time.Hour
	for name, tt := range map[string]struct {
		timeout time.Duration
		end     time.Duration // from now, on the wall clock
		want    Mode
	}{
		"both in the future":                            {hour, hour, Leased},
		"a late agent: the timeout began after the end": {hour, -time.Millisecond, Closed},
		"the wall clock was set back by an hour":        {time.Millisecond, hour, Closed},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			serve(l.host)
			g := openGate(l.host, testConfig())
			b := newBatch(g.table)
			g.addOpen(b, Leased, tt.timeout, time.Now().Add(tt.end))
			must(t, b.commit(t.Context(), g.nft))
			if tt.want == Leased {
				l.client.dial(virtual4, dbPort)
			} else {
				until(t, "the gate is shut", func() bool { return mode(t, g) == Closed })
				l.client.wantRefused(virtual4, dbPort)
			}
			if m := mode(t, g); m != tt.want {
				t.Fatalf("the gate is %s, want %s", m, tt.want)
			}
		})
	}
}

func TestAnAgentStoppedBetweenComputingAndCallingDoesNotOpen(t *testing.T) {
	l := newLab(t)
	serve(l.host)
	g := openGate(l.host, testConfig())
	end := clock.Now().Add(50 * time.Millisecond)
	timeout, wallEnd, ok := kernelBounds(end)
	if !ok {
		t.Fatal("the test itself was stopped for 50ms")
	}
	b := newBatch(g.table)
	g.addOpen(b, Leased, timeout+time.Hour, wallEnd) // however much was left
	<-time.After(end.Sub(clock.Now()) + 5*time.Millisecond)
	must(t, b.commit(t.Context(), g.nft))
	l.client.wantRefused(virtual4, dbPort)
}

func TestALeaseThatHasEndedIsRefusedAndClosesTheGate(t *testing.T) {
	l := newLab(t)
	serve(l.host)
	g := openGate(l.host, testConfig())
	must(t, g.OpenReadOnly(t.Context()))
	if err := g.OpenUntil(t.Context(), clock.Now()); !errors.Is(err, ErrLate) {
		t.Fatalf("opened for a lease that has ended: %v, want ErrLate", err)
	}
	l.client.wantRefused(virtual4, dbPort)
	if m := mode(t, g); m != Closed {
		t.Fatalf("the gate is %s, want closed", m)
	}
}

func TestRenewalKeepsAConnectionThatOutlivesManyLeases(t *testing.T) {
	l := newLab(t)
	serve(l.host)
	g := openGate(l.host, testConfig())
	must(t, g.OpenUntil(t.Context(), clock.Now().Add(time.Minute)))
	c := l.client.dial(virtual4, dbPort)
	for range 200 { // each replaces the lease while the client talks
		must(t, g.OpenUntil(t.Context(), clock.Now().Add(time.Minute)))
		must(t, echo(c))
	}
}

func TestNodesPassUnlessTheyAreCut(t *testing.T) {
	l := newLab(t)
	serve(l.host)
	g := openGate(l.host, testConfig())
	idle4, idle6 := l.peer.dial(own4, dbPort), l.peer.dial(own6, dbPort) // the gate is closed
	l.peer.wantRefused(virtual4, dbPort)                                 // a client on a node's host is a client
	l.peer.wantRefused(virtual6, dbPort)

	must(t, g.Cut(t.Context(), "db2"))
	wantReset(t, idle4) // although it said nothing
	wantReset(t, idle6)
	l.peer.wantRefused(own4, dbPort)
	l.peer.wantRefused(own6, dbPort)
	st, err := g.State(t.Context())
	must(t, err)
	if len(st.Cut) != 1 || st.Cut[0] != "db2" {
		t.Fatalf("cut nodes %v, want db2", st.Cut)
	}
	must(t, g.OpenReadOnly(t.Context())) // opening for clients does not uncut
	l.peer.wantRefused(own4, dbPort)

	must(t, g.Uncut(t.Context(), "db2"))
	l.peer.dial(own4, dbPort)
	if err := g.Cut(t.Context(), "nobody"); err == nil {
		t.Fatal("cut a node that does not exist")
	}
}

func TestABlockedSourceIsGoneAtOnceForAReceiverThatWaits(t *testing.T) {
	l := newLab(t)
	serve(l.peer) // the old source
	g := openGate(l.host, testConfig())
	receiver4, receiver6 := l.host.dial(peer4, dbPort), l.host.dial(peer6, dbPort)
	other := l.host.dial(peer4, adminPort)
	must(t, g.Block(t.Context(), netip.AddrPortFrom(peer4, dbPort), netip.AddrPortFrom(peer6, dbPort)))
	for _, r := range []io.Reader{receiver4, receiver6} {
		if _, err := r.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Fatalf("the receiver reads on: %v", err)
		}
	}
	l.host.wantRefused(peer4, dbPort)
	l.host.wantRefused(peer6, dbPort)
	must(t, echo(other)) // only that port is blocked
	st, err := g.State(t.Context())
	must(t, err)
	if len(st.Blocked) != 2 {
		t.Fatalf("blocked %v, want both", st.Blocked)
	}
	must(t, g.Unblock(t.Context(), st.Blocked...))
	l.host.dial(peer4, dbPort)
	l.host.dial(peer6, dbPort)
}

// Traffic of an established connection is cut also where its socket could not
// be destroyed: the rules alone are looked at.
func TestBlockedSourceResetsWhoeverSpeaks(t *testing.T) {
	l := newLab(t)
	srv := serve(l.peer)
	g := openGate(l.host, testConfig())
	for _, sourceSpeaks := range []bool{false, true} {
		c := l.host.dial(peer4, dbPort)
		if _, err := io.WriteString(c, "hold\n"); err != nil {
			t.Fatal(err)
		}
		held := <-srv.accepted
		must(t, g.setSources(t.Context(), []netip.AddrPort{netip.AddrPortFrom(peer4, dbPort)}, true))
		if sourceSpeaks {
			if _, err := io.WriteString(held, "event\n"); err != nil {
				t.Fatal(err)
			}
			wantReset(t, held)
		} else {
			if _, err := io.WriteString(c, "ack\n"); err != nil {
				t.Fatal(err)
			}
			wantReset(t, c)
		}
		must(t, g.Unblock(t.Context(), netip.AddrPortFrom(peer4, dbPort)))
	}
}

// until waits for a condition.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain until %s", patience, what)
		}
		<-tick.C
	}
}
