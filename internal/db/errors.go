package db

import (
	"errors"
	"fmt"

	"github.com/baton-db/baton/internal/core/gtid"
)

// Errors that callers act on.
var (
	// ErrSessionBroken: start over with a new session.
	ErrSessionBroken = errors.New("the session is broken")
	// ErrSessionBusy: an earlier session's statement has not ended yet.
	ErrSessionBusy = errors.New("an earlier session still runs a statement")
	// ErrLockWait: a lock was not granted in time; nothing was changed.
	ErrLockWait = errors.New("a lock was not granted in time")
	// ErrReadOnly: the server takes no writes.
	ErrReadOnly = errors.New("the server is read-only")
	// ErrNotReceived: what is to be applied is not here and is not coming.
	ErrNotReceived = errors.New("not received, and nothing is being received")
)

// An UnappliedError refuses a step that would throw away what was received.
type UnappliedError struct {
	Step    string   // what was refused
	Missing gtid.Set // received and not applied
}

func (e *UnappliedError) Error() string {
	return fmt.Sprintf("%s: %s has been received and is not applied yet", e.Step, e.Missing)
}

// An ApplierError says that the server cannot apply what it received.
type ApplierError struct {
	Code int    // the server's error number
	Text string // the server's words
}

func (e *ApplierError) Error() string {
	return fmt.Sprintf("the applier stopped: error %d: %s", e.Code, e.Text)
}
