// Package vip answers whether this host holds the cluster's virtual addresses,
// and takes them, announces them and gives them up.
//
// It never decides who may hold them, never changes a sysctl of an interface that it
// did not make itself, and never touches an address, an interface or a firewall table
// that does not carry this cluster's mark, but for a stray one that the caller shows it
// (Asker.Remove). The
// rule that must not be broken: nothing is bound, extended or announced beyond
// the instant that the caller named, and the kernel takes the address away soon
// after it even if no code of ours runs any more.
//
// An address is always a /32 or /128 with IFA_F_NODAD (the duplicate-address
// probe is our own, and quicker), a preferred lifetime of 0 so that it is never
// chosen as the source of the host's own connections, and a valid lifetime in
// whole seconds, rounded up: a backstop, the firewall gate is the exact one.
//
// An address may also be on loopback. There are no neighbours then whom to ask or to
// tell: routers lead to it, and whoever speaks with them (package frr) goes by what
// the kernel has. It ends with the lease like the others.
//
// Unlike a central endpoint (package endpoint), a virtual address can only be
// taken or given up here; Endpoint shows a Set in that light.
package vip

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"

	"github.com/vishvananda/netns"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Errors that a caller acts on.
var (
	// ErrForeignOwner says that a host that is not of the cluster answers for
	// an address. It was not bound; try again later.
	ErrForeignOwner = errors.New("a host that is not of the cluster answers for it")
	// ErrExpired says that the instant until which an address was to be held
	// has passed. It is not bound, or not extended.
	ErrExpired = errors.New("the time until which it may be held has passed")
	// ErrDropped says that the addresses were dropped while a Bind was under
	// way. What that Bind had not bound yet stays unbound.
	ErrDropped = errors.New("dropped meanwhile")
	// ErrNotBound says that there is nothing to extend.
	ErrNotBound = errors.New("not bound")
	// ErrNobody says that no host answered for an address.
	ErrNobody = errors.New("nobody answers for it")
)

// Set is the virtual addresses of one cluster on this host. Its methods may be
// called at the same time; Drop overtakes a Bind that waits.
type Set struct {
	cfg    Config
	log    *slog.Logger
	ns     netns.NsHandle
	kernel *kernel
	sender *sender

	mu      sync.Mutex
	drops   uint64 // grows with every Drop, so that a waiting Bind notices
	muted   bool   // by this process; the kernel is asked where it matters
	held    map[netip.Addr]*holding
	groups  groups
	wake    chan struct{} // Run has something new to announce
	events  chan Event
	closing sync.WaitGroup // sockets whose closing nobody waits for
}

// holding is one address that this process has bound.
type holding struct {
	Address
	on    link            // the interface that the configuration names
	link  link            // the one that it is bound on: the same, or its macvlan
	until cluster.Instant // as the caller last allowed
	// backstop is an instant before which the kernel does not take it away.
	backstop cluster.Instant
	// burst is when the announcements began, sent how many have been made, and
	// next when the next one is due.
	burst cluster.Instant
	sent  int
	next  cluster.Instant
	heard bool // at least one announcement went out
}

// New returns the set of addresses that cfg describes. It opens the sockets
// that the other methods use, and starts and changes nothing. Close it.
func New(cfg Config, log *slog.Logger) (*Set, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s, err := open(cfg.withDefaults(), log)
	if err != nil {
		return nil, fmt.Errorf("open the sockets for virtual addresses: %w", err)
	}
	return s, nil
}

func open(cfg Config, log *slog.Logger) (*Set, error) {
	s := &Set{
		cfg: cfg, log: log, ns: cfg.namespace(),
		held: map[netip.Addr]*holding{}, wake: make(chan struct{}, 1), events: make(chan Event, 64),
	}
	s.groups.ns = s.ns
	var err error
	if s.kernel, err = openKernel(s.ns, markOf(cfg.tableName())); err != nil {
		return nil, err
	}
	if s.sender, err = openSender(s.ns); err != nil {
		s.kernel.close()
		return nil, err
	}
	return s, nil
}

// Close releases the sockets. It leaves the addresses as they are; call Drop
// first to give them up. Run must have returned.
func (s *Set) Close() error {
	s.closing.Wait()
	s.groups.close()
	s.kernel.close()
	return s.sender.close()
}

// MACs returns this host's link-layer addresses on the interfaces of the
// cluster's addresses, so that the other nodes can tell whose an owner's is.
func (s *Set) MACs() ([]string, error) {
	var macs []string
	for _, name := range s.cfg.interfaces() {
		l, err := s.kernel.link(name)
		if err != nil {
			return macs, err
		}
		if !l.lo { // that has one, the same on every host
			macs = append(macs, l.mac.String())
		}
	}
	return macs, nil
}
