package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
)

// mostForgotten is how many old epochs one write of history deletes at most:
// etcd takes 128 operations in a transaction.
const mostForgotten = 64

// A Part is what one node tells of one epoch, as package timeline encodes it.
type Part struct {
	Epoch cluster.Epoch
	Node  cluster.NodeName
	Rev   cluster.Revision
	Value []byte
}

// PutHistory writes a node's part of an epoch, and in the same step deletes the
// epochs that are too old to be kept.
func (s *Store) PutHistory(ctx context.Context, epoch cluster.Epoch, node cluster.NodeName, value []byte) error {
	doing := func(err error) error {
		return fmt.Errorf("write the history of epoch %d of %s: %w", epoch, s.cluster, err)
	}
	kept, err := s.HistoryEpochs(ctx)
	if err != nil {
		return doing(err)
	}
	if value == nil {
		value = []byte{}
	}
	ops := []Op{{Key: s.key(historyKey(epoch, node)), Value: value}}
	for _, old := range s.outdated(kept, epoch) {
		ops = append(ops, Op{Key: s.key(historyKey(old, "")), Prefix: true})
	}
	if _, err := s.backend.Commit(ctx, nil, ops); err != nil {
		return doing(err)
	}
	return nil
}

// outdated returns the epochs that are beyond the newest ones once epoch has
// been added, oldest first.
func (s *Store) outdated(kept []cluster.Epoch, epoch cluster.Epoch) []cluster.Epoch {
	if !slices.Contains(kept, epoch) {
		kept = append(kept, epoch)
		slices.Sort(kept)
	}
	if len(kept) <= s.opts.KeepHistory {
		return nil
	}
	old := kept[:min(len(kept)-s.opts.KeepHistory, mostForgotten)]
	return slices.DeleteFunc(slices.Clone(old), func(e cluster.Epoch) bool { return e == epoch })
}

// HistoryEpochs returns the epochs of which any node has told something,
// ascending.
func (s *Store) HistoryEpochs(ctx context.Context) ([]cluster.Epoch, error) {
	kvs, err := s.backend.Keys(ctx, s.key(historyDir))
	if err != nil {
		return nil, fmt.Errorf("list the history of %s: %w", s.cluster, err)
	}
	var epochs []cluster.Epoch
	for _, kv := range kvs {
		if p, ok := s.part(kv); ok {
			epochs = append(epochs, p.Epoch)
		}
	}
	slices.Sort(epochs)
	return slices.Compact(epochs), nil
}

// HistoryOf returns all parts of one epoch, by node.
func (s *Store) HistoryOf(ctx context.Context, epoch cluster.Epoch) ([]Part, error) {
	return s.parts(ctx, historyKey(epoch, ""))
}

// History returns all parts of all epochs, by epoch and node.
func (s *Store) History(ctx context.Context) ([]Part, error) { return s.parts(ctx, historyDir) }

func (s *Store) parts(ctx context.Context, dir string) ([]Part, error) {
	kvs, _, err := s.backend.List(ctx, s.key(dir))
	if err != nil {
		return nil, fmt.Errorf("read the history of %s: %w", s.cluster, err)
	}
	var all []Part
	for _, kv := range kvs {
		if p, ok := s.part(kv); ok {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b Part) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Node, b.Node))
	})
	return all, nil
}

// part reads a key of the history; false if it is none.
func (s *Store) part(kv KV) (Part, bool) {
	rest, ok := strings.CutPrefix(kv.Key, s.key(historyDir))
	if !ok {
		return Part{}, false
	}
	number, node, ok := strings.Cut(rest, "/")
	epoch, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil || node == "" {
		return Part{}, false
	}
	return Part{Epoch: cluster.Epoch(epoch), Node: cluster.NodeName(node), Rev: kv.Rev, Value: kv.Value}, true
}
