package store

import (
	"context"
	"errors"

	"github.com/baton-db/baton/internal/core/cluster"
)

// What callers act on. Everything else is an error like any other.
var (
	// ErrLost says that a guard did not hold, so nothing was written: somebody
	// else was faster. That is normal; look again.
	ErrLost = errors.New("somebody else was faster")
	// ErrUnknown says that nobody knows whether the write happened: it was on
	// its way when its time was over. Read before concluding anything.
	ErrUnknown = errors.New("no answer in time, it may or may not have been written")
	// ErrNoQuorum says that no majority of the store answered in time. Beside
	// ErrUnknown the write may have happened all the same; without it nothing
	// was written.
	ErrNoQuorum = errors.New("no majority of the store answers")
	// ErrNoSpace says that the store refuses to grow: its quota is used up, or
	// an alarm NOSPACE has not been cleared. Nothing was written.
	ErrNoSpace = errors.New("the store is full")
	// ErrClosed says that this end of the store has been closed.
	ErrClosed = errors.New("the store is closed")
	// ErrCompacted says that a watch asked for changes that the store has
	// already forgotten.
	ErrCompacted = errors.New("the store has forgotten the changes since then")
)

// A Backend is what the typed view needs of a store. It knows keys and bytes,
// nothing of what they mean. Every call returns by its context's deadline, and
// tries nothing after it.
type Backend interface {
	// Get reads one key, linearizably. A key that does not exist has Rev 0.
	Get(ctx context.Context, key string) (KV, error)
	// List reads all keys under the prefixes as they were at one revision of
	// the store, which it returns; linearizably.
	List(ctx context.Context, prefixes ...string) ([]KV, cluster.Revision, error)
	// Keys is List without the values.
	Keys(ctx context.Context, prefix string) ([]KV, error)
	// Commit does all of ops if all guards hold, in one step, and returns the
	// revision of it. Errors: ErrLost, ErrUnknown, ErrNoQuorum, ErrNoSpace.
	Commit(ctx context.Context, guards []Guard, ops []Op) (cluster.Revision, error)
	// Watch reports what changes under prefix after that revision, oldest first
	// and nothing left out, until ctx ends or the stream breaks. A broken
	// stream ends with an Events that has Err, ErrCompacted among them.
	Watch(ctx context.Context, prefix string, after cluster.Revision) <-chan Events
}

// KV is one key as it is stored.
type KV struct {
	Key   string
	Value []byte
	Rev   cluster.Revision // of its last change; 0: there is no such key
}

// A Guard holds if the key was last changed at that revision; 0: if there is no
// such key.
type Guard struct {
	Key string
	Rev cluster.Revision
}

// An Op puts a value or deletes. Within one commit no key may be touched twice.
type Op struct {
	Key    string
	Value  []byte // nil: delete
	Prefix bool   // delete every key that begins with Key
}

// Events are changes that a watch saw.
type Events struct {
	At      cluster.Revision // everything up to this revision has been reported
	Changes []Event
	Err     error // the stream broke; the channel is closed after it
}

// An Event is one change of one key.
type Event struct {
	KV
	Deleted bool
}
