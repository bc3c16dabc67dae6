package backfill

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/baton-db/baton/internal/core/binlog"
)

// file reads the events of one file, one after the other.
type file struct {
	*os.File
	in   *bufio.Reader
	path string
	size int64

	at    int64 // where the present event begins
	end   int64 // and the one after it
	here  int64 // how far has been read
	first [binlog.HeaderLength]byte

	descr description
}

func openFile(path string) (*file, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the binary log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the binary log: %w", err), f.Close())
	}
	r := &file{File: f, in: bufio.NewReaderSize(f, 256<<10), path: path, size: info.Size()}
	begins := make([]byte, len(binlog.Magic))
	_, err = io.ReadFull(r.in, begins)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		r.end = r.size // cut off before it began
	case err != nil:
		return nil, errors.Join(fmt.Errorf("read %s: %w", path, err), f.Close())
	case string(begins) != binlog.Magic:
		return nil, errors.Join(unreadable("%s is no binary log, or is encrypted", filepath.Base(path)), f.Close())
	default:
		r.end = int64(len(binlog.Magic))
	}
	r.here = r.end
	return r, nil
}

// next goes to the next event. The end of the file is io.EOF, and a place from
// which on there is no whole event io.ErrUnexpectedEOF.
func (f *file) next() (binlog.Header, error) {
	if err := f.skip(f.end - f.here); err != nil {
		return binlog.Header{}, err
	}
	f.at = f.end
	left := f.size - f.at
	if left == 0 {
		return binlog.Header{}, io.EOF
	}
	if left < binlog.HeaderLength {
		return binlog.Header{}, io.ErrUnexpectedEOF
	}
	if _, err := io.ReadFull(f.in, f.first[:]); err != nil {
		return binlog.Header{}, fmt.Errorf("read %s: %w", f.path, err)
	}
	f.here += binlog.HeaderLength
	h := binlog.ReadHeader(f.first[:])
	if !h.Plausible(left) {
		f.end = f.here
		return h, io.ErrUnexpectedEOF
	}
	f.end = f.at + h.Length
	switch {
	case h.Kind == binlog.Description:
	case f.at == int64(len(binlog.Magic)):
		return h, unreadable("%s does not begin with its description", filepath.Base(f.path))
	default:
		return h, nil
	}
	event, err := f.event()
	if err != nil {
		return h, err
	}
	f.descr, err = describe(event)
	if err != nil {
		err = fmt.Errorf("%s: %w", filepath.Base(f.path), err)
	}
	return h, err
}

// body reads what follows the header of the present event, but no more than most.
func (f *file) body(most int64) ([]byte, error) {
	b := make([]byte, min(most, f.end-f.here))
	n, err := io.ReadFull(f.in, b)
	f.here += int64(n)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.path, err)
	}
	return b, nil
}

// event reads all of the present event. It is for small ones.
func (f *file) event() ([]byte, error) {
	const most = 1 << 20
	if f.end-f.at > most {
		return nil, unreadable("an event of %s that should be small has %d bytes", filepath.Base(f.path), f.end-f.at)
	}
	body, err := f.body(most)
	return append(append([]byte{}, f.first[:]...), body...), err
}

func (f *file) skip(n int64) error {
	for n > 0 {
		skipped, err := f.in.Discard(int(min(n, 1<<20)))
		f.here += int64(skipped)
		n -= int64(skipped)
		if err != nil {
			return fmt.Errorf("read %s: %w", f.path, err)
		}
	}
	return nil
}
