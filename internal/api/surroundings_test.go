package api_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/api/apitest"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reach"
	"github.com/baton-db/baton/internal/timeline"
)

// TestTheLastTimeStandsNextToWhatWasForeseen: by the history before it, not by itself.
func TestTheLastTimeStandsNextToWhatWasForeseen(t *testing.T) {
	past := []timeline.Switch{
		failover(cluster.PrimaryResigned, timeline.Confirmed, 5, timeline.Fenced, 15, timeline.Promised, 20, timeline.Chosen, 10, timeline.Promoted, 8, timeline.GateOpen, 40),
		failover(cluster.PrimaryResigned, timeline.Confirmed, 5, timeline.Fenced, 10, timeline.Promised, 20, timeline.Chosen, 10, timeline.Promoted, 8, timeline.GateOpen, 90, timeline.Marked, 70),
	}
	past[0].Epoch = 8
	b := api.BudgetOf(apitest.Shop(), past, api.Surroundings{})
	w := find(t, b, "the server dies, and its agent does not")
	l := w.Last
	if l == nil || l.Epoch != 9 || l.Furthest != "gate and addresses" {
		t.Fatalf("the last time was %+v", l)
	}
	then := l.Of(l.Furthest)
	if off, ok := then.Off(); !ok || off != millis(50) || *then.Foreseen != millis(40) || *then.Took != millis(90) {
		t.Errorf("that part was %+v", then)
	}
	var sum timeline.Millis
	for _, p := range l.Parts {
		if p.Took != nil {
			sum += *p.Took
		}
	}
	if whole := millis(15 + 30 + 8 + 90); sum != whole {
		t.Errorf("the parts of the last time are %s together, want %s", sum.D(), whole.D())
	}
	for _, p := range b.Afterwards {
		if p.Name == "the first commit: until a replica acknowledges" && (p.Takes == nil || *p.Takes != 0) {
			t.Errorf("the reign was marked with the end of the switch; got %+v", p)
		}
	}
	if gone := find(t, b, "the host is gone, or cut off"); gone.Last != nil {
		t.Errorf("no host was ever lost, and the last time was %+v", gone.Last)
	}
}

// host is a neighbour with settings as Linux has them.
func host(n cluster.NodeName, settings reach.Settings) reach.Host {
	s := reach.Settings{"base_reachable_time_ms": 30000, "delay_first_probe_time": 5, "ucast_solicit": 3, "retrans_time_ms": 1000, "drop_gratuitous_arp": 0}
	for name, v := range settings {
		s[name] = v
	}
	return reach.Host{Node: n, Paths: []reach.Path{{Address: netip.MustParseAddr("10.77.0.50"), Interface: "eth0", Settings: s}}}
}

