package apitest

import (
	"context"
	"fmt"
	"net/http"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
)

// lostMember is the one whose node does not answer any more.
const lostMember = "w1"

// StoreMembers is the list of a store of which one member is lost.
func (c *Cluster) StoreMembers(context.Context) ([]api.StoreMember, error) {
	return []api.StoreMember{
		{Node: "db1", ID: "a1", State: api.MemberVoter, Leader: true},
		{Node: "db2", ID: "b2", State: api.MemberVoter},
		{Node: lostMember, ID: "c3", State: api.MemberVoter, Error: "connection refused"},
	}, nil
}

// InviteMember replaces the lost member only.
func (c *Cluster) InviteMember(_ context.Context, n cluster.NodeName) (api.StoreMember, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.behaviour == StoreGone:
		return api.StoreMember{}, &api.Error{Status: http.StatusServiceUnavailable, Message: "no majority of the store answers"}
	case n == "db1" || n == "db2":
		return api.StoreMember{}, &api.Error{Status: http.StatusConflict, Message: fmt.Sprintf("replace the store's member %s: it is running: stop it first", n)}
	case n != lostMember:
		return api.StoreMember{}, &api.Error{Status: http.StatusBadRequest, Message: "the configuration has no such node", Mend: "use one of db1, db2, w1"}
	}
	return api.StoreMember{Node: n, ID: "d4", State: api.MemberInvited, Directory: "/var/lib/baton/shop/store"}, nil
}

// AdmitMember gives the new member its vote, unless the node is never started.
func (c *Cluster) AdmitMember(ctx context.Context, n cluster.NodeName, id string) (api.StoreMember, error) {
	c.mu.Lock()
	obeys := c.behaviour == Obeys
	c.mu.Unlock()
	if obeys {
		return api.StoreMember{Node: n, ID: id, State: api.MemberVoter}, nil
	}
	<-ctx.Done()
	return api.StoreMember{Node: n, ID: id, State: api.MemberInvited}, nil
}
