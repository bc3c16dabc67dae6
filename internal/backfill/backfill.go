// Package backfill answers what the binary log of a dead server holds that another
// server lacks, and brings it there: Find reads the log where it lies, Send
// streams what was found, and a Source hands it to the other server, which
// replicates it as from any source.
//
// It never changes a log, and asks no server anything: the one whose log it reads
// is dead. The rule that must not be broken: what is handed over is whole
// transactions as they were logged, in their order, directly after what the other
// server holds; of a log that does not continue exactly that, nothing is.
// design.md, section 9.
//
// Events are not carried out as statements. The server's own receiver and applier
// take them: under read_only, with the rights and the GTIDs of replication, in the
// formats that Baton knows nothing of.
package backfill

import (
	"errors"
	"fmt"
	"time"

	"github.com/baton-db/baton/internal/core/gtid"
)

// The flavors of servers, whose logs differ.
const (
	MariaDB = "mariadb"
	MySQL   = "mysql"
)

// Why there is nothing that may be handed over.
var (
	// ErrDiverged: each of the two has something that the other has not.
	ErrDiverged = errors.New("the two servers have diverged")
	// ErrPurged: the log begins too late.
	ErrPurged = errors.New("what comes next is not in the log any more")
	// ErrUnreadable: the log is of a kind that cannot be handed over as it lies.
	ErrUnreadable = errors.New("the log cannot be read")
)

// Tail is what a log holds and another server lacks.
type Tail struct {
	Transactions uint64   `json:"transactions"` // whole ones
	Set          gtid.Set `json:"set,omitzero"` // exactly those
	Bytes        int64    `json:"bytes"`
	// Torn says what the log ends in the middle of; empty: it ends with a whole
	// transaction. Such a one was never committed.
	Torn string `json:"torn,omitempty"`
	// Server and Version are those that the log's own events name.
	Server  uint32 `json:"server"`
	Version string `json:"version"`
	// Checksums says whether events carry one.
	Checksums bool `json:"checksums,omitempty"`

	parts []part
}

// part is a piece of one file.
type part struct {
	path       string
	start, end int64
	checksums  bool
}

// Told is what Send says before the events: again and again how far it has looked,
// at last what was found, or why nothing may be handed over.
type Told struct {
	Looked int64  `json:"looked,omitempty"` // bytes
	Found  *Tail  `json:"found,omitempty"`
	Why    string `json:"why,omitempty"`  // the error, in words
	Kind   string `json:"kind,omitempty"` // diverged, purged, unreadable; empty: any other
}

var kinds = map[string]error{"diverged": ErrDiverged, "purged": ErrPurged, "unreadable": ErrUnreadable}

// telling is how an error is told.
func telling(err error) Told {
	t := Told{Why: err.Error()}
	for kind, is := range kinds {
		if errors.Is(err, is) {
			t.Kind = kind
		}
	}
	return t
}

// err is the error that was told.
func (t Told) err() error {
	if t.Why == "" {
		return nil
	}
	if is := kinds[t.Kind]; is != nil {
		return told{t.Why, is}
	}
	return errors.New(t.Why)
}

type told struct {
	text string
	is   error
}

func (t told) Error() string { return t.text }
func (t told) Unwrap() error { return t.is }

// sayEvery is how often Send says that it is still looking.
const sayEvery = 200 * time.Millisecond

func diverged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDiverged, fmt.Sprintf(format, args...))
}

func unreadable(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnreadable, fmt.Sprintf(format, args...))
}
