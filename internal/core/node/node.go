// Package node answers what one node makes of what it has seen: which facts its
// decisions and its steps rest on, what it says of itself, and when.
//
// It joins decide and reconcile and is joined to the world by package agent, in
// production, and by package sim, in virtual time. It never reads a clock, the
// store or the host: what came of those is told to it. The rule that must not be
// broken: what this node says of itself was so when it was said, and a word that
// others count on (a promise, a cut, a record acted upon) is taken back before
// what it speaks of is undone. design.md, section 6.
package node

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/core/lease"
	"github.com/baton-db/baton/internal/core/reconcile"
)

// Node is one node: who it is, what it has seen, and what it has done.
type Node struct {
	Self     cluster.NodeName
	Agent    string // incarnation
	Mode     cluster.Mode
	Build    string
	Settings cluster.Settings
	Sites    []string
	Config   string // hash of the settings

	Board Board

	// What this host looks like, as observed.
	Server    cluster.ServerFact
	Host      reconcile.Host
	Addresses []string
	MACs      []string
	Realtime  bool

	WantRealtime bool
	Leaving      bool // this agent is being stopped: it gives up whatever it has

	// What this host has done, as the steps reported it.
	Promise *cluster.Promise
	Fenced  cluster.Epoch
	// ClientsReset is the newest epoch whose clients here have all been reset.
	ClientsReset cluster.Epoch
	Pledge       lease.Pledge // to a primary that the store does not answer
	Drained      *cluster.Position
	Muted        cluster.Epoch
	Marked       cluster.Epoch
	Endpoints    cluster.Epoch
	CutAt        gtid.Set
	CutFor       []cluster.NodeName // whose cut CutAt was read after
	Unsure       uint64             // the reading from which on a step that failed has surely had its effect or none
	Acted        cluster.Revision   // newest record that no step of an earlier one is on its way against
	// Rejoined is what came of the newest rejoin here, and Rejoining how far one
	// under way has come.
	Rejoined  *cluster.RejoinResult
	Rejoining string
	// Preheated is what came of preheating this replica last, for people.
	Preheated string
	// CannotWrite says how writes have been failing for the hang limit.
	CannotWrite    string
	CannotWriteWhy cluster.Reason
	Progress       string
	Strains        []cluster.Strain  // what layer 4 finds here
	Leads          []cluster.Lead    // where the endpoints lead that this node sets
	Network        cluster.LayerView // the clients', as it is tracked here
	Unbound        string            // why the addresses could not be bound at the last attempt
	Readers        []string          // the addresses for readers that this host has

	// Would and Lacks are what an agent that only observes tells people: the steps
	// that this host would take, and what is in the way of that.
	Would, Lacks []string

	Divergence reconcile.Divergence
	Lost       cluster.Lost // what the errant transactions did
	AckSilent  map[cluster.NodeName]cluster.Instant
	Conditions Conditions
	View       map[cluster.NodeName]cluster.NodeView
	ViewNews   bool
	veiled     map[cluster.NodeName]cluster.Instant

	Hooks   decide.Hooks
	Outcome decide.Outcome
	Plan    reconcile.Plan

	published   cluster.Fact // what was said last, and when
	publishedAt cluster.Instant
	viewSeq     uint64
	viewAt      cluster.Instant
}

// Senses are what a look rests on besides what the node has seen.
type Senses struct {
	Now         cluster.Instant
	Wall        time.Time
	Lease       lease.Held // what the keeper holds
	Extends     bool       // renewals extend the gate
	StoreSilent bool
	HeardAt     cluster.Instant // when the store last came back after a silence
	Running     []reconcile.Step
}

// Look is what one look came to. The outcome and the plan are the node's own
// fields, too.
type Look struct {
	World   decide.World
	Outcome decide.Outcome
	Input   reconcile.Input
	Plan    reconcile.Plan
	Fact    *cluster.Fact // to be published; nil if there is no need
	View    *cluster.View
	// WakeAt is when to look again although nothing changed.
	WakeAt cluster.Instant
}

