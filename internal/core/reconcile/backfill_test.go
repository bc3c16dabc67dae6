package reconcile

import (
	"slices"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// chosen is db2 after db1's asynchronous reign ended with the death of its server.
func chosen(changes ...change) Input {
	in := base("db2")
	in.Host.Gate = GateOpenRead
	in.Settings.Durability, in.Settings.BackFill = cluster.Async, 5*time.Second
	in.Record = cluster.Record{Schema: cluster.Schema, Epoch: 6, Phase: cluster.PhasePromoting, Primary: "db2", Previous: "db1", Required: position("0-1-100"),
		Quorums: []cluster.AckQuorum{{Epoch: 5, Primary: "db1"}, {Epoch: 6, Primary: "db2"}}}
	in.Peers["db1"] = cluster.Fact{Node: "db1", Epoch: 6, Fenced: 5, Server: cluster.ServerFact{State: cluster.ServerStopped}}
	in.Own.Server.Replica = cluster.ReplicaFact{Source: "db1", Applier: true, Received: position("0-1-100")}
	in.Host.Bound = in.Host.Addresses
	return with(in, changes)
}

func kinds(p Plan) (all []Kind) {
	for _, s := range p.Steps {
		if s.Lane == LaneServer {
			all = append(all, s.Kind)
		}
	}
	return all
}

func TestACandidateFetchesWhatOnlyTheDeadServerHas(t *testing.T) {
	for name, tt := range map[string]struct {
		in   Input
		want []Kind
	}{
		"the server before is dead":                  {chosen(), []Kind{BackFill}},
		"once in a reign":                            {chosen(host(func(h *Host) { h.Done[BackFill] = 6 })), []Kind{Promote}},
		"another reign's does not count":             {chosen(host(func(h *Host) { h.Done[BackFill] = 5 })), []Kind{BackFill}},
		"nobody wants it":                            {chosen(func(in *Input) { in.Settings.BackFill = 0 }), []Kind{Promote}},
		"commits waited, so there is nothing":        {chosen(func(in *Input) { in.Settings.Durability = cluster.Lossless; in.Settings.Alone = cluster.AloneWait }), []Kind{Promote}},
		"a planned switch leaves nothing behind":     {chosen(func(in *Input) { in.Record.Planned = true }), []Kind{Promote}},
		"it was primary itself before":               {chosen(func(in *Input) { in.Record.Quorums[0].Primary = "db2" }), []Kind{Promote}},
		"first it applies what it has received":      {chosen(server(func(s *cluster.ServerFact) { s.Replica.Received = position("0-1-104") })), []Kind{Apply, BackFill}},
		"the one between never served, so db1's log": {chosen(func(in *Input) { in.Record.Previous = "db3" }), []Kind{BackFill}},
	} {
		t.Run(name, func(t *testing.T) {
			plan := Next(tt.in)
			if got := kinds(plan); !slices.Equal(got, tt.want) {
				t.Errorf("%v, want %v", got, tt.want)
			}
			for _, s := range plan.Steps {
				if s.Kind == BackFill && (s.Node != "db1" || s.Why != "") {
					t.Errorf("%s from %q: %q", s, s.Node, s.Why)
				}
			}
		})
	}
}

// TestABackFillUnderWayIsNotDisturbed: what it brings is received before it is
// applied, and no reading of that may end it.
func TestABackFillUnderWayIsNotDisturbed(t *testing.T) {
	before := Next(chosen()).Steps
	in := chosen(server(func(s *cluster.ServerFact) {
		s.Replica = cluster.ReplicaFact{Foreign: "127.0.0.1:63132", Started: true, Receiver: true, Applier: true, Received: position("0-1-160")}
	}))
	// Nor does it that the server it was dead of comes back.
	in.Peers["db1"] = cluster.Fact{Node: "db1", Epoch: 6, Server: cluster.ServerFact{State: cluster.ServerStarting}}
	i := slices.IndexFunc(before, func(s Step) bool { return s.Kind == BackFill })
	if i < 0 || !slices.ContainsFunc(Next(in).Steps, func(s Step) bool { return s.Key() == before[i].Key() }) {
		t.Errorf("%v is not wanted any more: %v", before, Next(in).Steps)
	}
}

func TestWhoseLogCannotBeAskedFor(t *testing.T) {
	for name, tt := range map[string]struct {
		fact cluster.Fact
		may  bool
	}{
		"dead":                   {cluster.Fact{Node: "db1", Server: cluster.ServerFact{State: cluster.ServerStopped}}, true},
		"dying":                  {cluster.Fact{Node: "db1", Server: cluster.ServerFact{State: cluster.ServerExiting}}, true},
		"hung, and being killed": {cluster.Fact{Node: "db1", Server: cluster.ServerFact{State: cluster.ServerHung}}, true},
		"alive, for all we know": {cluster.Fact{Node: "db1", Server: cluster.ServerFact{State: cluster.ServerUp}}, false},
		"coming up":              {cluster.Fact{Node: "db1", Server: cluster.ServerFact{State: cluster.ServerStarting}}, false},
		"nobody knows":           {cluster.Fact{Node: "db1"}, false},
		"nothing was ever heard": {cluster.Fact{}, false},
		"its agent does not act": {cluster.Fact{Node: "db1", Mode: cluster.Observe, Server: cluster.ServerFact{State: cluster.ServerStopped}}, false},
	} {
		if why := MayFill("db1", tt.fact); (why == "") != tt.may {
			t.Errorf("%s: %q", name, why)
		}
	}
}

// TestADeadServerIsNotStartedWhileItsLogIsRead: its recovery may drop the end of it.
func TestADeadServerIsNotStartedWhileItsLogIsRead(t *testing.T) {
	dead := func(since time.Duration, changes ...change) Input {
		in := chosen(changes...)
		in.Self, in.Own.Node, in.Own.Fenced = "db1", "db1", 6
		in.Own.Server = cluster.ServerFact{State: cluster.ServerStopped}
		in.Host.Gate, in.Host.Bound, in.Host.Startable = GateClosed, 0, true
		in.PhaseAt = noon.Add(-since)
		return in
	}
	serves := func(in *Input) { in.Peers["db2"] = cluster.Fact{Node: "db2", Epoch: 6, Serving: 6} }
	for name, tt := range map[string]struct {
		in     Input
		starts bool
	}{
		"while it may be read":                     {dead(3 * time.Second), false},
		"not for ever":                             {dead(7 * time.Second), true},
		"the new one serves":                       {dead(3*time.Second, serves), true},
		"nobody reads it, if commits waited":       {dead(3*time.Second, func(in *Input) { in.Settings.Durability = cluster.Lossless }), true},
		"the log of another is read, not this one": {dead(3*time.Second, func(in *Input) { in.Record.Quorums[0].Primary = "db3" }), true},
	} {
		if got := Next(tt.in).Has(StartServer); got != tt.starts {
			t.Errorf("%s: it is started: %t, %+v", name, got, Next(tt.in))
		}
	}
}
