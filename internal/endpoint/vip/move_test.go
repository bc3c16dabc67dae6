package vip_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint/vip"
)

func TestClientsWithWarmNeighbourEntriesAreLedToTheNewHost(t *testing.T) {
	l := newLab(t)
	l.db1.serve(t)
	l.db2.serve(t)
	old, next := l.db1.set(t), l.db2.set(t)
	bind(t, old)
	both := []netip.Addr{vip4, vip6}
	for _, c := range []*host{l.cl, l.cl2} {
		for _, ip := range both {
			c.awaitReach(t, ip, l.db1)
		}
	}
	for _, c := range []*host{l.cl, l.rt} { // those whose entries are stale after the move
		for _, ip := range both {
			if mac := c.neighbour(t, ip); mac != l.db1.mac {
				t.Fatalf("%s has no warm entry for %s: %q", c.name, ip, mac)
			}
		}
	}

	drop(t, old)
	report := bind(t, next, l.db1)
	for _, c := range []*host{l.cl, l.cl2} {
		for _, ip := range both {
			c.awaitReach(t, ip, l.db2)
		}
	}
	for _, r := range report {
		if r.Outcome != vip.Bound || r.Owner != nil || r.Probe == 0 || r.Add == 0 || r.Announce == 0 {
			t.Errorf("report of a fresh bind: %+v", r)
		}
	}
	for _, c := range []*host{l.cl, l.rt} {
		for _, ip := range both {
			if mac := c.neighbour(t, ip); mac != l.db2.mac {
				t.Errorf("%s still has %s at %s", c.name, ip, mac)
			}
		}
	}
}

func TestAnAnnouncementThatWasLostIsRepeated(t *testing.T) {
	l := newLab(t)
	l.db1.serve(t)
	l.db2.serve(t)
	old, next := l.db1.set(t), l.db2.set(t)
	bind(t, old)
	for _, ip := range []netip.Addr{vip4, vip6} {
		l.cl.awaitReach(t, ip, l.db1)
	}
	drop(t, old)
	l.sw.sh(t, `nft 'add table bridge f; add chain bridge f fw { type filter hook forward priority 0; }; add rule bridge f fw iifname "v-db2" drop'`)
	bind(t, next)
	for _, ip := range []netip.Addr{vip4, vip6} {
		if mac := l.cl.neighbour(t, ip); mac == l.db2.mac {
			t.Fatalf("the client heard of %s through a closed switch", ip)
		}
	}
	l.sw.sh(t, "nft delete table bridge f")
	runSet(t, next)
	for _, ip := range []netip.Addr{vip4, vip6} {
		l.cl.awaitReach(t, ip, l.db2)
	}
}

// dialer connects all the time from one host and counts what becomes of it.
type dialer struct {
	connects, refused atomic.Int64
	hung, reset       atomic.Int64
	by                sync.Map // host name -> *atomic.Int64
	firstErr          atomic.Value
}

func (d *dialer) run(ctx context.Context, ip netip.Addr) {
	for ctx.Err() == nil {
		name, connected, err := dial(ip, patience)
		switch {
		case errors.Is(err, unix.ECONNRESET):
			// Also where connect reports it: a reset that answers a SYN would be
			// ECONNREFUSED (RFC 9293 3.10.7.3), so this handshake had succeeded
			// before the client's thread ran again.
			d.reset.Add(1)
		case !connected:
			d.refused.Add(1)
			d.firstErr.CompareAndSwap(nil, err.Error())
		case errors.Is(err, os.ErrDeadlineExceeded):
			d.hung.Add(1)
		default:
			d.connects.Add(1)
			n, _ := d.by.LoadOrStore(name, new(atomic.Int64))
			n.(*atomic.Int64).Add(1)
		}
	}
}

func (d *dialer) answered(by *host) int64 {
	n, ok := d.by.Load(by.name)
	if !ok {
		return 0
	}
	return n.(*atomic.Int64).Load()
}

// synRetransmissions is how often this host's kernel sent a SYN again.
func (h *host) synRetransmissions(t testing.TB) int {
	t.Helper()
	var names []string
	for line := range strings.Lines(h.sh(t, "cat /proc/net/netstat")) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != "TcpExt:" {
			continue
		}
		if names == nil {
			names = f
			continue
		}
		for i, name := range names {
			if name == "TCPSynRetrans" {
				n, err := strconv.Atoi(f[i])
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
		}
	}
	t.Fatal("the kernel does not count TCPSynRetrans")
	return 0
}

