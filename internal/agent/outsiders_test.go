package agent

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
	"github.com/baton-db/baton/internal/endpoint/vip"
	"github.com/baton-db/baton/internal/timeline"
)

// network is what the others of db2 see, and what db2 does about it.
type network struct {
	*outsiders
	mu   sync.Mutex
	sees map[cluster.NodeName]vip.Sight
	did  did
	// tokens are whose echoes bear them, and reaches to which addresses those come.
	tokens  map[string]cluster.NodeName
	reaches map[cluster.NodeName][]string
}

// Came waits like what hears real echoes.
func (n *network) Came(ctx context.Context, token string, ip netip.Addr) bool {
	n.mu.Lock()
	came := slices.Contains(n.reaches[n.tokens[token]], ip.String())
	n.mu.Unlock()
	if !came {
		<-ctx.Done()
	}
	return came
}

func (n *network) Close() {}

// did is what db2 has done so far.
type did struct {
	asked     map[cluster.NodeName]int
	announced int
	said      map[cluster.Reason]string
}

// settled is that once nothing goes on any more.
func (n *network) settled() did {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.did
	now.asked = maps.Clone(now.asked)
	return now
}

func newNetwork() *network {
	_, ip := primary()
	n := &network{sees: map[cluster.NodeName]vip.Sight{}, did: did{asked: map[cluster.NodeName]int{}}}
	facts := map[cluster.NodeName]cluster.Fact{"db1": {MACs: []string{macDB1}}, "db2": {MACs: []string{macDB2}}, "db3": {MACs: []string{macDB3}}}
	n.outsiders = &outsiders{self: "db2", nodes: []cluster.NodeName{"db1", "db3", "w1"}, log: slog.New(slog.DiscardHandler), orders: make(chan outlook, 1),
		timeline: timeline.NewRecorder(timeline.Options{Node: "db2", Now: clock.Now}),
		facts:    func() map[cluster.NodeName]cluster.Fact { return facts },
		homes:    func() (map[netip.Addr]vip.Home, error) { return map[netip.Addr]vip.Home{ip: {MAC: macDB2}}, nil },
		ips:      []netip.Addr{ip}, own: netip.MustParseAddr("10.77.0.12"),
		hear: func(ips []netip.Addr, tokens []string) (ear, error) {
			if diff := cmp.Diff([]string{"10.77.0.10", "10.77.0.12"}, []string{ips[0].String(), ips[1].String()}); diff != "" {
				return nil, errors.New(diff)
			}
			return n, nil
		},
		ask: func(_ context.Context, of cluster.NodeName, q vip.Question) ([]vip.Sight, error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.did.asked[of]++
			if n.tokens == nil {
				n.tokens = map[string]cluster.NodeName{}
			}
			n.tokens[q.Token] = of
			s, ok := n.sees[of]
			if !ok {
				return nil, errors.New("it is gone")
			}
			s.IP = ip
			return []vip.Sight{s}, nil
		},
		announce: func(ips []netip.Addr) error {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.did.announced++
			return nil
		},
		say: func(all map[cluster.Reason]string) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.did.said = all
		}}
	n.timeline.Saw(cluster.Record{Epoch: 6, Phase: cluster.PhasePromoting, Primary: "db2", Previous: "db1"}, 60)
	return n
}

// see sets what a node sees from now on.
func (n *network) see(who cluster.NodeName, s vip.Sight) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sees[who] = s
}

func (n *network) events() map[timeline.Step][]string {
	part, _ := n.timeline.Part(6)
	all := map[timeline.Step][]string{}
	for _, e := range part.Events {
		all[e.Step] = append(all[e.Step], string(e.Outcome)+": "+e.Detail)
	}
	return all
}

