package backfill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/baton-db/baton/internal/core/binlog"
	"github.com/baton-db/baton/internal/core/gtid"
)

// Log is the binary log of a server that does not run.
type Log struct {
	Flavor string
	Files  []string // oldest first
	// Had is what the server was last seen to have, which may be more than its log
	// tells: a past that came with a copy of another one's data.
	Had gtid.Set
}

// Find looks for what the log holds and a server that has have lacks. looked, if
// not nil, is told how many bytes have been read.
func (l Log) Find(ctx context.Context, have gtid.Set, looked func(int64)) (Tail, error) {
	if len(l.Files) == 0 {
		return Tail{}, unreadable("there is no file of it")
	}
	if looked == nil {
		looked = func(int64) {}
	}
	from, before, err := l.beginning(have)
	if err != nil {
		return Tail{}, err
	}
	w := &walk{log: l, have: have, looked: looked, seen: before}
	for i, path := range l.Files[from:] {
		if err := w.file(ctx, path, from+i == len(l.Files)-1); err != nil {
			return Tail{}, err
		}
	}
	return w.end()
}

// beginning is the newest file before which nothing was logged that have lacks.
func (l Log) beginning(have gtid.Set) (i int, before gtid.Set, err error) {
	for i = len(l.Files) - 1; i >= 0; i-- {
		before, err = l.before(l.Files[i])
		if err == nil && have.Contains(before) {
			return i, before, nil
		}
		// The newest file may have been under way to be made.
		if err != nil && (i < len(l.Files)-1 || i == 0 || !errors.Is(err, io.ErrUnexpectedEOF)) {
			return 0, gtid.Set{}, err
		}
	}
	return 0, gtid.Set{}, fmt.Errorf("%w: the oldest file, %s, begins after %s", ErrPurged, filepath.Base(l.Files[0]), before.Subtract(have))
}

// before reads what had been logged before a file.
func (l Log) before(path string) (set gtid.Set, err error) {
	f, err := openFile(path)
	if err != nil {
		return set, err
	}
	defer f.Close()
	for {
		h, err := f.next()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return set, fmt.Errorf("read %s: it has no beginning: %w", path, io.ErrUnexpectedEOF)
		}
		if err != nil {
			return set, err
		}
		var text string
		ok := true
		switch h.Kind {
		case binlog.Encryption:
			return set, unreadable("%s is encrypted", filepath.Base(path))
		case binlog.GTIDList, binlog.Previous:
			body, err := f.body(h.Length)
			if err != nil {
				return set, err
			}
			if h.Kind == binlog.GTIDList {
				text, ok = gtidList(body)
			} else {
				text, ok = previousGTIDs(body)
			}
			if ok {
				set, err = gtid.Parse(text)
				ok = err == nil
			}
			if !ok {
				return set, unreadable("what %s says of those before it is of another form", filepath.Base(path))
			}
			return set, nil
		case binlog.GTID, binlog.GTIDMaria, binlog.TaggedGTID, binlog.Anonymous:
			return set, unreadable("%s does not say what was logged before it: was it written without GTIDs?", filepath.Base(path))
		}
	}
}
