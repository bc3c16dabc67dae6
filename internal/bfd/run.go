package bfd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// Peer is a neighbour on a link of this host.
type Peer struct {
	Address netip.Addr
	// Local is this host's address in the session, if the neighbour expects another one
	// than that with which this host would reach it.
	Local netip.Addr
	Settings
}

// Run keeps a session with each peer until ctx ends, and takes leave of them then.
// Changed is called with every change of a session's state, in order for each peer. The
// error says why there could be no session at all: the port is taken, as by FRR's bfdd.
func Run(ctx context.Context, peers []Peer, log *slog.Logger, changed func(netip.Addr, Change)) error {
	r := &runner{log: log, byPeer: map[netip.Addr]*running{}}
	for _, p := range peers {
		out := &sender{to: p.Address, from: p.Local}
		defer out.close()
		s := &running{peer: p.Address, log: log, wake: make(chan struct{}, 1), send: out.send, drain: r.drain, changed: changed,
			session: NewSession(p.Settings, rand.Uint32N(1<<32-1)+1, time.Now())}
		r.byPeer[p.Address] = s
	}
	if err := r.listen(peers); err != nil {
		return err
	}
	var running sync.WaitGroup
	for _, s := range r.byPeer {
		running.Go(func() { s.run(ctx) })
	}
	var reading sync.WaitGroup
	for _, l := range r.listeners {
		reading.Go(func() { l.read(r.deliver) })
	}
	running.Wait()
	r.close()
	reading.Wait()
	return nil
}

// runner is the sessions of a host, and the sockets at which they all receive.
type runner struct {
	log       *slog.Logger
	listeners []*listener
	byPeer    map[netip.Addr]*running
}

func (r *runner) listen(peers []Peer) error {
	for _, v6 := range []bool{false, true} {
		if !hasFamily(peers, v6) {
			continue
		}
		l, err := listen(v6)
		if err != nil {
			r.close()
			return fmt.Errorf("receive BFD: %w", err)
		}
		r.listeners = append(r.listeners, l)
	}
	return nil
}

func hasFamily(peers []Peer, v6 bool) bool {
	for _, p := range peers {
		if p.Address.Is6() == v6 {
			return true
		}
	}
	return false
}

func (r *runner) close() {
	for _, l := range r.listeners {
		l.close()
	}
}

// drain takes in what has been received and nobody has read yet.
func (r *runner) drain() {
	for _, l := range r.listeners {
		l.drain(r.deliver)
	}
}

// deliver hands a packet to its session (RFC 5880, section 6.8.6; RFC 5881, section 5).
func (r *runner) deliver(from netip.Addr, ttl int, b []byte) {
	s, ok := r.byPeer[from]
	if !ok || ttl != 255 {
		return // whoever is not on the link cannot have sent it with 255
	}
	p, err := Parse(b)
	if err == nil {
		err = s.receive(p)
	}
	if err != nil {
		r.log.Debug("a BFD packet is discarded", "neighbour", from, "err", err)
	}
}

// running is a session in its time.
type running struct {
	peer    netip.Addr
	log     *slog.Logger
	wake    chan struct{}
	send    func(b []byte) error
	drain   func()
	changed func(netip.Addr, Change)

	mu      sync.Mutex
	session *Session
}

func (s *running) receive(p Packet) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.session.Receive(p, time.Now()); err != nil {
		return err
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

// run does what is due when it is due, until ctx ends.
func (s *running) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			s.mu.Lock()
			p := s.session.Farewell()
			s.mu.Unlock()
			s.transmit(p)
			return
		case <-timer.C:
		case <-s.wake:
		}
		if s.seemsSilent() {
			s.drain() // it may be this process that had no time
		}
		s.mu.Lock()
		send, changes := s.session.Step(time.Now(), rand.Float64())
		next := s.session.Next()
		s.mu.Unlock()
		for _, p := range send {
			s.transmit(p)
		}
		for _, c := range changes {
			s.changed(s.peer, c)
		}
		timer.Reset(time.Until(next))
	}
}

func (s *running) seemsSilent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.session.Expires()
	return ok && !time.Now().Before(at)
}

// transmit sends a packet. One that cannot be sent is one that is lost: the neighbour
// says so by what it sends, or by its silence.
func (s *running) transmit(p Packet) {
	if err := s.send(p.Append(nil)); err != nil && !errors.Is(err, errUnheard) {
		s.log.Debug("a BFD packet is not sent", "neighbour", s.peer, "err", err)
	}
}
