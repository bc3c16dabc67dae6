package vip

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
)

// Extend lets the kernel keep the addresses that this process has bound, or one
// before it that was killed, until that instant. It is cheap: the kernel is told only when the whole second that
// it knows would come too early. The error is ErrExpired if the instant has
// passed and ErrNotBound if nothing is bound; then, and after any other error,
// Bind puts things right.
func (s *Set) Extend(_ context.Context, until cluster.Instant) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := clock.Now()
	if now >= until {
		return ErrExpired
	}
	var errs []error
	if len(s.held) < len(s.cfg.Addresses) {
		errs = append(errs, s.takeUpLocked(now, until))
	}
	if len(s.held) == 0 {
		return errors.Join(append(errs, ErrNotBound)...)
	}
	for _, h := range s.held {
		h.until = until
		if until.Add(slack) <= h.backstop {
			continue
		}
		seconds := lifetime(until.Sub(now))
		if err := s.kernel.put(h.Address, h.link.index, seconds); err != nil {
			errs = append(errs, fmt.Errorf("extend %s: %w", h.Address, err))
			continue
		}
		h.backstop = now.Add(time.Duration(seconds) * time.Second)
	}
	return errors.Join(errs...)
}

// takeUpLocked holds what an earlier process of this cluster bound and did not
// drop, until until, and announces it. While this host keeps silent for the
// addresses, another one is about to have them.
func (s *Set) takeUpLocked(now, until cluster.Instant) error {
	if muted, err := s.observeMute(); muted || err != nil {
		return err
	}
	var errs []error
	for _, a := range s.cfg.Addresses {
		if s.held[a.IP] != nil {
			continue
		}
		on, l, err := s.kernel.places(a)
		if err != nil || l.index == 0 {
			continue // it is not here, and Bind says why
		}
		p, err := s.kernel.find(a, l.index)
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("look for %s: %w", a, err))...)
		}
		if p == nil || !s.kernel.mark.owns(*p) {
			continue
		}
		if a.virtual() {
			errs = append(errs, s.groups.join(a.IP, on.index))
		}
		h := &holding{Address: a, on: on, link: l, until: until, backstop: now}
		h.begin(now)
		s.held[a.IP] = h
		errs = append(errs, s.announceLocked(h))
		s.log.Info("virtual address taken up from the agent before", "address", a.IP, "interface", a.Interface)
	}
	s.poke()
	return errors.Join(errs...)
}

// Drop stops the announcements at once, removes every address and firewall
// table of this cluster from the host, and makes a Bind that is under way fail.
// It is idempotent and works after a restart: it goes by the marks.
func (s *Set) Drop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drops++
	clear(s.held)
	removed, err := s.cleanupLocked(ctx)
	if len(removed) > 0 {
		s.log.InfoContext(ctx, "virtual addresses dropped", "removed", removed)
	}
	return err
}

// DropSome is Drop for some of the addresses.
func (s *Set) DropSome(ctx context.Context, ips ...netip.Addr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drops++
	all, err := s.kernel.addresses()
	errs := []error{err}
	for _, a := range s.cfg.Addresses {
		if !slices.Contains(ips, a.IP) {
			continue
		}
		delete(s.held, a.IP)
		for _, p := range all {
			if p.prefix.Addr() == a.IP && s.kernel.mark.owns(p) {
				s.log.InfoContext(ctx, "virtual address dropped", "address", a.IP)
				errs = append(errs, s.kernel.remove(a.IP, p.index))
			}
		}
		errs = append(errs, s.lowerLocked(a))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("drop %v: %w", ips, err)
	}
	return nil
}

// Presence is an address as the host has it.
type Presence struct {
	Prefix    netip.Prefix
	Interface string
}

func (p Presence) String() string { return p.Prefix.String() + " on " + p.Interface }

// AddressState is one of the cluster's addresses on this host.
type AddressState struct {
	Address
	// Present says that the address is here with the cluster's mark. Bound says
	// besides that packets to it are delivered and its interface is up.
	Present, Bound bool
	// Left is until the kernel removes it, in whole seconds rounded down.
	Left time.Duration
	// Others are the places where the host has it besides, which are not
	// Baton's: they are never removed, and stay when it is dropped.
	Others []Presence
}

// Observation is what the kernel says of the cluster's addresses.
type Observation struct {
	Addresses []AddressState // in the order of the configuration
	Muted     bool           // the host does not answer for any of them
}

