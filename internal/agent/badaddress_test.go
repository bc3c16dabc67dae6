package agent

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/core/lease"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/endpoint/vip"
	"github.com/baton-db/baton/internal/timeline"
)

// twoHosts are this thread's network namespace and another one, which ends with the
// test, on one cable: 10.9.0.1 on e0 here, 10.9.0.2 there.
func twoHosts(t *testing.T) (here int, there func(args ...string)) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED, NOTHING WAS TESTED: a network namespace needs root")
	}
	// Never unlocked: the thread, which is in the namespace, ends with the test.
	runtime.LockOSThread()
	other, err := netns.New()
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() { other.Close() })
	own, err := netns.New()
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() { own.Close() })
	ip(t, "link", "add", "e0", "type", "veth", "peer", "name", "e1")
	far, err := netlink.LinkByName("e1")
	if err == nil {
		err = netlink.LinkSetNsFd(far, int(other))
	}
	if err != nil {
		t.Fatal(err)
	}
	there = func(args ...string) {
		t.Helper()
		if err := netns.Set(other); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := netns.Set(own); err != nil {
				t.Fatal(err)
			}
		}()
		ip(t, args...)
	}
	for _, name := range []string{"lo", "e0"} {
		ip(t, "link", "set", name, "up")
	}
	ip(t, "addr", "add", "10.9.0.1/24", "dev", "e0")
	there("link", "set", "e1", "up")
	there("addr", "add", "10.9.0.2/24", "dev", "e1")
	return int(own), there
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v: %s", args, err, out)
	}
}

