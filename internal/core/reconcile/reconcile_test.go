package reconcile

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/core/lease"
)

const noon = cluster.Instant(100 * time.Second)

type change func(*Input)

// primaryOf and replicaOf describe db1 or db2 in a cluster of three at epoch 5
// in which everything is well. Options change it.
func base(self cluster.NodeName) Input {
	in := Input{
		Self: self,
		Settings: cluster.Settings{
			Nodes: []cluster.Node{{Name: "db1", Role: cluster.Data}, {Name: "db2", Role: cluster.Data}, {Name: "db3", Role: cluster.Data}, {Name: "w1", Role: cluster.Witness}},
			Lease: time.Second, Durability: cluster.Lossless, Acks: 1, Alone: cluster.AloneContinue,
		},
		Record: cluster.Record{Schema: cluster.Schema, Epoch: 5, Phase: cluster.PhaseSteady, Primary: "db1",
			Quorums: []cluster.AckQuorum{{Epoch: 5, Primary: "db1", Members: []cluster.NodeName{"db2", "db3"}, K: 1}}},
		Rev: 50, PhaseAt: noon.Add(-time.Hour), Now: noon,
		Host:  Host{Addresses: 2, Done: map[Kind]cluster.Epoch{}},
		Peers: map[cluster.NodeName]cluster.Fact{"db1": {Node: "db1", Epoch: 5, Serving: 5, Addresses: []string{"a", "b"}, Server: cluster.ServerFact{Executed: position("0-1-100")}}},
	}
	in.Own = cluster.Fact{Node: self, RecordRev: 50, Server: cluster.ServerFact{State: cluster.ServerUp, Start: "s1", ReadOnly: true, Executed: position("0-1-100")}}
	return in
}

func primaryOf(changes ...change) Input {
	in := base("db1")
	in.Lease = lease.Held{Epoch: 5, Until: noon.Add(500 * time.Millisecond)}
	in.Host.Gate, in.Host.Bound = GateOpenLeased, 2
	in.Host.Done[CarryEvents] = 5
	in.Own.Server.ReadOnly = false
	in.Own.Server.SemiSrc.Enabled = true
	in.Own.Marked, in.Own.Endpoints = 5, 5
	return with(in, changes)
}

func replicaOf(changes ...change) Input {
	in := base("db2")
	in.Host.Gate = GateOpenRead
	in.Own.Server.Replica = cluster.ReplicaFact{Source: "db1", Started: true, Receiver: true, Applier: true, SemiSync: true, Received: position("0-1-100")}
	return with(in, changes)
}

// standsStill: a replica whose receiver was stopped a moment ago.
func standsStill(in *Input) {
	in.Own.Server.Replica.Started, in.Own.Server.Replica.Receiver = false, false
}

func running(s Step) change { return func(in *Input) { in.Running = []Step{s} } }

func with(in Input, changes []change) Input {
	for _, c := range changes {
		c(&in)
	}
	return in
}

func position(text string) gtid.Set {
	s, err := gtid.Parse(text)
	if err != nil {
		panic(err)
	}
	return s
}

func phase(p cluster.Phase, epoch cluster.Epoch, primary, previous cluster.NodeName) change {
	return func(in *Input) {
		in.Record.Phase, in.Record.Epoch, in.Record.Primary, in.Record.Previous = p, epoch, primary, previous
		in.PhaseAt = noon.Add(-10 * time.Millisecond)
	}
}

func server(edit func(*cluster.ServerFact)) change { return func(in *Input) { edit(&in.Own.Server) } }
func host(edit func(*Host)) change                 { return func(in *Input) { edit(&in.Host) } }
func own(edit func(*cluster.Fact)) change          { return func(in *Input) { edit(&in.Own) } }

// cutOff says that this agent has cut nodes off.
func cutOff(names ...cluster.NodeName) change {
	return func(in *Input) { in.Host.Cut, in.Own.AckCut, in.Own.CutAt = names, names, position("0-1-100") }
}

func detached(in *Input) { in.Own.Server.Replica = cluster.ReplicaFact{} }

// maintained says that somebody works on db2.
func maintained(in *Input) {
	in.Record = in.Record.WithMaintenance(cluster.Maintenance{Node: "db2", By: "ann"})
}

