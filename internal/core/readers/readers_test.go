package readers

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/core/cluster"
)

var (
	a1 = netip.MustParseAddr("10.0.0.1")
	a2 = netip.MustParseAddr("10.0.0.2")
	a3 = netip.MustParseAddr("fd00::3")
)

func none(cluster.NodeName, netip.Addr) bool { return false }

func TestWhoIsToHaveTheAddresses(t *testing.T) {
	type had = map[netip.Addr]cluster.NodeName
	at := func(name cluster.NodeName, behind time.Duration) Node {
		return Node{name, behind, behind < 5*time.Second}
	}
	db2, db3 := at("db2", 0), at("db3", time.Second)
	for name, tt := range map[string]struct {
		well      []Node
		otherwise cluster.NodeName
		had, want had
		barred    func(cluster.NodeName, netip.Addr) bool
	}{
		"at first they are spread, the least behind first":   {[]Node{db3, db2}, "", nil, had{a1: "db2", a2: "db3", a3: "db2"}, none},
		"who has one keeps it":                               {[]Node{db2, db3}, "", had{a1: "db3", a2: "db2", a3: "db3"}, had{a1: "db3", a2: "db2", a3: "db3"}, none},
		"a holder that is not well loses them":               {[]Node{db2}, "", had{a1: "db3", a2: "db2", a3: "db3"}, had{a1: "db2", a2: "db2", a3: "db2"}, none},
		"one that is well again gets some back":              {[]Node{db2, db3}, "", had{a1: "db2", a2: "db2", a3: "db2"}, had{a1: "db3", a2: "db2", a3: "db2"}, none},
		"but not before it is settled":                       {[]Node{db2, at("db3", 8*time.Second)}, "", had{a1: "db2", a2: "db2", a3: "db2"}, had{a1: "db2", a2: "db2", a3: "db2"}, none},
		"who is far behind, within the limit, keeps its own": {[]Node{db2, at("db3", 8*time.Second)}, "", had{a1: "db2", a2: "db3", a3: "db2"}, had{a1: "db2", a2: "db3", a3: "db2"}, none},
		"and is better than none":                            {[]Node{at("db3", 8*time.Second)}, "db1", nil, had{a1: "db3", a2: "db3", a3: "db3"}, none},
		"none is well":                                       {nil, "db1", had{a1: "db2", a2: "db3"}, had{a1: "db1", a2: "db1", a3: "db1"}, none},
		"none is, and nobody instead":                        {nil, "", had{a1: "db2", a2: "db3"}, had{}, none},
		"the primary gives back what it had":                 {[]Node{db2}, "db1", had{a1: "db1", a2: "db1", a3: "db1"}, had{a1: "db2", a2: "db2", a3: "db2"}, none},
		"one cannot take it": {[]Node{db2, db3}, "db1", had{a1: "db2", a2: "db3", a3: "db3"}, had{a1: "db3", a2: "db3", a3: "db3"},
			func(n cluster.NodeName, _ netip.Addr) bool { return n == "db2" }},
		"nobody can take one": {[]Node{db2, db3}, "db1", nil, had{a1: "db1", a2: "db2", a3: "db3"},
			func(_ cluster.NodeName, ip netip.Addr) bool { return ip == a1 }},
	} {
		t.Run(name, func(t *testing.T) {
			got := Assign([]netip.Addr{a1, a2, a3}, tt.well, tt.otherwise, tt.had, tt.barred)
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
			if again := Assign([]netip.Addr{a1, a2, a3}, tt.well, tt.otherwise, got, tt.barred); !cmp.Equal(got, again, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })) {
				t.Errorf("asked again it says %v", again)
			}
		})
	}
}

const s = cluster.Instant(time.Second)

// book is db1's, of a reign that began at 100 s.
func book() *Book {
	b := &Book{Lasts: 5 * time.Second, Nodes: []cluster.NodeName{"db1", "db2", "db3"}, Self: "db1"}
	b.Begin(100 * s)
	return b
}

