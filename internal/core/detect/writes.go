package detect

import (
	"fmt"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Disk is what the kernel says of the file system that a server writes to.
type Disk struct {
	Dir        string
	Free, Size uint64 // bytes
	ReadOnly   bool
}

const (
	// fullBelow is how little room counts as none: a server writes in larger
	// pieces than a file system allots.
	fullBelow = 1 << 20
	// startAbove is how much room a server needs to start. One that starts on a
	// full disk begins a new binary log and waits; killed there, it has lost what
	// tells it which transactions to keep (MariaDB 10.11, tried).
	startAbove = 16 << 20
)

// Wrong says why a server cannot write to the disk; empty if it can, or if
// nothing is known of the disk.
func (d Disk) Wrong() string { return d.lacks(fullBelow) }

// Unfit says why no server is to be started on the disk; empty if one may.
func (d Disk) Unfit() string { return d.lacks(startAbove) }

func (d Disk) lacks(room uint64) string {
	switch {
	case d.Dir == "":
		return ""
	case d.ReadOnly:
		return "the file system of " + d.Dir + " is read-only"
	case d.Free < min(room, d.Size/20+1):
		return "no room is left on the file system of " + d.Dir
	}
	return ""
}

// WriteEnd is how one attempt to write on the primary ended.
type WriteEnd uint8

// The ends of a write.
const (
	// WriteSilent: nothing came back by the deadline.
	WriteSilent WriteEnd = iota
	WriteDone
	// WriteAnswered: the server refused as it was told to, or waits for a
	// replica's acknowledgement. It works.
	WriteAnswered
	// WriteLocked: somebody holds a lock that the write would have to wait for.
	WriteLocked
	// WriteNoSlot: no connection was left for the probe. It is no word about
	// writing.
	WriteNoSlot
	// WriteNoRoom and WriteNoDisk: the server's own words for a full disk, and
	// for one that takes no writes.
	WriteNoRoom
	WriteNoDisk
	// WriteFailed: another error.
	WriteFailed
)

// Write is one attempt with what the host looked like when it had ended.
type Write struct {
	Asked, Ended cluster.Instant
	How          WriteEnd
	Words        string // the server's, or where the write is stuck; for people
	Disk         Disk   // zero: not looked at
	Waiting      []int  // the server's threads that wait for a disk
}

// Writes judges attempts to write, one after the other. It is a value: Observe
// returns the next one. The zero value has seen nothing.
type Writes struct {
	// Worked: one has succeeded in this reign.
	Worked bool

	since   cluster.Instant // of the first failure of a row; 0: the last was none
	last    Write
	waiting []int // threads that waited for a disk at every failure of the row
	// locked is since when nothing but locks were met; 0: the last was none.
	locked cluster.Instant
}

// Observe takes in an attempt. A failure counts from when it was asked for. A
// lock is no failure, unless the disk is one that nobody could write to: then
// it is held by somebody who waits for the disk, or hides that it is dead.
func (w Writes) Observe(a Write) Writes {
	if a.How != WriteLocked {
		w.locked = 0
	} else if w.locked == 0 {
		w.locked = a.Asked
	}
	switch {
	case a.How == WriteNoSlot:
		return w
	case a.How == WriteDone, a.How == WriteAnswered, a.How == WriteLocked && a.Disk.Wrong() == "":
		return Writes{Worked: w.Worked || a.How == WriteDone, locked: w.locked}
	case w.since == 0:
		w.since, w.waiting = a.Asked, a.Waiting
	default:
		w.waiting = slices.DeleteFunc(slices.Clone(w.waiting), func(t int) bool { return !slices.Contains(a.Waiting, t) })
	}
	w.last = a
	return w
}

// Failing reports that the last attempt failed, and what it said.
func (w Writes) Failing() (words string, failing bool) { return w.last.Words, w.since != 0 }

// Silent reports that the last attempt failed because nothing came back: a
// statement that has to wait for commits would not come back either.
func (w Writes) Silent() bool { return w.since != 0 && w.last.How == WriteSilent }

// Left is how long an attempt at now may take until writes have failed for the
// limit: all of it if none has failed, never nothing.
func (w Writes) Left(now cluster.Instant, limit time.Duration) time.Duration {
	if w.since == 0 {
		return limit
	}
	return min(limit, max(w.since.Add(limit).Sub(now), limit/5))
}

// Stuck says why no write has come back for the limit; Reason is Nothing if
// that is not so.
func (w Writes) Stuck(limit time.Duration) (cluster.Reason, string) {
	if w.since == 0 || w.last.Ended.Sub(w.since) < limit {
		return cluster.Nothing, ""
	}
	wrong := w.last.Disk.Wrong()
	switch {
	case w.last.Disk.ReadOnly || w.last.How == WriteNoDisk:
		return cluster.PrimaryDiskReadOnly, w.with(wrong)
	case wrong != "" || w.last.How == WriteNoRoom:
		return cluster.PrimaryDiskFull, w.with(wrong)
	case w.last.How == WriteSilent && len(w.waiting) > 0:
		return cluster.PrimaryDiskStuck, w.with(fmt.Sprintf("%d threads of the server have been waiting for a disk all the time", len(w.waiting)))
	}
	return cluster.PrimaryCannotWrite, w.last.Words
}

func (w Writes) with(evidence string) string {
	switch {
	case evidence == "":
		return w.last.Words
	case w.last.Words == "":
		return evidence
	}
	return w.last.Words + "; " + evidence
}

// LockedFor is for how long every attempt met a lock, seen at now.
func (w Writes) LockedFor(now cluster.Instant) time.Duration {
	if w.locked == 0 {
		return 0
	}
	return now.Sub(w.locked)
}
