package apitest

import (
	"fmt"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/core/lease"
	"github.com/baton-db/baton/internal/timeline"
)

// set reads a GTID set that a test wrote.
func set(text string) gtid.Set {
	s, err := gtid.Parse(text)
	if err != nil {
		panic(fmt.Sprintf("a test's GTID set %q: %v", text, err))
	}
	return s
}

// Shop is a healthy cluster: three data nodes and a witness, db1 primary.
func Shop() api.Snapshot {
	s := api.Snapshot{
		Node: "db1", Build: "v0.1.0", Mode: cluster.Active, Wall: Wall(),
		Settings: cluster.Settings{
			Cluster: "shop", Lease: 750 * time.Millisecond, Renew: 94 * time.Millisecond, Hang: time.Second, Drift: 0.01, Margin: 20 * time.Millisecond, Beat: time.Second, AckLeave: 1500 * time.Millisecond,
			Durability: cluster.Lossless, Acks: 1,
			Nodes: []cluster.Node{
				{Name: "db1", Role: cluster.Data, Site: "a"}, {Name: "db2", Role: cluster.Data, Site: "a"},
				{Name: "db3", Role: cluster.Data, Site: "b"}, {Name: "w1", Role: cluster.Witness, Site: "b"},
			},
		},
		Record: cluster.Record{
			Schema: 1, Epoch: 7, Phase: cluster.PhaseSteady, Primary: "db1", Previous: "db2", By: "db3",
			Reason: cluster.PrimaryResigned, Detail: "mariadbd (pid 812) was killed by signal 9", Since: "2026-03-01T02:58:07Z",
			Quorums: []cluster.AckQuorum{{Epoch: 7, Primary: "db1", Members: []cluster.NodeName{"db2", "db3"}, K: 1}},
		},
		Rev:   101,
		Lease: api.Aged[cluster.Lease]{Value: cluster.Lease{Schema: 1, Epoch: 7, Holder: "db1", Seq: 55}, Age: 90 * time.Millisecond},
		Facts: map[cluster.NodeName]api.Aged[cluster.Fact]{},
		Views: map[cluster.NodeName]api.Aged[cluster.View]{},
		Store: api.Store{Leader: "db1", Members: 4, Healthy: 4},
		Preview: &api.Preview{
			Switchover: api.Plan{
				Candidate: "db2", By: cluster.PassedSite,
				Passed: []api.Alternative{{Node: "db3", Reason: cluster.PassedSite, Detail: "b, not a", Possible: true}},
				Waits:  []api.Waiting{{For: cluster.AwaitingDrain, Node: "db1", Detail: "3 transactions are open, at most 5s"}},
			},
			Failover: api.Plan{
				Candidate: "db2", By: cluster.PassedSite,
				Passed: []api.Alternative{{Node: "db3", Reason: cluster.PassedSite, Detail: "b, not a", Possible: true}},
				Waits:  []api.Waiting{{For: cluster.AwaitingFence, Node: "db1"}, {For: cluster.AwaitingPromises, Detail: "of db2 and db3"}},
			},
		},
		LastSwitch: &api.LastSwitch{
			Epoch: 7, Kind: timeline.Failover, From: "db2", To: "db1", Reason: cluster.PrimaryResigned,
			At: "2026-03-01T02:58:07Z", Took: timeline.Millis(140 * time.Millisecond),
		},
	}
	primary := fact("db1", "up", "0-1-4711")
	primary.Serving, primary.Gate, primary.Addresses = 7, "clients", []string{"10.77.0.50", "fd77::50"}
	s.Facts["db1"] = aged(primary, 40*time.Millisecond)
	s.Facts["db2"] = aged(replica("db2", "0-1-4711"), 900*time.Millisecond)
	s.Facts["db3"] = aged(replica("db3", "0-1-4702"), 350*time.Millisecond)
	s.Facts["w1"] = aged(cluster.Fact{Schema: 1, Node: "w1", Agent: "a", Mode: cluster.Active, Config: "c0ffee"}, 600*time.Millisecond)
	s.Pace = map[cluster.NodeName]float64{"db2": 300}
	return Imagined(s)
}

