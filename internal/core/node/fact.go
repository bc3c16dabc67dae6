package node

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/core/reconcile"
)

// Own is this node's fact but for what depends on the rest of the input.
func (n *Node) Own() cluster.Fact {
	return cluster.Fact{
		Schema: cluster.Schema, Node: n.Self, Agent: n.Agent, Mode: n.Mode, Config: n.Config, Build: n.Build,
		Epoch: n.Board.Record.Epoch, RecordRev: n.Acted, Seen: n.Board.Newest, Server: n.Server,
		Promise: n.Promise, Fenced: n.Fenced, ClientsReset: n.ClientsReset, Drained: n.Drained, Muted: n.Muted, Marked: n.Marked, Endpoints: n.Endpoints,
		Gate: n.gateShown(), AckCut: n.CutFor, CutAt: n.CutAt, Addresses: n.Addresses, Readers: n.Readers, MACs: n.MACs, Realtime: n.Realtime,
		Strains: n.Strains, Leads: n.Leads, Would: n.Would, Lacks: n.Lacks, Errant: n.Divergence.Errant, Held: n.whyHeld(), Lost: n.lost(),
		Rejoined: n.Rejoined, Rejoining: n.Rejoining, Preheated: n.Preheated,
	}
}

// whyHeld says why this server does not follow; empty if nothing keeps it.
func (n *Node) whyHeld() string {
	return cmp.Or(n.Host.Unfinished, n.Host.Rewinding, n.Divergence.Held())
}

// lost is what the errant transactions did, as long as there are any.
func (n *Node) lost() cluster.Lost {
	if n.Divergence.Errant.IsZero() {
		return cluster.Lost{}
	}
	return n.Lost
}

// gateShown is the gate as people see it. One that only remembers what was asked
// of it is none.
func (n *Node) gateShown() string {
	if n.Host.NoCut {
		return string(reconcile.GateMissing)
	}
	return string(n.Host.Gate)
}

// compose completes the own fact with what follows from the whole input.
func (n *Node) compose(in reconcile.Input, wall time.Time) cluster.Fact {
	f := n.Own()
	f.Serving = reconcile.Serving(in)
	f.Server.CannotWrite, f.Server.CannotWriteWhy = n.CannotWrite, n.CannotWriteWhy
	f.Network = n.Network
	f.Progress = n.Progress + "|" + f.Server.Executed.String()
	if f.Serving == 0 && n.Board.Record.Primary == n.Self && n.Board.Record.Phase == cluster.PhaseSteady {
		f.Progress = n.Plan.Waits
	}
	f.Wall = wall.Unix()
	n.Assess(f)
	f.Conditions = n.Conditions.list(wall)
	return f
}

// publish returns the own fact to be written if something of it matters now, or
// if it is time for the beat. Outside of a switch a new position alone waits for
// the beat.
func (n *Node) publish(f cluster.Fact, now cluster.Instant) *cluster.Fact {
	beat := n.Settings.Beat
	// Without a record nobody waits for an agent that only observes.
	calm := n.Board.Record.Phase == cluster.PhaseSteady || n.Board.RecordRev == 0 && n.Mode == cluster.Observe
	if !calm || n.Board.Record.Joining != "" {
		beat = n.Settings.Renew
	}
	if now.Sub(n.publishedAt) < beat && reflect.DeepEqual(essence(n.published, calm), essence(f, calm)) {
		return nil
	}
	f.Seq = n.published.Seq + 1
	n.published, n.publishedAt = f, now
	return &f
}

// essence is a fact without what changes all the time.
func essence(f cluster.Fact, calm bool) cluster.Fact {
	f.Seq, f.Wall, f.Server.Reading = 0, 0, 0
	if calm {
		f.Server.Executed, f.Server.Replica.Received, f.Progress = gtid.Set{}, gtid.Set{}, ""
		f.Server.SemiSrc.Waiting = 0
	}
	return f
}

// Conditions are what is out of order here, by reason.
type Conditions map[cluster.Reason]cluster.Condition

// Put sets the condition, or clears it if there is nothing to say.
func (c Conditions) Put(reason cluster.Reason, detail string) {
	if detail == "" {
		delete(c, reason)
		return
	}
	if old, ok := c[reason]; ok && old.Detail == detail {
		return
	}
	c[reason] = cluster.Condition{Reason: reason, Detail: detail}
}

// list returns all of them, sorted. Those that are new since the last look are
// dated with this one.
func (c Conditions) list(wall time.Time) []cluster.Condition {
	var all []cluster.Condition
	for _, r := range slices.Sorted(maps.Keys(c)) {
		if v := c[r]; v.Since == "" {
			v.Since = wall.UTC().Format(time.RFC3339)
			c[r] = v
		}
		all = append(all, c[r])
	}
	return all
}
