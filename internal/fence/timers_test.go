package fence

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"
)

// watchOf is the server's end of a client's connection, once the client's connect is
// accepted.
func watchOf(t *testing.T, l *lab, c net.Conn) Watch {
	t.Helper()
	var all []Watch
	l.host.do(func() (err error) { all, err = Watches(t.Context(), testScope()); return err })
	for _, w := range all {
		if w.Socket == serverSide(c) {
			if !w.Told {
				t.Fatalf("the kernel tells nothing of %+v", w)
			}
			return w
		}
	}
	t.Fatalf("%v is not among %+v", serverSide(c), all)
	return Watch{}
}

// accepting serves one connection at a time, and hands the server's end over.
func accepting(t *testing.T, s *space, port int) func() *net.TCPConn {
	t.Helper()
	var listener net.Listener
	s.do(func() (err error) {
		without := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: false}, KeepAlive: -1}
		listener, err = without.Listen(t.Context(), "tcp", netip.AddrPortFrom(virtual4, uint16(port)).String())
		return err
	})
	t.Cleanup(func() { listener.Close() })
	return func() *net.TCPConn {
		c, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c.(*net.TCPConn)
	}
}

// tick is how exactly the kernel tells times, in milliseconds: in jiffies, rounded.
const tick = 20

func TestWhoAsksWhetherTheOtherSideIsThere(t *testing.T) {
	l := newLab(t)
	accept := accepting(t, l.host, dbPort)
	dial := func(probes net.KeepAliveConfig) (client net.Conn, server *net.TCPConn) {
		l.client.do(func() (err error) {
			d := net.Dialer{KeepAlive: -1, KeepAliveConfig: probes, Timeout: 5 * time.Second}
			client, err = d.DialContext(context.Background(), "tcp", netip.AddrPortFrom(virtual4, dbPort).String())
			return err
		})
		t.Cleanup(func() { client.Close() })
		return client, accept()
	}

	silent, _ := dial(net.KeepAliveConfig{})
	quiet := watchOf(t, l, silent)
	if quiet.Timer != NoTimer {
		t.Errorf("a connection that nobody watches has the timer %d", quiet.Timer)
	}

	watched, server := dial(net.KeepAliveConfig{})
	if err := server.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if w := watchOf(t, l, watched); w.Timer != Keepalive || w.Expires > time.Hour.Milliseconds() || w.Expires < (50*time.Minute).Milliseconds() {
		t.Errorf("the server asks after an hour, but the timer is %d and has %d ms to go", w.Timer, w.Expires)
	}

	// A client's own probe: one more segment, no data, and no acknowledgement taken in.
	asking, _ := dial(net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 100})
	before := watchOf(t, l, asking)
	began := time.Now()
	for again := time.NewTicker(100 * time.Millisecond); ; <-again.C {
		passed := uint32(time.Since(began).Milliseconds())
		w := watchOf(t, l, asking)
		if w.SegmentsIn > before.SegmentsIn {
			if w.DataIn != before.DataIn || w.DataOut != before.DataOut || w.Timer != NoTimer {
				t.Errorf("a probe counts as %+v, before %+v", w, before)
			}
			if least := before.SinceAckIn + passed; w.SinceAckIn+tick < least {
				t.Errorf("after a probe the last acknowledgement is %d ms old, want %d: it counts as one", w.SinceAckIn, least)
			}
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("no probe came: %+v", w)
		}
	}
	if w := watchOf(t, l, silent); w.SegmentsIn != quiet.SegmentsIn {
		t.Errorf("a client that asks nothing has sent %d segments since its connect", w.SegmentsIn-quiet.SegmentsIn)
	}

	// The answer to a probe of the server's own is an acknowledgement taken in.
	answering, server := dial(net.KeepAliveConfig{})
	before = watchOf(t, l, answering)
	if err := server.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second}); err != nil {
		t.Fatal(err)
	}
	for again, began := time.NewTicker(50*time.Millisecond), time.Now(); ; <-again.C {
		if w := watchOf(t, l, answering); w.SegmentsIn > before.SegmentsIn {
			if w.SinceAckIn >= uint32(time.Since(began).Milliseconds()) {
				t.Errorf("after an answer the last acknowledgement is %d ms old: it does not count as one", w.SinceAckIn)
			}
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatal("no answer came")
		}
	}
}
