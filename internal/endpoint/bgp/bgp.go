// Package bgp announces the cluster's addresses on loopback to this host's routers, with a
// BGP speaker (GoBGP) inside the agent, and answers which of them have been told.
//
// It takes in no route, puts none into the kernel, and gives a session up over which a
// router sends so many that they would fill this host's memory. The rule: an address is announced
// only while the kernel has it on this host (package vip), whatever is wanted. The kernel
// takes it away when the lease ends; this process sees that and withdraws it. A process
// that cannot see it any more cannot send either: killed, its connections are closed;
// frozen, or on a dead host, it falls silent, which BFD notices at the router within its
// detection time, and the hold timer if there is no BFD. Until then clients are led to a
// gate that is shut.
package bgp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/api"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"

	"github.com/baton-db/baton/internal/bfd"
	"github.com/baton-db/baton/internal/core/cluster"
)

// Options say what is announced, and to whom.
type Options struct {
	AS       uint32
	RouterID netip.Addr // an IPv4 address that no other speaker has
	// Listen is the port at which routers may connect. 0: none may.
	Listen    int
	Neighbors []Neighbor
	// Addresses are what leads clients to the primary. Here says whether this host has one.
	Addresses []netip.Addr
	Here      func(netip.Addr) (bool, error)
	// NextHops are where routers send what is for the addresses, at most one of each
	// family. Without one it is the host's own address in the session.
	NextHops         []netip.Addr
	Communities      []uint32
	LargeCommunities []LargeCommunity
	LocalPref        uint32 // told to neighbours of the own AS; 0: the usual 100
	// Spared is how long a router is left alone that has sent too many routes. 0: a minute.
	Spared time.Duration
	Self   cluster.NodeName
}

func (o Options) spared() time.Duration {
	if o.Spared == 0 {
		return time.Minute
	}
	return o.Spared
}

// LargeCommunity is one of RFC 8092.
type LargeCommunity [3]uint32

// Neighbor is a router.
type Neighbor struct {
	Address netip.Addr
	AS      uint32
	// Local is the host's address in the session. Its zero value: whichever leads there.
	Local    netip.Addr
	Port     int    // 0: 179
	Password string // of TCP MD5 (RFC 2385); empty: none
	// Hops are the most that may be between the router and this host; 0: none are.
	Hops int
	// TTLSecurity has both ends refuse what comes from further away (RFC 5082).
	TTLSecurity bool
	Hold        time.Duration // whole seconds, 3 at least
	BFD         bfd.Settings  // its zero value: none
}

// families are those of the addresses that the neighbour can be told of.
func (n Neighbor) families(o Options) []gobgp.Family {
	var all []gobgp.Family
	for _, a := range o.Addresses {
		if f := familyOf(a); !slices.Contains(all, f) && n.takes(a, o.NextHops) {
			all = append(all, f)
		}
	}
	return all
}

// takes reports whether the neighbour can be told of an address: there is a next hop.
func (n Neighbor) takes(a netip.Addr, nextHops []netip.Addr) bool {
	return n.Address.Is4() == a.Is4() || slices.ContainsFunc(nextHops, func(h netip.Addr) bool { return h.Is4() == a.Is4() })
}

func familyOf(a netip.Addr) gobgp.Family {
	if a.Is4() {
		return gobgp.RF_IPv4_UC
	}
	return gobgp.RF_IPv6_UC
}

// Speaker is this host's. It is safe for concurrent use.
type Speaker struct {
	o   Options
	log *slog.Logger

	// mu also orders the announcements: what was seen last is what is announced.
	mu        sync.Mutex
	server    *server.BgpServer // nil while it does not run
	problem   error             // why it does not, or what does not run beside it
	wish      wish
	announced map[netip.Addr]announcement
	links     map[netip.Addr]*link
}

// New prepares a speaker. It does nothing.
func New(o Options, log *slog.Logger) *Speaker {
	return &Speaker{o: o, log: log, problem: errors.New("the speaker has not been started yet")}
}

// again is the pause before something is tried again that this host did not permit.
const again = 5 * time.Second

// look is how often it is looked what this host has, beside each time that the kernel
// says that it has changed.
const look = time.Second

