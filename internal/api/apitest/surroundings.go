package apitest

import (
	"context"
	"net/netip"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/detect"
	"github.com/baton-db/baton/internal/core/reach"
)

// Surroundings implements api.Around: hosts as Linux has them, of which one is deaf,
// one is behind a router and one cannot be asked.
func (c *Cluster) Surroundings(context.Context) api.Surroundings {
	v := func(n int64) *int64 { return &n }
	settings := func(deaf int64) reach.Settings {
		return reach.Settings{"arp_announce": 2, "arp_ignore": 0, "drop_gratuitous_arp": deaf, "rp_filter": 0,
			"base_reachable_time_ms": 30000, "delay_first_probe_time": 5, "ucast_solicit": 3, "retrans_time_ms": 1000}
	}
	address := netip.MustParseAddr("10.77.0.50")
	tcp := reach.Settings{"tcp_keepalive_time": 7200, "tcp_keepalive_intvl": 75, "tcp_keepalive_probes": 9, "tcp_retries2": 15}
	db1 := reach.Host{Node: "db1", Paths: []reach.Path{{Address: address, Interface: "eth0", Here: true, Settings: settings(0)}}, TCP: tcp,
		Server:  &reach.Server{Wait: v(28800), BackLog: v(90), Keepalive: v(0)},
		Clients: &reach.Clients{Connections: 120, Kept: 100, Busy: 20, Longest: 7_199_000, Heard: &reach.Heard{Over: 600_000, Idle: 90, Probed: 60, Every: 90_000}},
		Calls:   []reach.Calls{{Endpoint: "app-name", Kind: "dns", Set: reach.Distribution{Count: 4, Failed: 1, Median: 21_000, Worst: 640_000, Sum: 700_000}, Observe: reach.Distribution{Count: 300, Median: 2_000, Worst: 9_000, Sum: 600_000}}}}
	db2 := reach.Host{Node: "db2", Paths: []reach.Path{{Address: address, Interface: "eth0", Entry: "stale", MAC: "02:00:00:00:00:01", Settings: settings(1)}}, TCP: tcp,
		Missing: []string{"read the load: permission denied"}}
	w1 := reach.Host{Node: "w1", Paths: []reach.Path{{Address: address, Interface: "eth0", Gateway: netip.MustParseAddr("10.78.0.1"), Settings: settings(0)}}, TCP: tcp}
	return api.Surroundings{
		Hosts:    []reach.Host{db1, db2, {Node: "db3", Why: "ask db3 for surroundings: no answer"}, w1},
		Limits:   detect.Limits{Normal: 250 * time.Millisecond, Suspect: 100 * time.Millisecond, Critical: 50 * time.Millisecond, Failures: 3},
		Deadline: 200 * time.Millisecond, Tickle: true,
	}
}