// Look looks once: what is so, what should be, what is to be done.
func (n *Node) Look(s Senses) Look {
	now := s.Now
	var look Look
	in := n.Input(s)
	n.Divergence = n.Divergence.Look(in)
	in.Own = n.compose(in, s.Wall)
	look.Fact = n.publish(in.Own, now)
	n.veil(now)
	look.View = n.publishView(now)

	w := n.World(s)
	if n.AckSilent = decide.TrackAcks(n.AckSilent, w, now); s.StoreSilent {
		n.AckSilent = nil // no news is no evidence, and nobody could be removed now
	}
	w.AckSilentSince = n.AckSilent
	n.Outcome = decide.Next(w, now)

	in.AckSilent = decide.AckSilent(n.AckSilent, n.Settings, now)
	n.Plan = reconcile.Next(in)
	n.ForgetCuts(n.Plan)
	look.World, look.Outcome, look.Input, look.Plan = w, n.Outcome, in, n.Plan

	look.WakeAt = sooner(now.Add(n.Settings.Renew), n.Outcome.WakeAt)
	look.WakeAt = sooner(look.WakeAt, n.Plan.WakeAt)
	if s.Lease.Valid(n.Board.Record.Epoch, now) {
		look.WakeAt = sooner(look.WakeAt, s.Lease.Until)
	}
	return look
}

func sooner(a, b cluster.Instant) cluster.Instant {
	if b != 0 && b < a {
		return b
	}
	return a
}

// SettledSteps notes, after a look's steps were handed out, whether all that run
// are still wanted. Then the record that asked for them is acted upon.
func (n *Node) SettledSteps(settled bool) {
	if settled && n.Server.Reading >= n.Unsure {
		n.Acted = n.Board.RecordRev
	}
}

// StepFailed notes that a step failed. It may have taken effect all the same.
// The reading under way may be older than that; the one after it is not.
func (n *Node) StepFailed(s reconcile.Step) {
	if s.Lane == reconcile.LaneServer {
		n.Unsure = n.Server.Reading + 2
	}
}

// Input is what this host's steps depend on.
func (n *Node) Input(s Senses) reconcile.Input {
	host := n.Host
	host.Done = maps.Clone(n.Host.Done)
	host.Unextended = host.Gate == reconcile.GateOpenLeased && !s.Extends
	return reconcile.Input{
		Self: n.Self, Settings: n.Settings, Record: n.Board.Record, Rev: n.Board.RecordRev, PhaseAt: n.Board.PhaseAt,
		Own: n.Own(), Host: host, Lease: s.Lease, Pledge: n.Pledge, Peers: n.Board.Peers(), Running: s.Running, Leaving: n.Leaving, Now: s.Now,
	}
}

// World is what this node's decisions rest on.
func (n *Node) World(s Senses) decide.World {
	w := decide.World{
		Self: n.Self, Config: n.Config, Settings: n.Settings, Sites: n.Sites,
		Record: n.Board.Record, RecordRev: n.Board.RecordRev, PhaseAt: n.Board.PhaseAt, Lease: n.Board.Lease,
		Facts: n.knownFacts(), Views: n.Board.Views, Requests: n.Board.Asked(), Word: n.Board.Word, Hooks: n.Hooks, Pace: n.Board.Pace,
		WentBack: n.Board.WentBack, StoreSilent: s.StoreSilent, HeardAt: s.HeardAt, Wall: n.wall(s.Wall, s.Now),
	}
	w.Lease.HeardAt = s.HeardAt
	if n.Pledge.Epoch == n.Board.Record.Epoch {
		w.Lease.Pledged = n.Pledge.Until
	}
	if why := cmp.Or(n.Board.Unreadable[RecordKey], n.Board.newerLease()); why != nil {
		w.Unreadable = why.Error()
		w.RecordRev = max(w.RecordRev, 1) // there is one: nothing is to be founded
	}
	return w
}

