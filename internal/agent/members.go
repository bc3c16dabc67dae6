package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/store"
	"github.com/baton-db/baton/internal/store/embed"
)

// lookLimit bounds the question to all members how they are: a host that is gone
// answers nothing.
const lookLimit = 2 * time.Second

// StoreMembers implements api.Members.
func (a *Agent) StoreMembers(ctx context.Context) ([]api.StoreMember, error) {
	s, err := a.sharedStore()
	if err != nil {
		return nil, unavailable(err)
	}
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	status, err := s.etcd.Status(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	all := []api.StoreMember{}
	for _, m := range status.Members {
		row := api.StoreMember{Node: a.nodeOfMember(m), ID: strconv.FormatUint(m.ID, 16), State: stateOf(m), Leader: m.Name != "" && m.Name == status.Leader}
		if m.Err != nil {
			row.Error = m.Err.Error()
		}
		all = append(all, row)
	}
	slices.SortFunc(all, func(x, y api.StoreMember) int { return strings.Compare(string(x.Node), string(y.Node)) })
	return all, nil
}

// nodeOfMember is whose member it is. One that was never started has no name yet.
func (a *Agent) nodeOfMember(m store.Member) cluster.NodeName {
	if m.Name != "" || a.Config.Store.External() {
		return cluster.NodeName(m.Name)
	}
	for _, n := range a.Config.Nodes {
		if slices.Contains(m.PeerURLs, "https://"+a.Config.Peer(n).String()) {
			return n.Name
		}
	}
	return ""
}

func stateOf(m store.Member) api.MemberState {
	switch {
	case m.Name == "":
		return api.MemberInvited
	case m.Learner:
		return api.MemberLearner
	}
	return api.MemberVoter
}

// InviteMember implements api.Members.
func (a *Agent) InviteMember(ctx context.Context, n cluster.NodeName) (api.StoreMember, error) {
	m, err := a.ownMember()
	if err != nil {
		return api.StoreMember{}, err
	}
	id, err := m.Invite(ctx, n)
	if err != nil {
		return api.StoreMember{}, a.memberError(err)
	}
	return a.newMember(ctx, n, id), nil
}

// AdmitMember implements api.Members.
func (a *Agent) AdmitMember(ctx context.Context, n cluster.NodeName, id string) (api.StoreMember, error) {
	m, err := a.ownMember()
	if err != nil {
		return api.StoreMember{}, err
	}
	number, err := strconv.ParseUint(id, 16, 64)
	if err != nil {
		return api.StoreMember{}, &api.Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("%q is no member's number", id), Mend: "use the one that was answered when it was invited"}
	}
	err = m.Admit(ctx, n, number)
	switch {
	case err == nil:
		return api.StoreMember{Node: n, ID: id, State: api.MemberVoter}, nil
	case ctx.Err() != nil && !errors.Is(err, embed.ErrNotInvited):
		return a.newMember(context.WithoutCancel(ctx), n, number), nil
	}
	return api.StoreMember{}, a.memberError(err)
}

// newMember is a new member without a vote, as it is now.
func (a *Agent) newMember(ctx context.Context, n cluster.NodeName, id uint64) api.StoreMember {
	m := api.StoreMember{Node: n, ID: strconv.FormatUint(id, 16), State: api.MemberInvited}
	all, _ := a.StoreMembers(ctx) // not to be known: then it is as it was invited
	for _, listed := range all {
		if listed.ID == m.ID {
			m = listed
		}
	}
	m.Directory = a.Config.StoreDir()
	return m
}

// ownMember is this node's member of the embedded store.
func (a *Agent) ownMember() (*embed.Member, error) {
	s, err := a.sharedStore()
	switch {
	case err != nil:
		return nil, unavailable(err)
	case s.member == nil:
		return nil, &api.Error{Status: http.StatusConflict, Message: "the store is an etcd of your own (store.endpoints)", Mend: "replace its member there: etcdctl member remove, member add"}
	}
	return s.member, nil
}

// memberError tells what a person can do wrong from what the store refuses.
func (a *Agent) memberError(err error) error {
	switch {
	case errors.Is(err, embed.ErrNoSuchNode):
		var names []string
		for _, n := range a.Config.Nodes {
			names = append(names, string(n.Name))
		}
		return &api.Error{Status: http.StatusBadRequest, Message: err.Error(), Mend: "use one of " + strings.Join(names, ", ")}
	case errors.Is(err, embed.ErrRunning), errors.Is(err, embed.ErrNotInvited):
		return &api.Error{Status: http.StatusConflict, Message: err.Error()}
	}
	return unavailable(err)
}

func unavailable(err error) error {
	return &api.Error{Status: http.StatusServiceUnavailable, Message: err.Error(), Mend: "a majority of the store's members must be up for this: see `baton store member list`"}
}
