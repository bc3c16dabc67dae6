package decide

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
)

// Explanation is what would be done if the agents that only observe acted. It
// is for people: nothing of it may be swapped in.
type Explanation struct {
	// First is, without a record, the first one that active agents would write,
	// or why they would not; nil if there is a record.
	First *Outcome
	// Supposed says that there is no record, and that what the servers show was
	// taken for one: who is writable, and who follows.
	Supposed bool
	// World is what Now was decided on. Without a record in it, the servers do
	// not show one.
	World World
	// Now is what would be decided at this moment.
	Now Outcome
	// Then is what would come of an election that Now leads to, once the old
	// primary is fenced and every node that lives has promised; nil if Now leads
	// to none.
	Then *Outcome
	// IfLost is the same, should the primary be lost at this moment; nil if
	// there is none to lose.
	IfLost *Outcome
}

// Explain thinks through what w leads to. Where no node acts, all are supposed
// to; where some do, what those that only observe would not do is not supposed.
func Explain(w World, now cluster.Instant) Explanation {
	w.Requests = nil
	var e Explanation
	if w.RecordRev == 0 || !w.someoneActs(now) {
		w = w.ifActive(now)
	}
	if w.RecordRev == 0 && !w.StoreSilent {
		first := bootstrap(w, now)
		e.First = &first
		w, e.Supposed = w.supposed(now)
	}
	e.World = w
	if w.RecordRev == 0 && e.First != nil {
		e.Now = *e.First
		return e
	}
	e.Now = Next(w, now)
	if e.Supposed && e.Now.Why == cluster.PrimaryResigned {
		p := w.Record.Primary
		e.Now.Detail = fmt.Sprintf("the server of %s is %s, and its agent would give the role up at once", p, w.fact(p).Server.State)
	}
	if next := e.Now.Next; next != nil && (next.Phase == cluster.PhaseFencing || next.Phase == cluster.PhaseElecting) {
		e.Then = w.foresee(*next, now)
	} else if w.Record.Phase == cluster.PhaseSteady && !w.StoreSilent {
		e.IfLost = w.ifLost(now)
	}
	return e
}

// someoneActs reports whether a data node that was heard of lately is active.
func (w World) someoneActs(now cluster.Instant) bool {
	return slices.ContainsFunc(w.Settings.DataNodes(), func(n cluster.NodeName) bool {
		return w.fresh(n, now, w.staleAfter()) && !w.observes(n)
	})
}

// ifActive is the world as it would be if every agent acted: those that live
// would have written their facts just now.
func (w World) ifActive(now cluster.Instant) World {
	return w.withFacts(func(n cluster.NodeName, s *Seen[cluster.Fact]) {
		s.Value.Mode = cluster.Active
		if w.fresh(n, now, w.staleAfter()) {
			s.At, s.MovedAt = now, now
		}
	})
}

func (w World) withFacts(edit func(cluster.NodeName, *Seen[cluster.Fact])) World {
	facts := maps.Clone(w.Facts)
	for n, s := range facts {
		edit(n, &s)
		facts[n] = s
	}
	w.Facts = facts
	return w
}

