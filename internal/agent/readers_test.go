package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/core/lease"
	"github.com/baton-db/baton/internal/core/readers"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/endpoint/vip"
)

var (
	r4 = netip.MustParseAddr("10.77.0.60")
	r6 = netip.MustParseAddr("fd77::60")
)

// readerHost is a host with addresses for readers, whose kernel ends them by the test's
// clock.
type readerHost struct {
	*readerAddresses
	cell   *readerCell
	kernel map[netip.Addr]cluster.Instant
	did    []string
	broken bool // it cannot take any
	// dropped is called when it has given something up.
	dropped func()
	status  readersSaid
}

// readerCell is three of them, of which db1 is primary, and the network between them.
type readerCell struct {
	hosts map[cluster.NodeName]*readerHost
	now   cluster.Instant
	down  map[cluster.NodeName]bool // frozen, or cut off
}

func newReaderCell() *readerCell {
	c := &readerCell{hosts: map[cluster.NodeName]*readerHost{}, now: 100 * second, down: map[cluster.NodeName]bool{}}
	for _, n := range []cluster.NodeName{"db1", "db2", "db3"} {
		h := &readerHost{cell: c, kernel: map[netip.Addr]cluster.Instant{}}
		h.readerAddresses = &readerAddresses{self: n, agent: "x", addresses: []netip.Addr{r4, r6}, ports: []uint16{3306}, maxLag: 10 * time.Second, orPrimary: true,
			hold: 3 * time.Second, set: h, log: slog.New(slog.DiscardHandler), kick: make(chan struct{}, 1), now: func() cluster.Instant { return c.now },
			book:    readers.Book{Lasts: 5 * time.Second, Nodes: []cluster.NodeName{"db1", "db2", "db3"}, Self: n},
			claimed: map[string]cluster.Instant{}, until: map[netip.Addr]cluster.Instant{},
			held:    func() lease.Held { return lease.Held{Epoch: h.look.epoch, Until: c.now.Add(time.Second)} },
			members: func() vip.Members { return vip.Members{"02:00:00:00:00:02": "db2"} },
			reset: func(_ context.Context, at []netip.AddrPort) (int, error) {
				h.did = append(h.did, fmt.Sprintf("reset %v", at))
				return 1, nil
			},
			say: func(s readersSaid) { h.status = s },
			ask: func(_ context.Context, of cluster.NodeName, q readers.Question) (readers.Answer, error) {
				if c.down[of] || c.down[n] {
					return readers.Answer{}, errors.New("nobody answers")
				}
				return c.hosts[of].answer(n, q)
			}}
		c.hosts[n] = h
	}
	c.reign("db1", 5, "db2", "db3")
	return c
}

// reign is a look of every node that reaches the store: who is primary and serves, and
// who else is well.
func (c *readerCell) reign(primary cluster.NodeName, epoch cluster.Epoch, well ...cluster.NodeName) {
	look := readersLook{at: c.now, epoch: epoch, primary: primary}
	for _, n := range well {
		look.well = append(look.well, readers.Node{Name: n, Settled: true})
	}
	for n, h := range c.hosts {
		if !c.down[n] {
			own := look
			own.gives = n == primary
			own.able = slices.Contains(well, n) || own.gives && h.orPrimary
			h.tend(own)
		}
	}
}

// turn lets some time pass in which everybody asks.
func (c *readerCell) turn(t *testing.T, seconds int) {
	t.Helper()
	for range 4 * seconds {
		c.now = c.now.Add(250 * time.Millisecond)
		for _, n := range slices.Sorted(maps.Keys(c.hosts)) {
			h := c.hosts[n]
			h.mu.Lock()
			h.look.at = c.now
			h.mu.Unlock()
			if !c.down[n] {
				h.readerAddresses.turn(t.Context())
				c.where(t) // not only when all have spoken
			}
		}
	}
}

