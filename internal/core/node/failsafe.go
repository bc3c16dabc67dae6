package node

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
)

// Ask is what a primary that the store does not answer asks of another data node:
// to take no part in a newer reign for as long as its lease lasts.
type Ask struct {
	Schema int              `json:"schema"`
	Epoch  cluster.Epoch    `json:"epoch"`
	Holder cluster.NodeName `json:"holder"`
	Config string           `json:"config"` // hash of the settings: node lists must be identical
	Length time.Duration    `json:"length"` // of the holder's lease
}

// Answer says whether it promises, or why not.
type Answer struct {
	Pledged bool   `json:"pledged"`
	Why     string `json:"why,omitempty"`
}

// Asked answers a primary's ask. Its pledge binds this node from this moment on;
// it must be on disk, too, before the answer leaves, for it has to survive this
// agent.
//
// A node refuses as long as the store answers it: then somebody can be elected,
// and the primary is to stop with its lease. It refuses whatever it knows to be
// of another reign: what it has seen comes before what it promises.
func (n *Node) Asked(q Ask, s Senses) Answer {
	r := n.Board.Record
	why := ""
	switch {
	case q.Schema > cluster.Schema:
		why = "the question is of a newer version"
	case q.Config != n.Config:
		why = "its settings differ from those here"
	case !s.StoreSilent:
		why = "the store answers here"
	case n.Board.Unreadable[RecordKey] != nil || n.Board.WentBack != "":
		why = "the record cannot be read here"
	case r.Epoch != q.Epoch || r.Primary != q.Holder || n.Board.Newest != q.Epoch:
		why = fmt.Sprintf("the newest reign known here is epoch %d of %q", max(r.Epoch, n.Board.Newest), r.Primary)
	case r.Phase != cluster.PhaseSteady:
		why = fmt.Sprintf("a switch is going on: %s", r.Phase)
	}
	if why != "" {
		return Answer{Why: why}
	}
	n.Pledge = n.Pledge.Pledged(q.Epoch, q.Length, s.Now, n.Settings)
	return Answer{Pledged: true}
}

// PledgeAtStart is what binds a node whose agent has just started: what the last
// one promised, if that is known to be of this boot; if nothing is known, its
// promises ended at the latest so long after the host booted.
func PledgeAtStart(kept lease.Pledge, known bool, s cluster.Settings) lease.Pledge {
	if known {
		return kept
	}
	return lease.Pledge{Until: cluster.Instant(lease.PledgeLasts(s.Lease, s))}
}

// failsafe is the keeper's side: who has promised, and since when.
type failsafe struct {
	others  []cluster.NodeName // every other data node
	config  string
	steady  bool
	storeAt cluster.Instant // when the newest renewal that the store accepted was sent
	granted map[cluster.NodeName]cluster.Instant
	refused map[cluster.NodeName]string
}

// Failsafe tells the keeper whose promises it needs to serve on without the
// store: those of every other data node.
func (k *Keeper) Failsafe(config string, others []cluster.NodeName) {
	k.fail.config, k.fail.others = config, others
}

// Steady says whether the record is steady as this node knows it: only then the
// reign may outlast the store.
func (k *Keeper) Steady(steady bool) { k.fail.steady = steady }

// Asks returns what is to be asked of every other data node now; false if there
// is no need, or it would not help: while the store accepts renewals, nobody is
// asked.
func (k *Keeper) Asks(now cluster.Instant) (Ask, bool) {
	s := k.Settings
	switch {
	case k.epoch == 0 || !k.fail.steady || len(k.fail.others) == 0,
		!k.Held.Valid(k.epoch, now),
		now.Sub(k.fail.storeAt) <= s.Renew+s.Call:
		return Ask{}, false
	}
	return Ask{Schema: cluster.Schema, Epoch: k.epoch, Holder: k.Self, Config: k.fail.config, Length: s.Lease}, true
}

// Others are the nodes that are asked.
func (k *Keeper) Others() []cluster.NodeName { return k.fail.others }

// Answered takes in a node's answer to an ask for epoch that was sent at sent, or
// why there was none. The lease lasts L from before the oldest of the newest asks
// that all others have granted.
func (k *Keeper) Answered(node cluster.NodeName, epoch cluster.Epoch, sent, now cluster.Instant, a Answer) Kept {
	if epoch != k.epoch || !slices.Contains(k.fail.others, node) {
		return Kept{}
	}
	if k.fail.granted == nil {
		k.fail.granted, k.fail.refused = map[cluster.NodeName]cluster.Instant{}, map[cluster.NodeName]string{}
	}
	if !a.Pledged {
		k.fail.refused[node] = a.Why
		return Kept{}
	}
	delete(k.fail.refused, node)
	k.fail.granted[node] = max(k.fail.granted[node], sent)
	oldest := sent
	for _, o := range k.fail.others {
		oldest = min(oldest, k.fail.granted[o])
	}
	if oldest == 0 {
		return Kept{}
	}
	before := k.Held
	k.Held = k.Held.Renewed(epoch, oldest, now, k.Settings)
	if k.Held.Until <= before.Until || k.Held.Epoch != epoch {
		return Kept{Changed: k.Held.Latched != before.Latched}
	}
	k.last = now // not late: the store is silent
	return Kept{Extend: k.Open}
}

// Promised reports whether the lease rests on the others' promises at now, and
// whom it waits for otherwise, with what they said.
func (k *Keeper) Promised(now cluster.Instant) (bool, map[cluster.NodeName]string) {
	if !k.Held.Valid(k.epoch, now) || k.Held.Until <= k.fail.storeAt.Add(k.Settings.Lease) {
		return false, maps.Clone(k.fail.refused)
	}
	return true, nil
}

// storeRenewed notes that the store accepted a renewal sent at sent.
func (k *Keeper) storeRenewed(sent cluster.Instant) {
	k.fail.storeAt = max(k.fail.storeAt, sent)
	clear(k.fail.refused)
}

// newReign forgets what was promised for another epoch.
func (k *Keeper) newReign() { clear(k.fail.granted); clear(k.fail.refused) }
