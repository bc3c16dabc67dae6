// Package db answers what Baton wants of a database server, in Baton's words:
// look at it, probe it, and take the steps of a switch on it.
//
// It never decides whether a step is right; package reconcile does. It holds
// the interface that every driver satisfies (packages mariadb and mysql, whose
// common parts are in wire) and package dbtest the suite that every driver passes.
//
// The one rule: nothing that a server has received is thrown away before it is
// applied. Whatever would do so returns an *UnappliedError instead.
package db

import (
	"context"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/core/reach"
)

// Schema is the database on every server that Baton keeps its own rows in: the
// marker of each reign, the row of the write probe, and which scheduled events
// the primary had enabled. It is replicated like any other.
const Schema = "baton"

// A Server is the database server on this host, reached through its unix
// socket. Its methods may be called at the same time; each purpose has a
// connection of its own, which is held, and opened again when it broke.
//
// Every context must have a deadline, or a frozen server hangs the caller.
type Server interface {
	Looker
	Prober
	Auditing

	// Session opens the one connection on which the steps of a switch are
	// taken. A session that this or an earlier agent left open is killed first,
	// and its last statement has ended when Session returns: nothing queued by
	// an earlier decision is carried out after that. An error wrapping
	// ErrSessionBusy says that its statement did not end in time.
	Session(ctx context.Context) (Session, error)

	// WriteMarker begins a reign in the data: it commits a row with the epoch,
	// which every election after this one can see. It returns once the commit
	// is acknowledged as the server's settings ask for. Calling it again
	// commits again. It needs no session, because it may wait for long.
	WriteMarker(ctx context.Context, epoch cluster.Epoch, node cluster.NodeName) error
	// EnsureSchema creates Baton's schema, as a replicated change, on a writable
	// primary. Like the marker it may wait for an acknowledgement, and holds up
	// no session meanwhile.
	EnsureSchema(ctx context.Context) error

	// RecordEvents notes in Baton's schema which scheduled events this server,
	// the primary, has enabled: a replica knows them all as disabled. It writes
	// only if something changed, and says so.
	RecordEvents(ctx context.Context) (changed bool, err error)

	// Close ends all connections. A statement that still runs goes on in the
	// server.
	Close() error
}

// Looker looks at a server and changes nothing.
type Looker interface {
	// Identify reads what is fixed for one life of the server, and how it would
	// come up if somebody started it again.
	Identify(ctx context.Context) (Identity, error)
	// Observe reads what changes, in one round trip.
	Observe(ctx context.Context) (Observation, error)
	// Load reads how much the server is used. It does not wait for locks.
	Load(ctx context.Context) (Load, error)
	// Limits reads what the server does about connections.
	Limits(ctx context.Context) (reach.Server, error)
	// ReplicasHere lists who replicates from this server.
	ReplicasHere(ctx context.Context) (Replicas, error)
	// Accounts compares the privileges of Baton's own accounts with what it
	// needs: nothing missing, and nothing that would let a probe write on a
	// read-only server.
	Accounts(ctx context.Context) ([]AccountFinding, error)
}

// Prober asks the server to prove that it works. What comes back is always an
// answer; that there was none is one too.
type Prober interface {
	ReadProbe(ctx context.Context) Answer
	// WriteProbe commits a row in Baton's schema, never waiting for a lock. It
	// is for the primary only: the row is replicated. It runs under an account
	// that read_only binds, so that it cannot write where nobody may.
	WriteProbe(ctx context.Context) Answer
	// BusinessProbe has the server carry out the user's own statement that
	// writes, under the same account and never waiting for a lock. An earlier
	// one that is still under way is waited for, and the statement made anew.
	BusinessProbe(ctx context.Context, statement string) Answer
}

// A Session takes the steps of a switch, on one connection. Once that breaks,
// or a context ends during a call, every later call returns an error wrapping
// ErrSessionBroken: nobody knows what the server still does, and the caller
// starts over with a new session.
//
// Every step may be repeated by somebody who does not know how far an earlier
// one came.
type Session interface {
	Replication
	Serving

	Close() error
}

