package peer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// What is said after the last byte of a stream.
const (
	sumTrailer   = "Baton-Sha256"
	errorTrailer = "Baton-Error"
)

// Source writes the answer to a question, of any size. What it holds in memory
// is its own affair: the link holds no more than a buffer, and a slow reader
// slows the writer. An error ends the stream and is told to the reader. w has a
// method Flush() error, for what the reader is to have at once.
type Source func(ctx context.Context, from cluster.NodeName, question []byte, w io.Writer) error

// Ask is the Source for questions of a type.
func Ask[Q any](f func(ctx context.Context, from cluster.NodeName, q Q, w io.Writer) error) Source {
	return func(ctx context.Context, from cluster.NodeName, question []byte, w io.Writer) error {
		var q Q
		if err := json.Unmarshal(question, &q); err != nil {
			return fmt.Errorf("read the question: %w", err)
		}
		return f(ctx, from, q, w)
	}
}

// HandleStream has a question answered with a stream. It must be called before
// Serve.
func (l *Link) HandleStream(path string, s Source) {
	l.mux.HandleFunc("POST "+pathRoot+path, func(w http.ResponseWriter, r *http.Request) {
		question, from, ok := l.accept(w, r)
		if !ok {
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Connection", "close") // its deadlines are a stream's
		w.Header().Set("Trailer", sumTrailer+", "+errorTrailer)
		out := &patient{to: w, control: http.NewResponseController(w), quiet: l.o.Quiet, sum: sha256.New()}
		if err := out.begin(); err != nil {
			return // the reader is gone
		}
		err := s(r.Context(), from, question, out)
		if err != nil {
			l.o.Log.Warn("a stream to another node ended early", "to", from, "path", path, "err", err)
			w.Header().Set(errorTrailer, url.QueryEscape(err.Error()))
			return
		}
		w.Header().Set(sumTrailer, hex.EncodeToString(out.sum.Sum(nil)))
	})
}

// patient writes to a reader as long as it takes something now and then.
type patient struct {
	to      io.Writer
	control *http.ResponseController
	quiet   time.Duration
	sum     hash.Hash
}

// begin tells the reader that its question was taken.
func (p *patient) begin() error {
	if err := p.control.SetWriteDeadline(time.Now().Add(p.quiet)); err != nil {
		return err
	}
	return p.control.Flush()
}

// Flush sends what has been written so far, for a stream that goes on for ever.
func (p *patient) Flush() error { return p.control.Flush() }

func (p *patient) Write(b []byte) (int, error) {
	if err := p.control.SetWriteDeadline(time.Now().Add(p.quiet)); err != nil {
		return 0, err
	}
	n, err := p.to.Write(b)
	p.sum.Write(b[:n]) // never fails
	return n, err
}

// Stream asks a node for a stream. Its end is io.EOF only if all of it came in as
// it was sent, by its checksum; a sender's error, a broken connection, and one in
// which nothing moved for a while are errors. Close ends it at any time.
func (l *Link) Stream(ctx context.Context, to cluster.NodeName, path string, question any) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(l.o.Quiet, func() { cancel(errQuiet) })
	gaveUp := func() bool { return errors.Is(context.Cause(ctx), errQuiet) }
	response, err := l.send(ctx, to, path, question)
	if err != nil {
		late.Stop()
		if gaveUp() {
			err = fmt.Errorf("ask %s for %s: %w", to, path, errQuiet)
		}
		cancel(nil)
		return nil, err
	}
	return &reader{cancel: cancel, gaveUp: gaveUp, late: late, quiet: l.o.Quiet, response: response, sum: sha256.New(), from: to, path: path}, nil
}

var errQuiet = errors.New("nothing came for too long")

// reader reads a stream and judges its end.
type reader struct {
	cancel   context.CancelCauseFunc
	gaveUp   func() bool // nothing came for too long
	late     *time.Timer
	quiet    time.Duration
	response *http.Response
	sum      hash.Hash
	from     cluster.NodeName
	path     string
}

func (r *reader) Read(b []byte) (int, error) {
	// Only the wait counts: whoever reads may take long between two reads.
	r.late.Reset(r.quiet)
	n, err := r.response.Body.Read(b)
	r.late.Stop()
	r.sum.Write(b[:n]) // never fails
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		err = r.judge()
	case r.gaveUp():
		err = fmt.Errorf("read %s of %s: %w", r.path, r.from, errQuiet)
	default:
		err = fmt.Errorf("read %s of %s: %w", r.path, r.from, err)
	}
	return n, err
}

// judge says what the end of the stream is worth: io.EOF if it is whole.
func (r *reader) judge() error {
	if why := r.response.Trailer.Get(errorTrailer); why != "" {
		if text, err := url.QueryUnescape(why); err == nil {
			why = text
		}
		return Refusal{Node: r.from, Why: why}
	}
	switch sent, got := r.response.Trailer.Get(sumTrailer), hex.EncodeToString(r.sum.Sum(nil)); {
	case sent == "":
		return fmt.Errorf("read %s of %s: %w", r.path, r.from, io.ErrUnexpectedEOF)
	case sent != got:
		return fmt.Errorf("read %s of %s: what came in is not what was sent (SHA-256 %s, not %s)", r.path, r.from, got, sent)
	}
	return io.EOF
}

func (r *reader) Close() error {
	r.late.Stop()
	r.cancel(nil)
	return r.response.Body.Close()
}

// newRequest is a question that may be asked again over a new connection when an
// idle one turned out to be dead.
func newRequest(ctx context.Context, to cluster.NodeName, path string, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+string(to)+pathRoot+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header["Idempotency-Key"] = nil // package http: may be repeated; the header is not sent
	return r, nil
}

func trimmed(b []byte) string { return strings.TrimSpace(string(b)) }