// knownFacts are the newest facts. What the own one says of cuts counts only for
// as long as they stand: a node may acknowledge again before that is published.
func (n *Node) knownFacts() map[cluster.NodeName]decide.Seen[cluster.Fact] {
	own, published := n.Board.Facts[n.Self]
	if !published {
		return n.Board.Facts
	}
	facts := maps.Clone(n.Board.Facts)
	own.Value.AckCut = slices.DeleteFunc(slices.Clone(own.Value.AckCut), func(c cluster.NodeName) bool { return !slices.Contains(n.CutFor, c) })
	facts[n.Self] = own
	return facts
}

// ForgetCuts notes before it is done that nodes are to be let in again.
func (n *Node) ForgetCuts(plan reconcile.Plan) {
	for _, s := range plan.Steps {
		if s.Kind == reconcile.Uncut {
			n.CutFor = slices.DeleteFunc(slices.Clone(n.CutFor), func(c cluster.NodeName) bool { return slices.Contains(s.Nodes, c) })
		}
	}
}

// News says what a version of the record was to a node.
type News uint8

// What a version of the record may be.
const (
	Known  News = iota // seen already
	Newer              // it is the present record now
	TooOld             // of an older epoch than has been seen: it is not believed
)

// SawRecord takes in a version of the record from the store.
func (n *Node) SawRecord(r cluster.Record, rev cluster.Revision, now cluster.Instant) News {
	before := n.Board.Record.Epoch
	if r.Epoch < n.Board.Newest {
		n.Board.WentBack = fmt.Sprintf("the record is of epoch %d, and this node has seen epoch %d: the store was restored from an old copy, or is another one; the way out is in docs/failures.md under %s", r.Epoch, n.Board.Newest, cluster.StoreWentBack)
		return TooOld
	}
	if !n.Board.SawRecord(r, rev, now) {
		return Known
	}
	if r.Epoch != before {
		n.Progress = fmt.Sprintf("epoch %d", r.Epoch)
	}
	return Newer
}

// Observed takes in what the server looks like now.
func (n *Node) Observed(s cluster.ServerFact) {
	if n.Promise != nil && n.Promise.Start != s.Start && s.State == cluster.ServerUp {
		n.Promise = nil // received but unapplied transactions may be gone: promise anew
	}
	n.Server = s
}

// ServerGone takes in that the server's process is dying or gone, before any
// reading could notice it.
func (n *Node) ServerGone(state cluster.ServerState) {
	n.Server.State = state
	n.CannotWrite, n.CannotWriteWhy = "", cluster.Nothing
}

// SawGate takes in the gate as it was read from the kernel.
func (n *Node) SawGate(mode reconcile.GateMode, cut, blocked []cluster.NodeName) {
	n.Host.Gate, n.Host.Cut, n.Host.Blocked = mode, cut, blocked
	n.CutFor = slices.DeleteFunc(slices.Clone(n.CutFor), func(c cluster.NodeName) bool { return !slices.Contains(cut, c) })
}

// SawAddresses takes in which addresses are bound here.
func (n *Node) SawAddresses(bound []string, muted bool) {
	n.Addresses, n.Host.Bound, n.Host.Muted = bound, len(bound), muted
}

// HasFenced notes that a fence of epoch is complete.
func (n *Node) HasFenced(epoch cluster.Epoch) {
	n.Fenced = max(n.Fenced, epoch)
	n.Promise, n.Drained = nil, nil
}

// HasCut notes which nodes are cut off, and the position read after that.
func (n *Node) HasCut(cut []cluster.NodeName, at gtid.Set) { n.CutAt, n.CutFor = at, cut }

// HasDone notes that a one-time step has succeeded for an epoch.
func (n *Node) HasDone(kind reconcile.Kind, epoch cluster.Epoch) {
	if n.Host.Done == nil {
		n.Host.Done = map[reconcile.Kind]cluster.Epoch{}
	}
	n.Host.Done[kind] = epoch
}
