package node

import (
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// TestTheLimitsGoByTheClockThatMostHave: one node's clock is an hour off, its own
// or another's, for ever or from one moment on.
func TestTheLimitsGoByTheClockThatMostHave(t *testing.T) {
	const hour = int64(3600)
	noon := time.Unix(1_000_000_000, 0)
	for name, tt := range map[string]struct {
		own   int64            // of this node's clock: how far it is ahead
		other map[string]int64 // of the clocks that the other nodes' facts tell of
		want  int64            // of the time that is gone by
	}{
		"all are right":               {0, map[string]int64{"db2": 0, "db3": 0}, 0},
		"its own is ahead":            {hour, map[string]int64{"db2": 0, "db3": 1}, 1},
		"its own is behind":           {-hour, map[string]int64{"db2": 0, "db3": 1}, 0},
		"another is ahead":            {0, map[string]int64{"db2": hour, "db3": 1}, 1},
		"another is behind":           {0, map[string]int64{"db2": -hour, "db3": 1}, 0},
		"most are ahead":              {0, map[string]int64{"db2": hour, "db3": hour + 1}, hour},
		"nobody else is known":        {hour, nil, hour},
		"of two, its own":             {hour, map[string]int64{"db2": 0}, hour},
		"who is no node any more":     {0, map[string]int64{"db2": 0, "db8": hour, "db9": hour}, 0},
		"of four, it is in the midst": {5, map[string]int64{"db2": -hour, "db3": 9, "w1": 7}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			n := Node{Self: "db1", Board: NewBoard()}
			for _, m := range []cluster.NodeName{"db1", "db2", "db3", "w1"} {
				n.Settings.Nodes = append(n.Settings.Nodes, cluster.Node{Name: m})
			}
			start := cluster.Instant(10 * time.Minute)
			for m, ahead := range tt.other {
				name := cluster.NodeName(m)
				n.Board.SawFact(name, cluster.Fact{Node: name, Wall: 1}, 1, start) // of long ago, read at the start
				n.Board.SawFact(name, cluster.Fact{Node: name, Wall: noon.Unix() + ahead}, 2, start.Add(time.Minute))
			}
			later := 30 * time.Minute
			got := n.wall(noon.Add(later+time.Duration(tt.own)*time.Second), start.Add(time.Minute+later))
			if want := noon.Add(later).Unix() + tt.want; got != want {
				t.Errorf("it is %d s past the right time, want %d", got-noon.Add(later).Unix(), tt.want)
			}
		})
	}
}

// TestAFactOfLongAgoTellsNoTime: what is read at the start may have been written
// at any time.
func TestAFactOfLongAgoTellsNoTime(t *testing.T) {
	b := NewBoard()
	b.SawFact("db2", cluster.Fact{Node: "db2", Wall: 1}, 1, 0)
	if len(b.Walls) != 0 {
		t.Errorf("it is believed: %v", b.Walls)
	}
}
