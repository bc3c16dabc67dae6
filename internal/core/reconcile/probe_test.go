package reconcile

import (
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
)

// TestTheQuestionForAnOwnerIsAskedOnce: it takes longer than a quick election and a quick
// promotion, and goes on through both. Asked anew it would take its whole time again, with
// the clients waiting.
func TestTheQuestionForAnOwnerIsAskedOnce(t *testing.T) {
	serving := func(asked cluster.Epoch, more ...change) Input {
		return primaryOf(append([]change{phase(cluster.PhasePromoting, 6, "db1", "db3"),
			func(in *Input) {
				in.Lease = lease.Held{Epoch: 6, Until: noon.Add(time.Second)}
				in.Record.Quorums = append(in.Record.Quorums, cluster.AckQuorum{Epoch: 6, Primary: "db1", Members: []cluster.NodeName{"db2", "db3"}, K: 1})
				in.Own.Marked = 6
				in.Host.Done = map[Kind]cluster.Epoch{ProbeAddresses: asked, CarryEvents: 6}
			},
			host(func(h *Host) { h.Bound = 0 })}, more...)...)
	}
	planned := func(in *Input) { in.Record.Planned = true }
	for name, tt := range map[string]struct {
		in    Input
		steps string
	}{
		"an answer is there: it binds":                        {serving(6), "address"},
		"the question is under way: it goes on":               {serving(0), "probe-addresses"},
		"the answer is that of the election before":           {serving(5), "probe-addresses"},
		"a planned switch has asked in the epoch before":      {serving(5, planned), "address"},
		"a planned switch has not asked yet":                  {serving(4, planned), "probe-addresses"},
		"while it makes the server writable, it goes on, too": {serving(0, server(func(s *cluster.ServerFact) { s.ReadOnly = true })), "probe-addresses writable"},
		"it has them already":                                 {serving(0, host(func(h *Host) { h.Bound = h.Addresses })), "verify"},
		"taken by hand in the reign: it binds at once":        {serving(0, phase(cluster.PhaseSteady, 6, "db1", "db3"), host(func(h *Host) { h.Bound = 0 })), "address"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, s := range Next(tt.in).Steps {
				switch s.Kind {
				case ProbeAddresses, BindAddresses, VerifyPaths, SetWritable:
					got = append(got, s.String())
				}
			}
			if text := strings.Join(got, " "); text != tt.steps {
				t.Errorf("it does %q, want %q", text, tt.steps)
			}
		})
	}
}