// Bound returns the addresses that are bound, as the agent's fact lists them.
func (o Observation) Bound() []string {
	var ips []string
	for _, a := range o.Addresses {
		if a.Bound {
			ips = append(ips, a.IP.String())
		}
	}
	return ips
}

// Observe asks the kernel, never this process's memory.
func (s *Set) Observe(_ context.Context) (Observation, error) {
	all, err := s.kernel.addresses()
	if err != nil {
		return Observation{}, err
	}
	quiet := true
	if slices.ContainsFunc(s.cfg.Addresses, Address.virtual) {
		if quiet, err = s.isQuiet(); err != nil {
			return Observation{}, err
		}
	}
	var o Observation
	for _, a := range s.cfg.Addresses {
		state := AddressState{Address: a}
		for _, p := range all {
			if p.prefix.Addr() != a.IP {
				continue
			}
			name := s.kernel.name(p.index)
			if s.kernel.mark.owns(p) && name == s.kernel.mark.where(a) {
				_, at, err := s.kernel.places(a)
				state.Present = true
				state.Bound = err == nil && at.index == p.index && at.up && s.kernel.local(a.IP) && quiet
				state.Left = time.Duration(p.valid) * time.Second
			} else {
				state.Others = append(state.Others, Presence{p.prefix, name})
			}
		}
		o.Addresses = append(o.Addresses, state)
	}
	o.Muted, err = s.observeMute()
	return o, err
}

// Leftover is something on this host that carries the cluster's mark.
type Leftover struct {
	Address Presence // zero for a table or an interface
	Table   string   // empty for an address or an interface
	Device  string   // an interface of ours, which carries such an address
	index   int
	link    netlink.Link
}

func (l Leftover) String() string {
	switch {
	case l.Table != "":
		return "table " + l.Table
	case l.Device != "":
		return "interface " + l.Device
	}
	return l.Address.String()
}

// Leftovers lists everything of this cluster that is on the host, also what the
// configuration does not name any more.
func (s *Set) Leftovers(_ context.Context) ([]Leftover, error) {
	all, err := s.kernel.addresses()
	if err != nil {
		return nil, err
	}
	var found []Leftover
	for _, p := range all {
		if s.kernel.mark.owns(p) {
			found = append(found, Leftover{Address: Presence{p.prefix, s.kernel.name(p.index)}, index: p.index})
		}
	}
	devices, err := s.devicesLeft()
	found = append(found, devices...)
	for _, of := range []func() ([]*nftables.Table, error){
		func() ([]*nftables.Table, error) { return s.tables(MACTable(s.cfg.tableName()), quietFamilies()) },
		s.muteTables, // last: what is not removed yet stays muted
	} {
		tables, tableErr := of()
		err = errors.Join(err, tableErr)
		for _, t := range tables {
			found = append(found, Leftover{Table: familyName(t.Family) + " " + t.Name})
		}
	}
	return found, err
}

// Cleanup removes what Leftovers lists and nothing else, and returns it. It is
// meant for the start and the clean stop of the agent; while addresses are held
// call Drop.
func (s *Set) Cleanup(ctx context.Context) ([]Leftover, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cleanupLocked(ctx)
}

func (s *Set) cleanupLocked(ctx context.Context) ([]Leftover, error) {
	found, listErr := s.Leftovers(ctx)
	errs := []error{listErr}
	var removed, devices []Leftover
	muted, quiet := false, false
	for _, l := range found {
		switch {
		case l.Device != "":
			devices = append(devices, l)
			continue
		case strings.HasSuffix(l.Table, " "+MACTable(s.cfg.tableName())):
			quiet = true
			continue
		case l.Table != "":
			muted = true // last: until the addresses are gone they stay muted
			continue
		}
		if err := s.kernel.remove(l.Address.Prefix.Addr(), l.index); err != nil {
			errs = append(errs, fmt.Errorf("remove %s: %w", l.Address, err))
			continue
		}
		removed = append(removed, l)
	}
	s.groups.close()
	gone, removing := s.removeDevices(devices)
	removed, errs = append(removed, gone...), append(errs, removing...)
	if quiet && len(removing) == 0 {
		tables, err := s.unquietLocked()
		removed, errs = append(removed, tables...), append(errs, err)
	}
	if muted {
		if _, err := s.unmuteLocked(); err != nil {
			errs = append(errs, err)
		} else {
			removed = append(removed, slices.DeleteFunc(found, func(l Leftover) bool { return !strings.HasSuffix(l.Table, " "+MuteTable(s.cfg.tableName())) })...)
		}
	}
	return removed, errors.Join(errs...)
}