// TestAnAddressThatCannotBeBoundIsNamedEverywhere: status, log and timeline say why; it is
// tried again and bound once that is mended; and the primary takes writes all the while.
func TestAnAddressThatCannotBeBoundIsNamedEverywhere(t *testing.T) {
	for name, tt := range map[string]struct {
		on           string
		spoil, mend  func(t *testing.T, there func(...string))
		says, reason string
	}{
		"the interface does not exist": {"e7", func(*testing.T, func(...string)) {}, func(t *testing.T, _ func(...string)) {
			ip(t, "link", "set", "e0", "down")
			ip(t, "link", "set", "e0", "name", "e7")
			ip(t, "link", "set", "e7", "up")
		},
			"e7", ""},
		"the interface goes down": {"e0", func(t *testing.T, _ func(...string)) { ip(t, "link", "set", "e0", "down") }, func(t *testing.T, _ func(...string)) { ip(t, "link", "set", "e0", "up") },
			"interface e0 is down", ""},
		"a foreign host has the address": {"e0", func(t *testing.T, there func(...string)) { there("addr", "add", "10.9.0.50/32", "dev", "e1") }, func(t *testing.T, there func(...string)) { there("addr", "del", "10.9.0.50/32", "dev", "e1") },
			"10.9.0.50", "which is no node of this cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			here, there := twoHosts(t)
			var log written
			l := reviewed()
			l.log = slog.New(slog.NewTextHandler(&log, nil))
			set, err := vip.New(vip.Config{Cluster: "shop", Namespace: here, Addresses: []vip.Address{{IP: netip.MustParseAddr("10.9.0.50"), Interface: tt.on}}}, l.log)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := set.Close(); err != nil {
					t.Error(err)
				}
			})
			tt.spoil(t, there)

			s := &stage{fails: map[string]bool{}, alive: true}
			h := s.hands()
			h.log, h.keeper = l.log, l.keeper
			l.keeper.keeps.Held = lease.Held{Epoch: 5, Until: clock.Now().Add(time.Hour)}
			h.situation = func() (cluster.Record, map[cluster.NodeName]cluster.Fact) { return l.Board.Record, nil }
			h.vip = &vipOf{Set: set, log: l.log, blame: func(why cluster.Reason, detail string) { l.blame(why, "bind", detail) }}
			l.Board.Record.Phase = cluster.PhasePromoting
			l.timeline = h.timeline
			h.timeline.Saw(l.Board.Record, l.Board.RecordRev)
			l.lanes = &lanes{perform: h.perform, results: make(chan finished, 2), timeline: h.timeline, log: l.log, cancels: map[reconcile.Lane]context.CancelFunc{}}
			l.Host.Addresses = 1
			step := []reconcile.Step{{Kind: reconcile.BindAddresses, Lane: reconcile.LaneAddress, Epoch: 5}}
			attempt := func() {
				t.Helper()
				wake := l.lanes.want(t.Context(), step, clock.Now())
				if wake != 0 { // it rests after a failure
					wait := time.NewTimer(wake.Sub(clock.Now()))
					<-wait.C
					l.lanes.want(t.Context(), step, clock.Now())
				}
				select {
				case f := <-l.lanes.results:
					l.finished(f)
				case <-time.After(20 * time.Second):
					t.Fatal("the attempt does not end")
				}
			}
			attempt()
			for range 20 { // on a busy machine an owner may answer too late to be found
				if l.Host.Bound == 0 {
					break
				}
				if err := set.Drop(t.Context()); err != nil {
					t.Fatal(err)
				}
				attempt()
			}

			l.Board.Record.Phase = cluster.PhaseSteady
			l.Assess(cluster.Fact{Node: "db1", Serving: 5})
			status := l.Conditions[cluster.EndpointWrong].Detail
			if !strings.HasPrefix(status, "0 of 1 virtual addresses are bound on the primary and answer: ") || !strings.Contains(status, tt.says) {
				t.Errorf("status says %q, want that it says %q", status, tt.says)
			}
			if got := l.Conditions[cluster.AddressForeign].Detail; (got != "") != (tt.reason != "") || !strings.Contains(got, tt.reason) {
				t.Errorf("of a foreign host status says %q, want that it says %q", got, tt.reason)
			}
			if got := log.String(); !strings.Contains(got, "step failed, will be tried again") || !strings.Contains(got, tt.says) {
				t.Errorf("the log does not say %q:\n%s", tt.says, got)
			}
			part, _ := h.timeline.Part(5)
			if !slices.ContainsFunc(part.Events, func(e timeline.Event) bool {
				return e.Step == timeline.StepAddress && e.Outcome == timeline.Failed && strings.Contains(e.Detail, tt.says)
			}) {
				t.Errorf("the timeline has %+v, want that it says %q", part.Events, tt.says)
			}

			// The reign begins all the same: it waits for addresses for a while, and no longer.
			w := l.World(l.senses(clock.Now()))
			w.Record.Phase, w.PhaseAt = cluster.PhasePromoting, clock.Now()
			w.Settings.PromoteStall = time.Second
			w.Facts = map[cluster.NodeName]decide.Seen[cluster.Fact]{"db1": {Value: cluster.Fact{Node: "db1", Serving: 5, Marked: 5, Server: cluster.ServerFact{State: cluster.ServerUp}}, At: clock.Now(), Rev: 99}}
			w.Lease, w.StoreSilent = lease.Watch{Holder: "db1", Epoch: 5, SeenAt: w.PhaseAt.Add(time.Second), Rev: 60}, false
			if out := decide.Next(w, w.PhaseAt.Add(900*time.Millisecond)); out.Next != nil || out.Why != cluster.AwaitingEndpoints {
				t.Errorf("at first it comes to %+v", out)
			}
			if out := decide.Next(w, w.PhaseAt.Add(1100*time.Millisecond)); out.Next == nil || out.Next.Phase != cluster.PhaseSteady || out.Next.Primary != "db1" {
				t.Errorf("then it comes to %+v", out)
			}

			tt.mend(t, there)
			for tries := 1; l.Host.Bound == 0; tries++ {
				if attempt(); tries > 20 {
					t.Fatalf("it is mended, and not bound: %s", log.String())
				}
			}
			l.Assess(cluster.Fact{Node: "db1", Serving: 5})
			if left := l.Conditions[cluster.EndpointWrong].Detail + l.Conditions[cluster.AddressForeign].Detail; left != "" {
				t.Errorf("once it is bound, status says %q", left)
			}
		})
	}
}
