package api

import (
	"context"
	"net/http"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
)

// Rejoins looks at the hosts that a rejoin would touch.
type Rejoins interface {
	// LookRejoin says what the hosts of a plan have and lack. It changes nothing.
	LookRejoin(ctx context.Context, p decide.RejoinPlan) (RejoinLook, error)
}

// RejoinLook is what the hosts of a reclone look like.
type RejoinLook struct {
	DataDir string `json:"data_dir,omitempty"` // of the node, which is replaced
	Bytes   int64  `json:"bytes,omitempty"`    // the donor's data, about
	Free    int64  `json:"free,omitempty"`     // beside DataDir
	Old     int64  `json:"old,omitempty"`      // what is in DataDir now; 0: nothing
	// Lacks is what is in the way, each with what to do.
	Lacks []string `json:"lacks,omitempty"`
}

// RejoinPlan is what a rejoin would do.
type RejoinPlan struct {
	decide.RejoinPlan
	Look *RejoinLook `json:"look,omitempty"`
}

// RejoinStatus is a rejoin under way.
type RejoinStatus struct {
	cluster.Rejoin
	Progress string `json:"progress,omitempty"`
}

func rejoinStatus(s Snapshot) *RejoinStatus {
	j := s.Record.Rejoin
	if j == nil {
		return nil
	}
	return &RejoinStatus{Rejoin: *j, Progress: s.Facts[j.Node].Value.Rejoining}
}

// planRejoin thinks a rejoin through and looks at the hosts. What is in their way
// would refuse it.
func (s *Server) planRejoin(w http.ResponseWriter, r *http.Request) error {
	snap, q, err := s.asked(w, r)
	if err != nil {
		return err
	}
	if q.Kind != cluster.RequestRejoin {
		return &Error{Status: http.StatusBadRequest, Message: "this is no rejoin", Mend: "ask for kind rejoin"}
	}
	if snap.World == nil {
		return &Error{Status: http.StatusServiceUnavailable, Message: "this node cannot think it through now: there is no record, or the store is silent", Mend: "see `baton status`"}
	}
	p := RejoinPlan{RejoinPlan: decide.PlanRejoin(*snap.World, q, snap.WorldAt)}
	if p.Refused == "" && p.Method == cluster.Reclone && s.rejoins != nil {
		look, err := s.rejoins.LookRejoin(r.Context(), p.RejoinPlan)
		if err != nil {
			return &Error{Status: http.StatusServiceUnavailable, Message: err.Error(), Mend: "see that the agents of both nodes run and reach each other (peer.port)"}
		}
		if p.Look = &look; len(look.Lacks) > 0 {
			p.Refused = look.Lacks[0]
		}
	}
	return reply(w, http.StatusOK, p)
}

// rejoin is the state of a request to rejoin after a snapshot.
func (t *tracked) rejoin(st RequestState, s Snapshot) RequestState {
	r := s.Record
	st.Epoch, st.Phase, st.Primary = r.Epoch, r.Phase, r.Primary
	switch done := r.Rejoined; {
	case r.Rejoin != nil && r.Rejoin.ID == t.ID:
		st.Status = Accepted
	case done != nil && done.ID == t.ID && done.Failed != "":
		st.Status, st.Reason, st.Detail = Failed, cluster.RejoinFailed, done.Failed
	case done != nil && done.ID == t.ID && done.Method == cluster.Hold, t.ask.Method == cluster.Hold && t.seen && s.Rev != t.seenRev:
		st.Status, st.Detail = Done, string(t.ask.Node)+" is left as it is"
	case done != nil && done.ID == t.ID:
		st.Status, st.Detail = Done, string(done.Node)+" follows again; "+done.Detail
	case st.Status == Accepted:
		st.Status, st.Detail = Failed, "it is not under way any more, and nobody knows what came of it: see `baton status`"
	}
	return st
}
