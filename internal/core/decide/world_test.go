package decide

import (
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/core/lease"
)

// The builders describe a cluster of three data nodes, db1 the primary at
// epoch 5 with 100 transactions, everything well, at the instant noon, seen
// from db2. Options change it.

const noon = cluster.Instant(100 * time.Second)

type change func(*World)

func settings() cluster.Settings {
	return cluster.Settings{
		Cluster: "shop",
		Nodes:   []cluster.Node{{Name: "db1", Role: cluster.Data}, {Name: "db2", Role: cluster.Data}, {Name: "db3", Role: cluster.Data}},
		Lease:   time.Second, Renew: 250 * time.Millisecond, Call: 125 * time.Millisecond, Drift: 0.01, Margin: 20 * time.Millisecond,
		Beat: time.Second, Hang: time.Second, Drain: 5 * time.Second, Handoff: 10 * time.Second, PromoteStall: 5 * time.Second,
		AckLeave: 2 * time.Second, PromiseWait: time.Second,
		Durability: cluster.Lossless, Acks: 1, Alone: cluster.AloneContinue,
		CoolDown: time.Minute, MaxPerHour: 3,
	}
}

func position(text string) gtid.Set {
	s, err := gtid.Parse(text)
	if err != nil {
		panic(err)
	}
	return s
}

func newWorld(changes ...change) World {
	w := World{
		Self: "db2", Config: "c1", Settings: settings(),
		Record: cluster.Record{Schema: cluster.Schema, Epoch: 5, Phase: cluster.PhaseSteady, Primary: "db1",
			Quorums: []cluster.AckQuorum{{Epoch: 5, Primary: "db1", Members: []cluster.NodeName{"db2", "db3"}, K: 1}}},
		RecordRev: 50, PhaseAt: noon.Add(-time.Hour),
		Lease: lease.Watch{Rev: 90, Holder: "db1", Epoch: 5, Agent: "a-db1", SeenAt: noon.Add(-100 * time.Millisecond)},
		Facts: map[cluster.NodeName]Seen[cluster.Fact]{},
		Views: map[cluster.NodeName]Seen[cluster.View]{},
		Wall:  1_000_000,
	}
	for _, n := range []cluster.NodeName{"db1", "db2", "db3"} {
		f := cluster.Fact{Schema: cluster.Schema, Node: n, Agent: "a-" + string(n), Config: "c1", Epoch: 5, RecordRev: 50, Mode: cluster.Active,
			Server: cluster.ServerFact{State: cluster.ServerUp, Start: "s-" + string(n), Flavor: "mariadb", Version: "10.11.19", ReadOnly: n != "db1",
				BinLog: true, LogUpdates: true, Executed: position("0-1-100"), Marker: 5}}
		if n == "db1" {
			f.Serving, f.Marked, f.Endpoints = 5, 5, 5
			f.Server.SemiSrc = cluster.SemiSyncFact{Enabled: true, Active: true, Clients: 2}
		} else {
			f.Server.Replica = cluster.ReplicaFact{Source: "db1", Receiver: true, Started: true, Applier: true, Receiving: true, SemiSync: true, Received: position("0-1-100")}
		}
		w.Facts[n] = Seen[cluster.Fact]{Value: f, Rev: 80, At: noon.Add(-200 * time.Millisecond)}
		w.Views[n] = Seen[cluster.View]{Value: cluster.View{Observer: n, Of: map[cluster.NodeName]cluster.NodeView{}}, At: noon.Add(-200 * time.Millisecond)}
	}
	for _, c := range changes {
		c(&w)
	}
	return w
}

func from(self cluster.NodeName) change { return func(w *World) { w.Self = self } }

// network has a node say how the clients' network looks there.
func network(n cluster.NodeName, state cluster.LayerState) change {
	return fact(n, func(f *cluster.Fact) { f.Network = cluster.LayerView{State: state, Evidence: "eth1 has no carrier"} })
}

func serverDown(f *cluster.Fact) { f.Server.State = cluster.ServerStopped }

func fact(n cluster.NodeName, edit func(*cluster.Fact)) change {
	return func(w *World) {
		s := w.Facts[n]
		edit(&s.Value)
		w.Facts[n] = s
	}
}

func silent(n cluster.NodeName) change {
	return func(w *World) {
		s := w.Facts[n]
		s.At, s.MovedAt = noon.Add(-time.Minute), noon.Add(-time.Minute)
		w.Facts[n] = s
	}
}

func record(edit func(*cluster.Record)) change { return func(w *World) { edit(&w.Record) } }

func leaseSeen(ago time.Duration) change {
	return func(w *World) { w.Lease.SeenAt = noon.Add(-ago) }
}

func phase(p cluster.Phase, since time.Duration) change {
	return func(w *World) { w.Record.Phase, w.PhaseAt = p, noon.Add(-since) }
}

func electingAfterDb1(w *World) {
	w.Record.Epoch, w.Record.Phase, w.Record.Previous, w.Record.Primary = 6, cluster.PhaseElecting, "db1", ""
	w.Record.Failed = []cluster.NodeName{"db1"}
	w.PhaseAt = noon.Add(-10 * time.Millisecond)
}

func promise(n cluster.NodeName, received string) change {
	return fact(n, func(f *cluster.Fact) {
		f.Server.Replica.Received = position(received)
		f.Promise = &cluster.Promise{Epoch: 6, Start: f.Server.Start, Executed: f.Server.Executed, Received: position(received), Marker: 5}
	})
}

func sees(n cluster.NodeName, state cluster.LayerState, of cluster.NodeName) change {
	return func(w *World) {
		v := w.Views[n]
		v.Value.Of[of] = cluster.NodeView{Host: cluster.LayerView{State: state}, Port: cluster.LayerView{State: state}, Server: cluster.LayerView{State: state}}
		w.Views[n] = v
	}
}

func receivesNothing(names ...cluster.NodeName) change {
	return func(w *World) {
		for _, n := range names {
			fact(n, func(f *cluster.Fact) { f.Server.Replica.Receiving = false })(w)
		}
	}
}

func asked(q cluster.Request) change {
	return func(w *World) {
		q.Schema, q.ID, q.By = cluster.Schema, "r1", "alice"
		w.Requests = append(w.Requests, Seen[cluster.Request]{Value: q})
	}
}
