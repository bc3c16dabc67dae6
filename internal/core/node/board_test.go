package node

import (
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
)

// TestAnOlderFactDoesNotTakeThePlaceOfANewerOne: one that was under way for longer
// arrives at a later revision.
func TestAnOlderFactDoesNotTakeThePlaceOfANewerOne(t *testing.T) {
	b := NewBoard()
	b.SawFact("db1", cluster.Fact{Agent: "a", Seq: 7, Fenced: 3}, 10, 100)
	b.SawFact("db1", cluster.Fact{Agent: "a", Seq: 6}, 11, 200)
	if got := b.Facts["db1"]; got.Value.Seq != 7 || got.Rev != 10 || got.At != 100 {
		t.Errorf("got %+v", got)
	}
	b.SawFact("db1", cluster.Fact{Agent: "b", Seq: 1}, 12, 300)
	if got := b.Facts["db1"]; got.Value.Agent != "b" || got.Rev != 12 {
		t.Errorf("the next agent counts anew; got %+v", got)
	}
}
