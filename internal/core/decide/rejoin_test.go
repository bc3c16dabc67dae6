package decide

import (
	"slices"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
)

// diverged has a node's server have what the primary does not, so that it follows
// nobody.
func diverged(n cluster.NodeName) change {
	return func(w *World) {
		fact(n, func(f *cluster.Fact) {
			f.Errant, f.Held = position("0-3-101"), "it has transactions that the primary does not: 0-3-101"
			f.Server.Replica = cluster.ReplicaFact{}
		})(w)
		acknowledgedBy(slices.DeleteFunc(slices.Clone(w.Record.Acks().Members), func(m cluster.NodeName) bool { return m == n })...)(w)
	}
}

func acknowledgedBy(nodes ...cluster.NodeName) change {
	return record(func(r *cluster.Record) {
		r.Quorums = []cluster.AckQuorum{{Epoch: 5, Primary: "db1", Members: nodes, K: 1}}
	})
}

func rejoins(n cluster.NodeName) change {
	return record(func(r *cluster.Record) {
		r.Rejoin = &cluster.Rejoin{ID: "r0", Node: n, Method: cluster.Reclone, Donor: "db2", By: "bob"}
	})
}

func TestWhoMayRejoinAndHow(t *testing.T) {
	ask := func(n cluster.NodeName, m cluster.RejoinMethod, edits ...func(*cluster.Request)) change {
		q := cluster.Request{Kind: cluster.RequestRejoin, Node: n, Method: m, Epoch: 5, At: "now"}
		for _, e := range edits {
			e(&q)
		}
		return asked(q)
	}
	force := func(q *cluster.Request) { q.Force = true }
	drop := func(q *cluster.Request) { q.Drop = true }
	from := func(n cluster.NodeName) func(*cluster.Request) { return func(q *cluster.Request) { q.To = n } }
	fourth := func(w *World) { // db4 has never been part of it
		w.Settings.Nodes = append(slices.Clone(w.Settings.Nodes), cluster.Node{Name: "db4", Role: cluster.Data})
		w.Facts["db4"] = Seen[cluster.Fact]{Value: cluster.Fact{Node: "db4", Agent: "a4", Mode: cluster.Active, Epoch: 5, Server: cluster.ServerFact{State: cluster.ServerStopped}}, At: noon}
	}
	for name, tt := range map[string]struct {
		world   World
		want    string // the rejoin that begins; empty: none
		refused string // a part of why not
	}{
		"a diverged replica gets the data of the other one": {newWorld(diverged("db3"), ask("db3", cluster.Reclone)), "reclone of db3 from db2, asked by alice", ""},
		"the only other server is the primary":              {newWorld(diverged("db3"), silent("db2"), ask("db3", cluster.Reclone)), "reclone of db3 from db1, asked by alice", ""},
		"the donor that was named":                          {newWorld(diverged("db3"), ask("db3", cluster.Reclone, from("db1"))), "reclone of db3 from db1, asked by alice", ""},
		"a new node whose server does not run yet":          {newWorld(fourth, ask("db4", cluster.Reclone)), "reclone of db4 from db2, asked by alice", ""},
		"a replica that is well, if a person wants it":      {newWorld(ask("db3", cluster.Reclone)), "reclone of db3 from db2, asked by alice", ""},
		"the last one that acknowledges, by force":          {newWorld(acknowledgedBy("db3"), ask("db3", cluster.Reclone, force)), "reclone of db3 from db2, asked by alice", ""},
		"one that was to be left as it is":                  {newWorld(diverged("db3"), record(func(r *cluster.Record) { r.Held = []cluster.NodeName{"db3"} }), ask("db3", cluster.Reclone)), "reclone of db3 from db2, asked by alice", ""},

		"not a node that there is not":             {newWorld(ask("db9", cluster.Reclone)), "", "no data node"},
		"not the primary":                          {newWorld(ask("db1", cluster.Reclone)), "", "baton switchover"},
		"not the primary, whatever is asked":       {newWorld(ask("db1", cluster.Hold)), "", "baton switchover"},
		"not while another one does":               {newWorld(diverged("db3"), rejoins("db2"), ask("db3", cluster.Reclone)), "", "baton rejoin db2 --hold"},
		"not the same one twice":                   {newWorld(diverged("db3"), rejoins("db3"), ask("db3", cluster.Reclone)), "", "one rejoin at a time"},
		"not during a switch":                      {newWorld(electingAfterDb1, ask("db3", cluster.Reclone, func(q *cluster.Request) { q.Epoch = 6 })), "", "wait for it to end"},
		"not in a cluster that one did not see":    {newWorld(ask("db3", cluster.Reclone, func(q *cluster.Request) { q.Epoch = 4 })), "", "look again"},
		"not in a pause":                           {newWorld(diverged("db3"), record(func(r *cluster.Record) { r.Paused = &cluster.Pause{} }), ask("db3", cluster.Reclone)), "", "baton resume"},
		"not while somebody works on it":           {newWorld(inMaintenance("db3"), ask("db3", cluster.Reclone)), "", "baton maintenance db3 off"},
		"not without its agent":                    {newWorld(silent("db3"), ask("db3", cluster.Reclone)), "", "nothing is heard"},
		"not if its agent only observes":           {newWorld(fact("db3", func(f *cluster.Fact) { f.Mode = cluster.Observe }), ask("db3", cluster.Reclone)), "", "only observes"},
		"not the last one that acknowledges":       {newWorld(acknowledgedBy("db3"), ask("db3", cluster.Reclone)), "", "--force"},
		"nor if commits would wait for it":         {newWorld(acknowledgedBy("db3"), func(w *World) { w.Settings.Alone = cluster.AloneWait }, ask("db3", cluster.Reclone, force)), "", "durability.alone: wait"},
		"not from itself":                          {newWorld(diverged("db3"), ask("db3", cluster.Reclone, from("db3"))), "", "the one that gets the data"},
		"not from one that is held, too":           {newWorld(diverged("db3"), diverged("db2"), ask("db3", cluster.Reclone, from("db2"))), "", "db2 cannot give"},
		"not from nobody":                          {newWorld(diverged("db3"), ask("db3", cluster.Reclone, from("db9"))), "", "no data node"},
		"not if its only copy would be lost":       {newWorld(diverged("db3"), ask("db3", cluster.Reclone, drop)), "", "--drop-old"},
		"nothing to undo":                          {newWorld(ask("db3", cluster.Rewind)), "", "nothing to undo"},
		"MySQL cannot undo":                        {newWorld(diverged("db3"), fact("db3", func(f *cluster.Fact) { f.Server.Flavor = "mysql" }), ask("db3", cluster.Rewind)), "", "--reclone"},
		"no way of that name":                      {newWorld(diverged("db3"), ask("db3", "pray")), "", "rewind, reclone or hold"},
		"one that follows needs no way back":       {newWorld(ask("db3", "")), "", "follows by itself"},
		"nobody is there while the primary is out": {newWorld(diverged("db3"), fact("db1", func(f *cluster.Fact) { f.Serving = 0 }), ask("db3", cluster.Reclone)), "", "does not serve"},
	} {
		t.Run(name, func(t *testing.T) {
			out := Next(tt.world, noon)
			if tt.refused != "" {
				if out.Next != nil || len(out.Refused) != 1 || !strings.Contains(out.Refused[0].Refused, tt.refused) {
					t.Errorf("next %+v, refused %+v", out.Next, out.Refused)
				}
				return
			}
			if out.Next == nil || out.Next.Rejoin == nil || out.Next.Rejoin.String() != tt.want || !slices.Equal(out.Done, []string{"r1"}) || out.Next.Epoch != 5 {
				t.Fatalf("refused %+v, next %+v", out.Refused, out.Next)
			}
			if slices.Contains(out.Next.Held, tt.world.Requests[0].Value.Node) {
				t.Error("it is still to be left as it is")
			}
		})
	}
}

