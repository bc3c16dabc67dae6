package decide

import (
	"fmt"
	"time"

	"github.com/baton-db/baton/internal/core/candidate"
	"github.com/baton-db/baton/internal/core/cluster"
)

// SlowestPace is the least number of transactions a second that a server is trusted to
// apply: how fast one applied lately says little of what it can where there was
// little to apply.
const SlowestPace = 100

// Behind says why a node that is to take over is too far behind for it; empty if it
// is not. What it has received and not applied yet would have to be applied while
// nobody can write, and within the time of a handoff.
func (w World) Behind(n cluster.NodeName) string {
	srv := w.fact(n).Server
	left := srv.Replica.Received.Subtract(srv.Executed).Count()
	pace := max(w.Pace[n], SlowestPace)
	takes := float64(left) / pace // seconds
	if left == 0 || takes <= w.Settings.Handoff.Seconds() {
		return ""
	}
	return fmt.Sprintf("%s has %d transactions still to apply, which takes it about %s, and clients would be kept from writing for %s (timing.handoff) for nothing: "+
		"wait until it has caught up (baton status), or name another node", n, left, time.Duration(min(takes, 1e9))*time.Second, w.Settings.Handoff)
}

// cannotTakeOver says why the one who was asked for is passed over, and what to do.
func cannotTakeOver(wanted cluster.NodeName, c candidate.Choice) string {
	for _, p := range c.Passed {
		if p.Node != wanted {
			continue
		}
		text := fmt.Sprintf("%s cannot take over: %s", wanted, p.Reason)
		if p.Detail != "" {
			text += " (" + p.Detail + ")"
		}
		return text + ". " + instead(p.Reason, wanted)
	}
	return passedOver(c)
}

// instead is what to do about a reason for which a node is passed over.
func instead(why cluster.Reason, n cluster.NodeName) string {
	const other = "name another node, or none (without --to)"
	switch why {
	case cluster.PassedHeld:
		return fmt.Sprintf("See why with `baton status`, bring it back (`baton rejoin %s` has the ways), or %s", n, other)
	case cluster.PassedDiverged:
		return fmt.Sprintf("Bring it back first (`baton lost` on it says what it alone has, `baton rejoin %s` the ways), or %s", n, other)
	case cluster.PassedMaintenance:
		return fmt.Sprintf("End that first (baton maintenance %s off), or %s", n, other)
	case cluster.PassedServerDown:
		return "Start it first, or " + other
	}
	return "Mend that first, or " + other
}

func names(nodes []cluster.Node) []cluster.NodeName {
	all := make([]cluster.NodeName, len(nodes))
	for i, n := range nodes {
		all[i] = n.Name
	}
	return all
}
