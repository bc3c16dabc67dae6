package agent

import (
	"context"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
)

// swapOf is one attempt to replace the record.
type swapOf struct {
	prev  cluster.Revision
	lease *cluster.Revision // must still be the lease key's; nil: does not matter
	next  cluster.Record
	done  []string // requests that it carries out
	out   decide.Outcome
}

// swapper tries to swap in what was decided, one swap at a time. Losing a swap
// is normal: somebody else decided the same.
type swapper struct {
	self   cluster.NodeName
	call   time.Duration // deadline of one swap
	wall   func() time.Time
	swap   func(ctx context.Context, s swapOf) (cluster.Revision, error)
	refuse func(ctx context.Context, q cluster.Request) error
	// ended is called after each attempt; err is nil if the swap won.
	ended func(s swapOf, rev cluster.Revision, err error)

	mu   sync.Mutex
	busy bool
}

// try starts a swap or a refusal if one was decided and none is under way.
func (p *swapper) try(ctx context.Context, out decide.Outcome, w decide.World) {
	if out.Next == nil && len(out.Refused) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy {
		return
	}
	p.busy = true
	go func() {
		ctx, cancel := context.WithTimeout(ctx, p.call)
		defer cancel()
		defer func() {
			p.mu.Lock()
			p.busy = false
			p.mu.Unlock()
		}()
		for _, q := range out.Refused {
			_ = p.refuse(ctx, q) // asked again at the next look
		}
		if out.Next == nil {
			return
		}
		s := swapOf{prev: w.RecordRev, lease: out.LeaseRev, next: *out.Next, done: out.Done, out: out}
		s.next.By, s.next.Since = p.self, p.wall().UTC().Format(time.RFC3339Nano)
		rev, err := p.swap(ctx, s)
		p.ended(s, rev, err)
	}()
}