// where is who has what. Nobody may have what another has.
func (c *readerCell) where(t *testing.T) map[netip.Addr]cluster.NodeName {
	t.Helper()
	all := map[netip.Addr]cluster.NodeName{}
	for n, h := range c.hosts {
		for ip, until := range h.kernel {
			if until <= c.now {
				delete(h.kernel, ip)
			} else if all[ip] != "" {
				t.Fatalf("%s is on %s and on %s", ip, n, all[ip])
			} else {
				all[ip] = n
			}
		}
	}
	return all
}

func (c *readerCell) expect(t *testing.T, what string, four, six cluster.NodeName) {
	t.Helper()
	want := map[netip.Addr]cluster.NodeName{r4: four, r6: six}
	maps.DeleteFunc(want, func(_ netip.Addr, n cluster.NodeName) bool { return n == "" })
	if diff := cmp.Diff(want, c.where(t), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("%s: who has the addresses (-want +got):\n%s", what, diff)
	}
}

// TestADeadPrimaryThatIsAskedDelaysNobody: a replica that is elected gives up what it has at
// once, though its question to the dead one is under way.
func TestADeadPrimaryThatIsAskedDelaysNobody(t *testing.T) {
	c := newReaderCell()
	c.turn(t, 10)
	db2 := c.hosts["db2"]
	had := len(db2.kernel)
	asked, gone := make(chan struct{}), make(chan struct{})
	first := true
	db2.ask = func(ctx context.Context, _ cluster.NodeName, _ readers.Question) (readers.Answer, error) {
		if first {
			first = false
			close(asked)
		}
		<-ctx.Done() // a dead host: it answers never
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Error("it was waited for until its time was over")
		}
		return readers.Answer{}, ctx.Err()
	}
	ctx, cancel := context.WithCancel(t.Context())
	db2.hold, db2.every = time.Hour, time.Hour
	var all sync.WaitGroup
	all.Go(func() { db2.run(ctx) })
	<-asked
	db2.dropped = func() { close(gone) }
	c.now = c.now.Add(100 * time.Millisecond)
	own := readersLook{at: c.now, epoch: 6, primary: "db2"}
	db2.tend(own)
	<-gone
	cancel()
	all.Wait()
	if had == 0 || len(db2.kernel) != 0 {
		t.Errorf("it had %d and has %v", had, db2.kernel)
	}
}

func (h *readerHost) Bind(_ context.Context, claim vip.Claim) (report vip.BindReport, err error) {
	for _, ip := range claim.Of {
		a := vip.AddressReport{Address: vip.Address{IP: ip, Interface: "eth0"}, Outcome: vip.Bound}
		switch {
		case h.broken:
			a.Outcome, a.Owner, err = vip.Foreign, net.HardwareAddr{2, 0, 0, 0, 0, 0x99}, vip.ErrForeignOwner
		case h.kernel[ip] > h.cell.now:
			a.Outcome = vip.AlreadyBound
		}
		if !h.broken {
			h.kernel[ip] = claim.Until
		}
		report = append(report, a)
	}
	return report, err
}

func (h *readerHost) DropSome(_ context.Context, ips ...netip.Addr) error {
	for _, ip := range ips {
		h.did = append(h.did, "drop "+ip.String())
		delete(h.kernel, ip)
	}
	if h.dropped != nil {
		h.dropped()
	}
	return nil
}

func (h *readerHost) Observe(context.Context) (o vip.Observation, err error) {
	for _, ip := range h.addresses {
		is := h.kernel[ip] > h.cell.now
		o.Addresses = append(o.Addresses, vip.AddressState{Address: vip.Address{IP: ip, Interface: "eth0"}, Present: is, Bound: is})
	}
	return o, nil
}

func (h *readerHost) Reannounce() error { return nil }

