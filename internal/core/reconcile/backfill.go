package reconcile

import (
	"fmt"

	"github.com/baton-db/baton/internal/core/cluster"
)

// fills reports whether a candidate has still to fetch, once in its reign, what the
// primary before it committed and nobody received. Commits that wait for an
// acknowledgement leave nothing to be fetched: what nobody acknowledged was
// answered to nobody.
func fills(in Input) bool {
	r, s := in.Record, in.Settings
	return s.Durability == cluster.Async && s.BackFill > 0 && !r.Planned && r.Before() != "" && r.Before() != in.Self &&
		in.Host.Done[BackFill] != r.Epoch
}

func backFill(in Input, plan *Plan) {
	if n := in.Record.Before(); fills(in) {
		plan.add(LaneServer, Step{Kind: BackFill, Epoch: in.Record.Epoch, Node: n, Why: MayFill(n, in.Peers[n])})
	}
}

// gives reports that the binary log of this host's server may be being read for the
// candidate. A server that starts would recover, and may drop the end of that log.
func gives(in Input) bool {
	r, s := in.Record, in.Settings
	return s.Durability == cluster.Async && s.BackFill > 0 && !r.Planned && r.Phase == cluster.PhasePromoting && r.Before() == in.Self &&
		in.Peers[r.Primary].Serving != r.Epoch
}

// MayFill says why the log of a node's server cannot be fetched, from what its
// agent says; empty: it can be tried. Only of a dead server the log is at rest.
func MayFill(n cluster.NodeName, f cluster.Fact) string {
	switch {
	case f.Node == "":
		return fmt.Sprintf("the agent of %s has said nothing yet", n)
	case f.Mode == cluster.Observe:
		return fmt.Sprintf("the agent of %s only observes (mode: observe)", n)
	}
	switch f.Server.State {
	case cluster.ServerStopped, cluster.ServerExiting, cluster.ServerHung:
		return "" // one that hangs is being killed by the fence
	case cluster.ServerUp, cluster.ServerStarting:
		return fmt.Sprintf("the agent of %s says that its server runs, or says nothing any more", n)
	}
	return fmt.Sprintf("the agent of %s does not know what its server is doing", n)
}