func TestAHeldNodeIsLeftAloneAndItsRejoinIsCalledOff(t *testing.T) {
	q := cluster.Request{Kind: cluster.RequestRejoin, Node: "db3", Method: cluster.Hold}
	out := Next(newWorld(diverged("db3"), rejoins("db3"), asked(q)), noon)
	if out.Next == nil || out.Next.Rejoin != nil || out.Why != cluster.RejoinHeld || !slices.Equal(out.Next.Held, []cluster.NodeName{"db3"}) ||
		out.Next.Rejoined == nil || out.Next.Rejoined.ID != "r0" || !strings.Contains(out.Next.Rejoined.Failed, "alice") {
		t.Errorf("%s, %+v", out.Why, out.Next)
	}
	other := Next(newWorld(diverged("db3"), rejoins("db2"), asked(q)), noon)
	if other.Next == nil || other.Next.Rejoin == nil || other.Next.Rejoined.ID != "r1" {
		t.Errorf("another node's rejoin: %+v", other.Next)
	}
}

func TestARejoinEndsWhenTheNodeFollowsOrHasFailed(t *testing.T) {
	says := func(failed string) change {
		return fact("db3", func(f *cluster.Fact) { f.Rejoined = &cluster.RejoinResult{ID: "r0", Failed: failed} })
	}
	ended := func(w World) *cluster.Rejoined {
		if out := Next(w, noon); out.Next != nil && out.Next.Rejoin == nil {
			return out.Next.Rejoined
		}
		return nil
	}
	if got := ended(newWorld(rejoins("db3"))); got != nil {
		t.Errorf("the node has not said anything: %+v", got)
	}
	if got := ended(newWorld(rejoins("db3"), fact("db3", func(f *cluster.Fact) { f.Rejoined = &cluster.RejoinResult{ID: "an older one"} }))); got != nil {
		t.Errorf("it spoke of another one: %+v", got)
	}
	if got := ended(newWorld(rejoins("db3"), says(""), fact("db3", func(f *cluster.Fact) { f.Server.Replica.Receiver = false }))); got != nil {
		t.Errorf("it does not follow yet: %+v", got)
	}
	if got := ended(newWorld(rejoins("db3"), says(""))); got == nil || got.Failed != "" || got.ID != "r0" {
		t.Errorf("it follows: %+v", got)
	}
	if got := ended(newWorld(diverged("db3"), rejoins("db3"), says("the copy broke off"))); got == nil || got.Failed != "the copy broke off" {
		t.Errorf("it has failed: %+v", got)
	}
}

