package reconcile

import (
	"fmt"

	"github.com/baton-db/baton/internal/core/cluster"
)

// rejoin gives this server back to the cluster in the way that the record says.
// It reports false if there is no such thing to do here, or not now: this host
// then does what any other does.
//
// What the server has is touched only once nobody counts on it. A member of the
// ack set stops receiving and waits until the primary has taken it out of the
// set, as it does with whoever falls silent; until then it takes part in an
// election like the others.
func rejoin(in Input, plan *Plan) bool {
	j := in.Record.RejoinOf(in.Self)
	if j == nil || j.Left(in.Own) {
		return false
	}
	srv := in.Own.Server
	up := srv.State == cluster.ServerUp
	counted := in.Record.CountsOn(in.Self)
	if in.Record.Phase != cluster.PhaseSteady && (counted || up && in.Own.Held == "" && in.Settings.Durability != cluster.Lossless) {
		return false // its word may be needed, or its data may be the best there is
	}
	switch {
	case up && srv.Replica.Started:
		plan.Waits = fmt.Sprintf("%s: it stops receiving first", j)
		plan.add(LaneServer, Step{Kind: StopReplication})
	case counted:
		plan.Waits = fmt.Sprintf("%s: it has to leave the ack set first", j)
	case up && srv.Replica.SemiSync:
		plan.add(LaneServer, Step{Kind: SemiReplica, On: false})
	case j.Method == cluster.Reclone:
		plan.Waits = j.String()
		plan.add(LaneServer, Step{Kind: Reclone, Node: j.Donor, Asked: j.ID})
	case j.Method == cluster.Rewind:
		if !up && srv.State != cluster.ServerHung { // it seems to hang while it removes its logs
			plan.Waits = fmt.Sprintf("%s: its server is %s", j, srv.State)
			startServer(in, plan)
			break
		}
		plan.Waits = j.String()
		plan.add(LaneServer, Step{Kind: Rewind, Node: in.Record.Primary, Asked: j.ID})
	default:
		return false // of a later version
	}
	return true
}