func TestReadersAreLedToReplicasThatAreWell(t *testing.T) {
	c := newReaderCell()
	c.turn(t, 1)
	c.expect(t, "all is well", "db2", "db3")
	if h := c.hosts["db3"]; !slices.Equal(h.status.have, []string{"fd77::60"}) {
		t.Errorf("db3 says that it has %v", h.status.have)
	}
	c.hosts["db3"].did = nil
	c.reign("db1", 5, "db2") // db3 is too far behind
	c.turn(t, 1)
	c.expect(t, "db3 is too far behind", "db2", "db2")
	if diff := cmp.Diff([]string{"reset [[fd77::60]:3306]", "drop fd77::60"}, c.hosts["db3"].did); diff != "" {
		t.Errorf("what db3 did: %s", diff)
	}
	c.reign("db1", 5, "db2", "db3")
	c.turn(t, 1)
	c.expect(t, "it has caught up", "db3", "db2")
	c.reign("db1", 5)
	c.turn(t, 1)
	c.expect(t, "no replica is well", "db1", "db1")
	c.reign("db1", 5, "db2")
	c.turn(t, 1)
	c.expect(t, "one is", "db2", "db2")
}

func TestAReplicaThatIsCutOffLosesItsAddressesByItself(t *testing.T) {
	c := newReaderCell()
	c.turn(t, 1)
	c.down["db3"] = true // frozen: nothing of it runs
	c.turn(t, 2)
	c.expect(t, "its time is not over", "db2", "db3")
	c.turn(t, 4)
	c.expect(t, "it is, though it still counts as well", "db2", "db2")
	c.down["db3"] = false
	c.turn(t, 1)
	c.expect(t, "it is back", "db3", "db2")
}

func TestANewPrimaryGoesOnWithWhatIsSo(t *testing.T) {
	c := newReaderCell()
	c.turn(t, 1)
	c.down["db1"] = true
	c.reign("", 6, "db2", "db3")
	c.turn(t, 1)
	c.expect(t, "while a new primary is elected", "db2", "db3")
	c.reign("db2", 6, "db3")
	c.turn(t, 1)
	c.expect(t, "db2 had the other one itself, so nobody is waited for", "db3", "db3")
	c.reign("db2", 6)
	c.turn(t, 1)
	c.expect(t, "no replica is left", "db2", "db2")
}

func TestAPrimaryThatBeginsAnewKnowsNothingOfWhatItHadBefore(t *testing.T) {
	c := newReaderCell()
	c.reign("db1", 5)
	c.turn(t, 7)
	c.expect(t, "no replica is well", "db1", "db1")
	c.reign("db1", 5, "db2", "db3")
	c.turn(t, 1)
	c.expect(t, "two are", "db2", "db3")
	c.reign("db1", 7, "db2", "db3") // such as after a switchover that was rolled back
	c.turn(t, 1)
	c.expect(t, "the same primary in another reign", "db2", "db3")
}

func TestANewPrimaryWaitsForWhoMayHaveAnAddress(t *testing.T) {
	c := newReaderCell()
	c.turn(t, 1)
	c.down["db1"], c.down["db2"] = true, true // db2 still has an address, by its kernel
	c.reign("db3", 6)
	c.turn(t, 1)
	c.expect(t, "db2's time is not over", "db2", "db3")
	c.turn(t, 5)
	c.expect(t, "it is", "db3", "db3")
}

func TestAnAddressThatIsOnNoHostIsSaid(t *testing.T) {
	c := newReaderCell()
	for _, h := range c.hosts {
		h.orPrimary = false
	}
	c.reign("db1", 5)
	c.turn(t, 4)
	if why := c.hosts["db1"].status.nowhere; why != "" {
		t.Errorf("too early: %s", why)
	}
	c.turn(t, 3)
	if why := c.hosts["db1"].status.nowhere; why != "10.77.0.60 is on no host: no replica is well and at most 10s behind; fd77::60 is on no host: no replica is well and at most 10s behind" {
		t.Errorf("db1 says %q", why)
	}
	if why := c.hosts["db2"].status.nowhere; why != "" {
		t.Errorf("db2, which is not asked, says %q", why)
	}
	c.reign("db1", 5, "db3")
	c.turn(t, 1)
	c.expect(t, "one is well again", "db3", "db3")
	if why := c.hosts["db1"].status.nowhere; why != "" {
		t.Errorf("db1 still says %q", why)
	}
}

