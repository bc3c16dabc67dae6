package candidate

import (
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

// received is a node that received up to there and has not applied it.
func received(position string) with {
	return func(r *Replica) {
		held, err := r.Promise.Executed.Through(position)
		if err != nil {
			panic(err)
		}
		r.Promise.Received, r.Server.Replica.Received = held, held
	}
}

// TestWhoReceivedOverSeveralReignsIsNotOfAnOldOne: server 2 wrote up to 189,
// server 1 up to 199, server 2 up to 298, and server 1 again in this reign. db3
// acknowledged all of it, and has applied 199. That it has no 0-2-195, which never
// was, does not make it one of an earlier reign; it alone has the newest.
func TestWhoReceivedOverSeveralReignsIsNotOfAnOldOne(t *testing.T) {
	db3 := node("db3", "0-1-199,0-2-189", marked(reign-1), received("0-1-354"))
	db2 := node("db2", "0-1-345,0-2-298")
	c, ok := Choose(among(db2, db3).acked(1, "db2", "db3"))
	if !ok || !c.Required.Contains(gtid.MustParse("0-1-354")) || c.Winner != "db3" {
		t.Errorf("%s is chosen and needs %s (%s); 0-1-346..354 were acknowledged by db3 alone", c.Winner, c.Required, c.Summary())
	}
}

// TestWhoAppliedAnotherHistoryIsOfAnOldReign: db3 applied what the primary before
// wrote last and nobody acknowledged. What it received of that makes up for nothing.
func TestWhoAppliedAnotherHistoryIsOfAnOldReign(t *testing.T) {
	db3 := node("db3", "0-1-195", marked(reign-1), received("0-1-199"))
	db2 := node("db2", "0-1-189,0-2-194")
	c, ok := Choose(among(db2, db3).acked(1, "db2", "db3"))
	if !ok || c.Winner != "db2" || !gtid.MustParse("0-1-189,0-2-194").Contains(c.Required) {
		t.Errorf("%s is chosen and needs %s: %s", c.Winner, c.Required, c.Summary())
	}
}

// TestATailWithinWhatAnotherCoversIsNotAskedOfAnybody: db1 was primary and died
// with 0-1-432..438, which nobody acknowledged; server 2 went on from 431. db3 has
// received all of the newest reign over that range. It only covers those numbers.
func TestATailWithinWhatAnotherCoversIsNotAskedOfAnybody(t *testing.T) {
	db1 := node("db1", "0-1-438,0-2-431", marked(reign-1), restarted("0-1-438,0-2-431"), func(r *Replica) { r.Promise.Start = "second" })
	db2 := node("db2", "0-1-49,0-2-453")
	db3 := node("db3", "0-1-49,0-2-373", received("0-2-450"), func(r *Replica) { r.Server.Executed = gtid.MustParse("0-1-49,0-2-450") })
	c, ok := Choose(among(db1, db2, db3).acked(1, "db1", "db3"))
	if !ok || c.Winner != "db2" {
		t.Errorf("%q is chosen and needs %s (%s)", c.Winner, c.Required, c.Summary())
	}
}

// TestATailIsNotTheNewestData: db2 was the last primary and is dead; db3 alone
// acknowledged in its reign, and has not applied the marker. db1 was primary before,
// and came back with 0-1-163..165, which nobody acknowledged.
func TestATailIsNotTheNewestData(t *testing.T) {
	db1 := node("db1", "0-1-165,0-3-126", marked(reign-1))
	db3 := node("db3", "0-1-133,0-3-126", marked(reign-3), received("0-2-164"))
	e := among(db1, db3)
	e.Quorums = []cluster.AckQuorum{{Epoch: reign, Primary: "db2", Members: []cluster.NodeName{"db3"}, K: 1}}
	c, ok := Choose(e)
	if !ok || c.Winner != "db3" || !c.Required.Contains(gtid.MustParse("0-2-164")) {
		t.Errorf("%q is chosen and needs %s (%s); 0-2-163 and 164 were acknowledged by db3 alone", c.Winner, c.Required, c.Summary())
	}
}
