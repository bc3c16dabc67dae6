package agent

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
)

// keeper takes and renews the lease and hands what is left of it to the kernel.
//
// It runs beside the loop so that nothing the loop does can delay a renewal.
// Its lock is held while the gate is being extended; whoever latches waits for
// that, so that no late renewal opens a gate that has just been fenced.
type keeper struct {
	settings cluster.Settings
	self     cluster.NodeName
	agent    string // incarnation
	renew    func(ctx context.Context, record cluster.Revision, l cluster.Lease) (cluster.Revision, error)
	extend   func(ctx context.Context, until cluster.Instant) error // the kernel's copies of the lease
	log      *slog.Logger

	changed chan struct{} // the lease was taken, lost or refused: the loop should look
	kick    chan struct{}

	mu     sync.Mutex
	held   lease.Held
	epoch  cluster.Epoch    // wanted; 0: none
	record cluster.Revision // that the renewals are guarded by
	seq    uint64
	open   bool // the gate is open for the lease: renewals extend it
	rev    cluster.Revision
	late   int // renewals that came later than half a lease after the one before
	last   cluster.Instant
	onTick func(now cluster.Instant) // a renewal was accepted: the store is alive
}

// want says which epoch's lease is to be held from now on, and under which
// revision of the record.
func (k *keeper) want(epoch cluster.Epoch, record cluster.Revision) {
	k.mu.Lock()
	changed := epoch != 0 && (k.epoch != epoch || k.record != record)
	k.epoch, k.record = epoch, record
	k.mu.Unlock()
	if changed {
		signal(k.kick)
	}
}

// latch gives up every reign up to epoch, waiting for an extension under way.
func (k *keeper) latch(epoch cluster.Epoch) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held = k.held.Latch(epoch)
	k.open = false
	if k.epoch <= epoch {
		k.epoch = 0
	}
}

// openGate opens the gate for what is left of the lease of epoch, and has every
// renewal extend it from now on.
func (k *keeper) openGate(ctx context.Context, epoch cluster.Epoch) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.held.Valid(epoch, clock.Now()) {
		return errLeaseOver
	}
	if err := k.extend(ctx, k.held.Until.Add(-k.settings.Margin)); err != nil {
		return err
	}
	k.open = true
	return nil
}

// gateShut tells that the gate is not open for the lease any more.
func (k *keeper) gateShut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.open = false
}

// extends reports whether renewals extend the gate.
func (k *keeper) extends() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.open
}

// state returns what is held, and the revision of the newest renewal.
func (k *keeper) state() (lease.Held, cluster.Revision) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.held, k.rev
}

// run renews until ctx ends. A renewal that hangs does not delay the next one.
func (k *keeper) run(ctx context.Context) {
	var calls sync.WaitGroup
	defer calls.Wait()
	tick := time.NewTicker(k.settings.Renew)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-k.kick:
		}
		epoch, record, l := k.next()
		if epoch == 0 {
			continue
		}
		calls.Add(1)
		go func() {
			defer calls.Done()
			k.once(ctx, epoch, record, l)
		}()
	}
}

func (k *keeper) next() (cluster.Epoch, cluster.Revision, cluster.Lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.epoch == 0 || k.epoch <= k.held.Latched || k.held.Lost(k.epoch, clock.Now()) {
		return 0, 0, cluster.Lease{}
	}
	k.seq++
	return k.epoch, k.record, cluster.Lease{Schema: cluster.Schema, Epoch: k.epoch, Holder: k.self, Agent: k.agent, Seq: k.seq, Length: k.settings.Lease}
}

// once sends one renewal. What it proves counts from before it was sent.
func (k *keeper) once(ctx context.Context, epoch cluster.Epoch, record cluster.Revision, l cluster.Lease) {
	sent := clock.Now()
	call, cancel := context.WithTimeout(ctx, k.settings.Call)
	rev, err := k.renew(call, record, l)
	cancel()
	if err != nil {
		k.log.Debug("renew the lease", "epoch", epoch, "seq", l.Seq, "err", err)
		signal(k.changed)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := clock.Now()
	k.onTick(now)
	k.rev = max(k.rev, rev)
	before := k.held
	k.held = k.held.Renewed(epoch, sent, now, k.settings)
	if k.held.Until <= before.Until || k.held.Epoch != epoch {
		signal(k.changed)
		return
	}
	if k.last != 0 && before.Epoch == epoch && now.Sub(k.last) > k.settings.Lease/2 {
		k.late++
		k.log.Warn("a renewal of the lease was late", "epoch", epoch, "after", now.Sub(k.last), "lease", k.settings.Lease)
	}
	k.last = now
	if k.open {
		if err := k.extend(ctx, k.held.Until.Add(-k.settings.Margin)); err != nil {
			k.log.Error("hand the lease to the kernel", "epoch", epoch, "err", err)
		}
	}
	if before.Epoch != epoch || !before.Valid(epoch, now) {
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
