// Package bfd answers, within a fraction of a second, whether a neighbour on the same
// link can be reached: it speaks BFD (RFC 5880, 5881) in asynchronous mode over a single
// hop, without echoes and authentication.
//
// It decides nothing: what a change means is up to whoever runs it. The rule: a session
// is Up only while packets of the neighbour's come in, each sent by a neighbour on the
// link itself (TTL 255), and they are sent by this process alone. So a process that is
// frozen, and a host that is dead, stop being Up at the neighbour's after the detection
// time, without any code of theirs.
package bfd

import (
	"errors"
	"time"
)

// Settings are what a session wants.
type Settings struct {
	// Interval is how often packets are sent and expected, once the session is up. The
	// neighbour may want it slower; the slower one counts.
	Interval time.Duration
	// Multiplier is how many packets in a row may be missing.
	Multiplier uint8
}

// slow is the least interval of a session that is not up (RFC 5880, section 6.8.3).
const slow = time.Second

// ages is longer than any session lasts.
const ages = 100 * 365 * 24 * time.Hour

// Change is one of a session's state.
type Change struct {
	From, To State
	Why      Diagnostic
	// Meant says that the neighbour's administrator has taken the session down: the
	// path may well be there (RFC 5882, section 3.2).
	Meant bool
}

// Session is one with a neighbour: pure, with the time and its jitter as arguments. Its
// variables are those of RFC 5880, section 6.8.1.
type Session struct {
	Settings
	mine       uint32
	state      State
	diagnostic Diagnostic

	yours      uint32
	theirState State
	theirRx    time.Duration // what the neighbour can receive
	theirTx    time.Duration // what it would like to send
	theirs     uint8         // its multiplier
	demand     bool

	polling bool      // our intervals changed, and the neighbour has not said that it knows
	answer  bool      // it has asked us to say so
	news    bool      // what we would send differs from what we have sent
	heard   time.Time // the last valid packet; zero: none since the session is as if new
	next    time.Time // when the next periodic packet is due

	changes []Change
}

// NewSession is one that is Down. Mine is a discriminator that no other session of this host has.
func NewSession(s Settings, mine uint32, now time.Time) *Session {
	return &Session{Settings: s, mine: mine, state: Down, theirState: Down, theirRx: time.Microsecond, next: now}
}

// Receive takes in a packet that was meant for this session (RFC 5880, section 6.8.6).
func (s *Session) Receive(p Packet, now time.Time) error {
	if p.Yours != 0 && p.Yours != s.mine {
		return errors.New("it is for another session")
	}
	before := s.interval()
	s.yours, s.theirState, s.demand = p.Mine, p.State, p.Demand
	s.theirRx, s.theirTx, s.theirs = p.RequiredRx, p.DesiredTx, p.Multiplier
	s.heard = now
	s.answer = s.answer || p.Poll
	if p.Final {
		s.polling = false
	}
	s.follow(p.State)
	if after := s.interval(); after < before {
		s.next = earlier(s.next, now.Add(after)) // it may take more than we have been sending
	}
	return nil
}

// follow is the state machine of RFC 5880, section 6.2.
func (s *Session) follow(their State) {
	switch {
	case their == AdminDown:
		if s.state != Down {
			s.become(Down, NeighborDown, true)
		}
	case s.state == Down && their == Down:
		s.become(Init, s.diagnostic, false)
	case s.state == Down && their == Init, s.state == Init && (their == Init || their == Up):
		s.become(Up, NoDiagnostic, false)
	case s.state == Up && their == Down:
		s.become(Down, NeighborDown, false)
	}
}

func (s *Session) become(to State, why Diagnostic, meant bool) {
	s.changes = append(s.changes, Change{From: s.state, To: to, Why: why, Meant: meant})
	// With Up our intervals change, which the neighbour has to confirm.
	s.state, s.diagnostic, s.polling, s.news = to, why, to == Up, true
}

// Expires is when the neighbour counts as silent; false: it does already, or is not known yet.
func (s *Session) Expires() (time.Time, bool) {
	if s.heard.IsZero() {
		return time.Time{}, false
	}
	return s.heard.Add(time.Duration(s.theirs) * max(s.Interval, s.theirTx)), true
}

// Next is when Step has something to do.
func (s *Session) Next() time.Time {
	next := s.next
	if !s.sends() {
		next = s.next.Add(ages) // only what it receives makes it send
	}
	if s.news || s.answer {
		next = time.Time{}
	}
	if at, ok := s.Expires(); ok {
		next = earlier(next, at)
	}
	return next
}

// Step does what is due: it returns what has to be sent, and what has changed since the
// last one. Jitter is a number from 0 to 1.
func (s *Session) Step(now time.Time, jitter float64) (send []Packet, changes []Change) {
	if at, ok := s.Expires(); ok && !now.Before(at) {
		s.heard, s.yours, s.demand = time.Time{}, 0, false
		s.theirState, s.theirRx = Down, time.Microsecond
		if s.state != Down {
			s.become(Down, Expired, false)
		}
	}
	if s.answer {
		p := s.packet()
		p.Poll, p.Final = false, true
		send, s.answer = append(send, p), false
	}
	if due := !now.Before(s.next); s.news || due && s.sends() {
		send, s.news = append(send, s.packet()), false
		s.next = now.Add(s.jittered(jitter))
	}
	changes, s.changes = s.changes, nil
	return send, changes
}

// Farewell ends the session: it tells the neighbour that this is no fault.
func (s *Session) Farewell() Packet {
	s.state, s.diagnostic, s.polling = AdminDown, Administrator, false
	return s.packet()
}

func (s *Session) packet() Packet {
	return Packet{Diagnostic: s.diagnostic, State: s.state, Poll: s.polling, Multiplier: s.Multiplier,
		Mine: s.mine, Yours: s.yours, DesiredTx: s.desired(), RequiredRx: s.Interval}
}

// desired is how often we would like to send.
func (s *Session) desired() time.Duration {
	if s.state == Up {
		return s.Interval
	}
	return max(s.Interval, slow)
}

// interval is how often we send.
func (s *Session) interval() time.Duration { return max(s.desired(), s.theirRx) }

// sends reports whether packets are sent from time to time (RFC 5880, section 6.8.7).
func (s *Session) sends() bool {
	quiet := s.demand && s.state == Up && s.theirState == Up && !s.polling
	return s.theirRx > 0 && !quiet
}

// jittered is the time to the next packet: up to a quarter less, so that hosts do not
// send in step, and at least a tenth less if none may be missing.
func (s *Session) jittered(jitter float64) time.Duration {
	less := 0.25 * jitter
	if s.Multiplier == 1 {
		less = 0.1 + 0.15*jitter
	}
	return time.Duration(float64(s.interval()) * (1 - less))
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