func TestWhoWaitsLonger(t *testing.T) {
	primary := host("db1", nil)
	primary.Paths[0].Here = true
	primary.TCP = reach.Settings{"tcp_keepalive_time": 7200, "tcp_keepalive_intvl": 75, "tcp_keepalive_probes": 9}
	minutes := reach.Heard{Over: 600_000, Idle: 4, Probed: 4, Every: 60_000}
	for name, tt := range map[string]struct {
		around api.Surroundings
		want   map[string]string // a part: how long, and where from
		most   string            // of the advice
	}{
		"nobody could be asked": {api.Surroundings{Hosts: []reach.Host{{Node: "db2", Why: "no link"}}}, nil, ""},
		"all is as usual": {api.Surroundings{Tickle: true, Hosts: []reach.Host{with(primary, reach.Clients{Connections: 3, Kept: 2, Busy: 1, Longest: 7_000_000}), host("db2", nil)}},
			map[string]string{
				"neighbours that heed the announcement":                             "? the history has no switch that another node has watched, as seen from other nodes; such neighbours are db2",
				"neighbours that do not":                                            "53s at most, 23s at the least",
				"idle connections to a host that is gone":                           "? they are told",
				"those that the tickle misses: the client's own keepalive":          "? not known: no connection was idle",
				"the other way round: until the server knows that a client is gone": "2h11m15s keepalive runs on 2 of 3 connections",
			}, ""},
		"a neighbour is deaf": {api.Surroundings{Tickle: true, Hosts: []reach.Host{primary, host("db2", reach.Settings{"drop_gratuitous_arp": 1}), host("db3", nil)}},
			map[string]string{"neighbours that heed the announcement": "? the history has no switch that another node has watched, as seen from other nodes; such neighbours are db2, db3, of which db2 would not"}, "53s clients on such hosts"},
		"nobody tells idle clients": {api.Surroundings{Hosts: []reach.Host{with(primary, reach.Clients{Connections: 3, Unwatched: 3, Heard: &reach.Heard{Over: 600_000, Idle: 3}})}},
			map[string]string{
				"idle connections to a host that is gone":                           "? connections.tickle is off",
				"those that the tickle misses: the client's own keepalive":          "? none has asked on any of 3 idle connections in 10m0s",
				"the other way round: until the server knows that a client is gone": "? never: none of 3 connections has a keepalive timer",
			}, "2h11m15s idle clients"},
		"nobody tells them, but they ask": {api.Surroundings{Hosts: []reach.Host{with(primary, reach.Clients{Connections: 4, Heard: &minutes})}},
			map[string]string{"those that the tickle misses: the client's own keepalive": "1m0s 4 of 4 idle connections have asked in 10m0s"}, "1m0s idle clients"},
	} {
		t.Run(name, func(t *testing.T) {
			b := api.BudgetOf(apitest.Shop(), nil, tt.around)
			got := map[string]string{}
			for _, p := range b.Afterwards {
				takes := "?"
				if p.Takes != nil {
					takes = p.Takes.D().String()
				}
				got[p.Name] = takes + " " + p.From
			}
			for part, want := range tt.want {
				if !strings.HasPrefix(got[part], want) {
					t.Errorf("%s: %q, want %q…", part, got[part], want)
				}
			}
			most := ""
			if a := b.Advice[0]; a.Saves > 0 {
				most = a.Saves.D().String() + " " + a.Of
			}
			if !strings.HasPrefix(most, tt.most) || tt.most == "" && most != "" {
				t.Errorf("what helps most is %q, want %q", most, tt.most)
			}
		})
	}
}

func with(h reach.Host, c reach.Clients) reach.Host {
	h.Clients = &c
	return h
}

// TestEveryAdviceHasItsFigure: what saves most comes first, from the figures given.
func TestEveryAdviceHasItsFigure(t *testing.T) {
	s := apitest.Shop()
	s.Settings.Lease, s.Settings.Hang = 2*time.Second, 3*time.Second
	s.Roads = []api.RoadSetting{{Name: "dns", Kind: "dns", Cached: 20 * time.Second}}
	wait := int64(150_000)
	primary := host("db1", nil)
	primary.Paths[0].Here, primary.Server = true, &reach.Server{AckWait: &wait}
	other := host("db2", nil)
	other.Calls = []reach.Calls{{Endpoint: "dns", Set: reach.Distribution{Count: 9, Median: 600_000, Worst: 900_000}}}
	around := api.Surroundings{Tickle: true, Hosts: []reach.Host{primary, other}, Deadline: 500 * time.Millisecond}
	around.Limits.Normal, around.Limits.Suspect, around.Limits.Critical, around.Limits.Failures = time.Second, 250*time.Millisecond, 100*time.Millisecond, 3
	past := []timeline.Switch{failover(cluster.LeaseExpired, timeline.Fenced, 2000, timeline.Chosen, 10, timeline.GateOpen, 40, timeline.Marked, 300)}
	*past[0].Serving -= millis(300) // it is marked afterwards

	var got []string
	for _, a := range api.BudgetOf(s, past, around).Advice {
		got = append(got, a.Saves.D().String()+" "+a.Of)
	}
	want := []string{"15s clients that go by dns", "2s the server hangs", "1.85s nobody reaches the server", "1.25s the host is gone",
		"600ms clients that go by dns", "300ms the first commits", "150ms every commit", "0s "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	probed := find(t, api.BudgetOf(s, past, around), "no other node reaches the server, and its agent lives").Parts[0]
	if probed.Takes == nil || probed.Takes.D() != 2850*time.Millisecond {
		t.Errorf("the others are sure after %+v", probed)
	}
}
