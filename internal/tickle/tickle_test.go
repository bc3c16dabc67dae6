package tickle

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/clock"
)

// Many of each, because a firewall drops a single ACK with a probability of 3 in 4,
// by the numbers of the connection.
const idlePerHost = 24

func TestEveryIdleClientOfAHostThatVanishedIsReset(t *testing.T) {
	for name, firewalls := range map[string][]string{
		"behind a switch, and behind a router":                        nil,
		"with strict stateful firewalls on the client and the router": {"near", "rt"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, fmt.Sprintf("f%d", len(firewalls)))
			for _, host := range firewalls {
				l.strict(host)
			}
			l.serve("db1")
			var idle []net.Conn
			back := map[*net.TCPConn]dialled{} // those that will have come back from the same port
			for _, host := range []string{"near", "far"} {
				for _, to := range services() {
					for range idlePerHost {
						idle = append(idle, l.dial(host, to, 0))
					}
					d := dialled{host, to, uint16(20_000 + len(back))} // none that the kernel would give to another
					back[l.dial(d.host, d.to, d.from)] = d
				}
			}
			known := l.connected("db1")
			if len(known) != len(idle)+len(back) {
				t.Fatalf("the old host knows %d connections, want %d", len(known), len(idle)+len(back))
			}

			must(t, l.SetPort(t.Context(), "db1", false))
			l.serve("db2")
			l.takeOver()
			var alive []net.Conn
			// Nothing may be started meanwhile: a fork holds the sockets for a moment.
			for c, d := range back {
				must(t, c.SetLinger(0))
				must(t, c.Close())
				alive = append(alive, l.dial(d.host, d.to, d.from), l.dial(d.host, d.to, 0))
			}
			for range 2 { // again does no harm
				sent, err := l.send(known, Options{})
				if want := (Sent{Connections: len(known)}); err != nil || sent != want {
					t.Fatalf("sent %+v and %v, want %+v", sent, err, want)
				}
			}

			for _, c := range idle {
				wantReset(t, c)
			}
			for _, c := range alive {
				if err := echo(c); err != nil {
					t.Errorf("a connection with the new host, from %s: %v", c.LocalAddr(), err)
				}
			}
		})
	}
}

// TestWhoHasAnsweredIsHeard: the client's answer to one packet is enough.
func TestWhoHasAnsweredIsHeard(t *testing.T) {
	l := newLab(t, "heard")
	l.serve("db1")
	for _, to := range services() {
		for range 3 {
			l.dial("near", to, 0)
		}
	}
	known := l.connected("db1")
	must(t, l.SetPort(t.Context(), "db1", false))
	l.takeOver()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	want := []int{1, len(known) - 2} // of the others nothing is heard, for nothing was sent
	var got []int
	must(t, l.Do("db2", func() error {
		from := sockets{}
		defer from.close()
		for _, c := range known {
			if err := from.open(c.Local.Addr()); err != nil {
				return err
			}
		}
		heard, err := hear(known, from)
		if err != nil {
			return err
		}
		defer heard.close()
		for _, i := range want {
			if err := from.send(known[i], numbers()[0]); err != nil {
				return err
			}
		}
		for len(got) < len(want) && ctx.Err() == nil {
			heard.take(func(i int) { got = append(got, i) })
		}
		return ctx.Err()
	}))
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("heard %v, want %v", got, want)
	}
}

// TestASYNWithACKPassesAStrictFirewall: one packet for each, whatever the connection's
// numbers; of ACKs with any one pair of numbers three in four are dropped.
func TestASYNWithACKPassesAStrictFirewall(t *testing.T) {
	l := newLab(t, "synack")
	l.strict("near")
	l.strict("rt")
	l.serve("db1")
	var idle []net.Conn
	for _, host := range []string{"near", "far"} {
		for _, to := range services() {
			for range idlePerHost {
				idle = append(idle, l.dial(host, to, 0))
			}
		}
	}
	known := l.connected("db1")
	must(t, l.SetPort(t.Context(), "db1", false))
	l.takeOver()
	must(t, l.Do("db2", func() error {
		from := sockets{}
		defer from.close()
		for _, c := range known {
			if err := errors.Join(from.open(c.Local.Addr()), from.send(c, synAck())); err != nil {
				return err
			}
		}
		return nil
	}))
	for _, c := range idle {
		wantReset(t, c)
	}
}

type dialled struct {
	host string
	to   netip.AddrPort
	from uint16
}

func TestNobodySpeaksForAnAddressThatIsNotHis(t *testing.T) {
	l := newLab(t, "own")
	l.serve("db1")
	c := l.dial("near", services()[0], 0)
	sent, err := l.send(l.connected("db1"), Options{})
	if !errors.Is(err, syscall.EADDRNOTAVAIL) || sent != (Sent{}) {
		t.Fatalf("sent %+v and %v, want nothing: db1 has the address", sent, err)
	}
	must(t, echo(c))

	known := l.connected("db1")
	must(t, l.SetPort(t.Context(), "db1", false))
	l.takeOver()
	asked := 0
	sent, err = l.send(known, Options{May: func() bool { asked++; return false }})
	if !errors.Is(err, ErrMayNot) || sent != (Sent{}) || asked != 1 {
		t.Errorf("sent %+v and %v after %d questions, want nothing: it may not", sent, err, asked)
	}
}

