package node

import (
	"fmt"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reconcile"
)

// Assess sets the conditions that follow from what this host looks like.
func (n *Node) Assess(f cluster.Fact) {
	srv, r := f.Server, n.Board.Record
	say := func(reason cluster.Reason, is bool, format string, args ...any) {
		detail := ""
		if is {
			detail = fmt.Sprintf(format, args...)
		}
		n.Conditions.Put(reason, detail)
	}
	serving := f.Serving == r.Epoch && r.Primary == n.Self
	astray := n.astray(serving)
	say(cluster.EndpointWrong, r.Phase == cluster.PhaseSteady && astray != "", "%s", astray)
	if self, _ := n.Settings.Node(n.Self); self.Role != cluster.Data {
		return
	}
	up := srv.State == cluster.ServerUp
	say(cluster.NetworkLost, f.Network.State == cluster.Down, "%s", f.Network.Evidence)
	wrong := n.misconfigured(srv)
	say(cluster.MisconfiguredNode, up && wrong != "", "%s", wrong)
	recloned := r.RejoinOf(n.Self) != nil && r.Rejoin.Method == cluster.Reclone && n.Rejoining != ""
	say(cluster.ServerDown, srv.State != cluster.ServerUnknown && !up && !recloned, "the server is %s", srv.State)
	say(cluster.Degraded, len(f.Strains) > 0, "%s", strainsOf(f))
	say(cluster.DiskUnfit, n.Host.DiskUnfit != "", "%s", n.Host.DiskUnfit)
	say(cluster.ReplicaBroken, up && srv.Replica.Error != "", "%s", srv.Replica.Error)
	say(cluster.Diverged, !f.Errant.IsZero(), "%s", f.Errant)
	wait := reconcile.CommitsWait(r, n.Settings)
	say(cluster.SemiSyncOff, serving && wait && !(srv.SemiSrc.Waits() && srv.SemiSrc.Active), "commits do not wait although %v must acknowledge%s", r.Acks().Members, because(srv.SemiSrc.Weak))
	say(cluster.AckSetEmpty, serving && n.Settings.Durability == cluster.Lossless && len(r.Acks().Members) == 0,
		"nobody acknowledges: a failure of this host loses what it alone has")
	if n.Mode == cluster.Observe {
		say(cluster.TwoWritable, up && !srv.ReadOnly && r.Primary != "" && r.Primary != n.Self,
			"this server takes writes although %s is the primary, and this node only observes: nothing keeps clients from it", r.Primary)
		say(cluster.SemiSyncStranger, n.Board.RecordRev != 0 && up && srv.Replica.SemiSync && !reconcile.Acknowledges(r, n.Settings, n.Self),
			"this server acknowledges although nobody counts on it, so the primary keeps it from replicating; this node only observes and does not switch that off (SET GLOBAL rpl_semi_sync_slave_enabled = OFF, on MySQL rpl_semi_sync_replica_enabled, then restart the receiver)")
		return // what is said below is of a reign, a gate and a lease that it does not have
	}
	say(cluster.SemiSyncStranger, serving && srv.SemiSrc.Clients > n.acknowledging(), "%d replicas acknowledge, the record knows of %d", srv.SemiSrc.Clients, n.acknowledging())
	say(cluster.GateMissing, n.Host.NoCut || n.Host.Gate == reconcile.GateMissing && n.Board.RecordRev != 0,
		"no firewall gate: only read_only and resetting connections hold clients back, and only while this agent lives")
	say(cluster.NotRealtime, n.WantRealtime && !n.Realtime, "the lease is renewed without real-time priority: under load it may run out although all is well")
}

// because puts a cause behind what it led to; nothing if there is none.
func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

// astray says which endpoints do not lead to the primary although this node keeps
// them there: all of a primary that serves, and what this host has for itself.
func (n *Node) astray(serving bool) string {
	var wrong []string
	if serving && (n.Host.Bound < n.Host.Addresses || n.Host.Muted) {
		wrong = append(wrong, fmt.Sprintf("%d of %d virtual addresses are bound on the primary and answer%s", n.answering(), n.Host.Addresses, because(n.Unbound)))
	}
	for _, l := range n.Leads {
		first := l.Unseen && l.Because == "" // the first attempt is on its way, and has a time limit
		if !l.Settled && !l.Told && !first && (serving || l.On != "") {
			wrong = append(wrong, l.String())
		}
	}
	return strings.Join(wrong, "; ")
}

// answering is how many virtual addresses this host has and answers for.
func (n *Node) answering() int {
	if n.Host.Muted {
		return 0
	}
	return n.Host.Bound
}

// misconfigured says why this server could be no source for the others.
func (n *Node) misconfigured(srv cluster.ServerFact) string {
	switch {
	case !srv.BinLog:
		return "it writes no binary log"
	case !srv.LogUpdates:
		return "it does not log what it replicates"
	}
	for _, name := range n.Settings.DataNodes() {
		if other := n.Board.Facts[name].Value.Server; name != n.Self && srv.ID != 0 && other.ID == srv.ID {
			return fmt.Sprintf("it has the server id %d, as %s has", srv.ID, name)
		}
	}
	return ""
}

// acknowledging is how many replicas may acknowledge on this primary: members
// of the ack set, and one that is about to become one.
func (n *Node) acknowledging() int {
	members := len(n.Board.Record.Acks().Members)
	if n.Board.Record.Joining != "" {
		members++
	}
	return members
}

// strainsOf is what layer 4 finds on a host, in words.
func strainsOf(f cluster.Fact) string {
	var words []string
	for _, s := range f.Strains {
		words = append(words, s.Detail)
	}
	return strings.Join(words, "; ")
}