func (b *Book) ask(node cluster.NodeName, want map[netip.Addr]cluster.NodeName, at cluster.Instant, has ...netip.Addr) []netip.Addr {
	b.Hear(node, Question{Agent: "x", Seq: b.asked[node].seq + 1, Has: has}, at)
	return b.Give(node, want, at).Addresses
}

func TestAnAddressIsGivenToOneNodeAtATime(t *testing.T) {
	b := book()
	to := func(n cluster.NodeName) map[netip.Addr]cluster.NodeName {
		return map[netip.Addr]cluster.NodeName{a1: n}
	}
	expect := func(what string, got []netip.Addr, want ...netip.Addr) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	expect("before all have said what they have", b.ask("db2", to("db2"), 100*s))
	b.ask("db1", nil, 100*s)
	expect("db3 has it since before this reign", b.ask("db3", to("db2"), 101*s, a1))
	expect("so db2 does not get it", b.ask("db2", to("db2"), 101*s))
	expect("and db3 keeps it, if that is wanted", b.ask("db3", to("db3"), 102*s, a1), a1)
	expect("it is to go to db2, and db3 does not know yet", b.ask("db2", to("db2"), 103*s))
	b.ask("db3", to("db2"), 104*s) // it was told, and has dropped it
	expect("now db2 gets it", b.ask("db2", to("db2"), 104*s), a1)
	expect("which falls silent", b.ask("db3", to("db3"), 108*s))
	expect("until its time is over", b.ask("db3", to("db3"), 109*s), a1)
	expect("db2 is back", b.ask("db2", to("db3"), 110*s))
	if h := b.Holders(110 * s); h[a1] != "db3" {
		t.Errorf("it is with %v", h)
	}
}

func TestOneThatNeverAsksIsWaitedForNoLongerThanItsTime(t *testing.T) {
	b := book()
	want := map[netip.Addr]cluster.NodeName{a1: "db2"}
	b.ask("db1", nil, 100*s)
	if got := b.ask("db2", want, 104*s); len(got) > 0 {
		t.Errorf("db3, which may have it, is not waited for: %v", got)
	}
	if got := b.ask("db2", want, 105*s); len(got) != 1 {
		t.Errorf("db3's time is over: %v", got)
	}
	if b.Asks("db3", 105*s) || !b.Asks("db2", 105*s) || b.Asks("db2", 111*s) {
		t.Error("who asks is not known")
	}
	if b.Hear("db2", Question{Agent: "y", Seq: 1, Unable: true}, 105*s); b.Asks("db2", 105*s) {
		t.Error("one that would take nothing counts")
	}
}

func TestWhatTheNewPrimaryHadItselfIsWaitedForByNobody(t *testing.T) {
	b := book()
	b.Begin(100*s, a1)
	want := map[netip.Addr]cluster.NodeName{a1: "db2", a2: "db2"}
	if got := b.ask("db2", want, 100*s); len(got) > 0 {
		t.Errorf("db1 has not said yet that it gave it up: %v", got)
	}
	b.ask("db1", nil, 100*s, a1)
	if got := b.ask("db2", want, 101*s); len(got) > 0 {
		t.Errorf("db1 still has it: %v", got)
	}
	b.ask("db1", nil, 101*s)
	if got := b.ask("db2", want, 102*s); !slices.Equal(got, []netip.Addr{a1}) {
		t.Errorf("db3 may have the other one, and only that: %v", got)
	}
}

func TestAQuestionThatComesLateSaysNothing(t *testing.T) {
	b := book()
	b.Hear("db2", Question{Agent: "x", Seq: 2, Has: []netip.Addr{a1}}, 100*s)
	if b.Hear("db2", Question{Agent: "x", Seq: 1}, 101*s) || b.Hear("db2", Question{Agent: "x", Seq: 2}, 101*s) {
		t.Error("an old question is news")
	}
	if b.Holders(101 * s)[a1] != "db2" {
		t.Error("an old question took the address away")
	}
	if !b.Hear("db2", Question{Agent: "y", Seq: 1}, 101*s) || len(b.Holders(101*s)) > 0 {
		t.Error("the word of an agent that has just started does not count")
	}
}

