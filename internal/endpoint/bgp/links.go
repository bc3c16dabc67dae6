package bgp

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"

	"github.com/baton-db/baton/internal/bfd"
)

// link is what is known of the way to a neighbour, beside its session.
type link struct {
	words *words // what was heard of the session

	// Of BFD; the speaker's lock is held.
	path   bfd.State
	change bfd.Change
}

// wants reports whether there is BFD with any neighbour.
func (n Neighbor) wantsBFD() bool { return n.BFD.Interval > 0 }

// watchLinks runs BFD, and names neighbours to whom the path was lost. It goes on
// without, if this host does not permit it: routers then have the hold timer.
func (s *Speaker) watchLinks(ctx context.Context, lost chan<- netip.Addr) {
	var peers []bfd.Peer
	for _, n := range s.o.Neighbors {
		if n.wantsBFD() {
			peers = append(peers, bfd.Peer{Address: n.Address, Local: n.Local, Settings: n.BFD})
		}
	}
	for len(peers) > 0 && ctx.Err() == nil {
		err := bfd.Run(ctx, peers, s.log, func(at netip.Addr, c bfd.Change) { s.pathChanged(ctx, at, c, lost) })
		if err == nil {
			return
		}
		s.log.WarnContext(ctx, "speak BFD", "err", err)
		s.setProblem(err)
		select {
		case <-ctx.Done():
		case <-time.After(again):
			s.setProblem(nil)
		}
	}
}

func (s *Speaker) setProblem(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		s.problem = err
	}
}

func (s *Speaker) pathChanged(ctx context.Context, at netip.Addr, c bfd.Change, lost chan<- netip.Addr) {
	s.mu.Lock()
	if l := s.links[at]; l != nil {
		l.path, l.change = c.To, c
	}
	s.mu.Unlock()
	switch {
	case c.To == bfd.Up:
		s.log.InfoContext(ctx, "BFD with a router is up", "neighbour", at)
	case c.From == bfd.Up:
		s.log.WarnContext(ctx, "BFD with a router is down", "neighbour", at, "because", c.Why.String())
		if c.Meant {
			return // RFC 5882, section 3.2: it says nothing of the path
		}
		select {
		case lost <- at:
		case <-ctx.Done():
		}
	}
}

// peer is a neighbour as GoBGP wants it. Graceful restart is never agreed upon: a router
// that kept the way to a host without a speaker would lead clients there.
func (s *Speaker) peer(n Neighbor) *api.Peer {
	hold := uint64(n.Hold / time.Second)
	p := &api.Peer{
		Conf:      &api.PeerConf{NeighborAddress: n.Address.String(), PeerAsn: n.AS, AuthPassword: n.Password},
		Timers:    &api.Timers{Config: &api.TimersConfig{HoldTime: hold, KeepaliveInterval: max(hold/3, 1), ConnectRetry: 1, IdleHoldTimeAfterReset: 1}},
		Transport: &api.Transport{RemotePort: uint32(n.port())},
	}
	if n.Local.IsValid() {
		p.Transport.LocalAddress = n.Local.String()
	}
	switch {
	case n.TTLSecurity:
		p.TtlSecurity = &api.TtlSecurity{Enabled: true, TtlMin: uint32(255 - n.Hops)}
	case n.Hops > 0:
		p.EbgpMultihop = &api.EbgpMultihop{Enabled: true, MultihopTtl: uint32(n.Hops + 1)}
	}
	for _, f := range n.families(s.o) {
		family := &api.Family{Afi: api.Family_Afi(f.Afi()), Safi: api.Family_Safi(f.Safi())}
		p.AfiSafis = append(p.AfiSafis, &api.AfiSafi{Config: &api.AfiSafiConfig{Enabled: true, Family: family},
			PrefixLimits: &api.PrefixLimit{Family: family, MaxPrefixes: most}})
	}
	return p
}

func (n Neighbor) port() int {
	if n.Port == 0 {
		return gobgp.BGP_PORT
	}
	return n.Port
}

// renew has a session with a neighbour begin anew. GoBGP's own reset may reach the next
// session in place of this one, and takes longer.
func (s *Speaker) renew(ctx context.Context, at netip.Addr) {
	b, err := s.running()
	if err != nil {
		return
	}
	for _, n := range s.o.Neighbors {
		if n.Address != at {
			continue
		}
		err := b.DeletePeer(ctx, &api.DeletePeerRequest{Address: at.String()})
		s.mu.Lock()
		if l := s.links[at]; l != nil {
			l.words.set("it was given up because BFD had lost the router: " + l.change.Why.String())
		}
		s.mu.Unlock()
		if err == nil {
			err = b.AddPeer(ctx, &api.AddPeerRequest{Peer: s.peer(n)})
		}
		if err != nil {
			s.log.WarnContext(ctx, "begin a BGP session anew", "neighbour", at, "err", err)
		}
	}
}