// CutOff is the same cluster as a node sees it that does not reach the store.
func CutOff() api.Snapshot {
	s := Shop()
	s.Store = api.Store{Silent: true, Detail: "no majority of the store answers this node"}
	return s
}

// Lagging is the same cluster, asynchronous: nobody waits for its replicas, which
// have a lot to apply, and one of them is only watched.
func Lagging() api.Snapshot {
	s := Shop()
	s.Settings.Durability, s.Settings.BackFill = cluster.Async, 5*time.Second
	s.Record.Quorums = []cluster.AckQuorum{{Epoch: 7, Primary: "db1"}}
	for n, executed := range map[cluster.NodeName]string{"db2": "0-1-4111", "db3": "0-1-4702"} {
		f := replica(n, executed)
		f.Server.Replica.Received = set("0-1-4702")
		if n == "db3" {
			f.Mode = cluster.Observe
		}
		s.Facts[n] = aged(f, 100*time.Millisecond)
	}
	return Imagined(s)
}

// Imagined gives a snapshot the world that it would have been made of.
func Imagined(s api.Snapshot) api.Snapshot {
	s.WorldAt = cluster.Instant(time.Hour)
	w := decide.World{
		Self: s.Node, Config: "c0ffee", Settings: s.Settings, Record: s.Record, RecordRev: s.Rev, Wall: Wall().Unix(),
		Lease: lease.Watch{Rev: 1, Holder: s.Lease.Value.Holder, Epoch: s.Lease.Value.Epoch, SeenAt: s.WorldAt.Add(-s.Lease.Age)},
		Facts: map[cluster.NodeName]decide.Seen[cluster.Fact]{}, Views: map[cluster.NodeName]decide.Seen[cluster.View]{},
	}
	for n, f := range s.Facts {
		w.Facts[n] = decide.Seen[cluster.Fact]{Value: f.Value, Rev: 1, At: s.WorldAt.Add(-f.Age)}
	}
	for n, v := range s.Views {
		w.Views[n] = decide.Seen[cluster.View]{Value: v.Value, Rev: 1, At: s.WorldAt.Add(-v.Age)}
	}
	s.World = &w
	return s
}

// Broken is the same cluster in the middle of an election, with nearly
// everything out of order that can be.
func Broken() api.Snapshot {
	s := Shop()
	s.Rev++
	r := &s.Record
	r.Epoch, r.Phase, r.Primary, r.Previous, r.Since = 8, cluster.PhaseElecting, "", "db1", "2026-03-01T03:09:58Z"
	r.Reason, r.Detail = cluster.LeaseExpired, "db1 has not renewed for 780ms"
	r.Paused = &cluster.Pause{By: "ann@db2", Why: "kernel upgrade\x1b[2J", At: "2026-03-01T03:00:00Z"}
	s.Lease.Age = 2 * time.Second
	s.Store = api.Store{Leader: "w1", Members: 4, Healthy: 3, Detail: "db1: connection refused"}
	s.Waiting = []api.Waiting{{For: cluster.AwaitingPromises, Node: "db3", Detail: "its server is stopped"}}
	s.Verdict = api.Verdict{Reason: cluster.AwaitingPromises, Detail: "needed are the promises of 2 of db2, db3, or of db1 itself"}
	s.Requests = []cluster.Request{{Schema: 1, ID: "switchover-x", Kind: cluster.RequestSwitchover, To: "db2", By: "ann@db2", Refused: "a switch is going on already"}}
	s.Preview = &api.Preview{
		Switchover: api.Plan{Refused: "a switch is going on already (electing at epoch 8): wait for it to end"},
		Failover:   api.Plan{Passed: []api.Alternative{{Node: "db2", Reason: cluster.PassedNoPromise}, {Node: "db3", Reason: cluster.PassedServerDown, Detail: "stopped"}}},
	}
	s.Facts["db1"] = aged(s.Facts["db1"].Value, 9*time.Second)

	db2 := replica("db2", "0-1-4711")
	db2.Server.Replica = cluster.ReplicaFact{Source: "db1", Error: "error 1236: could not find\nthe GTID position"}
	db2.Conditions = []cluster.Condition{{Reason: cluster.ReplicaBroken, Detail: "error 1236"}, {Reason: cluster.NotRealtime}}
	db2.Config = "other"
	s.Facts["db2"] = aged(db2, 200*time.Millisecond)

	db3 := fact("db3", cluster.ServerStopped, "")
	db3.Held, db3.Errant = "errant transactions wait for a person", set("0-3-17")
	s.Facts["db3"] = aged(db3, 100*time.Millisecond)
	s.Views["w1"] = api.Aged[cluster.View]{Value: cluster.View{Schema: 1, Observer: "w1", Of: map[cluster.NodeName]cluster.NodeView{
		"db1": {Server: cluster.LayerView{State: cluster.Down, Evidence: "i/o timeout"}},
	}}, Age: time.Second}
	delete(s.Facts, "w1")
	return Imagined(s)
}