func TestANodeThatFailedIsNotAskedForAWhile(t *testing.T) {
	b := book()
	b.Hear("db2", Question{Seq: 1, Failed: []netip.Addr{a1}}, 100*s)
	if !b.Barred("db2", a1, 129*s) || b.Barred("db2", a1, 131*s) || b.Barred("db2", a2, 101*s) || b.Barred("db3", a1, 101*s) {
		t.Error("the wrong one is barred, or for too long")
	}
}

// TestNoTwoNodesHaveOneAddress: nodes that ask at any time, lose questions and answers,
// stop and start again, and primaries that follow one another, each with a book of its
// own. What the nodes' kernels have is looked at after every event.
func TestNoTwoNodesHaveOneAddress(t *testing.T) {
	const hold, lasts = 3 * time.Second, 3*time.Second + 30*time.Millisecond
	names := []cluster.NodeName{"db1", "db2", "db3", "db4"}
	given := 0
	for run := range 60 {
		rnd := rand.New(rand.NewPCG(7, uint64(run)))
		b := &Book{Lasts: lasts, Nodes: names}
		now := 100 * s
		b.Begin(now)
		kernel := map[cluster.NodeName]map[netip.Addr]cluster.Instant{}
		seqs := map[cluster.NodeName]uint64{}
		for _, n := range names {
			kernel[n] = map[netip.Addr]cluster.Instant{}
		}
		addresses := []netip.Addr{a1, a2, a3}
		for step := range 400 {
			now = now.Add(time.Duration(rnd.IntN(600)) * time.Millisecond)
			if rnd.IntN(60) == 0 {
				b = &Book{Lasts: lasts, Nodes: names, Self: names[rnd.IntN(len(names))]} // this one's reign begins
				var own []netip.Addr
				of := kernel[b.Self]
				for ip, until := range of {
					if until > now {
						own = append(own, ip)
					}
				}
				if rnd.IntN(2) == 0 {
					clear(of) // it gives up what it has
				}
				b.Begin(now, own...)
			}
			n := names[rnd.IntN(len(names))]
			seqs[n]++
			sent := now
			q := Question{Agent: "x", Seq: seqs[n]}
			for ip, until := range kernel[n] {
				if until > now {
					q.Has = append(q.Has, ip)
				}
			}
			now = now.Add(time.Duration(rnd.IntN(200)) * time.Millisecond)
			if rnd.IntN(10) == 0 {
				continue // the question is lost
			}
			if !b.Hear(n, q, now) {
				t.Fatal("a new question is not news")
			}
			var well []Node
			for _, w := range names {
				if b.Asks(w, now) && rnd.IntN(4) > 0 {
					well = append(well, Node{w, time.Duration(rnd.IntN(9)) * time.Second, rnd.IntN(2) == 0})
				}
			}
			barred := func(n cluster.NodeName, ip netip.Addr) bool { return b.Barred(n, ip, now) }
			answer := b.Give(n, Assign(addresses, well, "db1", b.Holders(now), barred), now)
			now = now.Add(time.Duration(rnd.IntN(200)) * time.Millisecond)
			if rnd.IntN(10) == 0 {
				continue // the answer is
			}
			for _, ip := range addresses {
				if slices.Contains(answer.Addresses, ip) {
					kernel[n][ip] = sent.Add(hold)
					given++
				} else {
					delete(kernel[n], ip)
				}
			}
			for _, ip := range addresses {
				var who []string
				for _, n := range names {
					if kernel[n][ip] > now {
						who = append(who, fmt.Sprintf("%s until %v", n, time.Duration(kernel[n][ip])))
					}
				}
				if len(who) > 1 {
					t.Fatalf("run %d, step %d, at %v: %s is on %v", run, step, time.Duration(now), ip, who)
				}
			}
		}
	}
	if given < 1000 {
		t.Errorf("addresses were given %d times only", given)
	}
}
