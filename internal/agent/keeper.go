package agent

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/baton-db/baton/internal/api/public"
	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
	"github.com/baton-db/baton/internal/core/node"
)

// keeper takes and renews the lease and hands what is left of it to the kernel.
//
// It runs beside the loop so that nothing the loop does can delay a renewal.
// Its lock is held while the gate is being extended; whoever latches waits for
// that, so that no late renewal opens a gate that has just been fenced.
type keeper struct {
	renew  func(ctx context.Context, record cluster.Revision, l cluster.Lease) (cluster.Revision, error)
	extend func(ctx context.Context, until cluster.Instant) error // the kernel's copies of the lease
	ask    func(ctx context.Context, n cluster.NodeName, q node.Ask) (node.Answer, error)
	log    *slog.Logger

	changed chan struct{} // the lease was taken, lost or refused: the loop should look
	kick    chan struct{}

	mu     sync.Mutex
	keeps  node.Keeper
	onTick func(now cluster.Instant) // a renewal was accepted: the store is alive
	late   func(detail string)       // one came late
	shown  atomic.Pointer[public.Serving]
}

// unlock ends what may have changed the lease or the gate, and shows how they are
// now to those who may not wait for the lock.
func (k *keeper) unlock() {
	k.shown.Store(&public.Serving{Epoch: k.keeps.Held.Epoch, Until: k.keeps.Held.Until, Open: k.keeps.Open})
	k.mu.Unlock()
}

// want says which epoch's lease is to be held from now on, and under which
// revision of the record. A steady reign may outlast the store.
func (k *keeper) want(epoch cluster.Epoch, record cluster.Revision, steady bool) {
	k.mu.Lock()
	changed := k.keeps.Want(epoch, record)
	k.keeps.Steady(steady)
	k.mu.Unlock()
	if changed {
		signal(k.kick)
	}
}

// latch gives up every reign up to epoch, waiting for an extension under way.
func (k *keeper) latch(epoch cluster.Epoch) {
	k.mu.Lock()
	defer k.unlock()
	k.keeps.Latch(epoch)
}

// openGate opens the gate for what is left of the lease of epoch, and has every
// renewal extend it from now on.
func (k *keeper) openGate(ctx context.Context, epoch cluster.Epoch) error {
	k.mu.Lock()
	defer k.unlock()
	if !k.keeps.Held.Valid(epoch, clock.Now()) {
		return errLeaseOver
	}
	if err := k.extend(ctx, k.keeps.Until()); err != nil {
		return err
	}
	k.keeps.Open = true
	return nil
}

// gateShut tells that the gate is not open for the lease any more.
func (k *keeper) gateShut() {
	k.mu.Lock()
	defer k.unlock()
	k.keeps.Open = false
}

// extends reports whether renewals extend the gate.
func (k *keeper) extends() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keeps.Open
}

// state returns what is held, and the revision of the newest renewal.
func (k *keeper) state() (lease.Held, cluster.Revision) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keeps.Held, k.keeps.Rev
}

// run renews until ctx ends. A renewal that hangs does not delay the next one,
// and one without an answer is not the last for long.
func (k *keeper) run(ctx context.Context) {
	var calls sync.WaitGroup
	defer calls.Wait()
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
			if wait := k.due(); wait > 0 {
				next.Reset(wait)
				continue
			}
		case <-k.kick:
		}
		next.Reset(k.keeps.Retry())
		r := k.next()
		if r.Epoch == 0 {
			continue
		}
		calls.Add(1)
		go func() {
			defer calls.Done()
			k.once(ctx, r)
		}()
	}
}

// due is how long the next renewal can wait.
func (k *keeper) due() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keeps.Due(clock.Now())
}

func (k *keeper) next() node.Renewal {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keeps.Next(clock.Now())
}

// once sends one renewal. What it proves counts from before it was sent.
func (k *keeper) once(ctx context.Context, r node.Renewal) {
	sent := clock.Now()
	call, cancel := context.WithTimeout(ctx, k.keeps.Settings.Call)
	rev, err := k.renew(call, r.Record, r.Lease)
	cancel()
	if err != nil {
		k.log.Debug("renew the lease", "epoch", r.Epoch, "seq", r.Lease.Seq, "err", err)
		signal(k.changed)
		return
	}
	k.mu.Lock()
	defer k.unlock()
	now := clock.Now()
	k.onTick(now)
	kept := k.keeps.Renewed(r.Epoch, sent, now, rev)
	if kept.Late > 0 {
		k.log.Warn("a renewal of the lease was late", "epoch", r.Epoch, "after", kept.Late, "lease", k.keeps.Settings.Lease)
		go k.late(fmt.Sprintf("%s after the one before, of a lease of %s", kept.Late.Round(time.Millisecond), k.keeps.Settings.Lease))
	}
	if kept.Extend {
		if err := k.extend(ctx, k.keeps.Until()); err != nil {
			k.log.Error("hand the lease to the kernel", "epoch", r.Epoch, "err", err)
		}
	}
	if kept.Changed {
		signal(k.changed)
	}
}

// signal wakes a receiver without waiting for it; several signals are one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
