package vip

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
)

// burst is when announcements are made after an address was bound: a frame may
// be lost, and a neighbour may just have learnt from the old owner. Afterwards
// they go on at Config.Refresh.
func burst() []time.Duration {
	const ms = time.Millisecond
	return []time.Duration{0, 100 * ms, 500 * ms, 1000 * ms, 2000 * ms, 5000 * ms}
}

// begin starts the announcements of an address anew.
func (h *holding) begin(now cluster.Instant) { h.burst, h.sent, h.next = now, 0, now }

// announced plans the announcement after the one that has just been made.
func (h *holding) announced(now cluster.Instant, refresh time.Duration) {
	h.sent++
	if plan := burst(); h.sent < len(plan) {
		h.next = h.burst.Add(plan[h.sent])
		return
	}
	h.next = now.Add(refresh)
}

// announceLocked tells the neighbours of one address, unless it may not be held
// any more. The caller holds mu, so that nothing is sent after Drop or Mute.
func (s *Set) announceLocked(h *holding) error {
	now := clock.Now()
	if now >= h.until || s.muted {
		h.next = now.Add(s.cfg.Refresh)
		return nil
	}
	if h.link.lo { // routers are told by whoever speaks with them
		h.heard, h.next = true, now.Add(s.cfg.Refresh)
		return nil
	}
	var err error
	if h.sent >= len(burst()) {
		err = s.sender.send(h.on.index, s.searchOthers(h)...)
	}
	err = errors.Join(err, s.sender.send(h.link.index, announcements(h.IP, h.link.mac)...))
	h.announced(now, s.cfg.Refresh)
	if err != nil {
		return fmt.Errorf("announce %s: %w", h.Address, err)
	}
	h.heard = true
	return nil
}

// searchOthers asks for another owner of an address that is held here: one that
// was set up by hand may keep quiet until somebody asks. Our own announcement,
// which follows, puts right what an answer taught others. An IPv6 owner answers
// a probe to everybody, therefore we ask in our own name; without one yet, not.
func (s *Set) searchOthers(h *holding) [][]byte {
	if h.IP.Is4() {
		return [][]byte{question(h.IP, h.on.mac, netip.Addr{})}
	}
	own, err := s.kernel.linkLocal(h.on.index)
	if err != nil {
		return nil
	}
	return [][]byte{question(h.IP, h.on.mac, own)}
}

// announceDue makes the announcements that are due and returns when the next
// one is; 0: nothing is held.
func (s *Set) announceDue() (next cluster.Instant, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, h := range s.held {
		if h.sent < 0 {
			continue // Bind makes the first announcement, once the route is there
		}
		if h.next <= clock.Now() {
			errs = append(errs, s.announceLocked(h))
		}
		if next == 0 || h.next < next {
			next = h.next
		}
	}
	return next, errors.Join(errs...)
}

// Reannounce starts the announcements of all held addresses anew, the first
// at once: against a host that claims one of them wrongly.
func (s *Set) Reannounce() error {
	return s.reannounce(func(*holding) bool { return true })
}

func (s *Set) reannounce(wanted func(*holding) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, h := range s.held {
		if h.sent >= 0 && wanted(h) {
			h.begin(clock.Now())
			errs = append(errs, s.announceLocked(h))
		}
	}
	s.poke()
	return errors.Join(errs...)
}

// poke makes Run look at the schedule again.
func (s *Set) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