// Replication are the steps on the receiving side of a server.
type Replication interface {
	// StopReceiver stops receiving, confirms it, and only then reads what the
	// server holds. What was received goes on being applied.
	StopReceiver(ctx context.Context) (Held, error)
	// WaitApplied returns once everything in want is applied. It starts the
	// applier if it stands still. It returns an *ApplierError as soon as the
	// applier fails, and an error wrapping ErrNotReceived if what is wanted is
	// neither here nor can come. progress, if not nil, is called with what is
	// applied whenever that has grown.
	WaitApplied(ctx context.Context, want gtid.Set, progress func(applied gtid.Set)) error
	// Follow replicates from source. It refuses with an *UnappliedError while
	// anything received is not applied yet.
	Follow(ctx context.Context, source Source) error
	// Detach forgets the source. It refuses with an *UnappliedError as Follow
	// does. A server that follows nobody is left as it is.
	Detach(ctx context.Context) error
	// ReplicaSemiSync says whether this server acknowledges what it receives.
	// The receiver is restarted for it, if it runs.
	ReplicaSemiSync(ctx context.Context, on bool) error
	// AcknowledgeAgain tells the source once more that everything received is
	// here. It is for a replica that acknowledges and holds all that its source
	// has, while commits there still wait: if a connection breaks after a
	// transaction was received and before its acknowledgement arrived, nothing
	// else ever frees them. A server that does not acknowledge is left as it is.
	AcknowledgeAgain(ctx context.Context) error
}

// Serving are the steps on the writable side of a server.
type Serving interface {
	// SetReadOnly refuses or admits writes, and reads the result back. Turning
	// read-only waits for commits under way, and stalls everybody else
	// meanwhile: it gives up after lockWait with an error wrapping ErrLockWait,
	// and the server takes writes as before.
	SetReadOnly(ctx context.Context, on bool, lockWait time.Duration) error
	// SourceSemiSync makes every commit wait for k acknowledgements, for as
	// long as it takes; or no longer. Turning it off answers every commit that
	// waits with OK although nobody acknowledged it: fence clients first.
	SourceSemiSync(ctx context.Context, on bool, k int) error
	// SkipNumbers makes sure that this server, which is read-only, gives none of
	// its next transactions a number that it may have given before to one that it
	// has lost since, as far as its kind of server may lose what a replica has
	// received. It waits for no acknowledgement, and may be repeated.
	//
	// The transaction that this takes is the marker of epoch, too, of which node is
	// primary: whoever has it has all that the reign began with, so its data is newer
	// than any tail of a reign before. Where the server refuses that (the account may
	// not write there, the schema is not there yet), unmarked says why, and the
	// numbers are left out all the same.
	SkipNumbers(ctx context.Context, epoch cluster.Epoch, node cluster.NodeName) (unmarked string, err error)

	// OpenTransactions lists what a drain waits for. The list is made anew only
	// when nobody has asked for it for TransactionsApart.
	OpenTransactions(ctx context.Context) ([]Transaction, error)
	// Waiters lists the sessions whose commit waits for an acknowledgement.
	Waiters(ctx context.Context) ([]Waiter, error)
	// ReleaseWaiters ends those sessions so that none of them is told OK. What
	// they wrote stays in this server's data. Their clients must be unable to
	// hear an answer by then.
	ReleaseWaiters(ctx context.Context) (released int, err error)
	// KillClients ends all sessions but replication's and Baton's own.
	KillClients(ctx context.Context) (killed int, err error)

	// EnableEvents enables the scheduled events that the primary before had
	// enabled, as a replicated change, on the new, writable primary. Events of
	// which nobody recorded whether they were enabled are left alone and
	// returned as unknown.
	EnableEvents(ctx context.Context) (enabled, unknown []string, err error)
	// DisableEvents lets no scheduled event run on this server that is no
	// primary any more, without a trace in its binary log.
	DisableEvents(ctx context.Context) (disabled []string, err error)
}
