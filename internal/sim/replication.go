package sim

import (
	"fmt"
	"time"

	"github.com/baton-db/baton/internal/core/gtid"
)

// replica is the receiving side of a server.
type replica struct {
	source    *host // nil: nobody's replica
	semi      bool  // the setting, which counts from the next connection on
	started   bool
	connected bool
	applier   bool
	problem   string
	relay     []txn // received, not applied
	pos       *txn  // received or skipped last, in this life of the receiver
	ticks     int   // grows with everything that comes in
	heard     int64

	// Of the present connection.
	number int
	acks   bool
	life   int // of the source's server
	next   int // index in the source's log
	sent   int // index up to which it is under way
	busy   bool

	applying bool // one transaction is being applied
}

// received is what the server holds: applied or in the relay log.
func (s *server) received() gtid.Set {
	held := s.set()
	if n := len(s.replica.relay); n > 0 {
		t := s.replica.relay[n-1]
		held, _ = held.Through(fmt.Sprintf("0-%d-%d", t.server, t.seq))
	}
	return held
}

// heartbeat connects a receiver that is not, and notices what comes in.
func (s *server) heartbeat() {
	s.w.after(s.w.settings.Renew, s.heartbeat)
	r := &s.replica
	if !s.answers() || !r.started || r.source == nil {
		return
	}
	source := r.source
	switch {
	case !r.connected:
		s.connect()
	case s.w.refused(s.h, source), !source.srv.listens() && s.w.net.both(s.h.i, source.i), source.srv.up && source.srv.life != r.life:
		r.connected = false
	case s.w.linked(s.h, source) && !source.srv.hung:
		r.ticks++
		r.heard = s.w.now
		s.pump()
	case time.Duration(s.w.now-r.heard) > 4*s.w.settings.Renew+time.Second:
		r.connected = false
	}
}

// connect asks the source for what comes after the own position.
func (s *server) connect() {
	r := &s.replica
	if !s.w.linked(s.h, r.source) || !r.source.srv.answers() {
		return
	}
	at, from := r.pos, 0
	if at == nil && len(s.log) > 0 {
		at = &s.log[len(s.log)-1]
	}
	if at != nil {
		i := find(r.source.srv.log, *at)
		if i < 0 {
			r.problem = fmt.Sprintf("%s has not got 0-%d-%d", r.source.name, at.server, at.seq)
			return
		}
		from = i + 1
	}
	r.problem, r.connected, r.acks, r.heard = "", true, r.semi, s.w.now
	r.number++
	r.life, r.next, r.sent, r.busy = r.source.srv.life, from, from, false
	r.ticks++
	s.pump()
}

// feed sends what is new in the log to all who replicate from here.
func (s *server) feed() {
	for _, h := range s.w.nodes {
		if h.srv != nil && h.srv.replica.connected && h.srv.replica.source == s.h {
			h.srv.pump()
		}
	}
}

// pump has what the source has and this replica has not sent on its way.
func (s *server) pump() {
	r := &s.replica
	source := r.source
	if !r.connected || r.busy || source.srv.life != r.life || !source.srv.answers() || len(source.srv.log) <= r.next || !s.w.linked(s.h, source) {
		return
	}
	r.busy = true
	number, until := r.number, len(source.srv.log)
	s.w.after(s.w.net.delay(source.i, s.h.i), func() { s.receive(number, until) })
}

// receive takes in what was sent over the connection of that number.
func (s *server) receive(number, until int) {
	r := &s.replica
	if r.number != number || !r.connected {
		return
	}
	r.busy = false
	source := r.source.srv
	if !s.answers() || !source.up || source.life != r.life || !s.w.linked(s.h, r.source) {
		return
	}
	r.ticks++
	r.heard = s.w.now
	for ; r.next < until; r.next++ {
		t := source.log[r.next]
		r.pos = &t
		if t.server == s.id && !r.acks {
			continue // a replica skips what bears its own id, unless it acknowledges
		}
		r.relay = append(r.relay, t)
	}
	if r.acks {
		s.acknowledge(until - 1)
	}
	s.applyNext()
	s.pump()
}

// acknowledge tells the source that everything up to index is received.
func (s *server) acknowledge(index int) {
	number, source := s.replica.number, s.replica.source
	life := source.srv.life
	s.w.after(s.w.net.delay(s.h.i, source.i), func() {
		if s.replica.number == number && s.w.linked(s.h, source) && source.srv.answers() && source.srv.life == life {
			source.srv.acknowledged(index)
		}
	})
}

// applyNext applies the next received transaction, and those after it.
func (s *server) applyNext() {
	r := &s.replica
	if r.applying || len(r.relay) == 0 || !r.applier || s.semiSource || !s.answers() {
		return
	}
	r.applying = true
	life := s.life
	took := s.w.between(100*time.Microsecond, s.w.draw.apply)
	if s.lagging {
		took += lag
	}
	s.w.after(took, func() {
		if s.life != life || !s.up {
			return
		}
		r.applying = false
		if s.hung || s.stopping || s.semiSource || len(r.relay) == 0 {
			return
		}
		t := r.relay[0]
		r.relay = r.relay[1:]
		if !has(s.log, t) {
			s.append(t)
		}
		s.applyNext()
	})
}

// stopReceiver ends receiving; what was received stays and goes on being applied.
func (s *server) stopReceiver() {
	s.replica.started, s.replica.connected = false, false
	s.replica.number++
	s.replica.applier = true
	s.applyNext()
}

// follow changes the source. Whatever is received and not applied would be lost.
func (s *server) follow(source *host, acks bool) error {
	s.stopReceiver()
	if len(s.replica.relay) > 0 && !s.w.stage.bare {
		return errUnapplied
	}
	number, ticks := s.replica.number, s.replica.ticks
	s.replica = replica{source: source, semi: acks, started: true, applier: true, number: number + 1, ticks: ticks}
	s.connect()
	return nil
}

// detach makes the server nobody's replica.
func (s *server) detach() error {
	if s.replica.source == nil {
		return nil
	}
	s.stopReceiver()
	if len(s.replica.relay) > 0 && !s.w.stage.bare {
		return errUnapplied
	}
	s.replica = replica{applier: true, number: s.replica.number + 1, ticks: s.replica.ticks, semi: s.replica.semi}
	return nil
}

// setReplicaSemi switches acknowledging: the receiver looks when it connects.
func (s *server) setReplicaSemi(on bool) {
	s.replica.semi = on
	if s.replica.started {
		s.stopReceiver()
		s.replica.started = true
		s.connect()
	}
}
