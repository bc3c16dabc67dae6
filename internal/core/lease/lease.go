// Package lease answers until when the primary may serve, from both sides: the
// holder's, which must never think it longer than it is, and the watcher's,
// which must never think it shorter.
//
// It compares only instants of one and the same node's monotonic clock. The
// rule that must not be broken: a holder counts from before it asked, a
// watcher from after it saw. design.md, section 5.
package lease

import (
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Held is the holder's side of the lease. The zero value holds nothing.
type Held struct {
	Epoch cluster.Epoch   // the reign that it is for
	Until cluster.Instant // serving must have ended by then
	// Latched is the highest epoch that this agent fenced or resigned. No
	// answer from the store makes it serve under that epoch again.
	Latched cluster.Epoch
}

// Valid reports whether the holder may serve under epoch at now.
func (h Held) Valid(epoch cluster.Epoch, now cluster.Instant) bool {
	return h.Epoch == epoch && epoch > h.Latched && now < h.Until
}

// Left is how long the lease of epoch still lasts at now; zero if it does not.
func (h Held) Left(epoch cluster.Epoch, now cluster.Instant) time.Duration {
	if !h.Valid(epoch, now) {
		return 0
	}
	return h.Until.Sub(now)
}

// Renewed is the lease after the store accepted a renewal for epoch that was
// sent at sent and whose answer is being looked at now. An answer changes
// nothing if the epoch was latched, if it would shorten the lease, if it came
// after its own end, or if the lease had already run out in between: whoever
// let it run out has stopped serving and needs a new epoch.
func (h Held) Renewed(epoch cluster.Epoch, sent, now cluster.Instant, s cluster.Settings) Held {
	until := sent.Add(s.Lease)
	switch {
	case epoch <= h.Latched, epoch < h.Epoch, until <= h.Until, now >= until:
		return h
	case h.Epoch == epoch && now >= h.Until:
		return h.Latch(epoch)
	}
	h.Epoch, h.Until = epoch, until
	return h
}

// Latch gives up every epoch up to and including epoch, for good.
func (h Held) Latch(epoch cluster.Epoch) Held {
	h.Latched = max(h.Latched, epoch)
	if h.Epoch <= h.Latched {
		h.Until = 0
	}
	return h
}

// Lost reports that the holder had the lease of epoch and let it run out.
func (h Held) Lost(epoch cluster.Epoch, now cluster.Instant) bool {
	return h.Epoch == epoch && (epoch <= h.Latched || now >= h.Until)
}

// longest bounds the length that a lease key is believed: a damaged one must not
// overflow, and look as if it had run out long ago. Its own next renewal mends it.
const longest = 24 * time.Hour

// Watch is what a node has seen of the lease key.
type Watch struct {
	Rev    cluster.Revision // of the newest version seen; 0: there is none
	Holder cluster.NodeName
	Epoch  cluster.Epoch
	Agent  string
	// Length is the holder's own L, as it wrote it; zero if it did not.
	Length time.Duration
	// SeenAt is when this node saw the newest version, or first looked.
	SeenAt cluster.Instant
	// HeardAt is when the store answered again after it had been silent to
	// this node; zero if it never was.
	HeardAt cluster.Instant
	// Pledged is until when this node has promised the holder to wait: it could
	// not act upon the end of the lease before.
	Pledged cluster.Instant
}

// ExpiresAt is when this node may conclude that the holder has stopped, if it
// sees no change until then.
//
// Safety rests on SeenAt alone: whatever the holder last sent was sent before
// it was seen here. HeardAt only prevents a needless failover: a holder who
// lives renews within L/4 of the store's return, plus one call, so it is given
// that long once the store is back.
//
// The holder may run with other settings than this node, and its fact may be too
// old to tell: the longer one of both leases counts.
func (w Watch) ExpiresAt(s cluster.Settings) cluster.Instant {
	length := min(max(s.Lease, w.Length), longest)
	wait := time.Duration(float64(length)*(1+s.Drift)) + s.Margin
	expires := w.SeenAt.Add(wait)
	if w.HeardAt != 0 {
		expires = max(expires, w.HeardAt.Add(s.Renew+2*s.Call+s.Margin))
	}
	return max(expires, w.Pledged)
}

// Expired reports whether the lease has surely run out at now. The swap that
// acts upon it must also compare Rev: a renewal on its way makes it fail.
func (w Watch) Expired(now cluster.Instant, s cluster.Settings) bool {
	return now >= w.ExpiresAt(s)
}