// Observed is the same cluster before anybody manages it: every agent observes,
// and the server of db1 has just died.
func Observed() api.Snapshot {
	s := Shop()
	s.Mode, s.Rev, s.Record, s.Lease, s.Preview, s.LastSwitch = cluster.Observe, 0, cluster.Record{}, api.Aged[cluster.Lease]{}, nil, nil
	s.Verdict = api.Verdict{Reason: cluster.AwaitingNodes, Detail: "not heard of, or without an answering server: db1"}
	s.Would = &api.Would{
		Supposed: true, Primary: "db1", Followers: []cluster.NodeName{"db2", "db3"},
		Begin:   &api.Begin{Reason: cluster.AwaitingNodes, Detail: s.Verdict.Detail},
		Changes: true, Reason: cluster.PrimaryResigned, Detail: "the server of db1 is stopped, and its agent would give the role up at once",
		Failover: &api.Plan{Candidate: "db2", By: cluster.PassedSite, Passed: []api.Alternative{
			{Node: "db1", Reason: cluster.PassedNoPromise, Detail: "it has not promised"}, {Node: "db3", Reason: cluster.PassedSite, Detail: "b, not a"}}},
		Lossy: "commits on db1 wait for no acknowledgement",
	}
	for n, f := range s.Facts {
		f.Value.Mode, f.Value.Gate, f.Value.Serving, f.Value.Addresses = cluster.Observe, "missing", 0, nil
		switch n {
		case "db1":
			f.Value.Server.State = cluster.ServerStopped
		case "db2":
			f.Value.Would = []string{"stop receiving, and promise the other nodes so", "read_only off"}
		case "db3":
			f.Value.Lacks = []string{"server of db3: baton@localhost lacks RELOAD; GRANT RELOAD\x1b[2J"}
		}
		s.Facts[n] = f
	}
	return s
}

// Watched is the same cluster in good order.
func Watched() api.Snapshot {
	s := Observed()
	s.Would.Begin = &api.Begin{Primary: "db1", Reason: cluster.Bootstrapped, Detail: "db1 is writable and the others replicate from it"}
	s.Would.Changes, s.Would.Reason, s.Would.Detail = false, cluster.Nothing, ""
	s.Would.Failover, s.Would.IfLost = nil, s.Would.Failover
	f := s.Facts["db1"]
	f.Value.Server.State = cluster.ServerUp
	s.Facts["db1"] = f
	return s
}

func aged(f cluster.Fact, age time.Duration) api.Aged[cluster.Fact] {
	return api.Aged[cluster.Fact]{Value: f, Age: age}
}

func fact(n cluster.NodeName, state cluster.ServerState, executed string) cluster.Fact {
	f := cluster.Fact{Schema: 1, Node: n, Agent: "a", Seq: 12, Mode: cluster.Active, Config: "c0ffee", Build: "v0.1.0", Epoch: 7, RecordRev: 101}
	f.Server = cluster.ServerFact{State: state, Flavor: "mariadb", Version: "10.11.6", BinLog: true, LogUpdates: true}
	if executed != "" {
		f.Server.Executed = set(executed)
	}
	return f
}

func replica(n cluster.NodeName, executed string) cluster.Fact {
	f := fact(n, cluster.ServerUp, executed)
	f.Server.ReadOnly, f.Gate = true, "readers"
	f.Server.Replica = cluster.ReplicaFact{Source: "db1", Receiver: true, Applier: true, Receiving: true, SemiSync: true}
	return f
}