// A node that is to get other data must not be counted on again while it does.
func TestARejoiningNodeDoesNotEnterTheAckSet(t *testing.T) {
	enters := func(changes ...change) bool {
		w := newWorld(append([]change{from("db1"), acknowledgedBy("db2")}, changes...)...)
		out := Next(w, noon)
		return out.Next != nil && slices.Contains(out.Next.Acks().Members, "db3")
	}
	if !enters() {
		t.Fatal("db3 would not even enter without a rejoin: the test tests nothing")
	}
	if enters(rejoins("db3")) {
		t.Error("db3 entered the ack set while its data is about to be replaced")
	}
	lost := fact("db3", func(f *cluster.Fact) {
		f.Server.ID, f.Server.Replica = 3, cluster.ReplicaFact{}
		f.Server.Executed = position("0-1-100")
	})
	wrote := fact("db1", func(f *cluster.Fact) { f.Server.Executed = position("0-1-100,0-3-90") })
	if !enters(lost, wrote) {
		t.Fatal("one that has lost what it wrote would not enter either: the test tests nothing")
	}
	if enters(lost, wrote, rejoins("db3")) {
		t.Error("db3 entered the ack set to get back what it has lost, while its data is about to be replaced")
	}
}

// lost is what a node's agent says of what only its server has.
func lost(n cluster.NodeName, l cluster.Lost) change {
	return fact(n, func(f *cluster.Fact) { f.Lost = l })
}