// TestOthersLookAfterATakeover: the host before is dead, db3 has not heeded the first
// announcement, and the witness sees nothing wrong.
func TestOthersLookAfterATakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.see("db3", vip.Sight{Interface: "eth0", Answers: answers(macDB2), Cached: macDB1})
		n.see("w1", vip.Sight{Interface: "ens3", Answers: answers(macDB2)})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); n.run(ctx) }()

		in := tookOver(clock.Now())
		in.Host.Bound = 0
		n.tend(in) // the addresses are not bound yet
		if got := n.settled(); len(got.asked) > 0 {
			t.Fatalf("asked already: %v", got.asked)
		}
		in.Host.Bound = 2
		for range 3 {
			n.tend(in)
			synctest.Wait()
		}
		got := n.settled()
		if diff := cmp.Diff(map[cluster.NodeName]int{"db3": 1, "w1": 1}, got.asked); diff != "" || got.announced != 1 || len(got.said) > 0 {
			t.Errorf("after the first look: announced %d times, said %v, asked\n%s", got.announced, got.said, diff)
		}
		n.see("db3", vip.Sight{Interface: "eth0", Answers: answers(macDB2), Cached: macDB2})
		time.Sleep(time.Second)
		if got := n.settled(); got.announced != 1 || len(got.said) > 0 || got.asked["db1"] != 1 {
			t.Errorf("after the second: %+v", got)
		}
		want := map[timeline.Step][]string{
			"seen-from db3": {"failed: 10.77.0.10 answers with 02:00:00:00:00:12, 1.5 ms (its kernel had 02:00:00:00:00:11 (db1))", "ok: 10.77.0.10 answers with 02:00:00:00:00:12, 1.5 ms"},
			"seen-from w1":  {"ok: 10.77.0.10 answers with 02:00:00:00:00:12, 1.5 ms", "ok: 10.77.0.10 answers with 02:00:00:00:00:12, 1.5 ms"},
		}
		if diff := cmp.Diff(want, n.events()); diff != "" {
			t.Errorf("on the timeline:\n%s", diff)
		}

		// Much later somebody else answers, for good.
		time.Sleep(time.Minute)
		looks := n.settled().asked["w1"]
		n.see("w1", vip.Sight{Interface: "ens3", Answers: answers(macDB2, macForeign)})
		time.Sleep(outsidersSlow + 2*outsidersSoon)
		says := map[cluster.Reason]string{cluster.AddressForeign: macForeign + " also answers for 10.77.0.10: it is none of our hosts (seen from w1)"}
		got = n.settled()
		if diff := cmp.Diff(says, got.said); diff != "" || got.announced < 3 || looks > 10 {
			t.Errorf("a stranger: announced %d times, %d looks in the first minute, said\n%s", got.announced, looks, diff)
		}
		n.see("w1", vip.Sight{Interface: "ens3", Answers: answers(macDB2)})
		time.Sleep(outsidersSlow)
		if got := n.settled(); len(got.said) > 0 {
			t.Errorf("still said: %v", got.said)
		}
		if diff := cmp.Diff(want, n.events()); diff != "" {
			t.Errorf("what comes later is no part of the switch:\n%s", diff)
		}

		// The lease is over: nobody is asked any more.
		n.see("w1", vip.Sight{Interface: "ens3"})
		time.Sleep(outsidersSlow + 2*outsidersSoon)
		if got := n.settled(); got.said[cluster.AddressUnseen] == "" {
			t.Errorf("nobody answers, and it says %v", got.said)
		}
		in.Lease = lease.Held{}
		n.tend(in)
		before := n.settled().asked["w1"]
		time.Sleep(time.Minute)
		if got := n.settled(); got.asked["w1"] != before || len(got.said) > 0 {
			t.Errorf("asked %d times more, said %v", got.asked["w1"]-before, got.said)
		}
		stop()
		<-done
	})
}

