package bgp

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/vishvananda/netlink"

	"github.com/baton-db/baton/internal/core/cluster"
)

// wish is what is wanted of the addresses that this host has.
type wish struct {
	role  role
	epoch cluster.Epoch // of leads
}

type role int

const (
	// standsBy is a host of which nothing is wanted, or not yet, or not any more. What it
	// has nevertheless it is about to lose, or has just got: routers prefer any other way.
	standsBy role = iota
	// leads is the primary's.
	leads
	// isMuted announces nothing, whatever it has.
	isMuted
)

// announcement is what is said of an address.
type announcement struct {
	med      uint32
	shutdown bool
}

const (
	// noEpoch is the metric (MED) of epoch 0. The lower metric wins: of two hosts that
	// announce at the same time, that of the newer reign.
	noEpoch = 4_000_000_000
	// gracefulShutdown is the community of RFC 8326: a way that is about to be gone.
	gracefulShutdown = 0xffff0000
)

func (w wish) announcement() announcement {
	if w.role != leads {
		return announcement{med: noEpoch, shutdown: true}
	}
	return announcement{med: noEpoch - uint32(min(w.epoch, noEpoch))}
}

// want sets what is wanted, and sees to it.
func (s *Speaker) want(w wish) error {
	s.mu.Lock()
	s.wish = w
	s.mu.Unlock()
	return s.follow()
}

// follow announces what is on this host, and withdraws what is not.
func (s *Speaker) follow() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return s.problem
	}
	var errs []error
	for _, a := range s.o.Addresses {
		here, err := s.o.Here(a)
		errs = append(errs, err) // what is not known to be here is not
		said, is := s.announced[a]
		switch want := s.wish.announcement(); {
		case (err != nil || !here || s.wish.role == isMuted) && is:
			err := s.server.DeletePath(apiutil.DeletePathRequest{Paths: []*apiutil.Path{s.path(a, said)}})
			if err != nil {
				errs = append(errs, fmt.Errorf("withdraw %s: %w", a, err))
				continue
			}
			delete(s.announced, a)
		case err != nil || !here || s.wish.role == isMuted || is && said == want:
		default:
			if _, err := s.server.AddPath(apiutil.AddPathRequest{Paths: []*apiutil.Path{s.path(a, want)}}); err != nil {
				errs = append(errs, fmt.Errorf("announce %s: %w", a, err))
				continue
			}
			s.announced[a] = want
		}
	}
	return errors.Join(errs...)
}

// path is an announcement as GoBGP wants it.
func (s *Speaker) path(a netip.Addr, n announcement) *apiutil.Path {
	nlri, _ := gobgp.NewIPAddrPrefix(netip.PrefixFrom(a, a.BitLen())) // a is valid
	hop := netip.IPv6Unspecified()
	if a.Is4() {
		hop = netip.IPv4Unspecified() // the host's own in each session
	}
	for _, h := range s.o.NextHops {
		if h.Is4() == a.Is4() {
			hop = h
		}
	}
	attributes := []gobgp.PathAttributeInterface{gobgp.NewPathAttributeOrigin(0), gobgp.NewPathAttributeMultiExitDisc(n.med)}
	if a.Is4() {
		next, _ := gobgp.NewPathAttributeNextHop(hop)
		attributes = append(attributes, next)
	} else {
		reach, _ := gobgp.NewPathAttributeMpReachNLRI(familyOf(a), []gobgp.PathNLRI{{NLRI: nlri}}, hop)
		attributes = append(attributes, reach)
	}
	communities := s.o.Communities
	if n.shutdown {
		communities = append([]uint32{gracefulShutdown}, communities...)
	}
	if len(communities) > 0 {
		attributes = append(attributes, gobgp.NewPathAttributeCommunities(communities))
	}
	if len(s.o.LargeCommunities) > 0 {
		var large []*gobgp.LargeCommunity
		for _, l := range s.o.LargeCommunities {
			large = append(large, &gobgp.LargeCommunity{ASN: l[0], LocalData1: l[1], LocalData2: l[2]})
		}
		attributes = append(attributes, gobgp.NewPathAttributeLargeCommunities(large))
	}
	if s.o.LocalPref > 0 {
		attributes = append(attributes, gobgp.NewPathAttributeLocalPref(s.o.LocalPref))
	}
	return &apiutil.Path{Family: familyOf(a), Nlri: nlri, Attrs: attributes}
}

// told are the neighbours that have been told of each address, by what the speaker has
// sent into the sessions that it has.
func (s *Speaker) told() (map[netip.Addr][]netip.Addr, error) {
	b, err := s.running()
	if err != nil {
		return nil, err
	}
	states, err := s.states()
	if err != nil {
		return nil, err
	}
	told := map[netip.Addr][]netip.Addr{}
	for _, n := range s.o.Neighbors {
		if !established(states[n.Address]) {
			continue
		}
		for _, f := range n.families(s.o) {
			if !negotiated(states[n.Address], f) {
				continue
			}
			err := b.ListPath(apiutil.ListPathRequest{TableType: api.TableType_TABLE_TYPE_ADJ_OUT, Name: n.Address.String(), Family: f}, func(nlri gobgp.NLRI, _ []*apiutil.Path) {
				if p, err := netip.ParsePrefix(nlri.String()); err == nil {
					told[p.Addr()] = append(told[p.Addr()], n.Address)
				}
			})
			if err != nil {
				return nil, fmt.Errorf("see what %s has been told: %w", n.Address, err)
			}
		}
	}
	return told, nil
}

// watchAddresses says each time that an address comes to this host or goes. The channel
// is closed when the kernel has said more than could be taken in.
func watchAddresses() (changes <-chan netlink.AddrUpdate, stop func(), err error) {
	updates, done := make(chan netlink.AddrUpdate, 16), make(chan struct{})
	if err := netlink.AddrSubscribe(updates, done); err != nil {
		return nil, nil, fmt.Errorf("watch the addresses of this host: %w", err)
	}
	return updates, func() {
		close(done)
		for range updates { // until it is closed
		}
	}, nil
}
