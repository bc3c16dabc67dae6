package node

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/cluster/clustertest"
	"github.com/baton-db/baton/internal/core/lease"
)

const noon = cluster.Instant(100 * time.Second)

// watcher is db2 in a cluster of three whose primary db1 renewed a moment ago.
func watcher() *Node {
	n := &Node{
		Self: "db2", Config: "c", Conditions: Conditions{}, Board: NewBoard(), Settings: cluster.Settings{
			Nodes: []cluster.Node{{Name: "db1", Role: cluster.Data}, {Name: "db2", Role: cluster.Data}, {Name: "db3", Role: cluster.Data}},
			Lease: time.Second, Renew: 250 * time.Millisecond, Call: 125 * time.Millisecond, Beat: time.Second, AckLeave: 2 * time.Second, Acks: 1,
		},
	}
	n.SawRecord(record(), 50, noon)
	n.Board.SawLease(cluster.Lease{Schema: 1, Epoch: 5, Holder: "db1", Agent: "a", Length: time.Second}, 90, noon)
	for _, name := range []cluster.NodeName{"db1", "db2", "db3"} {
		f := cluster.Fact{Schema: 1, Node: name, Config: "c", Epoch: 5, Server: cluster.ServerFact{State: cluster.ServerUp, ReadOnly: name != "db1"}}
		if name == "db1" {
			f.Serving = 5
		}
		n.Board.SawFact(name, f, 80, noon)
	}
	return n
}

func record() cluster.Record {
	return cluster.Record{Schema: 1, Epoch: 5, Phase: cluster.PhaseSteady, Primary: "db1", Quorums: []cluster.AckQuorum{{Epoch: 5, Primary: "db1", Members: []cluster.NodeName{"db2"}, K: 1}}}
}

func (n *Node) looksAt(at cluster.Instant) Look {
	return n.Look(Senses{Now: at, Wall: time.Unix(0, 0)})
}

func TestWhatCannotBeReadLeadsToNoSwitch(t *testing.T) {
	newer := fmt.Errorf("schema 2: %w", cluster.ErrNewer)
	damaged := errors.New("unexpected end of JSON input")
	soon, late := noon.Add(900*time.Millisecond), noon.Add(10*time.Second)
	for name, tt := range map[string]struct {
		key  string
		why  error
		look cluster.Instant
		want cluster.Reason // of leaving things alone; Nothing if the reign ends
	}{
		"a newer record, though the lease has run out":         {RecordKey, newer, late, cluster.NewerSchema},
		"a damaged record, though the lease has run out":       {RecordKey, damaged, late, cluster.NewerSchema},
		"a newer lease, which may last longer than this one":   {LeaseKey, newer, late, cluster.NewerSchema},
		"a damaged fact of the primary, which renews":          {"facts/db1", damaged, soon, cluster.Nothing},
		"a newer fact of another":                              {"facts/db3", newer, soon, cluster.Nothing},
		"a damaged lease: it is counted from when it was seen": {LeaseKey, damaged, noon.Add(1500 * time.Millisecond), cluster.Nothing},
	} {
		t.Run(name, func(t *testing.T) {
			n := watcher()
			n.Board.CannotRead(tt.key, tt.why, 91, noon.Add(800*time.Millisecond))
			look := n.looksAt(tt.look)
			if look.Outcome.Next != nil || look.Outcome.Why != tt.want {
				t.Errorf("got %s (%s), %+v", look.Outcome.Why, look.Outcome.Detail, look.Outcome.Next)
			}
		})
	}
}

// A primary that dies just after its lease was damaged is replaced, later than
// otherwise, by a swap that names the damaged version.
func TestADamagedLeaseEnds(t *testing.T) {
	n := watcher()
	n.Board.CannotRead(LeaseKey, errors.New("damaged"), 91, noon.Add(800*time.Millisecond))
	out := n.looksAt(noon.Add(2 * time.Second)).Outcome
	if out.Next == nil || out.Why != cluster.LeaseExpired || out.LeaseRev == nil || *out.LeaseRev != 91 {
		t.Errorf("got %s, %+v", out.Why, out)
	}
	n = watcher()
	n.Board.CannotRead(RecordKey, errors.New("damaged"), 51, noon)
	n.SawRecord(record(), 52, noon.Add(time.Second))
	if out := n.looksAt(noon.Add(10 * time.Second)).Outcome; out.Why != cluster.LeaseExpired {
		t.Errorf("the record can be read again, and: %s, %s", out.Why, out.Detail)
	}
}

// A record that is odd in one place makes no node fence, open or promote unless
// it could have been decided, and one that is none is not looked at.
func TestAnOddRecordFencesNobody(t *testing.T) {
	b, err := cluster.Encode(record())
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for what, odd := range clustertest.Odd(b) {
		n := watcher()
		n.Self = "db1"
		n.Server = cluster.ServerFact{State: cluster.ServerUp, Start: "s", SemiSrc: cluster.SemiSyncFact{Enabled: true, Active: true}}
		n.Host.Gate = "leased"
		lease := n.held()
		r, err := cluster.DecodeRecord(odd)
		if err != nil {
			n.Board.CannotRead(RecordKey, err, 51, noon)
		} else {
			read++
			n.SawRecord(r, 51, noon)
		}
		plan := n.Look(Senses{Now: noon.Add(100 * time.Millisecond), Wall: time.Unix(0, 0), Lease: lease, Extends: true}).Plan
		stays := err != nil || r.Primary == "db1" && r.Epoch == 5 || r.Epoch < 5
		if stays && plan.Has("fence") {
			t.Errorf("%s: the primary would fence itself: %+v", what, plan)
		}
	}
	if read < 20 {
		t.Errorf("only %d odd records could be read: is something odd with the test?", read)
	}
}

func (n *Node) held() lease.Held { return lease.Held{Epoch: 5, Until: noon.Add(time.Second)} }