// ownLost is a returned primary that dropped the end of its log.
func ownLost(in *Input) {
	in.Own.Server.ID, in.Own.Server.Executed = 7, position("0-1-50,0-7-90")
	p := in.Peers["db1"]
	p.Server.Executed = position("0-1-100,0-7-95")
	in.Peers["db1"] = p
}

// closed is a host after its fence: nothing is open, everything is latched.
func closed(in *Input) {
	in.Host.Gate, in.Host.Muted = GateOpenRead, true
	in.Own.Server.ReadOnly, in.Own.Server.SemiSrc.Enabled = true, false
	in.Lease = in.Lease.Latch(5)
	in.Own.Fenced = 5
}

// TestNext holds the steps of a host against a sentence about it.
func TestNext(t *testing.T) {
	taken := func(epoch cluster.Epoch) change {
		return func(in *Input) { in.Lease = lease.Held{Epoch: epoch, Until: noon.Add(time.Second)} }
	}
	serves := func(n cluster.NodeName, epoch cluster.Epoch) change {
		return func(in *Input) {
			in.Peers[n] = cluster.Fact{Node: n, Epoch: epoch, Serving: epoch, Addresses: []string{"a", "b"}, Server: cluster.ServerFact{Executed: position("0-1-100")}}
		}
	}
	candidate := func(changes ...change) Input {
		return replicaOf(append([]change{phase(cluster.PhasePromoting, 6, "db2", "db1"), func(in *Input) {
			in.Record.Required = position("0-1-100")
			in.Record.Quorums = append(in.Record.Quorums, cluster.AckQuorum{Epoch: 6, Primary: "db2", Members: []cluster.NodeName{"db3"}, K: 1})
			in.Host.Done[ProbeAddresses] = 6
			cutOff("db1")(in) // it has not said anything in this reign
		}}, changes...)...)
	}
	for name, tt := range map[string]struct {
		in    Input
		steps string
		lease cluster.Epoch
	}{
		"a serving primary has nothing to do but renew":         {primaryOf(), "", 5},
		"a replica that follows has nothing to do":              {replicaOf(), "", 0},
		"a witness never has anything to do":                    {with(base("w1"), nil), "", 0},
		"without a record an unmanaged server is left as it is": {with(base("db1"), []change{func(in *Input) { in.Rev = 0 }, host(func(h *Host) { h.Gate = GateMissing })}), "", 0},
		"without a record a closed gate opens for reading only": {with(base("db1"), []change{func(in *Input) { in.Rev, in.Own.RecordRev = 0, 0 }, host(func(h *Host) { h.Gate = GateClosed })}), "gate-read-only", 0},
		"without a record a writable server stays behind a gate": {with(base("db1"), []change{func(in *Input) { in.Rev = 0 }, host(func(h *Host) { h.Gate = GateClosed }),
			server(func(s *cluster.ServerFact) { s.ReadOnly = false })}), "", 0},

		// The primary.
		"the lease ran out: it is fenced, not renewed":      {primaryOf(func(in *Input) { in.Lease.Until = noon }), "fence", 0},
		"the server died: it is fenced, not renewed":        {primaryOf(server(func(s *cluster.ServerFact) { s.State = cluster.ServerExiting })), "fence", 0},
		"it was fenced and waits for the others":            {primaryOf(closed), "", 0},
		"a restarted agent takes the lease before it opens": {primaryOf(func(in *Input) { in.Lease = lease.Held{} }, host(func(h *Host) { h.Gate = GateClosed })), "", 5},
		"the gate is timed before the server is writable":   {primaryOf(server(func(s *cluster.ServerFact) { s.ReadOnly = true }), host(func(h *Host) { h.Gate = GateOpenRead })), "gate", 5},
		"the gate is timed, so it may become writable":      {primaryOf(server(func(s *cluster.ServerFact) { s.ReadOnly = true })), "writable", 5},
		"it serves and binds, and marks the reign":          {primaryOf(host(func(h *Host) { h.Bound = 1 }), own(func(f *cluster.Fact) { f.Marked = 4 })), "address marker", 5},
		"commits wait for nobody, against the record":       {primaryOf(server(func(s *cluster.ServerFact) { s.SemiSrc.Enabled = false })), "semi-source on", 5},
		"nobody is left to acknowledge, as the record says": {primaryOf(func(in *Input) { in.Record.Quorums[0].Members = nil }), "semi-source off", 5},
		"a silent member is cut off":                        {primaryOf(func(in *Input) { in.AckSilent = []cluster.NodeName{"db3"} }), "cut-replica db3", 5},
		"the last member is not cut off where commits wait": {primaryOf(func(in *Input) {
			in.AckSilent, in.Settings.Alone = []cluster.NodeName{"db2", "db3"}, cluster.AloneWait
		}), "", 5},
		"one that left stays cut while it acknowledges": {primaryOf(func(in *Input) {
			in.Record.Quorums[0].Members = []cluster.NodeName{"db2"}
			in.Peers["db3"] = cluster.Fact{RecordRev: 50, Server: cluster.ServerFact{State: cluster.ServerUp, Replica: cluster.ReplicaFact{SemiSync: true}}}
		}, cutOff("db3")), "", 5},
		"one that left may come back once it does not acknowledge": {primaryOf(func(in *Input) {
			in.Record.Quorums[0].Members = []cluster.NodeName{"db2"}
			in.Peers["db3"] = cluster.Fact{RecordRev: 50, Server: cluster.ServerFact{State: cluster.ServerUp}}
		}, cutOff("db3")), "uncut-replica db3", 5},
		"handing over, it drains": {primaryOf(phase(cluster.PhaseHandoff, 6, "db1", ""), taken(6)), "drain", 6},
		"drained, it keeps the lease and its clients": {primaryOf(phase(cluster.PhaseHandoff, 6, "db1", ""), taken(6),
			own(func(f *cluster.Fact) { f.Drained = &cluster.Position{Epoch: 6} }), server(func(s *cluster.ServerFact) { s.ReadOnly = true })), "", 6},
		"rolled back, it is made writable again": {primaryOf(phase(cluster.PhasePromoting, 7, "db1", "db1"), taken(7), host(func(h *Host) { h.Done[ProbeAddresses] = 7 }),
			server(func(s *cluster.ServerFact) { s.ReadOnly = true })), "writable", 7},

		"its agent is being stopped: it is fenced, not renewed": {primaryOf(func(in *Input) { in.Leaving = true }), "fence", 0},
		"its agent is being stopped: it does not promise":       {replicaOf(phase(cluster.PhaseElecting, 6, "", "db1"), func(in *Input) { in.Leaving = true }), "", 0},

		// The candidate.
		"the candidate lacks something and fetches it from its source": {candidate(func(in *Input) {
			in.Record.Required, in.Record.Source = position("0-1-105"), "db3"
		}), "probe-addresses? follow db3", 0},
		"it may have written itself, and lost, what that merely covers: it acknowledges so as not to skip it": {candidate(func(in *Input) {
			in.Record.Required, in.Record.Source = position("0-1-100").Covering(position("0-1-100,0-3-105")).Union(position("0-3-105")), "db3"
		}), "probe-addresses? follow db3 on", 0},
		"it tries to connect to its source: it is not told again": {candidate(func(in *Input) {
			in.Record.Required, in.Record.Source = position("0-1-105"), "db3"
		}, server(func(s *cluster.ServerFact) { s.Replica.Source, s.Replica.Receiver = "db3", false })), "apply 0-1-105", 0},
		"its own gate keeps it from its source: it follows anew": {candidate(func(in *Input) {
			in.Record.Required, in.Record.Source = position("0-1-105"), "db3"
			in.Host.Blocked = []cluster.NodeName{"db3"}
		}, server(func(s *cluster.ServerFact) { s.Replica.Source = "db3" })), "follow db3", 0},
		"the candidate waits for what it fetches": {candidate(func(in *Input) {
			in.Record.Required, in.Record.Source = position("0-1-105"), "db3"
		}, server(func(s *cluster.ServerFact) { s.Replica.Source = "db3" })), "apply 0-1-105", 0},
		"the candidate applies what it received first":         {candidate(server(func(s *cluster.ServerFact) { s.Replica.Received = position("0-1-103") })), "apply 0-1-103", 0},
		"the candidate has applied everything and is promoted": {candidate(), "promote on", 0},
		"promoted, it takes the lease":                         {candidate(detached, server(func(s *cluster.ServerFact) { s.SemiSrc.Enabled = true })), "", 6},
		"with the lease, its gate is timed":                    {candidate(detached, taken(6), server(func(s *cluster.ServerFact) { s.SemiSrc.Enabled = true })), "gate", 6},
		"a candidate that restarted meanwhile begins again":    {candidate(detached, taken(6), server(func(s *cluster.ServerFact) { s.SemiSrc.Enabled = false })), "promote on", 0},
		"a candidate whose server died is fenced":              {candidate(server(func(s *cluster.ServerFact) { s.State = cluster.ServerStopped })), "fence", 0},

		// The old primary.
		"the primary is being fenced":                                   {primaryOf(phase(cluster.PhaseFencing, 6, "", "db1")), "fence", 0},
		"fenced, it waits for the election":                             {primaryOf(phase(cluster.PhaseFencing, 6, "", "db1"), closed), "", 0},
		"fenced, it promises like the others":                           {primaryOf(phase(cluster.PhaseElecting, 6, "", "db1"), closed), "promise", 0},
		"fenced, it keeps its muted addresses until the new one serves": {primaryOf(phase(cluster.PhasePromoting, 6, "db2", "db1"), closed, func(in *Input) { in.Record.Required = position("0-1-100") }), "follow db2", 0},
		"the new primary serves: the addresses are dropped":             {primaryOf(phase(cluster.PhasePromoting, 6, "db2", "db1"), closed, serves("db2", 6)), "release follow db2", 0},
		"the new primary does not come: the addresses are dropped": {primaryOf(phase(cluster.PhaseElecting, 6, "", "db1"), closed,
			func(in *Input) { in.PhaseAt = noon.Add(-2 * time.Second) }), "release promise", 0},
		"after a planned switch it mutes and lets readers stay": {primaryOf(phase(cluster.PhasePromoting, 7, "db2", "db1"), taken(6), func(in *Input) { in.Record.Planned, in.Record.Required = true, position("0-1-100") },
			server(func(s *cluster.ServerFact) { s.ReadOnly, s.SemiSrc.Enabled = true, false })), "mute gate-read-only follow db2", 0},
		"after a planned switch it cannot mute, and drops the addresses in the end": {primaryOf(phase(cluster.PhaseSteady, 7, "db2", "db1"), func(in *Input) {
			in.Lease = lease.Held{}
			in.Record.Planned, in.Record.Required, in.Host.Gate, in.PhaseAt = true, position("0-1-100"), GateOpenRead, noon.Add(-2*time.Second)
		}, server(func(s *cluster.ServerFact) { s.ReadOnly, s.SemiSrc.Enabled = true, false })), "release follow db2", 0},
		"after a planned switch a writable old primary is fenced": {primaryOf(phase(cluster.PhasePromoting, 7, "db2", "db1"), taken(6), func(in *Input) { in.Record.Planned = true }), "fence", 0},
		"a returned primary with more than the new one has does not follow": {replicaOf(serves("db1", 5), server(func(s *cluster.ServerFact) {
			s.Replica, s.Executed = cluster.ReplicaFact{}, position("0-1-100,0-2-103")
		})), "", 0},
		"a held node serves nobody and receives nothing": {replicaOf(own(func(f *cluster.Fact) { f.Held = "errant" })), "gate-close stop-replication", 0},

		// Replicas.
		"an election: the replica promises":         {replicaOf(phase(cluster.PhaseElecting, 6, "", "db1")), "probe-addresses promise", 0},
		"an election: it has promised":              {replicaOf(phase(cluster.PhaseElecting, 6, "", "db1"), own(func(f *cluster.Fact) { f.Promise = &cluster.Promise{Epoch: 6, Start: "s1"} })), "probe-addresses", 0},
		"its server restarted, so it promises anew": {replicaOf(phase(cluster.PhaseElecting, 6, "", "db1"), own(func(f *cluster.Fact) { f.Promise = &cluster.Promise{Epoch: 6, Start: "s0"} })), "probe-addresses promise", 0},
		"a new primary: what was received is applied before it follows": {replicaOf(phase(cluster.PhasePromoting, 6, "db3", "db1"),
			func(in *Input) { in.Record.Required = position("0-1-103") }, server(func(s *cluster.ServerFact) { s.Replica.Received = position("0-1-103") })), "apply 0-1-103", 0},
		"it does not acknowledge, though the record counts on it":                                   {replicaOf(server(func(s *cluster.ServerFact) { s.Replica.SemiSync = false })), "semi-replica on", 0},
		"it acknowledges, though the record does not count on it":                                   {replicaOf(func(in *Input) { in.Record.Quorums[0].Members = []cluster.NodeName{"db3"} }), "semi-replica off", 0},
		"it connects anew to acknowledge, so that it stands still meanwhile":                        {replicaOf(standsStill, running(Step{Lane: LaneServer, Kind: AckAgain, Epoch: 77})), "ack-again", 0},
		"it connects anew to acknowledge from now on":                                               {replicaOf(standsStill, running(Step{Lane: LaneServer, Kind: SemiReplica, On: true})), "semi-replica on", 0},
		"it connects anew so as not to acknowledge, which it should":                                {replicaOf(standsStill, running(Step{Lane: LaneServer, Kind: SemiReplica})), "follow db1 on", 0},
		"it connects anew to acknowledge, and is not to any more":                                   {replicaOf(standsStill, running(Step{Lane: LaneServer, Kind: AckAgain, Epoch: 77}), func(in *Input) { in.Record.Quorums[0].Members = []cluster.NodeName{"db3"} }), "follow db1", 0},
		"it connects anew to one that is primary no more":                                           {replicaOf(standsStill, running(Step{Lane: LaneServer, Kind: AckAgain, Epoch: 77}), server(func(s *cluster.ServerFact) { s.Replica.Source = "db3" })), "follow db1 on", 0},
		"a replica that somebody made writable is fenced":                                           {replicaOf(server(func(s *cluster.ServerFact) { s.ReadOnly = false })), "fence", 0},
		"it lost what it wrote itself, and may not acknowledge: following would skip that for ever": {replicaOf(ownLost, detached, func(in *Input) { in.Record.Quorums[0].Members = []cluster.NodeName{"db3"} }), "", 0},
		"it lost what it wrote itself, and is in the ack set: it gets it back":                      {replicaOf(ownLost, detached), "follow db1 on", 0},
		"it lost what it wrote itself, and nobody's acknowledgement counts":                         {replicaOf(ownLost, detached, func(in *Input) { in.Record.Quorums[0].Members = nil }), "follow db1 on", 0},
		"it follows the new primary, so the paths to the others are opened":                         {replicaOf(host(func(h *Host) { h.Blocked = []cluster.NodeName{"db3"} })), "unblock", 0},
		"paused, replication is left as it is":                                                      {replicaOf(func(in *Input) { in.Record.Paused = &cluster.Pause{} }, detached), "", 0},
		"in maintenance, replication that was stopped is left as it is":                             {replicaOf(maintained, server(func(s *cluster.ServerFact) { s.Replica.Started, s.Replica.Receiver = false, false })), "", 0},
		"in maintenance, a source that was taken away is not set again":                             {replicaOf(maintained, detached), "", 0},
		"in maintenance, what this agent stopped for an election goes on": {replicaOf(maintained, host(func(h *Host) { h.Blocked = []cluster.NodeName{"db1"} }),
			server(func(s *cluster.ServerFact) { s.Replica.Started, s.Replica.Receiver = false, false })), "follow db1 on", 0},
		"in maintenance, it follows another primary":       {replicaOf(maintained, server(func(s *cluster.ServerFact) { s.Replica.Source = "db3" })), "follow db1 on", 0},
		"in maintenance, it promises like the others":      {replicaOf(maintained, phase(cluster.PhaseElecting, 6, "", "db1")), "probe-addresses promise", 0},
		"in maintenance, a writable server is fenced":      {replicaOf(maintained, server(func(s *cluster.ServerFact) { s.ReadOnly = false })), "fence", 0},
		"in maintenance, a server that is down is left so": {replicaOf(maintained, server(func(s *cluster.ServerFact) { s.State = cluster.ServerStopped }), host(func(h *Host) { h.Startable, h.Gate = true, GateClosed })), "", 0},
		"its server is down: nobody may connect":           {replicaOf(server(func(s *cluster.ServerFact) { s.State = cluster.ServerStopped })), "gate-close", 0},
		"its server is down and can be started":            {replicaOf(server(func(s *cluster.ServerFact) { s.State = cluster.ServerStopped }), host(func(h *Host) { h.Startable, h.Gate = true, GateClosed })), "start-server", 0},
		"its server is down, and its disk is full: a start would spoil it": {replicaOf(server(func(s *cluster.ServerFact) { s.State = cluster.ServerStopped }),
			host(func(h *Host) { h.Startable, h.Gate, h.DiskUnfit = true, GateClosed, "no room is left" })), "", 0},
		"the candidate of a handoff applies the final position": {replicaOf(phase(cluster.PhaseHandoff, 6, "db1", ""), func(in *Input) {
			in.Record.Candidate = "db2"
			in.Peers["db1"] = cluster.Fact{Drained: &cluster.Position{Epoch: 6, At: position("0-1-110")}}
		}), "probe-addresses apply 0-1-110", 0},
	} {
		t.Run(name, func(t *testing.T) {
			plan := Next(tt.in)
			var steps []string
			for _, s := range plan.Steps {
				steps = append(steps, s.String())
			}
			want := strings.ReplaceAll(tt.steps, "probe-addresses? ", "")
			if got := strings.Join(steps, " "); got != want {
				t.Errorf("steps %q, want %q (%s)", got, want, plan.Waits)
			}
			if plan.Lease != tt.lease {
				t.Errorf("lease of epoch %d wanted, want %d", plan.Lease, tt.lease)
			}
		})
	}
}

