package agent

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/node"
	"github.com/baton-db/baton/internal/endpoint"
)

// runner is an endpoint with sessions that end with the process.
type runner struct{}

func (runner) Run(context.Context) {}

func TestWhichAgentMayBeReplacedInPlace(t *testing.T) {
	bgp := &roads{runs: []endpoint.Runner{runner{}}}
	for name, tt := range map[string]struct {
		record cluster.Record
		lease  time.Duration
		roads  *roads
		want   string // empty: it may
	}{
		"the primary's":                      {cluster.Record{Phase: cluster.PhaseSteady, Primary: "db1"}, 3 * time.Second, &roads{}, ""},
		"one that leads no endpoints":        {cluster.Record{Phase: cluster.PhaseSteady, Primary: "db1"}, 3 * time.Second, nil, ""},
		"a primary's with a short lease":     {cluster.Record{Phase: cluster.PhaseSteady, Primary: "db1"}, time.Second, nil, "too short to bridge"},
		"a primary's that announces by BGP":  {cluster.Record{Phase: cluster.PhaseSteady, Primary: "db1"}, 3 * time.Second, bgp, "its BGP sessions end with this process"},
		"a replica's that stands by for BGP": {cluster.Record{Phase: cluster.PhaseSteady, Primary: "db2"}, time.Second, bgp, ""},
		"during a switch":                    {cluster.Record{Phase: cluster.PhaseElecting}, 3 * time.Second, nil, "a switch is going on"},
	} {
		t.Run(name, func(t *testing.T) {
			l := &loop{Node: node.Node{Self: "db1", Settings: cluster.Settings{Lease: tt.lease, Renew: time.Minute}, Board: node.NewBoard()}, hearing: &hearing{}, lanes: &lanes{}, roads: tt.roads}
			l.hearing.heard(clock.Now(), time.Minute)
			l.Board.Record, l.Board.RecordRev = tt.record, 1
			err := l.mayRestart()
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