func TestWhatIsUndoneAndWhoseWayBackBeginsByItself(t *testing.T) {
	policy := func(acknowledged, unacknowledged cluster.RejoinMethod) change {
		return func(w *World) {
			w.Settings.Rejoin = cluster.RejoinPolicy{Acknowledged: acknowledged, Unacknowledged: unacknowledged}
		}
	}
	ask := asked(cluster.Request{Kind: cluster.RequestRejoin, Node: "db3", Method: cluster.Rewind, Epoch: 5, At: "now"})
	told := cluster.Lost{What: "3 transactions", See: "there", Undoable: true}
	untold := cluster.Lost{What: "3 transactions", See: "there", Undoable: true, Unacknowledged: true}
	for name, tt := range map[string]struct {
		world World
		want  string // the rejoin that begins; empty: none
		why   string // part of why not, if somebody asked
	}{
		"what is written down is undone if a person asks":  {newWorld(diverged("db3"), lost("db3", told), ask), "rewind of db3, asked by alice", ""},
		"not before it is written down":                    {newWorld(diverged("db3"), ask), "", "still writing down"},
		"not what cannot be, and the event is named":       {newWorld(diverged("db3"), lost("db3", cluster.Lost{See: "there", InTheWay: "0-3-101 is logged as a statement: DROP TABLE t"}), ask), "", "DROP TABLE t. So give db3 new data instead, baton rejoin db3 --reclone"},
		"not what could not be looked at":                  {newWorld(diverged("db3"), lost("db3", cluster.Lost{InTheWay: "no decoder"}), ask), "", "no decoder"},
		"a rewind that was interrupted goes on":            {newWorld(fact("db3", func(f *cluster.Fact) { f.Held = "a rewind of 0-3-101 is not finished" }), acknowledgedBy("db2"), ask), "rewind of db3, asked by alice", ""},
		"what no client was told of, by itself":            {newWorld(diverged("db3"), lost("db3", untold), policy(cluster.Hold, cluster.Rewind)), "rewind of db3", ""},
		"not by itself if a client may have been told":     {newWorld(diverged("db3"), lost("db3", told), policy(cluster.Hold, cluster.Rewind)), "", ""},
		"unless that is wanted":                            {newWorld(diverged("db3"), lost("db3", told), policy(cluster.Reclone, cluster.Rewind)), "reclone of db3 from db2", ""},
		"not by itself before it is written down":          {newWorld(diverged("db3"), policy(cluster.Rewind, cluster.Rewind)), "", ""},
		"not by itself if it cannot be undone":             {newWorld(diverged("db3"), lost("db3", cluster.Lost{See: "there", InTheWay: "DDL", Unacknowledged: true}), policy(cluster.Hold, cluster.Rewind)), "", ""},
		"not by itself if a person wants it left as it is": {newWorld(diverged("db3"), lost("db3", untold), policy(cluster.Hold, cluster.Rewind), record(func(r *cluster.Record) { r.Held = []cluster.NodeName{"db3"} })), "", ""},
		"not by itself in a pause":                         {newWorld(diverged("db3"), lost("db3", untold), policy(cluster.Hold, cluster.Rewind), record(func(r *cluster.Record) { r.Paused = &cluster.Pause{} })), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			out := Next(tt.world, noon)
			got := ""
			if out.Next != nil && out.Next.Rejoin != nil {
				got = out.Next.Rejoin.String()
			}
			refused := ""
			if len(out.Refused) > 0 {
				refused = out.Refused[0].Refused
			}
			if got != tt.want || (tt.why == "") != (refused == "") || !strings.Contains(refused, tt.why) {
				t.Errorf("%q begins, refused: %q", got, refused)
			}
		})
	}
	t.Run("one that failed by itself is left to a person", func(t *testing.T) {
		w := newWorld(diverged("db3"), lost("db3", untold), policy(cluster.Hold, cluster.Rewind))
		w.Record.Rejoin = &cluster.Rejoin{ID: "policy-1-db3", Node: "db3", Method: cluster.Rewind}
		fact("db3", func(f *cluster.Fact) {
			f.Rejoined = &cluster.RejoinResult{ID: "policy-1-db3", Failed: "somebody wrote there"}
		})(&w)
		out := Next(w, noon)
		if out.Next == nil || out.Next.Rejoin != nil || !slices.Contains(out.Next.Held, "db3") {
			t.Fatalf("%+v", out)
		}
		w.Record = *out.Next
		if out := Next(w, noon); out.Next != nil {
			t.Errorf("it begins again: %+v", out.Next)
		}
	})
}
