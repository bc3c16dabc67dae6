package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/store"
	"github.com/baton-db/baton/internal/store/embed"
	"github.com/baton-db/baton/internal/timeline"
)

// shared is the store as the agent uses it.
type shared struct {
	*store.Store
	member  *embed.Member // nil for an external store
	etcd    *store.Etcd
	hearing *hearing
	log     *slog.Logger
	call    time.Duration
	every   time.Duration

	mu   sync.Mutex
	last string // the last error, for people
}

// openStore starts this node's member of the store, or connects to the store
// that somebody else runs.
func openStore(ctx context.Context, a *Agent) (*shared, error) {
	c := a.Config
	s := &shared{hearing: a.hearing, log: a.Log, call: a.settings.Call, every: a.settings.Renew}
	if c.Store.External() {
		if err := s.dial(c); err != nil {
			return nil, err
		}
	} else {
		peers := map[cluster.NodeName]netip.AddrPort{}
		for _, n := range c.Nodes {
			peers[n.Name] = c.Peer(n)
		}
		m, err := embed.Start(ctx, embed.Options{
			Cluster: c.Cluster, Self: c.Node, Peers: peers, DataDir: c.StoreDir(), RunDir: c.RunDir,
			CA: c.TLS.CA, Cert: c.TLS.Cert, Key: c.TLS.Key, Heartbeat: c.Store.Heartbeat, Election: c.Store.Election, Log: a.Log,
		})
		if err != nil {
			return nil, err
		}
		s.member, s.etcd = m, m.Backend()
	}
	s.Store = store.New(s.etcd, c.Cluster, store.Options{})
	return s, nil
}

// clientTLS is how this node shows itself to a server that is not Baton's, and
// whom it believes: without an authority, those of the host. The client's
// certificate is read anew for every connection.
func clientTLS(files config.TLS) (*tls.Config, error) {
	c, err := transport.TLSInfo{CertFile: files.Cert, KeyFile: files.Key, TrustedCAFile: files.CA}.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("load the certificates: %w", err)
	}
	return c, nil
}

// dial connects to an external store.
func (s *shared) dial(c *config.Config) error {
	o := store.DialOptions{Endpoints: c.Store.Endpoints, Silence: c.Timing.Lease / 2, Log: s.log}
	if t := c.Store.TLS; t.CA != "" {
		var err error
		if o.TLS, err = clientTLS(t); err != nil {
			return fmt.Errorf("external store: %w", err)
		}
	}
	var err error
	if s.etcd, err = store.Dial(o); err != nil {
		return err
	}
	return nil
}

// follow hands everything that changes in the store to the loop.
func (s *shared) follow(ctx context.Context, post func(event)) {
	for b := range s.Watch(ctx, 0) {
		if b.Err != nil {
			s.note(b.Err)
		}
		now := clock.Now()
		post(func(l *loop) { l.sawBatch(b, now) })
	}
}

// listen reads the lease key whenever the store has been quiet for as long as a
// living primary renews. The answer proves that the store is alive; the lack of
// one, that nothing can be concluded from its silence.
func (s *shared) listen(ctx context.Context, limit time.Duration, post func(event)) {
	tick := time.NewTicker(s.every / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s.hearing.quiet(clock.Now()) < s.every {
			continue
		}
		call, cancel := context.WithTimeout(ctx, s.call)
		seen, err := s.ReadLease(call)
		cancel()
		if err != nil && ctx.Err() == nil {
			s.note(err)
			s.hearing.missed()
			post(func(*loop) {})
			continue
		}
		now := clock.Now()
		s.hearing.heard(now, limit)
		post(func(l *loop) {
			if seen.Rev != 0 && seen.Err == nil {
				l.sawLease(seen.Value, seen.Rev, now)
			}
		})
	}
}

// watchMember ends the agent when this node's member of the store has ended: a
// full disk, or the others have removed it.
func (s *shared) watchMember(ctx context.Context, fail context.CancelCauseFunc) {
	if s.member == nil {
		return
	}
	select {
	case <-ctx.Done():
	case <-s.member.Done():
		fail(fmt.Errorf("this node's member of the store has ended: %w", s.member.Err()))
	}
}

func (s *shared) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = err.Error()
}

// looks says how the store looks, for people.
func (s *shared) looks(ctx context.Context) api.Store {
	status, err := s.etcd.Status(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		return api.Store{Detail: err.Error()}
	}
	looks := api.Store{Members: len(status.Members), Healthy: status.Healthy()}
	if s.member != nil {
		looks.Leader = cluster.NodeName(status.Leader)
	}
	for _, a := range status.Alarms {
		looks.Detail = strings.TrimSpace(looks.Detail + " " + a.Member + " raises " + a.Kind)
	}
	return looks
}

// slowDisk says how the disk of this node's own member is slow, or nothing.
func (s *shared) slowDisk() string {
	if s.member == nil {
		return ""
	}
	return s.member.SlowDisk()
}

func (s *shared) renewLease(ctx context.Context, record cluster.Revision, l cluster.Lease) (cluster.Revision, error) {
	return s.RenewLease(ctx, record, l)
}

func (s *shared) swap(ctx context.Context, w swapOf) (cluster.Revision, error) {
	return s.SwapRecord(ctx, w.prev, w.lease, w.next, w.done...)
}

func (s *shared) refuse(ctx context.Context, q cluster.Request) error {
	_, err := s.AnswerRequest(ctx, q)
	return err
}

func (s *shared) putHistory(ctx context.Context, p timeline.NodePart) error {
	b, err := timeline.Encode(p)
	if err != nil {
		return err
	}
	return s.PutHistory(ctx, p.Epoch, p.Node, b)
}

// Parts reads what all nodes told of all epochs that are kept.
func (s *shared) Parts(ctx context.Context) ([]timeline.NodePart, error) {
	stored, err := s.History(ctx)
	if err != nil {
		return nil, err
	}
	var parts []timeline.NodePart
	for _, h := range stored {
		p, err := timeline.Decode(h.Value)
		if err != nil {
			s.log.Warn("read a part of the history", "epoch", h.Epoch, "of", h.Node, "err", err)
			continue
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// leadWithPrimary hands the store's leadership to the primary's host: losing
// another node then never disturbs the renewals.
func (s *shared) leadWithPrimary(ctx context.Context, primary cluster.NodeName) {
	if s.member == nil || !s.member.IsLeader() {
		return
	}
	// One that does not answer could not take it, and the store would take no
	// writes until that is clear.
	if err := s.member.Answers(ctx, primary); err != nil {
		s.log.Debug("the store's leadership stays", "err", err)
		return
	}
	if err := s.member.MoveLeader(ctx, primary); err != nil {
		s.log.Debug("the store's leadership stays", "err", err)
	}
}

func (s *shared) close(ctx context.Context) error {
	err := s.etcd.Close()
	if s.member != nil {
		err = errors.Join(err, s.member.Close(ctx))
	}
	return err
}
