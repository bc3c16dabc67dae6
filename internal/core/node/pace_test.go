package node

import (
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

// TestThePaceOfAReplicaIsThatOfLate: what it applied a second in a good hour says
// nothing of one that stands still now.
func TestThePaceOfAReplicaIsThatOfLate(t *testing.T) {
	b, at := NewBoard(), noon
	see := func(after time.Duration, executed, received string) float64 {
		at = at.Add(after)
		f := cluster.Fact{Schema: 1, Node: "db3", Server: cluster.ServerFact{Executed: gtid.MustParse(executed), Replica: cluster.ReplicaFact{Received: gtid.MustParse(received)}}}
		b.SawFact("db3", f, cluster.Revision(at), at)
		return b.Pace["db3"]
	}
	for _, step := range []struct {
		after              time.Duration
		executed, received string
		want               float64
		what               string
	}{
		{time.Second, "0-1-100", "0-1-100", 0, "nothing is known of the first look"},
		{time.Second, "0-1-600", "0-1-600", 500, "what it applied in a second"},
		{time.Second, "0-1-600", "0-1-600", 500, "it had nothing to apply"},
		{time.Second, "0-1-600", "0-1-900", 500, "that has only just come"},
		{100 * time.Millisecond, "0-1-600", "0-1-950", 500, "a moment is no standstill"},
		{time.Second, "0-1-600", "0-1-990", 0, "it applied none of what it had"},
		{2 * time.Second, "0-1-800", "0-1-990", 100, "it applies again"},
	} {
		if got := see(step.after, step.executed, step.received); got != step.want {
			t.Errorf("%s: %g a second, want %g", step.what, got, step.want)
		}
	}
}
