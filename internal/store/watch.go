package store

import (
	"context"
	"errors"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// How a watch comes back after it broke.
const (
	listFor   = 2 * time.Second       // deadline of one listing
	pauseFrom = 20 * time.Millisecond // between two listings that did not succeed
	pauseTo   = time.Second
)

// errSlow says that a reader did not take changes for so long that they were
// not kept.
var errSlow = errors.New("the reader of the watch was too slow")

// A Batch is what a watch has to say. Exactly one of Snapshot, Changes and Err
// is set.
type Batch struct {
	// Changes are what happened, oldest first.
	Changes []Change
	// Snapshot is everything there is now, the reader's to keep: changes before
	// it may have been left out, and what it does not have is gone.
	Snapshot *Snapshot
	// Why is the reason for a Snapshot: ErrCompacted, an interruption, a slow
	// reader. Nil for the first one of a watch that was asked for everything.
	Why error
	// Err says that the watch is interrupted: until the next batch, changes are
	// not seen.
	Err error
}

func (b Batch) empty() bool { return b.Changes == nil && b.Snapshot == nil && b.Err == nil }

// Watch reports changes of everything but the history after that revision,
// until ctx ends; then it closes the channel. after 0: begin with a snapshot.
//
// What happens in one step of the store comes in one batch. If the watch cannot
// go on where it was, because the store has forgotten, the connection broke or
// the reader was too slow, it lists everything and says so.
func (s *Store) Watch(ctx context.Context, after cluster.Revision) <-chan Batch {
	w := &watch{store: s, at: after, out: make(chan Batch)}
	go w.run(ctx)
	return w.out
}

// watch is the state of one Watch; its goroutine owns it.
type watch struct {
	store *Store
	at    cluster.Revision // everything up to here has been taken in
	out   chan Batch
	next  Batch // for the reader, once it asks
}

func (w *watch) run(ctx context.Context) {
	defer close(w.out)
	if w.at == 0 {
		w.list(ctx, nil)
	}
	for ctx.Err() == nil {
		why := w.follow(ctx)
		w.list(ctx, why)
	}
}

// follow hands on changes until the stream breaks, and says why it did.
func (w *watch) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := w.store.backend.Watch(ctx, w.store.prefix, w.at)
	for {
		var out chan<- Batch
		if !w.next.empty() {
			out = w.out
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case out <- w.next:
			w.next = Batch{}
		case events, ok := <-in:
			if !ok {
				return errors.New("the stream ended")
			}
			if events.Err != nil {
				return events.Err
			}
			if !w.take(events) {
				return errSlow
			}
		}
	}
}

// take adds changes to what the reader gets next. It reports false if there are
// more of them than a watch keeps.
func (w *watch) take(events Events) bool {
	w.at = max(w.at, events.At)
	for _, e := range events.Changes {
		c, ok := w.store.change(e)
		switch {
		case !ok:
		case w.next.Snapshot != nil:
			w.next.Snapshot.Apply(c)
		default:
			w.next.Changes = append(w.next.Changes, c)
		}
	}
	return len(w.next.Changes) <= w.store.opts.Backlog
}

// list reads everything, however long that takes. What the reader has not taken
// yet is in it.
func (w *watch) list(ctx context.Context, why error) {
	for pause := pauseFrom; ctx.Err() == nil; pause = min(2*pause, pauseTo) {
		snap, err := w.snapshot(ctx)
		if err == nil {
			w.at = snap.At
			w.next = Batch{Snapshot: &snap, Why: why}
			return
		}
		if pause == pauseFrom {
			w.next = Batch{Err: errors.Join(why, err)}
		}
		w.wait(ctx, pause)
	}
}

func (w *watch) snapshot(ctx context.Context) (Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, listFor)
	defer cancel()
	return w.store.Snapshot(ctx)
}

// wait lets time pass and gives the reader what there is for it meanwhile.
func (w *watch) wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		var out chan<- Batch
		if !w.next.empty() {
			out = w.out
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case out <- w.next:
			w.next = Batch{}
		}
	}
}
