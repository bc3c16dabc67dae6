package agent

import (
	"fmt"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reconcile"
)

// assess sets the conditions that follow from what this host looks like.
func (l *loop) assess(f cluster.Fact) {
	if n, _ := l.settings.Node(l.self); n.Role != cluster.Data {
		return
	}
	srv, r := f.Server, l.board.record
	say := func(reason cluster.Reason, is bool, format string, args ...any) {
		detail := ""
		if is {
			detail = fmt.Sprintf(format, args...)
		}
		l.conditions.put(reason, detail)
	}
	up := srv.State == cluster.ServerUp
	say(cluster.NetworkLost, f.Network.State == cluster.Down, "%s", f.Network.Evidence)
	say(cluster.ServerDown, srv.State != cluster.ServerUnknown && !up, "the server is %s", srv.State)
	say(cluster.ReplicaBroken, up && srv.Replica.Error != "", "%s", srv.Replica.Error)
	say(cluster.Diverged, !f.Errant.IsZero(), "%s", f.Errant)
	serving := f.Serving == r.Epoch && r.Primary == l.self
	wait := reconcile.CommitsWait(r, l.settings)
	say(cluster.SemiSyncOff, serving && wait && !(srv.SemiSrc.Enabled && srv.SemiSrc.Active), "commits do not wait although %v must acknowledge", r.Acks().Members)
	say(cluster.AckSetEmpty, serving && l.settings.Durability == cluster.Lossless && len(r.Acks().Members) == 0,
		"nobody acknowledges: a failure of this host loses what it alone has")
	say(cluster.SemiSyncStranger, serving && srv.SemiSrc.Clients > l.acknowledging(), "%d replicas acknowledge, the record knows of %d", srv.SemiSrc.Clients, l.acknowledging())
	if l.mode == cluster.Observe {
		say(cluster.TwoWritable, up && !srv.ReadOnly && r.Primary != "" && r.Primary != l.self,
			"this server takes writes although %s is the primary, and this node only observes: nothing keeps clients from it", r.Primary)
		return // what is said below is of a gate and a lease that it does not have
	}
	say(cluster.GateMissing, l.host.NoCut || l.host.Gate == reconcile.GateMissing && l.board.recordRev != 0,
		"no firewall gate: only read_only and resetting connections hold clients back, and only while this agent lives")
	say(cluster.NotRealtime, l.wantRealtime && !l.realtime, "the lease is renewed without real-time priority: under load it may run out although all is well")
}

// acknowledging is how many replicas may acknowledge on this primary: members
// of the ack set, and one that is about to become one.
func (l *loop) acknowledging() int {
	n := len(l.board.record.Acks().Members)
	if l.board.record.Joining != "" {
		n++
	}
	return n
}
