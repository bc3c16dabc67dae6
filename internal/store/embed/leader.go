package embed

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/store"
)

// IsLeader reports whether this member leads the store, as far as it knows: a
// leader that has been cut off thinks so for up to an election's timeout.
func (m *Member) IsLeader() bool { return m.etcd.Server.Leader() == m.etcd.Server.MemberID() }

// Leader returns the node whose member leads, none if there is no leader, and
// how many members there are.
func (m *Member) Leader() (leader cluster.NodeName, members int) {
	lead := m.etcd.Server.Leader()
	all := m.etcd.Server.Cluster().Members()
	for _, p := range all {
		if p.ID == lead {
			leader = cluster.NodeName(p.Name)
		}
	}
	return leader, len(all)
}

// LeaderChanged returns a channel that is closed at the next change of leader,
// also to none. Ask for it before looking who leads.
func (m *Member) LeaderChanged() <-chan struct{} { return m.etcd.Server.LeaderChangedNotify() }

// MoveLeaderHere makes this member the leader. Raft passes the wish on to the
// present one, so any member may ask.
func (m *Member) MoveLeaderHere(ctx context.Context) error {
	return m.MoveLeader(ctx, m.opts.Self)
}

// MoveLeader makes that node's member the leader.
func (m *Member) MoveLeader(ctx context.Context, name cluster.NodeName) error {
	s := m.etcd.Server
	for _, p := range s.Cluster().Members() {
		if p.Name != string(name) {
			continue
		}
		lead := s.Leader()
		switch lead {
		case p.ID:
			return nil
		case 0:
			return fmt.Errorf("make %s lead the store: %w: nobody leads", name, store.ErrNoQuorum)
		}
		if err := s.MoveLeader(ctx, uint64(lead), uint64(p.ID)); err != nil {
			return fmt.Errorf("make %s lead the store: %w", name, err)
		}
		return nil
	}
	return fmt.Errorf("make %s lead the store: no member is called so", name)
}

// StepDown gives the leadership to another member, if this one leads, and returns
// when that one does. Whoever gets it may hand it back before this one has noticed:
// then it is given away once more.
func (m *Member) StepDown(ctx context.Context) error {
	again := time.NewTicker(m.opts.Election)
	defer again.Stop()
	for {
		m.handOver(ctx)
		if !m.IsLeader() {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Health says what keeps this member from reading through a majority, nil if
// nothing does.
func (m *Member) Health(ctx context.Context) error {
	_, err := m.backend.Get(ctx, "baton-health")
	if err == nil {
		return nil
	}
	var silent []string
	for _, p := range m.etcd.Server.Cluster().Members() {
		if p.ID == m.etcd.Server.MemberID() {
			continue
		}
		if perr := m.probe(context.WithoutCancel(ctx), store.Member{Name: p.Name, PeerURLs: p.PeerURLs}); perr != nil {
			silent = append(silent, perr.Error())
		}
	}
	if silent == nil {
		return fmt.Errorf("the store's member %s: %w", m.opts.Self, err)
	}
	return fmt.Errorf("the store's member %s: %w; %s", m.opts.Self, err, strings.Join(silent, "; "))
}

// Answers says why that node's member does not answer; nil if it does.
func (m *Member) Answers(ctx context.Context, name cluster.NodeName) error {
	if _, err := m.peers.get(ctx, m.opts.peerURL(name)+membersPath); err != nil {
		return fmt.Errorf("ask the store's member of %s: %w", name, err)
	}
	return nil
}

// probe asks another member whether it answers.
func (m *Member) probe(ctx context.Context, p store.Member) error {
	if len(p.PeerURLs) == 0 {
		return fmt.Errorf("member %s has no address", p.Name)
	}
	if a := m.peers.ask(ctx, p.PeerURLs[0]); a.kind == silent {
		return fmt.Errorf("member %s does not answer: %w", p.Name, a.err)
	}
	return nil
}
