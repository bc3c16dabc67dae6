package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/api/apitest"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/timeline"
)

func TestAnExplanationGoesUnchangedToTheClient(t *testing.T) {
	for name, s := range map[string]api.Snapshot{"healthy": apitest.Shop(), "broken": apitest.Broken(), "lagging": apitest.Lagging()} {
		t.Run(name, func(t *testing.T) {
			_, client := start(t, s)
			got, err := client.Explain(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			near := cmp.Comparer(func(a, b timeline.Millis) bool { return (a - b).D().Abs() < time.Millisecond }) // written with three decimals
			if diff := cmp.Diff(api.ExplanationOf(s, nil), got, cmpopts.EquateEmpty(), near); diff != "" {
				t.Errorf("on the way to the client it changed (-sent +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsAtRisk(t *testing.T) {
	with := func(edit func(*api.Snapshot)) api.Snapshot {
		s := apitest.Shop()
		edit(&s)
		return apitest.Imagined(s)
	}
	silent := func(s *api.Snapshot, n cluster.NodeName) {
		f := s.Facts[n]
		f.Age = time.Minute
		s.Facts[n] = f
	}
	for name, tt := range map[string]struct {
		in   api.Snapshot
		want []string // what the risks say, one after another
	}{
		"all is well, but both replicas are needed": {apitest.Shop(), []string{
			"no write that a client saw acknowledged", "if any of db2, db3 were lost as well"}},
		"only one replica acknowledges": {
			with(func(s *api.Snapshot) {
				silent(s, "db3")
				s.Record.Quorums = []cluster.AckQuorum{{Epoch: 7, Primary: "db1", Members: []cluster.NodeName{"db2"}, K: 1}}
			}),
			[]string{"no write that a client saw acknowledged", "if db2 were lost as well"}},
		"nobody acknowledges": {
			with(func(s *api.Snapshot) {
				s.Record.Quorums = []cluster.AckQuorum{{Epoch: 7, Primary: "db1", K: 1}}
				f := s.Facts["db1"]
				f.Value.Server.Executed = apitest.Lagging().Facts["db1"].Value.Server.Executed
				s.Facts["db1"] = f
			}),
			[]string{"nobody could write until db1 or the missing nodes are back; `baton failover --force` would promote db2"}},
		"nobody acknowledges and no replica lives": {
			with(func(s *api.Snapshot) {
				s.Record.Quorums = []cluster.AckQuorum{{Epoch: 7, Primary: "db1", K: 1}}
				silent(s, "db2")
				silent(s, "db3")
			}),
			[]string{"nobody could write until db1 or another node with the data is back"}},
		"paused, and the store hangs by one member": {
			with(func(s *api.Snapshot) {
				s.Record.Paused = &cluster.Pause{By: "ann@db2"}
				s.Store.Members, s.Store.Healthy = 3, 2
			}),
			[]string{"no write that a client saw", "left to a person: paused", "if any of db2, db3", "the store would have no majority left (1 of 3 members)"}},
		"asynchronous": {apitest.Lagging(), []string{"up to 9 transactions that clients saw acknowledged would be lost", "if only its server died, db2 would first fetch from its binary log what it lacks, for 5s", "if db2 were lost as well"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := api.ExplanationOf(tt.in, nil).IfGone.Risks
			if len(got) != len(tt.want) {
				t.Fatalf("got  %q\nwant %q", got, tt.want)
			}
			for i, w := range tt.want {
				if !strings.Contains(got[i], w) {
					t.Errorf("%d. got %q, want %q", i+1, got[i], w)
				}
			}
		})
	}
}

func TestHowLongASwitchTakes(t *testing.T) {
	at := timeline.Millis(60 * time.Millisecond)
	past := []timeline.Switch{
		{Kind: timeline.Failover, Ended: true, Serving: &at, Took: timeline.Millis(time.Second), Changes: []timeline.Change{
			{RecordSight: timeline.RecordSight{Phase: cluster.PhaseElecting}, At: timeline.Millis(20 * time.Millisecond)}}},
		{Kind: timeline.Switchover, Ended: true, Serving: &at, Took: timeline.Millis(55 * time.Millisecond)},
	}
	lagging := apitest.Lagging()
	x := api.ExplanationOf(lagging, past)
	lease := 777500 * time.Microsecond // 750 ms, 1 % of drift, 20 ms of margin
	apply := time.Duration(591) * time.Second / 300
	if got := x.IfGone.Took; got.Lease.D() != lease || got.ToApply != 591 || got.Total == nil || (got.Total.D()-lease-40*time.Millisecond-apply).Abs() > time.Millisecond {
		t.Errorf("a failover takes %+v", got)
	}
	lagging.Pace = nil
	if got := api.ExplanationOf(lagging, past).IfGone.Took; got.Apply != nil || got.Total != nil {
		t.Errorf("no pace is known, and it takes %+v", got)
	}
	if got := api.ExplanationOf(apitest.Shop(), nil).IfGone.Took; got.Total != nil || got.History.Runs != 0 {
		t.Errorf("there is no history, and it takes %+v", got)
	}
	if got := api.ExplanationOf(apitest.Shop(), past).SwitchoverTook; got == nil || got.Lease != 0 || got.Total == nil || got.Total.D() != 55*time.Millisecond {
		t.Errorf("a switchover takes %+v", got)
	}
}

// What is out of order on a node that somebody works on is told to nobody, and is
// told if it is so still once the work is done.
func TestMaintenanceIsNoAlarm(t *testing.T) {
	live := &api.Live{}
	live.Publish(apitest.Shop())
	s := apitest.Shop()
	s.Rev++
	s.Record = s.Record.WithMaintenance(cluster.Maintenance{Node: "db3", By: "ann"})
	f := s.Facts["db3"]
	f.Value.Conditions = []cluster.Condition{{Reason: cluster.ServerDown}}
	s.Facts["db3"] = f
	told := func() (all []cluster.NodeName) {
		events, _ := live.Since(0)
		for _, e := range events {
			if e.Kind == api.ConditionBegan {
				all = append(all, e.Node)
			}
		}
		return all
	}
	live.Publish(s)
	if got := told(); len(got) > 0 {
		t.Errorf("told of %v", got)
	}
	s.Rev++
	s.Record = s.Record.WithoutMaintenance("db3")
	live.Publish(s)
	if got := told(); len(got) != 1 || got[0] != "db3" {
		t.Errorf("the work is done and the server is still down: told of %v", got)
	}
}
