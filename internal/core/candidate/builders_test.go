package candidate

import (
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

// The epoch of every election in these tests, and of the reign before it.
const (
	election cluster.Epoch = 8
	reign    cluster.Epoch = 7
)

// with is something that sets a replica apart.
type with func(*Replica)

// node is a healthy replica that has promised, and has received and applied
// that many transactions of server 1, the old primary.
func node(name cluster.NodeName, transactions string, peculiar ...with) Replica {
	has := gtid.MustParse(transactions)
	r := Replica{
		Node: cluster.Node{Name: name, Role: cluster.Data},
		Server: cluster.ServerFact{
			State: cluster.ServerUp, Start: "first", Version: "10.11.6-MariaDB-log",
			BinLog: true, LogUpdates: true, Executed: has, Marker: reign,
		},
		Promise: &cluster.Promise{Epoch: election, Start: "first", Executed: has, Received: has, Marker: reign},
	}
	for _, p := range peculiar {
		p(&r)
	}
	return r
}

func applied(transactions string) with {
	return func(r *Replica) {
		r.Server.Executed = gtid.MustParse(transactions)
		r.Promise.Executed = r.Server.Executed
	}
}
func at(site string) with     { return func(r *Replica) { r.Node.Site = site } }
func prefer(n int) with       { return func(r *Replica) { r.Node.Prefer = n } }
func never(r *Replica)        { r.Node.Never = true }
func observes(r *Replica)     { r.Observes, r.Promise = true, nil }
func silent(r *Replica)       { r.Promise = nil }
func failed(r *Replica)       { r.Failed = true }
func cutOff(r *Replica)       { r.Network = "eth1 has no carrier" }
func down(r *Replica)         { r.Server.State = cluster.ServerStopped }
func unheard(r *Replica)      { r.Unheard = true }
func noBinLog(r *Replica)     { r.Server.BinLog = false }
func noLogUpdates(r *Replica) { r.Server.LogUpdates = false }
func held(r *Replica)         { r.Held = "a person must look" }
func errant(set string) with  { return func(r *Replica) { r.Errant = gtid.MustParse(set) } }
func version(v string) with   { return func(r *Replica) { r.Server.Version = v } }

// restarted is a server that came back after the promise, with what it had
// applied.
func restarted(transactions string) with {
	return func(r *Replica) {
		r.Server.Start = "second"
		r.Server.Executed = gtid.MustParse(transactions)
	}
}

// marked is a node whose applied data ends in that reign.
func marked(epoch cluster.Epoch) with {
	return func(r *Replica) { r.Server.Marker, r.Promise.Marker = epoch, epoch }
}

func among(replicas ...Replica) Election { return Election{Replicas: replicas} }

func (e Election) wanted(n cluster.NodeName) Election { e.Wanted = n; return e }
func (e Election) forced() Election                   { e.Force = true; return e }
func (e Election) sites(old string, order ...string) Election {
	e.OldSite, e.Sites = old, order
	return e
}

// planned is the choice for a switchover: nobody has promised.
func (e Election) planned() Election {
	e.Planned = true
	for i := range e.Replicas {
		r := &e.Replicas[i]
		r.Server.Replica.Received = r.Promise.Received
		r.Promise = nil
	}
	return e
}

// acked says that k of those acknowledged each commit of the old primary, db1.
func (e Election) acked(k int, members ...cluster.NodeName) Election {
	e.Quorums = append(e.Quorums, cluster.AckQuorum{Epoch: reign, Primary: "db1", Members: members, K: k})
	return e
}
