package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
)

// An Entry is one value as it was read. Rev 0: it does not exist. With Err, it
// exists and cannot be read by this build: it is damaged, or cluster.ErrNewer.
type Entry[T any] struct {
	Value T
	Rev   cluster.Revision
	Err   error
}

// A Snapshot is everything that the cluster shares but its history, as it was at
// one revision of the store.
type Snapshot struct {
	At       cluster.Revision
	Record   Entry[cluster.Record]
	Lease    Entry[cluster.Lease]
	Facts    map[cluster.NodeName]Entry[cluster.Fact]
	Views    map[cluster.NodeName]Entry[cluster.View]
	Requests map[string]Entry[cluster.Request]
}

// Unreadable returns the keys whose values this build cannot read, below the
// cluster's prefix, with the reason.
func (s Snapshot) Unreadable() map[string]error {
	all := map[string]error{}
	note := func(key string, err error) {
		if err != nil {
			all[key] = err
		}
	}
	note(recordKey, s.Record.Err)
	note(leaseKey, s.Lease.Err)
	for n, e := range s.Facts {
		note(factsDir+string(n), e.Err)
	}
	for n, e := range s.Views {
		note(viewsDir+string(n), e.Err)
	}
	for id, e := range s.Requests {
		note(requestsDir+id, e.Err)
	}
	return all
}

// Kind says what a key holds.
type Kind string

// The kinds of values that are watched.
const (
	KindRecord  Kind = "record"
	KindLease   Kind = "lease"
	KindFact    Kind = "fact"
	KindView    Kind = "view"
	KindRequest Kind = "request"
)

// A Change is one value that was written or deleted. The field of its Kind is
// set; after a deletion, or if the value cannot be read, it holds the zero value.
type Change struct {
	Kind    Kind
	Key     string           // below the cluster's prefix
	Name    string           // of the node, or the request's ID; empty for record and lease
	Rev     cluster.Revision // of the write or the deletion
	Deleted bool
	Err     error // it was written, and this build cannot read it

	Record  cluster.Record
	Lease   cluster.Lease
	Fact    cluster.Fact
	View    cluster.View
	Request cluster.Request
}

// Snapshot reads everything but the history.
func (s *Store) Snapshot(ctx context.Context) (Snapshot, error) {
	kvs, at, err := s.backend.List(ctx, s.key(recordKey), s.key(leaseKey), s.key(factsDir), s.key(viewsDir), s.key(requestsDir))
	if err != nil {
		return Snapshot{}, fmt.Errorf("read the state of %s: %w", s.cluster, err)
	}
	snap := Snapshot{
		Facts:    map[cluster.NodeName]Entry[cluster.Fact]{},
		Views:    map[cluster.NodeName]Entry[cluster.View]{},
		Requests: map[string]Entry[cluster.Request]{},
	}
	for _, kv := range kvs {
		if c, ok := s.change(Event{KV: kv}); ok {
			snap.Apply(c)
		}
	}
	snap.At = at
	return snap, nil
}

// Apply brings a snapshot up to a later change. One that is older than what the
// snapshot has of its key is left out.
func (s *Snapshot) Apply(c Change) {
	switch c.Kind {
	case KindRecord:
		if c.Rev > s.Record.Rev {
			s.Record = applied(c, c.Record)
		}
	case KindLease:
		if c.Rev > s.Lease.Rev {
			s.Lease = applied(c, c.Lease)
		}
	case KindFact:
		applyTo(s.Facts, cluster.NodeName(c.Name), c, c.Fact)
	case KindView:
		applyTo(s.Views, cluster.NodeName(c.Name), c, c.View)
	case KindRequest:
		applyTo(s.Requests, c.Name, c, c.Request)
	}
	s.At = max(s.At, c.Rev)
}

func applied[T any](c Change, v T) Entry[T] {
	if c.Deleted {
		return Entry[T]{}
	}
	return Entry[T]{Value: v, Rev: c.Rev, Err: c.Err}
}

func applyTo[K comparable, T any](to map[K]Entry[T], k K, c Change, v T) {
	switch {
	case c.Rev <= to[k].Rev:
	case c.Deleted:
		delete(to, k)
	default:
		to[k] = applied(c, v)
	}
}

// change gives an event its meaning; false for a key that is none of ours, or
// part of the history.
func (s *Store) change(e Event) (Change, bool) {
	key, ok := strings.CutPrefix(e.Key, s.prefix)
	if !ok {
		return Change{}, false
	}
	c := Change{Key: key, Rev: e.Rev, Deleted: e.Deleted}
	dir, name, nested := strings.Cut(key, "/")
	if nested && (name == "" || strings.Contains(name, "/")) {
		return Change{}, false
	}
	c.Name = name
	switch {
	case key == recordKey:
		c.Kind = KindRecord
		decodeInto(&c, e, &c.Record, cluster.DecodeRecord)
	case key == leaseKey:
		c.Kind = KindLease
		decodeInto(&c, e, &c.Lease, cluster.DecodeLease)
	case nested && dir+"/" == factsDir:
		c.Kind = KindFact
		decodeInto(&c, e, &c.Fact, cluster.DecodeFact)
		isOf(&c, string(c.Fact.Node), &c.Fact)
	case nested && dir+"/" == viewsDir:
		c.Kind = KindView
		decodeInto(&c, e, &c.View, cluster.DecodeView)
		isOf(&c, string(c.View.Observer), &c.View)
	case nested && dir+"/" == requestsDir:
		c.Kind = KindRequest
		decodeInto(&c, e, &c.Request, cluster.DecodeRequest)
		isOf(&c, c.Request.ID, &c.Request)
	default:
		return Change{}, false
	}
	return c, true
}

func decodeInto[T any](c *Change, e Event, to *T, decode func([]byte) (T, error)) {
	if e.Deleted {
		return
	}
	decoded := entry(e.KV, decode)
	*to, c.Err = decoded.Value, decoded.Err
}

// isOf refuses a value that names another than its key does: a request would be
// carried out again and again, for it is deleted by its name.
func isOf[T any](c *Change, name string, v *T) {
	if c.Deleted || c.Err != nil || name == c.Name {
		return
	}
	var none T
	*v, c.Err = none, fmt.Errorf("%s at revision %d names %q: it is damaged, or was written by hand", c.Key, c.Rev, name)
}

// entry decodes what a key holds. A value that cannot be read is left zero, so
// that nobody acts on half of it.
func entry[T any](kv KV, decode func([]byte) (T, error)) Entry[T] {
	if kv.Rev == 0 {
		return Entry[T]{}
	}
	v, err := decode(kv.Value)
	if err != nil {
		var none T
		return Entry[T]{Value: none, Rev: kv.Rev, Err: fmt.Errorf("%s at revision %d: %w", kv.Key, kv.Rev, err)}
	}
	return Entry[T]{Value: v, Rev: kv.Rev}
}