// TestTheHostBeforeIsAskedWhereThereIsNoOther: not at once, for it gives the addresses
// up a moment after the new one has them.
func TestTheHostBeforeIsAskedWhereThereIsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.nodes = []cluster.NodeName{"db1"}
		n.see("db1", vip.Sight{Interface: "eth0", Here: []string{"10.77.0.10/32 on eth0"}})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); n.run(ctx) }()
		n.tend(tookOver(clock.Now()))
		if got := n.settled(); len(got.asked) > 0 || got.announced > 0 {
			t.Errorf("asked at once: %+v", got)
		}
		n.see("db1", vip.Sight{Interface: "eth0", Answers: answers(macDB2)})
		time.Sleep(time.Second)
		synctest.Wait()
		if diff := cmp.Diff(map[timeline.Step][]string{"seen-from db1": {"ok: 10.77.0.10 answers with 02:00:00:00:00:12, 1.5 ms"}}, n.events()); diff != "" {
			t.Error(diff)
		}
		stop()
		<-done
	})
}

// TestANodeBehindARouterLooksByEchoes: for an address on loopback, or one in another
// network. Where no echo comes through at all nothing is concluded.
func TestANodeBehindARouterLooksByEchoes(t *testing.T) {
	const own, address = "10.77.0.12", "10.77.0.10"
	routed := func(answered bool) vip.Routed {
		r := vip.Routed{Via: "10.78.1.1 on eth0", Answered: answered}
		if answered {
			r.After = 1500 * time.Microsecond
		}
		return r
	}
	for name, tt := range map[string]struct {
		sight   vip.Routed
		reaches []string
		told    string
		said    string
	}{
		"it comes here": {routed(true), []string{own, address}, "ok: an echo to 10.77.0.10 via 10.78.1.1 on eth0 comes to db2, 1.5 ms", ""},
		"it comes here, and no answer comes back": {routed(false), []string{own, address},
			"ok: an echo to 10.77.0.10 via 10.78.1.1 on eth0 comes to db2, and no answer comes back", ""},
		"the router leads to another host": {routed(true), []string{own},
			"failed: an echo to 10.77.0.10 via 10.78.1.1 on eth0 is answered elsewhere than at db2",
			"what is sent to 10.77.0.10 via 10.78.1.1 on eth0 is answered elsewhere than at db2 (seen from w1)"},
		"the router knows no way": {routed(false), []string{own},
			"failed: an echo to 10.77.0.10 via 10.78.1.1 on eth0 does not come to db2, and one to 10.77.0.12 does",
			"what is sent to 10.77.0.10 via 10.78.1.1 on eth0 does not come to db2 (seen from w1)"},
		"echoes are filtered": {routed(false), nil,
			"ok: no echo comes through to db2, neither to 10.77.0.10 via 10.78.1.1 on eth0 nor to 10.77.0.12", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				n.nodes, n.reaches = []cluster.NodeName{"w1"}, map[cluster.NodeName][]string{"w1": tt.reaches}
				n.homes = func() (map[netip.Addr]vip.Home, error) {
					return map[netip.Addr]vip.Home{netip.MustParseAddr(address): {Here: true}}, nil
				}
				n.see("w1", vip.Sight{Routed: &tt.sight})
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { defer close(done); n.run(ctx) }()
				n.tend(tookOver(clock.Now()))
				time.Sleep(outsidersSoon + 2*earWait)
				said := n.settled().said[cluster.AddressUnseen]
				if told := n.events()["seen-from w1"]; len(told) == 0 || told[0] != tt.told || said != tt.said {
					t.Errorf("on the timeline: %q, want %q\nsaid: %q, want %q", told, tt.told, said, tt.said)
				}
				stop()
				<-done
			})
		})
	}
}

func TestWhatIsDueToWhom(t *testing.T) {
	for name, tt := range map[string]struct {
		record cluster.Record
		leased bool
		want   bool
	}{
		"another one leads clients":                   {cluster.Record{Phase: cluster.PhaseSteady, Primary: "db1"}, false, true},
		"this one does":                               {cluster.Record{Phase: cluster.PhaseSteady, Primary: "db3"}, true, false},
		"this one is to":                              {cluster.Record{Phase: cluster.PhaseSteady, Primary: "db3"}, false, false},
		"a person may move them in a pause":           {cluster.Record{Phase: cluster.PhaseSteady, Primary: "db1", Paused: &cluster.Pause{}}, false, false},
		"its lease is not over":                       {cluster.Record{Phase: cluster.PhaseSteady, Primary: "db1"}, true, false},
		"during a switch nothing is taken in a hurry": {cluster.Record{Phase: cluster.PhaseElecting, Previous: "db1"}, false, false},
		"nothing is known yet":                        {cluster.Record{}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := undue("db3", tt.record, tt.leased); got != tt.want {
				t.Errorf("undue: %t", got)
			}
		})
	}
}

