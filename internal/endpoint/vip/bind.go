package vip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
)

// Members are the cluster's nodes by the link-layer addresses that they report
// in their facts (as net.HardwareAddr prints them).
type Members map[string]cluster.NodeName

// Claim is what a caller wants bound, and what it knows of others.
type Claim struct {
	// Until is when this host's permission to serve ends.
	Until cluster.Instant
	// Members are the nodes whose reign is over. An owner among them does not
	// keep the address: it is fenced, and only its kernel still answers.
	Members Members
	// Of are the addresses to bind; nil: all.
	Of []netip.Addr
	// Probed is what an earlier Probe found; nil: probe now. A finding that is
	// older than Config.ProbeAge, or that an unknown host has the address, is
	// made anew.
	Probed Findings
}

// Outcome is how the binding of one address ended.
type Outcome string

// The outcomes.
const (
	Bound        Outcome = "bound"
	AlreadyBound Outcome = "already-bound" // it was this cluster's, here, before
	Foreign      Outcome = "foreign-owner" // not bound, an unknown host has it
	Failed       Outcome = "failed"
)

// AddressReport says how the binding of one address went and where the time
// went. Durations of parts that were not needed are 0.
type AddressReport struct {
	Address
	Outcome Outcome
	// Reason is AddressDuplicate if a member answered the probe although its
	// reign is over, and AddressForeign if an unknown host did.
	Reason cluster.Reason
	Owner  net.HardwareAddr // who answered
	Node   cluster.NodeName // the member that Owner belongs to
	// Adopted says that the host had the address already, without our mark: it
	// has the mark and a lifetime now.
	Adopted bool

	Probe    time.Duration // in this call; an earlier one's is in its Finding
	Unmute   time.Duration
	Add      time.Duration
	Route    time.Duration // until packets to it were delivered here
	Announce time.Duration
	Err      error
}

// BindReport is one report per address, in the order of the configuration.
type BindReport []AddressReport

// Bind takes the addresses and announces them, all at the same time. It is
// idempotent, and what an earlier call or an earlier process left half done is
// finished. The error joins those of the addresses that are not bound, or whose
// announcement did not get out; the others are, and stay. Run repeats the
// announcements.
func (s *Set) Bind(ctx context.Context, claim Claim) (BindReport, error) {
	s.mu.Lock()
	drops := s.drops
	s.mu.Unlock()

	// Only once an address is to be bound: while a stranger has it, silence stays.
	unmute := sync.OnceValues(func() (bool, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.drops != drops {
			return false, ErrDropped
		}
		return s.unmuteLocked()
	})
	addresses := s.cfg.Addresses
	if claim.Of != nil {
		addresses = slices.DeleteFunc(slices.Clone(addresses), func(a Address) bool { return !slices.Contains(claim.Of, a.IP) })
	}
	reports := make(BindReport, len(addresses))
	var wg sync.WaitGroup
	for i, a := range addresses {
		wg.Go(func() {
			b := binding{s: s, claim: claim, drops: drops, unmute: unmute, report: AddressReport{Address: a}}
			if err := b.run(ctx); err != nil {
				b.report.Err = fmt.Errorf("bind %s: %w", a, err)
			}
			reports[i] = b.report
		})
	}
	wg.Wait()
	var errs []error
	for _, r := range reports {
		errs = append(errs, r.Err)
	}
	return reports, errors.Join(errs...)
}

// binding is the way of one address through Bind.
type binding struct {
	s      *Set
	claim  Claim
	drops  uint64
	unmute func() (changed bool, err error)
	report AddressReport
}

func (b *binding) run(ctx context.Context) error {
	r := &b.report
	r.Outcome = Failed
	a := r.Address
	on, at, err := b.s.kernel.places(a)
	if err != nil {
		return err
	}
	before, err := b.s.kernel.find(a, at.index)
	if err != nil {
		return err
	}
	marked := before != nil && b.s.kernel.mark.owns(*before)
	r.Adopted = before != nil && !marked
	if before == nil {
		if err := b.settleOwner(ctx); err != nil {
			return err
		}
	}

	var muted bool
	r.Unmute = timed(func() { muted, err = b.unmute() })
	if err != nil {
		return err
	}
	known := b.s.knows(a) && marked && !muted
	var l link
	r.Add = timed(func() { l, err = b.add(on) })
	if err != nil {
		return err
	}
	r.Route = timed(func() { err = b.s.kernel.awaitLocal(ctx, a.IP, b.s.cfg.RouteWait) })
	if err != nil {
		return err
	}
	if !known { // otherwise its announcements are made already, or under way
		r.Announce = timed(func() { err = b.announce(l) })
	}
	r.Outcome = Bound
	if marked {
		r.Outcome = AlreadyBound
	}
	return err
}

