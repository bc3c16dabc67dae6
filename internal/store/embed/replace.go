package embed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/baton-db/baton/internal/core/cluster"
)

// tryAgain is the pause before etcd is asked again for a change that it refused
// for the moment.
const tryAgain = 100 * time.Millisecond

// What keeps a member from being replaced, whoever asks.
var (
	// ErrNoSuchNode says that the configuration does not name the node.
	ErrNoSuchNode = errors.New("the configuration has no such node")
	// ErrRunning says that the old member is alive: it must not be removed.
	ErrRunning = errors.New("its member of the store is running")
	// ErrNotInvited says that a member is not in the list any more: somebody
	// else has replaced it meanwhile.
	ErrNotInvited = errors.New("it is not a member of the store any more")
)

// Replace gives a node's place in the store to a new member: Invite and Admit
// in one. It returns when all that has happened or ctx is over; then it may be
// called again, and goes on where it stopped.
func (m *Member) Replace(ctx context.Context, n cluster.NodeName) error {
	id, err := m.Invite(ctx, n)
	if err != nil {
		return err
	}
	return m.Admit(ctx, n, id)
}

// Invite removes the old member of a node for good, if it is listed, and adds a
// new one without a vote. It is called on any other running member. The node
// joins once it is started with an empty data directory, and copies everything.
// Called again, it returns the same new member.
//
// etcd refuses to shrink or grow a cluster whose members have not been connected
// for 5 s, so it can take that long.
//
// Errors: ErrNoSuchNode, ErrRunning; anything else is etcd's.
func (m *Member) Invite(ctx context.Context, n cluster.NodeName) (id uint64, err error) {
	if _, ok := m.opts.Peers[n]; !ok {
		return 0, fmt.Errorf("replace the store's member %s: %w", n, ErrNoSuchNode)
	}
	if n == m.opts.Self {
		return 0, fmt.Errorf("replace the store's member %s: %w: it answers you; ask another node, once this one is stopped", n, ErrRunning)
	}
	// Repeated as a whole, from the list on: a change whose answer was lost, as when
	// the leader changes, may have been made.
	err = m.insist(ctx, func() (err error) { id, err = m.invite(ctx, n); return err }, rpctypes.ErrMemberNotFound, rpctypes.ErrPeerURLExist)
	if err != nil {
		return 0, fmt.Errorf("replace the store's member %s: %w", n, err)
	}
	return id, nil
}

// Admit gives a member that was invited its vote, once it has joined and copied
// everything. It waits for that until ctx ends. A member that has its vote keeps it.
//
// Errors: ErrNotInvited; anything else is etcd's.
func (m *Member) Admit(ctx context.Context, n cluster.NodeName, id uint64) error {
	err := m.insist(ctx, func() error {
		_, err := m.client.MemberPromote(ctx, id)
		if errors.Is(err, rpctypes.ErrMemberNotLearner) {
			return nil // it has its vote already
		}
		return err
	})
	switch {
	case errors.Is(err, rpctypes.ErrMemberNotFound):
		return fmt.Errorf("replace the store's member %s: %w: %s", n, ErrNotInvited, memberID(id))
	case err != nil:
		return fmt.Errorf("replace the store's member %s: it has been invited; give it its vote once it has copied everything (is it running, with an empty data directory?): %w", n, err)
	}
	m.log.Info("a member of the store was replaced", "node", n, "member", memberID(id))
	return nil
}

// invite removes the old member and adds the new one, and returns its ID.
func (m *Member) invite(ctx context.Context, n cluster.NodeName) (uint64, error) {
	list, err := m.client.MemberList(ctx)
	if err != nil {
		return 0, fmt.Errorf("list the members: %w", err)
	}
	for _, e := range list.Members {
		if e.Name != string(n) && !slices.Contains(e.PeerURLs, m.opts.peerURL(n)) {
			continue
		}
		if e.Name == "" || e.IsLearner { // an earlier call has come so far
			return e.ID, nil
		}
		if err := m.silent(ctx, e); err != nil {
			return 0, err
		}
		if _, err := m.client.MemberRemove(ctx, e.ID); err != nil {
			return 0, fmt.Errorf("remove its old member %s: %w", memberID(e.ID), err)
		}
		m.log.Info("a member was removed from the store", "node", n, "member", memberID(e.ID))
	}
	added, err := m.client.MemberAddAsLearner(ctx, []string{m.opts.peerURL(n)})
	if err != nil {
		return 0, fmt.Errorf("invite it: %w", err)
	}
	return added.Member.ID, nil
}

// silent refuses to remove a member that is alive and well.
func (m *Member) silent(ctx context.Context, e *pb.Member) error {
	for _, u := range e.PeerURLs {
		if a := m.peers.ask(ctx, u); a.kind == member {
			return fmt.Errorf("%w at %s: stop it first", ErrRunning, u)
		}
	}
	return nil
}

// insist repeats a change of the members that etcd refuses for the moment, or with
// one of the errors that are to be taken so.
func (m *Member) insist(ctx context.Context, change func() error, also ...error) error {
	for {
		err := change()
		if err == nil || !momentary(err) && !slices.ContainsFunc(also, func(e error) bool { return errors.Is(err, e) }) {
			return err
		}
		again := time.NewTimer(tryAgain)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return errors.Join(err, ctx.Err())
		}
	}
}

func momentary(err error) bool {
	for _, e := range []error{rpctypes.ErrUnhealthy, rpctypes.ErrMemberLearnerNotReady, rpctypes.ErrTooManyLearners, rpctypes.ErrNoLeader, rpctypes.ErrLeaderChanged,
		rpctypes.ErrTimeoutDueToLeaderFail, rpctypes.ErrMemberNotEnoughStarted} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
