package audit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/core/binlog"
)

// spared is what KeepTail leaves free on a disk.
const spared = 64 << 20

// KeepTail copies the newest part of logs, at most limit bytes, into a new
// directory, so that it outlives whatever the server's next start does to them.
// Of a log that is too big it copies the beginning, without which nothing of it
// can be read, and what comes after a transaction's begin near enough to its end.
// Notes say what is not kept.
func KeepTail(ctx context.Context, logs []string, dir string, limit int64) (kept, notes []string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("keep the end of the binary log: %w", err)
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return nil, nil, fmt.Errorf("see how much room there is for the end of the binary log: %w", err)
	}
	if room := int64(disk.Bavail)*disk.Bsize - spared; room < limit {
		notes = append(notes, fmt.Sprintf("there was room for %d MiB only below %s", max(room, 0)>>20, filepath.Dir(dir)))
		limit = room
	}
	for i, log := range slices.Backward(logs) {
		to := filepath.Join(dir, filepath.Base(log))
		info, err := os.Stat(log)
		if err != nil {
			return nil, nil, fmt.Errorf("keep the end of the binary log: %w", err)
		}
		n, from, err := copyTail(ctx, log, to, min(info.Size(), limit))
		if err != nil {
			return nil, nil, fmt.Errorf("keep the end of %s: %w", log, err)
		}
		if n == 0 {
			notes = append(notes, fmt.Sprintf("%s and what is older is not kept: it is more than fits (rejoin.keep_log)", filepath.Base(log)))
			break
		}
		kept = append(kept, to)
		if limit -= n; from > 0 {
			notes = append(notes, fmt.Sprintf("of %s only what begins at %d is kept: the rest is more than fits (rejoin.keep_log)", filepath.Base(log), from))
			if i > 0 {
				notes = append(notes, fmt.Sprintf("nothing older than %s is kept", filepath.Base(log)))
			}
			break
		}
	}
	slices.Reverse(kept)
	return kept, notes, syncDir(dir)
}

// copyTail copies the whole of a log, or, if that is more than most, its beginning
// and what comes from a transaction on. It returns how much it copied, which is
// nothing if no transaction begins so near the end.
func copyTail(ctx context.Context, log, to string, most int64) (n, from int64, err error) {
	in, err := os.Open(log)
	if err != nil {
		return 0, 0, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return 0, 0, err
	}
	size := info.Size() // nobody writes any more
	head := size
	if size > most {
		if head, from, err = boundary(ctx, in, size-most); err != nil || from == 0 {
			return 0, 0, err
		}
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, 0, err
	}
	err = copyRange(ctx, out, in, 0, head)
	if n = head; err == nil && from > 0 {
		err = copyRange(ctx, out, in, from, size-from)
		n += size - from
	}
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return 0, 0, errors.Join(err, os.Remove(to))
	}
	return n, from, nil
}

// copyRange copies a part of a file, some at a time, so that it ends with ctx.
func copyRange(ctx context.Context, out, in *os.File, from, n int64) error {
	if _, err := in.Seek(from, io.SeekStart); err != nil {
		return err
	}
	const piece = 8 << 20
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		done, err := io.CopyN(out, in, min(n, piece))
		if err != nil {
			return err
		}
		n -= done
	}
	return nil
}

// errOpaque says that the events of a log cannot be told apart.
var errOpaque = errors.New("its events cannot be told apart (encrypted?), and the whole is more than fits (rejoin.keep_log)")

// boundary finds, in a log, where its first transaction begins, and the first one
// at or after a position; 0 if there is none. It reads the headers of events and
// nothing else.
func boundary(ctx context.Context, in io.ReadSeeker, least int64) (first, found int64, err error) {
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return 0, 0, err
	}
	r := bufio.NewReaderSize(in, 1<<20)
	var magic [len(binlog.Magic)]byte
	if _, err := io.ReadFull(r, magic[:]); err != nil || string(magic[:]) != binlog.Magic {
		return 0, 0, errOpaque
	}
	var header [binlog.HeaderLength]byte
	for pos := int64(len(magic)); ; {
		if pos&0x3ff == 0 && ctx.Err() != nil {
			return 0, 0, ctx.Err()
		}
		if _, err := io.ReadFull(r, header[:]); err != nil {
			return 0, 0, ended(err)
		}
		event := binlog.ReadHeader(header[:])
		if event.Length < binlog.HeaderLength || event.Kind == binlog.Encryption {
			return 0, 0, errOpaque
		}
		if event.Kind.BeginsTransaction() {
			if first == 0 {
				first = pos
			}
			if pos >= least {
				return first, pos, nil
			}
		}
		if _, err := r.Discard(int(event.Length) - len(header)); err != nil {
			return 0, 0, ended(err)
		}
		pos += event.Length
	}
}

// ended is nothing wrong if a log simply ends, in the middle of an event or not.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
