package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Members is who changes the members of the store. What a person can do wrong is
// answered with an *Error.
type Members interface {
	// StoreMembers lists them, by node.
	StoreMembers(ctx context.Context) ([]StoreMember, error)
	// InviteMember removes a node's old member for good and adds a new one, which
	// has no vote yet. Called again, it returns the same new one.
	InviteMember(ctx context.Context, n cluster.NodeName) (StoreMember, error)
	// AdmitMember gives a new member its vote as soon as it has copied everything.
	// When ctx ends before, it returns the member as it is, and no error.
	AdmitMember(ctx context.Context, n cluster.NodeName, id string) (StoreMember, error)
}

// StoreMember is a member of the store.
type StoreMember struct {
	Node   cluster.NodeName `json:"node"` // of an external store: the member's own name
	ID     string           `json:"id"`   // etcd's number, in hexadecimal
	State  MemberState      `json:"state"`
	Leader bool             `json:"leader,omitempty"`
	Error  string           `json:"error,omitempty"` // why it does not answer; empty: it does
	// Directory is where the node that answers keeps its own member's data; set
	// with a new member, which needs that of its node to be empty.
	Directory string `json:"directory,omitempty"`
}

// MemberState says how far a member takes part.
type MemberState string

// The states of a member.
const (
	MemberInvited MemberState = "invited" // added, and never started
	MemberLearner MemberState = "learner" // it copies, and has no vote yet
	MemberVoter   MemberState = "voter"
)

// inviteLimit bounds the change of members: etcd refuses it for the first 5 s
// after a member has come or gone, and for ever without a majority.
const inviteLimit = 15 * time.Second

func (s *Server) storeMembers(w http.ResponseWriter, r *http.Request) error {
	all, err := s.members.StoreMembers(r.Context())
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, all)
}

func (s *Server) replaceMember(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), inviteLimit)
	defer cancel()
	m, err := s.members.InviteMember(ctx, cluster.NodeName(r.PathValue("node")))
	if err != nil {
		return err
	}
	peer := peerOf(r.Context())
	s.log.InfoContext(ctx, "member of the store to be replaced", "of", m.Node, "member", m.ID, "who", peer.User, "uid", peer.UID, "pid", peer.PID)
	return reply(w, http.StatusAccepted, m)
}

func (s *Server) admitMember(w http.ResponseWriter, r *http.Request) error {
	wait := time.Duration(0)
	if asked := r.FormValue("wait"); asked != "" {
		var err error
		if wait, err = time.ParseDuration(asked); err != nil {
			return &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("%q is no time to wait", asked), Mend: "write it like 10s"}
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), min(max(wait, time.Second), maxWait))
	defer cancel()
	m, err := s.members.AdmitMember(ctx, cluster.NodeName(r.PathValue("node")), r.FormValue("id"))
	if err != nil {
		return err
	}
	status := http.StatusOK
	if m.State != MemberVoter {
		status = http.StatusAccepted
	}
	return reply(w, status, m)
}

// StoreMembers lists the members of the store.
func (c *Client) StoreMembers(ctx context.Context) ([]StoreMember, error) {
	return get[[]StoreMember](ctx, c, http.MethodGet, "/v1/store/members", nil)
}

// ReplaceMember removes a node's member of the store for good, and returns the
// new one that is invited in its place.
func (c *Client) ReplaceMember(ctx context.Context, n cluster.NodeName) (StoreMember, error) {
	return get[StoreMember](ctx, c, http.MethodPost, "/v1/store/members/"+url.PathEscape(string(n))+"/replace", nil)
}

// AwaitMember returns a new member once it has its vote, or with ctx's error as
// it was last seen.
func (c *Client) AwaitMember(ctx context.Context, m StoreMember) (StoreMember, error) {
	q := url.Values{"id": {m.ID}, "wait": {maxWait.String()}}
	path := "/v1/store/members/" + url.PathEscape(string(m.Node)) + "/admit?" + q.Encode()
	for {
		now, err := get[StoreMember](ctx, c, http.MethodPost, path, nil)
		if err != nil {
			return m, err
		}
		if m = now; m.State == MemberVoter {
			return m, nil
		}
	}
}
