// Package store answers: what has the cluster agreed on, and may I change it?
// It reads the shared values of one cluster as types, writes them under guards,
// and tells when they change. With its sub-package embed it is the only package
// that knows etcd.
//
// It never decides anything, keeps no copy of what it read, and compares no
// clocks. The one rule: a write that others rely on (the record, the lease) goes
// in only as a compare on revisions and a put in one transaction, and whoever
// asked for it learns whether it surely happened (no error), surely did not
// (ErrLost and others) or may have happened (ErrUnknown).
package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
)

// KeepHistory is how many epochs of history the store keeps if Options does not
// say otherwise.
const KeepHistory = 100

// Options are the details of a Store; the zero value is good.
type Options struct {
	// KeepHistory is how many epochs of history are kept, the newest ones; 0
	// means the constant of that name.
	KeepHistory int
	// Backlog is how many changes a watch holds for a slow reader before it
	// gives up on them and lists everything anew; 0 means 1024.
	Backlog int
}

// A Store is the typed view of one cluster's values. It may be used by several
// goroutines at once.
type Store struct {
	backend Backend
	cluster string
	prefix  string
	opts    Options
}

// New returns the view of that cluster's values in a backend.
func New(b Backend, cluster string, o Options) *Store {
	if o.KeepHistory == 0 {
		o.KeepHistory = KeepHistory
	}
	if o.Backlog == 0 {
		o.Backlog = 1024
	}
	return &Store{backend: b, cluster: cluster, prefix: "/baton/" + cluster + "/", opts: o}
}

// The keys of a cluster, below its prefix (design.md, section 4).
const (
	recordKey   = "record"
	leaseKey    = "lease"
	factsDir    = "facts/"
	viewsDir    = "views/"
	requestsDir = "requests/"
	historyDir  = "history/"
)

func (s *Store) key(parts ...string) string { return s.prefix + strings.Join(parts, "") }

func historyKey(epoch cluster.Epoch, node cluster.NodeName) string {
	return historyDir + strconv.FormatUint(uint64(epoch), 10) + "/" + string(node)
}

// SwapRecord replaces the record of revision prev by next and deletes the
// requests that it carries out, all in one step. prev 0 creates the first
// record. lease, if not nil, is what the lease key's revision must still be, so
// that a renewal which the caller has not seen makes the swap fail.
//
// Errors: ErrLost if another's change won; ErrUnknown if it may have been
// swapped; ErrNoQuorum, ErrNoSpace.
func (s *Store) SwapRecord(ctx context.Context, prev cluster.Revision, lease *cluster.Revision, next cluster.Record, done ...string) (cluster.Revision, error) {
	b, err := cluster.Encode(next)
	if err != nil {
		return 0, err
	}
	guards := []Guard{{s.key(recordKey), prev}}
	if lease != nil {
		guards = append(guards, Guard{s.key(leaseKey), *lease})
	}
	ops := []Op{{Key: s.key(recordKey), Value: b}}
	for _, id := range done {
		ops = append(ops, Op{Key: s.key(requestsDir, id)})
	}
	rev, err := s.backend.Commit(ctx, guards, ops)
	if err != nil {
		return 0, fmt.Errorf("swap the record of %s: %w", s.cluster, err)
	}
	return rev, nil
}

// RenewLease puts the lease, if the record is still at that revision, and
// returns the lease's new revision. It is one transaction; a renewal that comes
// twice does no harm. Errors as of SwapRecord: ErrLost means that the record has
// changed.
func (s *Store) RenewLease(ctx context.Context, record cluster.Revision, lease cluster.Lease) (cluster.Revision, error) {
	b, err := cluster.Encode(lease)
	if err != nil {
		return 0, err
	}
	rev, err := s.backend.Commit(ctx, []Guard{{s.key(recordKey), record}}, []Op{{Key: s.key(leaseKey), Value: b}})
	if err != nil {
		return 0, fmt.Errorf("renew the lease of %s: %w", s.cluster, err)
	}
	return rev, nil
}

// ReadLease reads the lease through a majority of the store: whoever gets an
// answer knows that the store was not silent when it asked.
func (s *Store) ReadLease(ctx context.Context) (Entry[cluster.Lease], error) {
	kv, err := s.backend.Get(ctx, s.key(leaseKey))
	if err != nil {
		return Entry[cluster.Lease]{}, fmt.Errorf("read the lease of %s: %w", s.cluster, err)
	}
	return entry(kv, cluster.DecodeLease), nil
}

// PutFact writes a node's fact.
func (s *Store) PutFact(ctx context.Context, f cluster.Fact) (cluster.Revision, error) {
	return put(ctx, s, factsDir+string(f.Node), f)
}

// PutView writes a node's view of the others.
func (s *Store) PutView(ctx context.Context, v cluster.View) (cluster.Revision, error) {
	return put(ctx, s, viewsDir+string(v.Observer), v)
}

// PutRequest writes a new request; ErrLost if one of its ID exists already.
func (s *Store) PutRequest(ctx context.Context, q cluster.Request) (cluster.Revision, error) {
	return put(ctx, s, requestsDir+q.ID, q, Guard{s.key(requestsDir, q.ID), 0})
}

// AnswerRequest replaces a request by one that carries its refusal; ErrLost if
// it is gone meanwhile, because somebody withdrew it or carried it out.
func (s *Store) AnswerRequest(ctx context.Context, q cluster.Request) (cluster.Revision, error) {
	asked, err := s.backend.Get(ctx, s.key(requestsDir, q.ID))
	if err == nil && asked.Rev == 0 {
		err = fmt.Errorf("%w: the request is gone", ErrLost)
	}
	if err != nil {
		return 0, fmt.Errorf("answer request %s of %s: %w", q.ID, s.cluster, err)
	}
	return put(ctx, s, requestsDir+q.ID, q, Guard{asked.Key, asked.Rev})
}

// DeleteRequest deletes a request. One that does not exist is no error.
func (s *Store) DeleteRequest(ctx context.Context, id string) error {
	if _, err := s.backend.Commit(ctx, nil, []Op{{Key: s.key(requestsDir, id)}}); err != nil {
		return fmt.Errorf("delete request %s of %s: %w", id, s.cluster, err)
	}
	return nil
}

func put[T cluster.Fact | cluster.View | cluster.Request](ctx context.Context, s *Store, key string, v T, guards ...Guard) (cluster.Revision, error) {
	b, err := cluster.Encode(v)
	if err != nil {
		return 0, err
	}
	rev, err := s.backend.Commit(ctx, guards, []Op{{Key: s.key(key), Value: b}})
	if err != nil {
		return 0, fmt.Errorf("write %s of %s: %w", key, s.cluster, err)
	}
	return rev, nil
}