// settleOwner finds out who has the address, and whether that keeps it from us.
func (b *binding) settleOwner(ctx context.Context) error {
	r := &b.report
	f, ok := b.claim.Probed[r.IP]
	stranger := len(f.Owner) > 0 && b.claim.Members[f.Owner.String()] == "" && f.Owner.String() != r.MAC.String()
	if !ok || stranger || clock.Now().Sub(f.At) > b.s.cfg.ProbeAge {
		var err error
		if f, err = b.s.probe(ctx, r.Address); err != nil {
			return fmt.Errorf("probe for an owner: %w", err)
		}
		r.Probe = f.Took
	}
	if len(f.Owner) == 0 {
		return nil
	}
	r.Owner, r.Node = f.Owner, b.claim.Members[f.Owner.String()]
	// Who has the address's own link-layer address is a node, and it is all the same which.
	if r.Node == "" && !(r.virtual() && f.Owner.String() == r.MAC.String()) {
		r.Outcome, r.Reason = Foreign, cluster.AddressForeign
		return fmt.Errorf("%w: %s", ErrForeignOwner, f.Owner)
	}
	r.Reason = cluster.AddressDuplicate
	return nil
}

// add puts the address into the kernel, unless the time or a Drop has passed, and returns
// the interface that it is on.
func (b *binding) add(on link) (l link, err error) {
	s := b.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drops != b.drops {
		return l, ErrDropped
	}
	if clock.Now() >= b.claim.Until {
		return l, ErrExpired
	}
	if l, err = s.raiseLocked(b.report.Address, on); err != nil {
		return l, err
	}
	now := clock.Now()
	if now >= b.claim.Until {
		return l, ErrExpired
	}
	seconds := lifetime(b.claim.Until.Sub(now))
	if err := s.kernel.put(b.report.Address, l.index, seconds); err != nil {
		return l, err
	}
	h := s.held[b.report.IP]
	if h == nil {
		h = &holding{Address: b.report.Address, sent: -1}
		s.held[b.report.IP] = h
	}
	h.on, h.link, h.until, h.backstop = on, l, b.claim.Until, now.Add(time.Duration(seconds)*time.Second)
	return l, nil
}

// announce makes the first announcement and leaves the others to Run. It looks
// at the clock again: this process may have been stopped since it was asked,
// and another host may have the address now.
func (b *binding) announce(l link) error {
	s := b.s
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.held[b.report.IP]
	if s.drops != b.drops || h == nil {
		return ErrDropped
	}
	if clock.Now() >= h.until {
		delete(s.held, h.IP)
		return errors.Join(ErrExpired, s.kernel.remove(h.IP, l.index))
	}
	h.begin(clock.Now())
	err := s.announceLocked(h)
	s.poke()
	return err
}

// slack is added to a lifetime: the kernel may end one 20 ms early (the timer
// fuzz of check_lifetime in net/ipv4/devinet.c), and a backstop must not come
// before the lease ends.
const slack = 50 * time.Millisecond

// lifetime is what is left in whole seconds, rounded up.
func lifetime(left time.Duration) uint32 {
	return uint32((left + slack + time.Second - 1) / time.Second)
}

// knows reports whether this process has bound and announced the address.
func (s *Set) knows(a Address) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.held[a.IP]
	return h != nil && h.heard
}

// find returns the host route's address if the interface has it, by whoever.
func (k *kernel) find(a Address, index int) (*present, error) {
	all, err := k.addresses()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(p present) bool { return p.index == index && p.prefix == a.prefix() })
	if i < 0 {
		return nil, nil
	}
	return &all[i], nil
}

func timed(f func()) time.Duration {
	began := clock.Now()
	f()
	return clock.Now().Sub(began)
}
