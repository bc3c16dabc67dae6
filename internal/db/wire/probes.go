package wire

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/db"
)

// answer says what came of a probe that began then.
func answer(began time.Time, err error) db.Answer {
	a := db.Answer{Verdict: db.Done, Took: time.Since(began)}
	if err != nil {
		a.Verdict, a.Detail = Verdict(err), err.Error()
	}
	return a
}

// ReadProbe implements db.Prober.
func (s *Server) ReadProbe(ctx context.Context) db.Answer {
	began := time.Now()
	return answer(began, s.Read.Use(ctx, func(l *Link) error {
		_, err := l.Value(ctx, "SELECT 1")
		return err
	}))
}

// writeProbe is the one write that may be under way. A commit that waits for an
// acknowledgement is not given up: a broken connection would not end it, and
// the next probe would only queue up behind it.
type writeProbe struct {
	held *Held

	mu      sync.Mutex
	pending *pendingWrite
	closed  bool
	running sync.WaitGroup
}

type pendingWrite struct {
	cancel context.CancelFunc
	thread uint64        // the server's number of its connection; 0 while connecting
	done   chan struct{} // closed once err is set
	err    error
}

// WriteProbe implements db.Prober.
func (s *Server) WriteProbe(ctx context.Context) db.Answer {
	return s.probeWriting(ctx, &s.write, func(ctx context.Context, l *Link) error {
		// Each connection has a row of its own, so that a write that hangs, of an
		// earlier agent too, is not taken for a lock that somebody else holds;
		// should two have the same one, the next is tried.
		row := l.ID % probeRows
		err := writeRow(ctx, l, row)
		if Verdict(err) == db.LockWait {
			err = writeRow(ctx, l, (row+1)%probeRows)
		}
		return err
	})
}

// BusinessProbe implements db.Prober.
func (s *Server) BusinessProbe(ctx context.Context, statement string) db.Answer {
	return s.probeWriting(ctx, &s.business, func(ctx context.Context, l *Link) error {
		return l.Exec(ctx, statement)
	})
}

// probeWriting has the server write, and says how far it came in the time.
func (s *Server) probeWriting(ctx context.Context, w *writeProbe, write func(context.Context, *Link) error) db.Answer {
	began := time.Now()
	// A part of the time is kept for asking where a write is stuck.
	writing := ctx
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		writing, cancel = context.WithDeadline(ctx, began.Add(deadline.Sub(began)*7/10))
		defer cancel()
	}
	for {
		p, fresh := w.start(write)
		if p == nil {
			return answer(began, errClosed)
		}
		err := p.wait(writing)
		if !p.ended() {
			return s.whyStuck(ctx, began, w, p)
		}
		w.forget(p)
		if fresh {
			return answer(began, err)
		}
		// What ended is an older write, which does not say how the server does now.
	}
}

// start returns the write under way, or a fresh one.
func (w *writeProbe) start(write func(context.Context, *Link) error) (p *pendingWrite, fresh bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, false
	}
	if w.pending != nil {
		return w.pending, false
	}
	ctx, cancel := context.WithCancel(context.Background())
	p = &pendingWrite{cancel: cancel, done: make(chan struct{})}
	w.pending = p
	w.running.Go(func() { w.run(ctx, p, write) })
	return p, true
}

// run writes. Its context ends with the server's Close, or when connecting
// takes too long; a write is never given up by itself.
func (w *writeProbe) run(ctx context.Context, p *pendingWrite, write func(context.Context, *Link) error) {
	defer close(p.done)
	defer p.cancel()
	p.err = w.held.Use(ctx, func(l *Link) error {
		w.mu.Lock()
		p.thread = l.ID
		w.mu.Unlock()
		return write(ctx, l)
	})
}

// probeRows is how many rows the probe's table may have.
const probeRows = 250

// writeRow commits a row. It waits for no lock, or no longer than the dialect
// must: one that a backup holds is an answer.
func writeRow(ctx context.Context, l *Link, row uint64) error {
	return l.Exec(ctx, "INSERT INTO baton.probe (id, writes) VALUES (?, 1) ON DUPLICATE KEY UPDATE writes = writes + 1", row)
}

// forget makes room for the next write.
func (w *writeProbe) forget(p *pendingWrite) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pending == p {
		w.pending = nil
	}
}

func (w *writeProbe) threadOf(p *pendingWrite) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return p.thread
}

func (w *writeProbe) close() {
	w.mu.Lock()
	p := w.pending
	w.closed = true
	w.mu.Unlock()
	if p != nil {
		p.cancel()
	}
	w.running.Wait()
	_ = w.held.close()
}

func (p *pendingWrite) wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pendingWrite) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// whyStuck tells a commit that waits for an acknowledgement from a server that
// does not write.
func (s *Server) whyStuck(ctx context.Context, began time.Time, w *writeProbe, p *pendingWrite) db.Answer {
	thread := w.threadOf(p)
	if thread == 0 {
		// It does not even connect: give it up, so that the next one begins anew.
		p.cancel()
		w.forget(p)
		return answer(began, fmt.Errorf("connect for the write: %w", context.DeadlineExceeded))
	}
	var state string
	var waiters int
	err := s.Read.Use(ctx, func(l *Link) error {
		got, err := l.Query(ctx, `SELECT id AS id, state AS state FROM information_schema.processlist
			WHERE id = ? OR state LIKE ? AND user <> 'system user'`, thread, AckWait)
		for _, row := range got {
			if Number(row["id"]) == thread {
				state = row["state"]
			}
			if strings.HasPrefix(row["state"], strings.TrimSuffix(AckWait, "%")) {
				waiters++
			}
		}
		return err
	})
	switch {
	case err != nil:
		a := answer(began, err)
		a.Verdict, a.Detail = db.NoAnswer, "neither the write nor the question where it is stuck was answered: "+a.Detail
		return a
	case p.ended():
		w.forget(p)
		return answer(began, p.err)
	case waiters > 0:
		// Commits go through the binary log one after the other, so that one
		// that waits for its acknowledgement holds up all behind it.
		return db.Answer{Verdict: db.AckWait, Took: time.Since(began), Detail: state}
	}
	if slices.Contains(s.dialect.LockWaits, state) {
		return db.Answer{Verdict: db.LockWait, Took: time.Since(began), Detail: state}
	}
	return db.Answer{Verdict: db.NoAnswer, Took: time.Since(began), Detail: "the write is stuck: " + state}
}