// The order of a planned switch as the agent keeps it: the old host falls
// silent, the new one binds and announces, and only when the clients are there
// the old one resets the rest and drops the address.
func TestMakeBeforeBreakFailsNoConnectAndCostsNoRetransmission(t *testing.T) {
	l := newLab(t)
	l.db1.serve(t)
	l.db2.serve(t)
	old, next := l.db1.set(t), l.db2.set(t)
	runSet(t, old)
	runSet(t, next)
	bind(t, old)
	for _, ip := range []netip.Addr{vip4, vip6} {
		l.cl.awaitReach(t, ip, l.db1)
	}
	found, err := next.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := l.cl.synRetransmissions(t)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	dialers := map[netip.Addr]*dialer{vip4: {}, vip6: {}}
	var clients sync.WaitGroup
	for ip, d := range dialers {
		for range 3 {
			clients.Go(func() { l.cl.in(func() { d.run(ctx, ip) }) })
		}
	}
	more := func(by *host, n int64) {
		for ip, d := range dialers {
			had := d.answered(by)
			await(t, func() bool { return d.answered(by) >= had+n },
				func() string { return "no more connections to " + ip.String() + " end at " + by.name })
		}
	}
	more(l.db1, 100)
	if err := old.Mute(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := next.Bind(t.Context(), vip.Claim{Until: in(patience * 4), Members: membersOf(l.db1), Probed: found}); err != nil {
		t.Fatal(err)
	}
	more(l.db2, 1)
	for _, ip := range []netip.Addr{vip4, vip6} {
		l.db1.sh(t, "ss -K src "+bracketed(ip)+" >/dev/null")
	}
	drop(t, old)
	more(l.db2, 100)
	stop()
	clients.Wait()

	for ip, d := range dialers {
		t.Logf("%s: %d connects, %d answered by db1, %d by db2, %d reset when db1 let go", ip, d.connects.Load(), d.answered(l.db1), d.answered(l.db2), d.reset.Load())
		if d.refused.Load() > 0 || d.hung.Load() > 0 {
			t.Errorf("%s: %d connects failed (%v), %d hung", ip, d.refused.Load(), d.firstErr.Load(), d.hung.Load())
		}
	}
	if n := l.cl.synRetransmissions(t) - before; n != 0 {
		t.Errorf("%d SYNs were sent again", n)
	}
}

func TestARollbackUnmutesAndAnnouncesAgain(t *testing.T) {
	l := newLab(t)
	l.db1.serve(t)
	l.db2.serve(t)
	old, next := l.db1.set(t), l.db2.set(t)
	bind(t, old)
	if err := old.Mute(t.Context()); err != nil {
		t.Fatal(err)
	}
	bind(t, next) // the candidate came so far, and its epoch ended
	for _, ip := range []netip.Addr{vip4, vip6} {
		l.cl.awaitReach(t, ip, l.db2)
	}
	drop(t, next)
	for _, r := range bind(t, old) {
		if r.Outcome != vip.AlreadyBound || r.Announce == 0 {
			t.Errorf("binding again after mute: %+v", r)
		}
	}
	if observe(t, old).Muted {
		t.Error("still muted")
	}
	for _, ip := range []netip.Addr{vip4, vip6} {
		l.cl.awaitReach(t, ip, l.db1)
	}
}

func TestAnOwnerThatIsFoundDecidesWhetherToBind(t *testing.T) {
	l := newLab(t)
	owner, s := l.db1.set(t), l.db2.set(t)
	bind(t, owner)
	found, err := s.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, ip := range []netip.Addr{vip4, vip6} {
		if got := found[ip].Owner.String(); got != l.db1.mac {
			t.Errorf("the probe for %s found %q, want %s", ip, got, l.db1.mac)
		}
	}

	t.Run("an unknown one is left in peace", func(t *testing.T) {
		reports, err := s.Bind(t.Context(), vip.Claim{Until: in(patience), Members: membersOf(l.cl)})
		wantError(t, err, vip.ErrForeignOwner)
		for _, r := range reports {
			if r.Outcome != vip.Foreign || r.Reason != cluster.AddressForeign || r.Owner.String() != l.db1.mac {
				t.Errorf("report: %+v", r)
			}
		}
		if bound := observe(t, s).Bound(); bound != nil {
			t.Errorf("bound all the same: %v", bound)
		}
	})
	t.Run("a member whose reign is over does not keep it", func(t *testing.T) {
		for _, probed := range []vip.Findings{nil, found} {
			for _, r := range bindWith(t, s, vip.Claim{Until: in(patience), Members: membersOf(l.db1), Probed: probed}) {
				if r.Outcome != vip.Bound || r.Reason != cluster.AddressDuplicate || r.Node != "db1" || r.Owner.String() != l.db1.mac {
					t.Errorf("report: %+v", r)
				}
			}
			drop(t, s)
		}
	})
	t.Run("an unknown one that was found earlier is looked for again", func(t *testing.T) {
		drop(t, owner)
		for _, r := range bindWith(t, s, vip.Claim{Until: in(patience), Probed: found}) {
			if r.Outcome != vip.Bound || r.Owner != nil || r.Probe == 0 {
				t.Errorf("report: %+v", r)
			}
		}
	})
	t.Run("an earlier probe that found nobody is believed", func(t *testing.T) {
		drop(t, s)
		free, err := s.Probe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range bindWith(t, s, vip.Claim{Until: in(patience), Probed: free}) {
			if r.Outcome != vip.Bound || r.Probe != 0 {
				t.Errorf("report: %+v", r)
			}
		}
	})
}

func bindWith(t testing.TB, s *vip.Set, c vip.Claim) vip.BindReport {
	t.Helper()
	r, err := s.Bind(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestANeighbourLearnsWhatAskReturns(t *testing.T) {
	l := newLab(t)
	owner, other := l.db1.set(t), l.db2.set(t)
	hasty := l.db2.set(t, func(c *vip.Config) { c.AskWait = 50 * time.Millisecond })
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, ip := range []netip.Addr{vip4, vip6} {
		_, err := hasty.Ask(t.Context(), "eth0", ip)
		wantError(t, err, vip.ErrNobody)
		_, err = other.Ask(gone, "eth0", ip)
		wantError(t, err, context.Canceled)
	}
	bind(t, owner)
	for _, ip := range []netip.Addr{vip4, vip6} {
		mac, err := other.Ask(t.Context(), "eth0", ip)
		if err != nil || mac.String() != l.db1.mac {
			t.Errorf("ask for %s: %v, %v", ip, mac, err)
		}
		if got := l.db2.neighbour(t, ip); got != "" {
			t.Errorf("asking left an entry for %s behind: %s", ip, got)
		}
	}
}

// bracketed writes an address as ss reads it.
func bracketed(ip netip.Addr) string {
	if ip.Is6() {
		return "[" + ip.String() + "]"
	}
	return ip.String()
}