func TestAPacketIsWhatTheRFCsSayByteForByte(t *testing.T) {
	for name, tt := range map[string]struct {
		from, to string
		want     string
	}{
		"IPv4": {"10.77.0.50:3306", "10.77.1.21:40000",
			"45000028000040004006" + "0000" + "0a4d0032" + "0a4d0115" + // its checksum is the kernel's affair
				"0cea9c40" + "80000000" + "00000000" + "501004d2" + "6bf7" + "0000"},
		"IPv6": {"[fd77::50]:3306", "[fd77:1::21]:40000",
			"6000000000140640" + "fd770000000000000000000000000050" + "fd770001000000000000000000000021" +
				"0cea9c40" + "80000000" + "00000000" + "501004d2" + "8676" + "0000"},
	} {
		t.Run(name, func(t *testing.T) {
			b := packet(netip.MustParseAddrPort(tt.from), netip.MustParseAddrPort(tt.to), number{1 << 31, 0, ackFlag})
			if got := hex.EncodeToString(b); got != tt.want {
				t.Errorf("\ngot  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestSendingEndsWithItsContext(t *testing.T) {
	l := newLab(t, "ctx")
	must(t, l.SetPort(t.Context(), "db1", false))
	l.takeOver()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	many := make([]Connection, 10*burst)
	for i := range many {
		many[i] = Connection{Local: services()[0], Remote: netip.AddrPortFrom(netip.MustParseAddr("10.77.0.21"), uint16(20000+i))}
	}
	asked := 0
	var err error
	must(t, l.Do("db2", func() error {
		// At this rate it would take an hour.
		_, err = Send(ctx, many, Options{Rate: 1, May: func() bool {
			if asked++; asked == 1 {
				cancel()
			}
			return true
		}})
		return nil
	}))
	if !errors.Is(err, context.Canceled) || asked != 1 {
		t.Errorf("%v after %d bursts, want the end of the context after one", err, asked)
	}
}

// BenchmarkTakeover is the time from the moment at which the new host has the
// addresses until the last idle client has its reset, with the tickle of each: of clients
// on the same switch, and of those behind a router with a strict stateful firewall.
func BenchmarkTakeover(b *testing.B) {
	for _, where := range []struct{ name, host, firewall string }{{"switch", "near", ""}, {"firewall", "far", "rt"}} {
		for _, n := range []int{100, 1000, 10_000} {
			for _, to := range services() {
				b.Run(fmt.Sprintf("%s/%s/%d", where.name, map[bool]string{true: "IPv4", false: "IPv6"}[to.Addr().Is4()], n), func(b *testing.B) {
					var resets, sendings, worked []time.Duration
					for round := 0; b.Loop(); round++ {
						b.StopTimer()
						l := newLab(b, fmt.Sprintf("b%d-%d-%d", n, to.Addr().BitLen(), round))
						if where.firewall != "" {
							l.strict(where.firewall)
						}
						reset, sending, work := l.takeOverFrom(b, where.host, n, to)
						resets, sendings, worked = append(resets, reset), append(sendings, sending), append(worked, work)
						b.StartTimer()
					}
					slices.Sort(resets)
					slices.Sort(sendings)
					slices.Sort(worked)
					for unit, d := range map[string]time.Duration{
						"ms/last-reset-median": resets[len(resets)/2], "ms/last-reset-max": resets[len(resets)-1], "ms/sending-median": sendings[len(sendings)/2],
						"cpu-ms/sending-median": worked[len(worked)/2],
					} {
						b.ReportMetric(float64(d.Microseconds())/1000, unit)
					}
				})
			}
		}
	}
}

// takeOverFrom has a host's idle clients lose their server, and another host tell them. The
// work of the sending thread has what the kernel does in its place in it: on one machine,
// where hosts are namespaces, the way of every packet and of what answers it.
func (l *lab) takeOverFrom(b *testing.B, host string, n int, to netip.AddrPort) (took, sending, work time.Duration) {
	b.Helper()
	l.serveApart("db1")
	conns := make([]net.Conn, n)
	must(b, l.Do(host, func() (err error) {
		for i := range conns {
			if conns[i], err = dial(b.Context(), to, 0); err != nil {
				return err
			}
			if err = echo(conns[i]); err != nil { // accepted: no queue runs over
				return err
			}
		}
		return nil
	}))
	known := l.connected("db1")
	must(b, l.SetPort(b.Context(), "db1", false))
	l.serve("db2")
	l.takeOver()

	var last time.Duration
	var mu sync.Mutex
	var readers, waiting sync.WaitGroup
	begun := clock.Now() // set anew below, before anything is sent
	waiting.Add(n)
	for _, c := range conns {
		must(b, c.SetDeadline(time.Time{}))
		readers.Go(func() {
			waiting.Done()
			_, err := c.Read(make([]byte, 1))
			at := clock.Now()
			c.Close()
			mu.Lock()
			defer mu.Unlock()
			if !errors.Is(err, syscall.ECONNRESET) {
				b.Errorf("%v, want a reset", err)
			}
			last = max(last, at.Sub(begun))
		})
	}
	waiting.Wait()
	mu.Lock()
	begun = clock.Now()
	mu.Unlock()
	must(b, l.Do("db2", func() error {
		before := cpu(b)
		sent, err := Send(b.Context(), known, Options{})
		work = time.Duration(cpu(b) - before)
		if err == nil && sent.Connections != n {
			err = fmt.Errorf("sent %+v", sent)
		}
		return err
	}))
	sending = clock.Now().Sub(begun)
	readers.Wait()
	return last, sending, work
}
