package agent

import (
	"context"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// publisher writes the newest version of one value to the store, one write at
// a time, and again until it succeeds.
type publisher[T any] struct {
	write func(ctx context.Context, v T) (cluster.Revision, error)
	wrote func(v T, rev cluster.Revision) // called after each success
	call  time.Duration                   // deadline of one write

	mu   sync.Mutex
	next *T
	wake chan struct{}
}

func newPublisher[T any](call time.Duration, write func(context.Context, T) (cluster.Revision, error), wrote func(T, cluster.Revision)) *publisher[T] {
	return &publisher[T]{write: write, wrote: wrote, call: call, wake: make(chan struct{}, 1)}
}

// put has v written as soon as a write under way is over.
func (p *publisher[T]) put(v T) {
	p.mu.Lock()
	p.next = &v
	p.mu.Unlock()
	signal(p.wake)
}

func (p *publisher[T]) run(ctx context.Context) {
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-again.C:
		}
		p.mu.Lock()
		v := p.next
		p.next = nil
		p.mu.Unlock()
		if v == nil {
			continue
		}
		call, cancel := context.WithTimeout(ctx, p.call)
		rev, err := p.write(call, *v)
		cancel()
		if err == nil {
			p.wrote(*v, rev)
			continue
		}
		p.mu.Lock()
		if p.next == nil {
			p.next = v
		}
		p.mu.Unlock()
		again.Reset(p.call / 4)
	}
}
