package node

import (
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
)

// Keeper is what the holder of the lease knows of it: what is wanted, what is
// held, and whether renewals extend the gate. It sends nothing itself.
type Keeper struct {
	Settings cluster.Settings
	Self     cluster.NodeName
	Agent    string // incarnation

	Held lease.Held
	Open bool             // the gate is open for the lease: renewals extend it
	Rev  cluster.Revision // of the newest renewal
	Late int              // renewals that came later than half a lease after the one before

	epoch  cluster.Epoch    // wanted; 0: none
	record cluster.Revision // that the renewals are guarded by
	seq    uint64
	tried  cluster.Instant // when Next was asked last
	last   cluster.Instant
	fail   failsafe
}

// Want says which epoch's lease is to be held from now on, and under which
// revision of the record. It reports whether that is new.
func (k *Keeper) Want(epoch cluster.Epoch, record cluster.Revision) bool {
	changed := epoch != 0 && (k.epoch != epoch || k.record != record)
	if k.epoch != epoch {
		k.newReign()
	}
	k.epoch, k.record = epoch, record
	return changed
}

// Latch gives up every reign up to epoch.
func (k *Keeper) Latch(epoch cluster.Epoch) {
	k.Held = k.Held.Latch(epoch)
	k.Open = false
	if k.epoch <= epoch {
		k.epoch = 0
	}
}

// A Renewal is one to be sent; Epoch is 0 if there is none.
type Renewal struct {
	Epoch  cluster.Epoch
	Record cluster.Revision // that it is guarded by
	Lease  cluster.Lease
}

// Next returns the renewal to be sent at now.
func (k *Keeper) Next(now cluster.Instant) Renewal {
	k.tried = now
	if k.epoch == 0 || k.epoch <= k.Held.Latched || k.Held.Lost(k.epoch, now) {
		return Renewal{}
	}
	k.seq++
	return Renewal{Epoch: k.epoch, Record: k.record,
		Lease: cluster.Lease{Schema: cluster.Schema, Epoch: k.epoch, Holder: k.Self, Agent: k.Agent, Seq: k.seq, Length: k.Settings.Lease}}
}

// Due is how long the next renewal can wait at now. Others count on one every
// Renew, and twice as many are sent: the younger the lease is when the network
// fails, the longer a blip of it may be. As long as the store has not accepted the
// last one, another is sent every so often (Retry): the network may be back at any
// moment, and the lease runs. After two leases there is no hurry left.
func (k *Keeper) Due(now cluster.Instant) time.Duration {
	due := k.fail.storeAt.Add(k.Settings.Renew / 2)
	if k.epoch == 0 || now.Sub(k.fail.storeAt) > 2*k.Settings.Lease {
		due = k.tried.Add(k.Settings.Renew)
	}
	return due.Sub(now)
}

// Retry is how long a renewal may be without an answer until the next is sent.
func (k *Keeper) Retry() time.Duration { return k.Settings.Call / 2 }

// Kept is what an accepted renewal led to.
type Kept struct {
	// Extend says that the kernel's copies of the lease are to be extended to
	// Until.
	Extend bool
	// Late is how long after the one before it this renewal came, if that was
	// too long; 0 if it was not.
	Late time.Duration
	// Changed says that the lease was taken, or that the answer changed nothing:
	// the node should look.
	Changed bool
}

// Renewed takes in that the store accepted, at rev, a renewal for epoch that was
// sent at sent; its answer is looked at now.
func (k *Keeper) Renewed(epoch cluster.Epoch, sent, now cluster.Instant, rev cluster.Revision) Kept {
	k.Rev = max(k.Rev, rev)
	k.storeRenewed(sent)
	before := k.Held
	k.Held = k.Held.Renewed(epoch, sent, now, k.Settings)
	if k.Held.Until <= before.Until || k.Held.Epoch != epoch {
		return Kept{Changed: true}
	}
	kept := Kept{Extend: k.Open, Changed: before.Epoch != epoch || !before.Valid(epoch, now)}
	if k.last != 0 && before.Epoch == epoch && now.Sub(k.last) > k.Settings.Lease/2 {
		k.Late++
		kept.Late = now.Sub(k.last)
	}
	k.last = now
	return kept
}

// Until is when the kernel is to shut the gate.
func (k *Keeper) Until() cluster.Instant { return k.Held.Until.Add(-k.Settings.Margin) }