// supposed is the world with the record that the servers' present state amounts
// to, in the middle of its reign: the one that the others replicate from is the
// primary, and they acknowledge. It reports false if they show none.
func (w World) supposed(now cluster.Instant) (World, bool) {
	p, ok := w.shownPrimary()
	if srv := w.fact(p).Server; !ok || srv.State == cluster.ServerUp && srv.ReadOnly {
		return w, false
	}
	q := cluster.AckQuorum{Epoch: 1, Primary: p}
	for _, n := range w.Settings.DataNodes() {
		if n != p && w.Settings.Durability == cluster.Lossless && w.fact(n).Server.Replica.Source == p && w.alive(n, now) {
			q.Members, q.K = append(q.Members, n), w.Settings.Acks
		}
	}
	seen := w.Facts[p].At // a living agent renews
	w = w.withFacts(func(n cluster.NodeName, s *Seen[cluster.Fact]) {
		s.Rev, s.Value.Epoch, s.Value.RecordRev = 2, 1, 1
		if n != p {
			return
		}
		switch s.Value.Server.State {
		case cluster.ServerUp, cluster.ServerHung:
			s.Value.Serving, s.Value.Marked, s.Value.Endpoints = 1, 1, 1
		case cluster.ServerStopped, cluster.ServerExiting:
			s.Value.Fenced = 1 // its agent gives the role up at once (package reconcile)
		}
	})
	w.Record = cluster.Record{Schema: cluster.Schema, Epoch: 1, Phase: cluster.PhaseSteady, Primary: p, Quorums: []cluster.AckQuorum{q}}
	w.RecordRev, w.PhaseAt = 1, now.Add(-w.patience())
	w.Lease = lease.Watch{Rev: 1, Holder: p, Epoch: 1, SeenAt: seen, HeardAt: w.Lease.HeardAt}
	return w, true
}

// shownPrimary is the node that others replicate from and that replicates from
// nobody; where there is one data node, that one.
func (w World) shownPrimary() (cluster.NodeName, bool) {
	data := w.Settings.DataNodes()
	if len(data) == 1 {
		_, known := w.Facts[data[0]]
		return data[0], known
	}
	var roots []cluster.NodeName
	for _, n := range data {
		s := w.fact(n).Server.Replica.Source
		root := w.fact(s).Server.Replica
		if _, known := w.Facts[s]; known && root.Source == "" && root.Foreign == "" && !slices.Contains(roots, s) {
			roots = append(roots, s)
		}
	}
	if len(roots) != 1 {
		return "", false
	}
	return roots[0], true
}

// patience is longer than any wait for more promises or for a wished candidate.
func (w World) patience() time.Duration { return w.Settings.PromiseWait + w.Settings.PromoteStall }

// ifLost is what would come of losing the primary with its host now.
func (w World) ifLost(now cluster.Instant) *Outcome {
	lost := w.withFacts(func(n cluster.NodeName, s *Seen[cluster.Fact]) {
		if n == w.Record.Primary {
			s.Value.Server.State, s.At = cluster.ServerStopped, now.Add(-w.staleAfter()-1)
		}
	})
	out := endReign(lost, failed{why: cluster.LeaseExpired, closed: true})
	return lost.foresee(*out.Next, now)
}

// foresee is what an election would lead to in which every node promises that
// lives and acts.
func (w World) foresee(next cluster.Record, now cluster.Instant) *Outcome {
	w.Record, w.PhaseAt = next, now.Add(-w.patience())
	w.Record.Phase = cluster.PhaseElecting
	w.RecordRev++
	w = w.withFacts(func(n cluster.NodeName, s *Seen[cluster.Fact]) {
		if !w.alive(n, now) || w.observes(n) || s.Value.Held != "" {
			return
		}
		srv := s.Value.Server
		s.At, s.Value.Epoch = now, next.Epoch
		s.Value.Promise = &cluster.Promise{Epoch: next.Epoch, Start: srv.Start, Received: srv.Replica.Received, Executed: srv.Executed, Marker: srv.Marker}
	})
	out := electing(w, now)
	return &out
}

// SameServerID says which other data nodes' servers have n's server_id, if any:
// neither of two such servers replicates what the other wrote.
func (w World) SameServerID(n cluster.NodeName) string {
	id := w.fact(n).Server.ID
	var same []cluster.NodeName
	for _, m := range w.Settings.DataNodes() {
		if m != n && id != 0 && w.fact(m).Server.ID == id {
			same = append(same, m)
		}
	}
	if len(same) == 0 {
		return ""
	}
	return fmt.Sprintf("its server_id %d is also that of %s: give every server its own", id, list(same))
}