func TestWhoCannotTakeAnAddressIsPassedOver(t *testing.T) {
	c := newReaderCell()
	c.hosts["db2"].broken = true // somebody else has them where db2 looks
	c.turn(t, 2)
	c.expect(t, "db2 finds a stranger", "db3", "db3")
	if why := c.hosts["db2"].status.foreign; why != "" {
		t.Errorf("db2, which is not to have one any more, says %q", why)
	}
	c.hosts["db2"].broken = false
	c.turn(t, 31)
	c.expect(t, "it is tried again after a while", "db2", "db3")
}

func TestOnlyAPrimaryThatServesGivesAddresses(t *testing.T) {
	c := newReaderCell()
	h := c.hosts["db1"]
	for name, change := range map[string]func(*readers.Question){
		"":                           func(*readers.Question) {},
		"of another reign":           func(q *readers.Question) { q.Epoch = 4 },
		"its lease is over":          func(*readers.Question) { h.held = func() lease.Held { return lease.Held{Epoch: 5, Until: c.now} } },
		"its loop has stood still":   func(*readers.Question) { c.now = c.now.Add(4 * time.Second) },
		"it is not primary any more": func(*readers.Question) { h.look.gives = false },
	} {
		c := c
		held := h.held
		q := readers.Question{Epoch: 5, Agent: name, Seq: 1}
		h.look.gives, h.look.at = true, c.now
		change(&q)
		_, err := h.answer("db2", q)
		if (err == nil) != (name == "") || err != nil && !strings.Contains(err.Error(), "does not serve as primary") {
			t.Errorf("%q: %v", name, err)
		}
		h.held = held
	}
}

// TestWhomTheLoopFindsWell is what one look comes to, by the same judgement as that of the
// names.
func TestWhomTheLoopFindsWell(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*named)
		want   []readers.Node
		able   bool
	}{
		"both replicas": {func(*named) {}, []readers.Node{{Name: "db2", Behind: 4 * time.Second, Settled: true}, {Name: "db3", Behind: 5 * time.Second, Settled: true}}, true},
		"one is held":   {func(n *named) { n.in.Own.Held = "diverged" }, []readers.Node{{Name: "db2", Behind: 4 * time.Second, Settled: true}}, false},
		"one is far behind": {func(n *named) {
			n.readers.maxLag = 25 * time.Second
			n.change("db2", func(s *decide.Seen[cluster.Fact]) { s.Value.Server.Executed = gtid.MustParse("0-1-100") })
		}, []readers.Node{{Name: "db2", Behind: 19 * time.Second}, {Name: "db3", Behind: 5 * time.Second, Settled: true}}, true},
		"this one is primary": {func(n *named) { n.in.Record.Primary = "db3" }, nil, false},
		"and serves": {func(n *named) {
			n.in.Record.Primary, n.in.Host.Gate = "db3", reconcile.GateOpenLeased
			n.in.Own.Server.ReadOnly, n.in.Own.Server.Replica, n.in.Lease = false, cluster.ReplicaFact{}, lease.Held{Epoch: 5, Until: 200 * second}
		}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNamed()
			n.readers = newReaderCell().hosts["db3"].readerAddresses
			n.readers.self = "db3"
			tt.change(n)
			n.hearStore(n.in, n.w)
			n.tendReaders(n.in)
			if diff := cmp.Diff(tt.want, n.readers.look.well); diff != "" || n.readers.look.able != tt.able {
				t.Errorf("readers may be led here: %t, and to %s", n.readers.look.able, diff)
			}
		})
	}
}
