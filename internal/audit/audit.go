// Package audit answers what transactions did that only one server has: which
// rows they changed, from what to what, in words that a person can read, in SQL
// that can be carried out elsewhere, and in JSON.
//
// It reads binary logs with the server's own program (mariadb-binlog or
// mysqlbinlog), as a stream: however big a log or a transaction is, memory does
// not grow with it. It never changes a server and never decides what becomes of
// the transactions. The one rule: what it could not read, or only roughly, is
// said, in every file that it concerns; nothing is left out without a word.
package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

// The flavors, whose programs print differently.
const (
	MariaDB = "mariadb"
	MySQL   = "mysql"
)

// A Job is one set of transactions to look at.
type Job struct {
	Program string   // mariadb-binlog or mysqlbinlog
	Flavor  string   // MariaDB or MySQL
	Files   []string // the server's binary logs, oldest first
	Want    gtid.Set // the transactions to report

	Cluster string
	Node    cluster.NodeName // whose log it is
	Primary cluster.NodeName // who lacks them
	Epoch   cluster.Epoch    // in which that was found
	At      time.Time        // when

	// Acknowledged says what is known of one transaction; nil: nothing.
	Acknowledged func(gtid.Set) Acknowledged
	// AckWhy is what that rests on, for people.
	AckWhy string
	// Columns describes a table as it is on the server now, in the order of its
	// columns; nil, or none: columns are called @1, @2 ….
	Columns func(ctx context.Context, database, table string) ([]Column, error)
	// Start starts the decoding program; nil: as any other.
	Start func(*exec.Cmd) error
	// Notes are what every reader must know of how these logs came to be here.
	Notes []string
	// Dropped says that the transactions are in these logs only: the crash recovery
	// of the server that wrote them has taken them out of its own.
	Dropped bool

	headsOnly bool // the rows are not asked for
}

// Acknowledged says whether a client was told that its transaction is committed.
type Acknowledged string

// What can be known of it.
const (
	NotAcknowledged Acknowledged = "no"
	MaybeAnswered   Acknowledged = "possibly"
)

// The files that Run writes.
const (
	ReportFile       = "report.txt"        // for people
	ReplayFile       = "replay.sql"        // to be carried out on the primary
	TransactionsFile = "transactions.json" // everything, for programs
	SummaryFile      = "summary.json"      // a Summary
	EvidenceDir      = "binlog"            // the binary logs themselves
)

// Run reports on the transactions in a new directory, which appears as a whole
// once it is complete.
func Run(ctx context.Context, j Job, dir string) (Summary, error) {
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return Summary{}, fmt.Errorf("audit into %s: it is there already: %w", dir, errors.Join(err, fs.ErrExist))
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return Summary{}, fmt.Errorf("audit into %s: %w", dir, err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".unfinished-") // mode 0700
	if err != nil {
		return Summary{}, fmt.Errorf("audit into %s: %w", dir, err)
	}
	defer os.RemoveAll(tmp) // of no effect once it is renamed
	s, err := j.write(ctx, tmp)
	if err != nil {
		return Summary{}, fmt.Errorf("audit %s: %w", j.Want, err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		return Summary{}, fmt.Errorf("audit into %s: %w", dir, err)
	}
	return s, syncDir(filepath.Dir(dir))
}

// write makes all files in dir.
func (j Job) write(ctx context.Context, dir string) (Summary, error) {
	files, notes, err := j.relevant(ctx)
	if err != nil {
		return Summary{}, err
	}
	w, err := newWriters(j, dir)
	if err != nil {
		return Summary{}, err
	}
	defer w.close()
	c := &collector{job: j, out: w, sum: newSummary(j), names: map[string]*table{}}
	c.sum.note(j.Notes...)
	c.sum.note(notes...)
	if j.Dropped {
		c.sum.note("the crash recovery of this server took them out of its binary log: no server has them, and only the copy of the log that was made before holds them")
		c.sum.inTheWay("the server's crash recovery has taken them back already")
	}
	for _, f := range files {
		if err := c.file(ctx, f); err != nil {
			return Summary{}, err
		}
	}
	c.end()
	if err := Keep(files, filepath.Join(dir, EvidenceDir)); err != nil {
		return Summary{}, err
	}
	if err := w.finish(c.sum); err != nil {
		return Summary{}, err
	}
	return c.sum, syncDir(dir)
}

// Keep keeps binary logs in a directory, but for those that are there already:
// what is rounded elsewhere is exact in them. Another name of the same file costs
// no space, and outlives its removal by the server; where that cannot be, it is
// copied.
func Keep(files []string, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep the binary logs: %w", err)
	}
	for _, f := range files {
		to := filepath.Join(dir, filepath.Base(f))
		if _, err := os.Lstat(to); err == nil || os.Link(f, to) == nil {
			continue
		}
		if err := copyFile(f, to); err != nil {
			return fmt.Errorf("keep the binary log %s: %w", f, err)
		}
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("write %s to disk: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("write %s to disk: %w", dir, err)
	}
	return nil
}
