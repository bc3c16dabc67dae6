package backfill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/baton-db/baton/internal/core/binlog"
	"github.com/baton-db/baton/internal/core/gtid"
)

// walk goes through the files and notes what another server lacks.
type walk struct {
	log    Log
	have   gtid.Set
	looked func(int64)

	tail  Tail
	seen  gtid.Set // what the log has, as far as it was read
	known []string // the same, not yet put together
	set   runs     // what the tail has

	read    int64 // bytes, of earlier files
	said    int64
	lacking bool // the first that is lacking was found
	begun   bool // of the present file's part
	group   group
}

// group is the transaction that is being read.
type group struct {
	id      string // empty: none
	source  string // the id without its number
	number  uint64
	at      int64
	single  bool // one statement, without a COMMIT
	opened  bool // MySQL: BEGIN was seen
	lacking bool
}

const (
	lookedEvery = 16 << 20 // bytes
	shortText   = 16 << 10 // bytes: no COMMIT has more
	putTogether = 10_000   // GTIDs
)

// file goes through one file.
func (w *walk) file(ctx context.Context, path string, last bool) error {
	f, err := openFile(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w.begun, w.group = false, group{}
	whole := int64(0) // behind the last whole transaction that is lacking
	for {
		h, err := f.next()
		if w.read+f.at >= w.said+lookedEvery {
			w.said = w.read + f.at
			w.looked(w.said)
			if ctx.Err() != nil {
				return fmt.Errorf("look through %s: %w", path, ctx.Err())
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			if err := w.torn(f, last, errors.Is(err, io.ErrUnexpectedEOF)); err != nil {
				return err
			}
			break
		}
		if err != nil {
			return err
		}
		ended, err := w.event(f, h)
		if err != nil {
			return err
		}
		if ended {
			if w.group.lacking {
				w.take(f)
				whole = f.end
			}
			w.group = group{}
		}
	}
	if whole > 0 {
		w.tail.parts[len(w.tail.parts)-1].end = whole
		w.tail.Bytes += whole - w.tail.parts[len(w.tail.parts)-1].start
	} else if w.begun {
		w.tail.parts = w.tail.parts[:len(w.tail.parts)-1]
	}
	w.read += f.size
	return nil
}

// torn takes in the end of a file, which may be in the middle of something.
func (w *walk) torn(f *file, last, cut bool) error {
	name := filepath.Base(f.path)
	switch {
	case w.group.id == "" && !cut:
		return nil
	case !last && (w.group.lacking || w.lacking):
		return unreadable("%s ends in the middle of something, and another file follows", name)
	case !last:
		return nil
	case w.group.id == "":
		w.tail.Torn = name + " ends in the middle of an event"
	case w.group.lacking:
		w.tail.Torn = fmt.Sprintf("%s ends in the middle of %s", name, w.group.id)
	}
	return nil
}

// event takes in one event and reports whether it ends a transaction.
func (w *walk) event(f *file, h binlog.Header) (ended bool, err error) {
	name := filepath.Base(f.path)
	g := &w.group
	switch h.Kind {
	case binlog.Description:
		w.tail.Version, w.tail.Checksums, w.tail.Server = f.descr.version, f.descr.checksums, h.Server
		return false, nil
	case binlog.Encryption:
		return false, unreadable("%s is encrypted", name)
	case binlog.TaggedGTID:
		return false, unreadable("%s has GTIDs with tags, which Baton cannot read there", name)
	case binlog.Anonymous:
		return false, unreadable("%s has transactions without GTIDs", name)
	case binlog.Incident:
		if w.lacking {
			return false, unreadable("%s says that something was not logged", name)
		}
		return false, nil
	case binlog.GTID, binlog.GTIDMaria:
		return false, w.begin(f, h)
	}
	if g.id == "" {
		return false, nil
	}
	switch h.Kind {
	case binlog.Xid, binlog.XAPrepare, binlog.Payload:
		return true, nil
	case binlog.QueryPacked:
		return g.single, nil
	case binlog.Query:
		if g.single {
			return true, nil
		}
		if h.Length > shortText && (w.log.Flavor == MariaDB || g.opened) {
			return false, nil
		}
		body, err := f.body(shortText)
		return g.statement(queryText(body, f.descr.checksums && h.Length <= shortText), w.log.Flavor), err
	}
	return false, nil
}

// statement takes in a statement and reports whether it ends the transaction.
func (g *group) statement(text, flavor string) bool {
	switch text {
	case "COMMIT", "ROLLBACK":
		return true
	case "BEGIN":
		g.opened = true
		return false
	}
	if flavor == MariaDB || g.opened {
		return false
	}
	// A statement of MySQL that is no part of a transaction is one.
	g.opened = strings.HasPrefix(text, "XA START")
	return !g.opened
}

// begin takes in the GTID of a transaction.
func (w *walk) begin(f *file, h binlog.Header) error {
	body, err := f.body(64)
	if err != nil {
		return err
	}
	name := filepath.Base(f.path)
	if w.group.id != "" && (w.lacking || w.group.lacking) {
		return unreadable("no end of %s was found in %s", w.group.id, name)
	}
	g := group{at: f.at}
	ok := false
	if h.Kind == binlog.GTIDMaria {
		var flags byte
		g.id, flags, ok = mariadbGTID(h, body)
		i := strings.LastIndexByte(g.id, '-')
		if ok {
			g.source, g.single = g.id[:i+1], flags&standalone != 0
			_, err = fmt.Sscan(g.id[i+1:], &g.number)
		}
	} else if g.source, g.number, ok = mysqlGTID(body); ok {
		g.source += ":"
		g.id = fmt.Sprintf("%s%d", g.source, g.number)
	}
	if !ok || err != nil {
		return unreadable("a GTID of %s cannot be read", name)
	}
	one, err := gtid.ParseTransaction(g.id)
	if err != nil {
		return unreadable("a GTID of %s: %v", name, err)
	}
	g.lacking = !w.have.Contains(one)
	switch {
	case w.lacking && !g.lacking:
		return diverged("%s comes after %s in the log of the one, and the other has the later one only", g.id, w.set.first())
	case g.lacking && !w.begun:
		w.begun = true
		w.tail.parts = append(w.tail.parts, part{path: f.path, start: f.at, checksums: f.descr.checksums})
	}
	w.lacking = w.lacking || g.lacking
	w.group = g
	w.note(g.id)
	return nil
}

// note keeps what the log has.
func (w *walk) note(id string) {
	if w.known = append(w.known, id); len(w.known) == putTogether {
		w.putTogether()
	}
}

func (w *walk) putTogether() {
	if set, err := gtid.Parse(strings.Join(w.known, ",")); err == nil { // each of them could be read
		w.seen = w.seen.Union(set)
	}
	w.known = w.known[:0]
}

// take adds the transaction that has just been read to the tail.
func (w *walk) take(f *file) {
	w.tail.Transactions++
	w.set.add(w.group.source, w.group.number, w.log.Flavor)
}

// end is what was found, if the one is the other's past.
func (w *walk) end() (Tail, error) {
	w.putTogether()
	if beyond := w.have.Subtract(w.seen.Union(w.log.Had)); !beyond.IsZero() {
		return Tail{}, diverged("the log has nothing of %s", beyond)
	}
	var err error
	if w.tail.Set, err = gtid.Parse(w.set.String()); err != nil {
		return Tail{}, unreadable("its GTIDs: %v", err)
	}
	return w.tail, nil
}

// runs are numbers that follow each other, of the same source.
type runs struct {
	done   []string
	flavor string
	source string
	lo, hi uint64
}

func (r *runs) add(source string, number uint64, flavor string) {
	if r.flavor = flavor; r.source == source && number == r.hi+1 {
		r.hi = number
		return
	}
	r.flush()
	r.source, r.lo, r.hi = source, number, number
}

func (r *runs) flush() {
	if r.source == "" {
		return
	}
	between := ".."
	if r.flavor == MySQL {
		between = "-"
	}
	r.done = append(r.done, fmt.Sprintf("%s%d%s%d", r.source, r.lo, between, r.hi))
	r.source = ""
}

// first is what was added first.
func (r *runs) first() string {
	if len(r.done) > 0 {
		return r.done[0]
	}
	return fmt.Sprintf("%s%d", r.source, r.lo)
}

func (r *runs) String() string {
	r.flush()
	return strings.Join(r.done, ",")
}
