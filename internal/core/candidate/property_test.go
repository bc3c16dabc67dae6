package candidate

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

// drawReplica draws a node of a history in which server 1 wrote the numbers up
// to 20 and then, in a newer reign, server 4 those up to 40. Some kept a tail of
// server 1's that the newer reign never had.
func drawReplica(t *rapid.T, name cluster.NodeName) Replica {
	upTo := func(n int) string {
		switch {
		case n == 0:
			return ""
		case n <= 20:
			return fmt.Sprintf("0-1-%d", n)
		}
		return fmt.Sprintf("0-1-20,0-4-%d", n)
	}
	received := rapid.IntRange(0, 40).Draw(t, "received")
	done := rapid.IntRange(0, received).Draw(t, "applied")
	some := func(label string, w with) with {
		if rapid.IntRange(0, 5).Draw(t, label) == 0 {
			return w
		}
		return func(*Replica) {}
	}
	epoch := reign - 1
	if done > 20 {
		epoch = reign
	}
	peculiar := []with{
		applied(upTo(done)), marked(epoch),
		prefer(rapid.IntRange(0, 1).Draw(t, "prefer")),
		at(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "site")),
		some("never", never), some("failed", failed), some("no log", noBinLog),
		some("held", held), some("newer", version("11.4.2")),
	}
	if received > 15 && done <= 20 && rapid.Bool().Draw(t, "tail") {
		return node(name, "0-1-25", append(peculiar, applied("0-1-25"))...)
	}
	r := node(name, upTo(received), peculiar...)
	some("silent", silent)(&r)
	switch rapid.IntRange(0, 7).Draw(t, "server") {
	case 0:
		down(&r)
	case 1:
		restarted(upTo(done))(&r)
	}
	return r
}

func drawElection(t *rapid.T) Election {
	e := Election{OldSite: "a", Sites: []string{"a", "b"}, Force: rapid.IntRange(0, 4).Draw(t, "force") == 0}
	var names []cluster.NodeName
	for i := range rapid.IntRange(0, 5).Draw(t, "replicas") {
		name := cluster.NodeName(fmt.Sprintf("db%d", i+2))
		names = append(names, name)
		e.Replicas = append(e.Replicas, drawReplica(t, name))
	}
	if rapid.Bool().Draw(t, "quorum") {
		e = e.acked(1, names...)
	}
	if len(names) > 0 && rapid.IntRange(0, 3).Draw(t, "wanted") == 0 {
		e.Wanted = rapid.SampledFrom(names).Draw(t, "which")
	}
	return e
}

func TestEveryNodeChoosesTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawElection(t)
		first, _ := Choose(e)
		again := e
		again.Replicas = slices.Clone(e.Replicas)
		if len(again.Replicas) > 0 {
			again.Replicas = rapid.Permutation(again.Replicas).Draw(t, "order")
		}
		before := slices.Clone(again.Replicas)
		other, _ := Choose(again)
		if diff := cmp.Diff(first, other); diff != "" {
			t.Fatalf("in another order:\n%s", diff)
		}
		if diff := cmp.Diff(before, again.Replicas); diff != "" {
			t.Fatalf("the choice changed what it was given:\n%s", diff)
		}
	})
}

func TestWhoeverIsChosenCanServe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawElection(t)
		c, ok := Choose(e)
		all := map[cluster.NodeName]Replica{}
		for _, r := range e.Replicas {
			all[r.Node.Name] = r
		}
		if want := len(all); ok && len(c.Passed) != want-1 || !ok && len(c.Passed) != want {
			t.Fatalf("%d of %d nodes were passed over, winner %q", len(c.Passed), want, c.Winner)
		}
		if !ok {
			return
		}
		w := all[c.Winner]
		if w.Node.Never || w.Promise == nil || !w.up() || w.restarted() || w.Held != "" || !w.Server.BinLog {
			t.Fatalf("%s must not serve: %+v", c.Winner, w)
		}
		has := w.Promise.Held()
		if c.Source != "" {
			s := all[c.Source]
			if !s.up() || s.Promise == nil || !s.Server.BinLog || s.restarted() {
				t.Fatalf("%s cannot be a source: %+v", c.Source, s)
			}
			has = has.Union(s.Promise.Held())
		}
		if !has.Contains(c.Required) {
			t.Fatalf("%s from %q has %s, and lacks %s", c.Winner, c.Source, has, c.Required.Subtract(has))
		}
	})
}

// TestAcknowledgedWritesSurvive plays the primary: it writes numbered
// transactions, each of which is acknowledged once k members have received it;
// then it dies, and so may the servers of replicas after their promise. As long
// as the living ones satisfy the quorum, the choice must require everything
// acknowledged; if they do not, there must be no choice that lacks any of what
// the dead ones had applied.
func TestAcknowledgedWritesSurvive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "members")
		k := rapid.IntRange(1, n).Draw(t, "k")
		var e Election
		var members, living []cluster.NodeName
		var received []int
		applied := 0
		for i := range n {
			name := cluster.NodeName(fmt.Sprintf("db%d", i+2))
			got := rapid.IntRange(1, 30).Draw(t, "received")
			done := rapid.IntRange(1, got).Draw(t, "applied")
			r := node(name, fmt.Sprintf("0-1-%d", got), func(r *Replica) {
				r.Server.Executed = gtid.MustParse(fmt.Sprintf("0-1-%d", done))
				r.Promise.Executed = r.Server.Executed
			}, prefer(rapid.IntRange(0, 2).Draw(t, "prefer")))
			members, received = append(members, name), append(received, got)
			switch rapid.IntRange(0, 5).Draw(t, "fate") {
			case 0:
				silent(&r)
			case 1:
				down(&r)
				applied = max(applied, done)
			default:
				living = append(living, name)
				applied = max(applied, done)
			}
			e.Replicas = append(e.Replicas, r)
		}
		e = e.acked(k, members...)
		c, ok := Choose(e)
		if !ok {
			return
		}
		slices.Sort(received)
		acknowledged := received[n-k] // at least k members had it
		if must := gtid.MustParse(fmt.Sprintf("0-1-%d", acknowledged)); e.Quorums[0].Satisfied(living) && !c.Required.Contains(must) {
			t.Fatalf("k=%d: acknowledged were %s, required is %s", k, must, c.Required)
		}
		if must := gtid.MustParse(fmt.Sprintf("0-1-%d", applied)); !e.Quorums[0].Satisfied(living) && !c.Required.Contains(must) {
			t.Fatalf("k=%d: %s was applied somewhere, required is %s", k, must, c.Required)
		}
	})
}
