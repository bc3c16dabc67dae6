package backfill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/baton-db/baton/internal/core/binlog"
	"github.com/baton-db/baton/internal/core/gtid"
)

// Send writes what the log holds and a server that has have lacks: a line of JSON
// (Told) now and then while it looks, one that says what was found, and then the
// events, as a source would send them. It holds no more in memory than a buffer.
func (l Log) Send(ctx context.Context, have gtid.Set, w io.Writer) error {
	out := json.NewEncoder(w)
	said := time.Now()
	var gone error
	tail, err := l.Find(ctx, have, func(bytes int64) {
		if gone == nil && time.Since(said) >= sayEvery {
			said = time.Now()
			gone = out.Encode(Told{Looked: bytes})
		}
	})
	switch {
	case gone != nil:
		return gone
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return errors.Join(err, out.Encode(telling(err)))
	}
	if err := out.Encode(Told{Found: &tail}); err != nil {
		return err
	}
	for _, p := range tail.parts {
		if err := tail.send(ctx, p, w); err != nil {
			return fmt.Errorf("send %s: %w", p.path, err)
		}
	}
	return nil
}

// send writes one part: the file's name, its description, and the events but for
// those that only matter where they lie.
func (t Tail) send(ctx context.Context, p part, w io.Writer) error {
	f, err := openFile(p.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.next(); err != nil {
		return err
	}
	description := make([]byte, f.end-f.at)
	if _, err := f.ReadAt(description, f.at); err != nil {
		return err
	}
	if _, err := describe(description); err != nil {
		return err
	}
	begin := append(rotation(t.Server, filepath.Base(p.path), uint64(len(binlog.Magic)), p.checksums), description...)
	if _, err := w.Write(begin); err != nil {
		return err
	}
	from, err := os.Open(p.path)
	if err != nil {
		return err
	}
	defer from.Close()
	_, err = io.Copy(w, &stoppable{ctx, io.NewSectionReader(from, p.start, p.end-p.start)})
	return err
}

// stoppable ends with its context.
type stoppable struct {
	ctx context.Context
	io.Reader
}

func (s *stoppable) Read(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.Reader.Read(b)
}