// Run speaks until ctx ends.
func (s *Speaker) Run(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.speak(ctx)
		if ctx.Err() != nil {
			return
		}
		s.log.WarnContext(ctx, "speak BGP", "err", err)
		s.mu.Lock()
		s.problem = err
		s.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}

// speak has a speaker for as long as ctx goes on, or nothing fails.
func (s *Speaker) speak(ctx context.Context) error {
	words := newOverheard(s.log, len(s.o.Neighbors))
	level := &slog.LevelVar{}
	level.Set(slog.LevelDebug)
	b := server.NewBgpServer(server.LoggerOption(slog.New(words), level))
	var running sync.WaitGroup
	running.Go(b.Serve)
	defer running.Wait()
	defer b.Stop() // tells the routers
	port := int32(-1)
	if s.o.Listen > 0 {
		port = int32(s.o.Listen)
	}
	if err := b.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{Asn: s.o.AS, RouterId: s.o.RouterID.String(), ListenPort: port}}); err != nil {
		return fmt.Errorf("start the BGP speaker: %w", err)
	}
	if err := takeInNothing(ctx, b); err != nil {
		return fmt.Errorf("have the BGP speaker take in no routes: %w", err)
	}
	links := map[netip.Addr]*link{}
	for _, n := range s.o.Neighbors {
		links[n.Address] = &link{words: words.of(n.Address)}
	}
	s.begin(b, links)
	defer s.end()
	for _, n := range s.o.Neighbors {
		if err := b.AddPeer(ctx, &api.AddPeerRequest{Peer: s.peer(n)}); err != nil {
			return fmt.Errorf("have a session with %s: %w", n.Address, err)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	lost := make(chan netip.Addr, 1)
	running.Go(func() { s.watchLinks(ctx, lost) })
	running.Go(func() { s.askWhy(ctx, links) })
	defer cancel()
	return s.attend(ctx, lost, words.flooded)
}

// takeInNothing has the speaker know no routes but its own: what routers say of other
// networks leads nowhere here, and is told to no other router.
func takeInNothing(ctx context.Context, b *server.BgpServer) error {
	own := &api.Policy{Name: "own", Statements: []*api.Statement{{Name: "own",
		Conditions: &api.Conditions{RouteType: api.Conditions_ROUTE_TYPE_LOCAL}, Actions: &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_ACCEPT}}}}
	if err := b.AddPolicy(ctx, &api.AddPolicyRequest{Policy: own}); err != nil {
		return err
	}
	return b.SetPolicyAssignment(ctx, &api.SetPolicyAssignmentRequest{Assignment: &api.PolicyAssignment{Name: "global",
		Direction: api.PolicyDirection_POLICY_DIRECTION_IMPORT, Policies: []*api.Policy{own}, DefaultAction: api.RouteAction_ROUTE_ACTION_REJECT}})
}

func (s *Speaker) begin(b *server.BgpServer, links map[netip.Addr]*link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server, s.links, s.announced, s.problem = b, links, map[netip.Addr]announcement{}, nil
}

func (s *Speaker) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server, s.links, s.announced = nil, nil, nil
	s.problem = errors.New("the speaker has stopped")
}

// attend follows what the host has, and has sessions begin anew whose path was lost, or,
// after a pause, whose router has sent too much.
func (s *Speaker) attend(ctx context.Context, lost, flooded <-chan netip.Addr) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	spared := map[netip.Addr]<-chan time.Time{}
	for {
		changes, stop, err := watchAddresses()
		if err != nil {
			return err
		}
		for watching := true; watching; {
			if err := s.follow(); err != nil {
				s.log.WarnContext(ctx, "follow the addresses of this host with BGP", "err", err)
			}
			select {
			case <-ctx.Done():
				stop()
				return ctx.Err()
			case _, watching = <-changes:
			case <-tick.C:
				s.resume(ctx, spared)
			case n := <-flooded:
				s.drop(ctx, n)
				spared[n] = time.After(s.o.spared())
			case n := <-lost:
				if spared[n] == nil {
					s.renew(ctx, n)
				}
			}
		}
		stop()
	}
}