// handMade is a host to which somebody adds addresses.
type handMade struct {
	has    []vip.Stray
	cannot error
}

func (h *handMade) Strays([]netip.Addr) ([]vip.Stray, error) { return h.has, nil }

func (h *handMade) Remove(s vip.Stray) error {
	if h.cannot != nil {
		return h.cannot
	}
	for i, one := range h.has {
		if one.Presence == s.Presence {
			h.has = append(h.has[:i:i], h.has[i+1:]...)
			break
		}
	}
	return nil
}

func TestAHostGivesUpWhatIsNotDueToIt(t *testing.T) {
	stray := func(p string, marked bool) vip.Stray {
		return vip.Stray{Presence: vip.Presence{Prefix: netip.MustParsePrefix(p), Interface: "eth0"}, Marked: marked}
	}
	host := &handMade{has: []vip.Stray{stray("10.77.0.10/24", false), stray("10.77.0.10/32", true)}}
	var said string
	var told []cluster.NodeName
	is := false
	s := &strays{host: host, fenced: true, log: slog.New(slog.DiscardHandler), say: func(d string) { said = d },
		undue:   func() (cluster.NodeName, cluster.Epoch, bool) { return "db1", 7, is },
		removed: func(_ context.Context, n cluster.NodeName) { told = append(told, n) }}
	look := func(at time.Duration, wantSaid string, wantLeft int) {
		t.Helper()
		s.look(t.Context(), cluster.Instant(at))
		if said != wantSaid || len(host.has) != wantLeft {
			t.Errorf("at %s: says %q, want %q; has %d addresses, want %d", at, said, wantSaid, len(host.has), wantLeft)
		}
	}
	look(0, "", 2)
	is = true
	const removed = "10.77.0.10/24 on eth0 was here although db1 leads clients since epoch 7: removed"
	look(time.Second, removed, 1) // what Baton bound ends by the fence
	look(time.Minute, removed, 1)
	look(time.Minute+time.Second, "", 1)
	host.has, host.cannot = append(host.has, stray("10.77.0.10/24", false)), errors.New("remove it: the kernel would not")
	const stays = "db1 leads clients since epoch 7, and this host cannot give up an address: remove it: the kernel would not"
	look(2*time.Minute, stays, 2)
	look(5*time.Minute, stays, 2)
	host.cannot, s.fenced = nil, false // a witness has nothing to fence
	look(6*time.Minute, removed+"; 10.77.0.10/32 on eth0 was here although db1 leads clients since epoch 7: removed", 0)
	if diff := cmp.Diff([]cluster.NodeName{"db1", "db1"}, told); diff != "" {
		t.Errorf("who announces again:\n%s", diff)
	}
}

func TestSeveralMayBlameTheSame(t *testing.T) {
	l := reviewed()
	l.blame(cluster.AddressForeign, "bind", "a")
	l.blame(cluster.AddressForeign, "others", "b")
	if got := l.Conditions[cluster.AddressForeign].Detail; got != "a; b" {
		t.Errorf("it says %q", got)
	}
	l.blame(cluster.AddressForeign, "bind", "")
	if got := l.Conditions[cluster.AddressForeign].Detail; got != "b" {
		t.Errorf("it says %q", got)
	}
	l.blame(cluster.AddressForeign, "others", "")
	if len(l.Conditions) > 0 {
		t.Errorf("still: %v", l.Conditions)
	}
}