// drop ends the session with a neighbour, and with it goes all that it has sent.
func (s *Speaker) drop(ctx context.Context, at netip.Addr) {
	b, err := s.running()
	if err != nil {
		return
	}
	if err := b.DeletePeer(ctx, &api.DeletePeerRequest{Address: at.String()}); err != nil {
		s.log.WarnContext(ctx, "end a BGP session", "neighbour", at, "err", err)
	}
}

// resume has sessions begin anew that were dropped, once their time has come.
func (s *Speaker) resume(ctx context.Context, spared map[netip.Addr]<-chan time.Time) {
	for at, due := range spared {
		select {
		case <-due:
		default:
			continue
		}
		delete(spared, at)
		b, err := s.running()
		if err != nil {
			return
		}
		s.mu.Lock()
		if l := s.links[at]; l != nil {
			l.words.listen()
		}
		s.mu.Unlock()
		for _, n := range s.o.Neighbors {
			if n.Address != at {
				continue
			}
			if err := b.AddPeer(ctx, &api.AddPeerRequest{Peer: s.peer(n)}); err != nil {
				s.log.WarnContext(ctx, "begin a BGP session anew", "neighbour", at, "err", err)
			}
		}
	}
}

// running is the speaker's engine, or why there is none.
func (s *Speaker) running() (*server.BgpServer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return nil, s.problem
	}
	return s.server, nil
}

// states are the sessions as they are.
func (s *Speaker) states() (map[netip.Addr]*api.Peer, error) {
	b, err := s.running()
	if err != nil {
		return nil, err
	}
	all := map[netip.Addr]*api.Peer{}
	err = b.ListPeer(context.Background(), &api.ListPeerRequest{}, func(p *api.Peer) {
		if a, err := netip.ParseAddr(p.GetConf().GetNeighborAddress()); err == nil {
			all[a] = p
		}
	})
	if err != nil {
		return nil, fmt.Errorf("look at the BGP sessions: %w", err)
	}
	return all, nil
}

func established(p *api.Peer) bool {
	return p.GetState().GetSessionState() == api.PeerState_SESSION_STATE_ESTABLISHED
}

// negotiated reports whether the neighbour takes announcements of a family.
func negotiated(p *api.Peer, f gobgp.Family) bool {
	for _, c := range p.GetState().GetRemoteCap() {
		if m := c.GetMultiProtocol().GetFamily(); m != nil && m.GetAfi() == api.Family_Afi(f.Afi()) && m.GetSafi() == api.Family_Safi(f.Safi()) {
			return true
		}
	}
	return false
}

const (
	// many is more routes than a router that has nothing to tell this host tells it.
	many = 1000
	// most is what is borne of one family. GoBGP keeps what it is told, wanted or not, up to
	// a kilobyte for each, and the agent's memory is locked.
	most = 10_000
)

// unwell says what is wrong with a neighbour's session, or nil.
func (s *Speaker) unwell(n Neighbor, p *api.Peer) error {
	who := fmt.Sprintf("neighbour %s (AS %d, we are AS %d)", n.Address, n.AS, s.o.AS)
	s.mu.Lock()
	l := s.links[n.Address]
	path, change := bfd.Down, bfd.Change{}
	if l != nil {
		path, change = l.path, l.change
	}
	s.mu.Unlock()
	if !established(p) {
		why := ""
		if l != nil {
			why = l.words.last()
		}
		if why == "" {
			return fmt.Errorf("%s has no session yet", who)
		}
		return fmt.Errorf("%s has no session: %s", who, why)
	}
	if n.wantsBFD() && path != bfd.Up {
		if path == bfd.Init {
			return fmt.Errorf("%s: BFD is coming up: the router has not heard this host yet", who)
		}
		if change == (bfd.Change{}) {
			return fmt.Errorf("%s: BFD has never been up: is it on at the router for this host?", who)
		}
		return fmt.Errorf("%s: BFD is down: %s", who, change.Why)
	}
	for _, f := range n.families(s.o) {
		if !negotiated(p, f) {
			return fmt.Errorf("%s takes no %s: activate that address family for this host there", who, f)
		}
	}
	received := uint64(0)
	for _, f := range p.GetAfiSafis() {
		received += f.GetState().GetReceived()
	}
	if received > many {
		return fmt.Errorf("%s sends %d routes, of which this host has no use and which take its memory: have it send none", who, received)
	}
	return nil
}