// TestNothingOpensWithoutTheLease drives every world of a host through Next and
// holds that no step which lets clients write is ever returned unless the lease
// of the record's epoch is valid and, for the server, the gate timed.
func TestNothingOpensWithoutTheLease(t *testing.T) {
	opening := 0
	for _, self := range []cluster.NodeName{"db1", "db2"} {
		for _, ph := range []cluster.Phase{cluster.PhaseSteady, cluster.PhaseHandoff, cluster.PhaseFencing, cluster.PhaseElecting, cluster.PhasePromoting} {
			for _, gate := range []GateMode{GateMissing, GateClosed, GateOpenRead, GateOpenLeased} {
				for _, held := range []lease.Held{{}, {Epoch: 4, Until: noon + 1}, {Epoch: 5, Until: noon}, {Epoch: 5, Until: noon + 1}, {Epoch: 5, Until: noon + 1, Latched: 5}} {
					for _, state := range []cluster.ServerState{cluster.ServerUp, cluster.ServerHung, cluster.ServerStopped, cluster.ServerStarting} {
						for _, readOnly := range []bool{true, false} {
							in := primaryOf()
							in.Self, in.Record.Phase, in.Host.Gate, in.Lease = self, ph, gate, held
							in.Own.Server.State, in.Own.Server.ReadOnly = state, readOnly
							if ph == cluster.PhaseFencing || ph == cluster.PhaseElecting {
								in.Record.Primary, in.Record.Previous = "", "db1"
							}
							valid := in.Record.Primary == self && held.Valid(5, noon)
							plan := Next(in)
							for _, s := range plan.Steps {
								switch s.Kind {
								case GateLease, BindAddresses, WriteMarker:
									opening++
									if !valid {
										t.Errorf("%s without the lease: %+v", s, in)
									}
								case SetWritable:
									opening++
									if !valid || gate != GateOpenLeased {
										t.Errorf("%s without lease and timed gate: %+v", s, in)
									}
								case GateReadOnly:
									if !readOnly || state != cluster.ServerUp {
										t.Errorf("%s for a server that is not verifiably read-only: %+v", s, in)
									}
								}
							}
						}
					}
				}
			}
		}
	}
	if opening == 0 {
		t.Fatal("no world led to an opening step: the test holds nothing")
	}
}

func TestStepKeysTellStepsApart(t *testing.T) {
	steps := []Step{{Kind: Follow, Node: "db1"}, {Kind: Follow, Node: "db2"}, {Kind: Follow, Node: "db1", On: true}, {Kind: Apply, Position: position("0-1-1")},
		{Kind: Apply, Position: position("0-1-2")}, {Kind: Promote, Epoch: 1}, {Kind: Promote, Epoch: 2}, {Kind: Cut, Nodes: []cluster.NodeName{"a"}}, {Kind: Cut, Nodes: []cluster.NodeName{"b"}}}
	var keys []string
	for _, s := range steps {
		keys = append(keys, s.Key())
	}
	slices.Sort(keys)
	if n := len(slices.Compact(keys)); n != len(steps) {
		t.Errorf("%d different keys for %d different steps: %v", n, len(steps), keys)
	}
}
