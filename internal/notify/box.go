package notify

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Receiver is somebody who is told.
type Receiver struct {
	Name   string
	Sender Sender
	Least  Severity // what is less grave is not told
}

// Box takes notices and hands each to its receivers, in order, with patience. It
// waits for nobody who puts something in.
type Box struct {
	lanes []*lane
	log   *slog.Logger
}

// The bounds of a Box.
const (
	waiting  = 100              // notices that wait for one receiver
	attempt  = 10 * time.Second // one attempt
	firstTry = time.Second      // the pause after the first attempt that failed; it doubles
	longest  = time.Minute      // up to this
	tooLate  = 30 * time.Minute // after which a notice is given up
)

// lane is one receiver's queue.
type lane struct {
	Receiver
	mu    sync.Mutex
	queue []queued
	news  chan struct{}
}

type queued struct {
	Notice
	at time.Time
}

// NewBox makes a box. It starts nothing.
func NewBox(log *slog.Logger, receivers ...Receiver) *Box {
	b := &Box{log: log}
	for _, r := range receivers {
		b.lanes = append(b.lanes, &lane{Receiver: r, news: make(chan struct{}, 1)})
	}
	return b
}

// Put hands a notice over. Where a queue is full, the oldest in it makes room.
func (b *Box) Put(n Notice) {
	for _, l := range b.lanes {
		if n.Severity.atLeast(l.Least) {
			if dropped := l.put(n); dropped != "" {
				b.log.Warn("too much waits for a receiver: the oldest message is left out", "receiver", l.Name, "left_out", dropped, "waiting", waiting)
			}
		}
	}
}

func (l *lane) put(n Notice) (dropped string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == waiting {
		dropped = l.queue[0].Title()
		l.queue = l.queue[1:]
	}
	l.queue = append(l.queue, queued{n, time.Now()})
	select {
	case l.news <- struct{}{}:
	default:
	}
	return dropped
}

func (l *lane) take() (q queued, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		return queued{}, false
	}
	q, l.queue = l.queue[0], l.queue[1:]
	return q, true
}

// Run tells everybody until ctx ends. What has not been told by then is lost.
func (b *Box) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, l := range b.lanes {
		all.Go(func() { b.run(ctx, l) })
	}
	all.Wait()
}

func (b *Box) run(ctx context.Context, l *lane) {
	for {
		q, ok := l.take()
		if ok {
			b.tell(ctx, l, q)
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-l.news:
		}
	}
}

// tell tries until the receiver has taken it, or it is too late.
func (b *Box) tell(ctx context.Context, l *lane, q queued) {
	for pause := firstTry; ctx.Err() == nil; pause = min(2*pause, longest) {
		err := Try(ctx, l.Sender, q.Notice)
		log := b.log.With("receiver", l.Name, "notice", q.Title())
		switch {
		case err == nil:
			log.Info("told")
			return
		case ctx.Err() != nil:
			return
		case time.Since(q.at) > tooLate:
			log.Error("a receiver could not be told, and it is given up", "err", err)
			return
		}
		log.Warn("a receiver could not be told; it is tried again", "err", err)
		wait := pause
		var asks interface{ RetryAfter() time.Duration }
		if errors.As(err, &asks) {
			wait = max(wait, min(asks.RetryAfter(), longest))
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// Try makes one attempt, in its time.
func Try(ctx context.Context, s Sender, n Notice) error {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	return s.Send(ctx, n)
}
