package vip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
)

// EventKind is what happened to an address or its interface.
type EventKind string

// The events.
const (
	// DuplicateSeen: another host claimed an address that is held here. The
	// caller knows by MAC and epoch which of the two is right, and calls
	// Reannounce or Drop. Reported again while it lasts, but no more often than
	// Config.Quiet; a host that only answers is found at every Config.Refresh.
	DuplicateSeen EventKind = "duplicate-seen"
	// AddressLost: the kernel took an address away without being told to, or
	// somebody else did. The next Bind puts it back.
	AddressLost EventKind = "address-lost"
	// CarrierLost and CarrierBack: the interface of the address lost its link,
	// or has it again, upon which the addresses on it are announced anew.
	CarrierLost EventKind = "carrier-lost"
	CarrierBack EventKind = "carrier-back"
)

// Event is something that happened outside while Run was watching.
type Event struct {
	Kind    EventKind
	Address Address          // of carrier events only the interface
	MAC     net.HardwareAddr // DuplicateSeen: who claims it
	At      cluster.Instant
}

// Events returns what Run saw. When nobody reads it, newer events are dropped;
// none is lost for good, as each condition that lasts is reported again or
// shown by Observe.
func (s *Set) Events() <-chan Event { return s.events }

// runner is the state of one Run.
type runner struct {
	*Set
	claims  chan claim
	changes chan change
	ears    map[string]ear // by interface name
	carrier map[string]bool
	// neighbours are, by interface name, those that were there before its carrier
	// was lost.
	neighbours map[string][]netlink.Neigh
	reported   map[netip.Addr]cluster.Instant
	readers    sync.WaitGroup
}

// ear is the sockets on which an interface's neighbours are heard.
type ear struct {
	index int
	conns []*packet.Conn
}

// Run announces held addresses, in a burst and then slowly, and watches for
// other owners, for the interfaces' carrier and for addresses that vanish. It
// returns when the context ends, with nil, or if the kernel cannot be watched.
// Only one Run at a time makes sense.
func (s *Set) Run(ctx context.Context) error {
	r := &runner{
		Set: s, claims: make(chan claim, 64), changes: make(chan change, 64),
		ears: map[string]ear{}, carrier: map[string]bool{}, neighbours: map[string][]netlink.Neigh{}, reported: map[netip.Addr]cluster.Instant{},
	}
	watch, err := s.subscribe()
	if err != nil {
		return fmt.Errorf("watch the interfaces of virtual addresses: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	r.readers.Go(func() { watch.read(ctx, r.changes, s.log) })
	defer r.readers.Wait()
	defer r.deafen()
	defer watch.close()
	defer cancel()

	for _, name := range s.cfg.interfaces() {
		r.observeLink(ctx, name)
	}
	r.rememberNeighbours()
	look := time.NewTicker(neighbourLook)
	defer look.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			r.rememberNeighbours()
			continue
		case <-timer.C:
			r.listenAgain(ctx)
		case <-s.wake:
		case c := <-r.claims:
			r.hear(ctx, c)
		case c := <-r.changes:
			r.observe(ctx, c)
		}
		next, err := s.announceDue()
		if err != nil {
			s.log.WarnContext(ctx, "announce virtual addresses", "err", err)
		}
		wait := s.cfg.Refresh
		if next != 0 {
			wait = min(wait, max(0, next.Sub(clock.Now())))
		}
		timer.Reset(wait)
	}
}

// listenAgain opens the ears of interfaces that have none, or that were
// removed and made anew under the same name.
func (r *runner) listenAgain(ctx context.Context) {
	for _, name := range r.cfg.interfaces() {
		l, err := r.kernel.link(name)
		if err != nil || !l.arp {
			continue // told by Bind, and by CheckHost
		}
		if r.ears[name].index == l.index {
			continue
		}
		r.closeEar(name)
		e := ear{index: l.index}
		for _, v6 := range r.cfg.families(name) {
			conn, err := r.listen(l, v6)
			if err != nil {
				r.log.WarnContext(ctx, "listen for other owners", "interface", name, "err", err)
				continue
			}
			e.conns = append(e.conns, conn)
			r.readers.Go(func() { r.read(ctx, name, conn) })
		}
		r.ears[name] = e
	}
}

func (r *runner) closeEar(name string) {
	for _, c := range r.ears[name].conns {
		_ = c.SetReadDeadline(time.Unix(1, 0)) // ends the reader
		r.retire(c)
	}
	delete(r.ears, name)
}

func (r *runner) deafen() {
	for name := range r.ears {
		r.closeEar(name)
	}
}

// read hands on the claims of configured addresses that are heard on a link.
func (r *runner) read(ctx context.Context, name string, conn *packet.Conn) {
	buf := make([]byte, 1514)
	for {
		n, _, err := conn.ReadFrom(buf)
		switch {
		case errors.Is(err, net.ErrClosed) || timeout(err) || ctx.Err() != nil:
			return
		case isDown(err):
			continue // said once when the interface goes down; it may come up again
		case err != nil:
			r.log.WarnContext(ctx, "listen for other owners", "interface", name, "err", err)
			return
		}
		c, ok := claimIn(buf[:n])
		if !ok {
			continue
		}
		if a, ok := r.cfg.address(c.ip); !ok || a.Interface != name {
			continue
		}
		select {
		case r.claims <- c:
		default: // so many claims at once say the same as the ones before
		}
	}
}

// hear reports a claim if it is another host's and the address is held here.
func (r *runner) hear(ctx context.Context, c claim) {
	r.mu.Lock()
	h := r.held[c.ip]
	concerned := h != nil && !r.muted
	r.mu.Unlock()
	now := clock.Now()
	if last, ok := r.reported[c.ip]; !concerned || ok && now.Sub(last) < r.cfg.Quiet {
		return
	}
	// A host does not hear itself: under the address's own link-layer address that is
	// another node.
	if !h.virtual() || c.mac.String() != h.MAC.String() {
		if ours, err := r.kernel.ours(c.mac); err != nil || ours {
			return
		}
	}
	r.reported[c.ip] = now
	r.log.WarnContext(ctx, "another host claims a virtual address", "address", c.ip, "mac", c.mac.String())
	r.emit(Event{Kind: DuplicateSeen, Address: h.Address, MAC: c.mac, At: now})
}

func (s *Set) emit(e Event) {
	select {
	case s.events <- e:
	default:
		s.log.Warn("nobody reads the events of virtual addresses", "kind", e.Kind, "address", e.Address.String())
	}
}
