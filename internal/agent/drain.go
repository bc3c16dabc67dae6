package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/timeline"
)

// drain waits for open transactions, for as long as the settings grant, then
// turns the server read-only and reads the final position. A lock that does not
// come leaves the server writable: the wait goes on until the handoff's limit.
func (h *hands) drain(ctx context.Context, session db.Session, epoch cluster.Epoch) (deed, error) {
	if err := h.awaitTransactions(ctx, session); err != nil {
		return nil, err
	}
	err := h.timed(timeline.StepReadOnly, func() error { return session.SetReadOnly(ctx, true, h.lockWait()) })
	if err != nil {
		h.progressed(fmt.Sprintf("read-only does not come: %v", err))
		return nil, fmt.Errorf("turn read-only: %w", err)
	}
	server, err := h.observe(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the final position: %w", err)
	}
	if !server.ReadOnly {
		return nil, errors.New("the server is not read-only although it said so")
	}
	return func(l *loop) { l.Drained = &cluster.Position{Epoch: epoch, At: server.Executed} }, nil
}

// awaitTransactions returns once no transaction is open that a drain waits for,
// or when the time for that is over.
func (h *hands) awaitTransactions(ctx context.Context, session db.Session) error {
	deadline := clock.Now().Add(h.settings().Drain)
	every := time.NewTicker(db.TransactionsApart)
	defer every.Stop()
	var seen transactions
	for now := clock.Now(); now < deadline; now = clock.Now() {
		open, err := session.OpenTransactions(ctx)
		if err != nil {
			return fmt.Errorf("look for open transactions: %w", err)
		}
		lasting := seen.lasting(open, clock.Now())
		if len(lasting) == 0 {
			return nil
		}
		h.progressed(fmt.Sprintf("%d open transactions, the first of %s at %s", len(lasting), lasting[0].User, lasting[0].Host))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-every.C:
		}
	}
	return nil
}

// brief is how long a transaction may be open before a drain waits for it.
const brief = 200 * time.Millisecond

// transactions tells those that last from those that come and go. On a busy
// server there is always one open: waiting for a moment without any would be
// waiting for ever, and a short one that turning read-only fails is repeated at
// once. What a drain spares are the long ones.
type transactions struct {
	first map[string]cluster.Instant // when each was first seen
	begun bool
	old   map[string]bool // open when the drain began: nobody knows since when
}

// lasting returns the writing transactions among open that were open at the
// first look, or have been for longer than brief.
func (t *transactions) lasting(open []db.Transaction, now cluster.Instant) []db.Transaction {
	if !t.begun {
		t.begun, t.first, t.old = true, map[string]cluster.Instant{}, map[string]bool{}
		for _, o := range open {
			t.old[o.ID] = true
		}
	}
	var lasting []db.Transaction
	for _, o := range open {
		first, known := t.first[o.ID]
		if !known {
			first = now
			t.first[o.ID] = now
		}
		if o.Writes && (t.old[o.ID] || now.Sub(first) >= brief) {
			lasting = append(lasting, o)
		}
	}
	return lasting
}
