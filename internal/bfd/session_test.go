package bfd

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// story is a session and what its neighbour says, in a time of its own.
type story struct {
	*Session
	t   *testing.T
	now time.Time
}

func begin(t *testing.T) *story {
	now := time.Unix(1000, 0)
	return &story{NewSession(Settings{50 * time.Millisecond, 3}, 7, now), t, now}
}

// hears is that the neighbour says something; it is as fast as we are.
func (s *story) hears(state State, change ...func(*Packet)) {
	s.t.Helper()
	p := Packet{State: state, Multiplier: 3, Mine: 9, Yours: 7, DesiredTx: 50 * time.Millisecond, RequiredRx: 50 * time.Millisecond}
	for _, f := range change {
		f(&p)
	}
	if err := s.Receive(p, s.now); err != nil {
		s.t.Fatal(err)
	}
}

// step lets time pass.
func (s *story) step(d time.Duration) ([]Packet, []Change) {
	s.now = s.now.Add(d)
	return s.Step(s.now, 0)
}

func (s *story) is(want State, why Diagnostic) {
	s.t.Helper()
	if s.state != want || s.diagnostic != why {
		s.t.Errorf("it is %s (%s), want %s (%s)", s.state, s.diagnostic, want, why)
	}
}

// up is a session that is up, with everything told.
func up(t *testing.T) *story {
	s := begin(t)
	s.hears(Down, func(p *Packet) { p.Yours = 0 })
	s.step(0)
	s.hears(Init)
	s.step(0)
	s.hears(Up, func(p *Packet) { p.Final = true })
	s.step(0)
	s.is(Up, NoDiagnostic)
	return s
}

func TestASessionComesUpInThreeSteps(t *testing.T) {
	s := begin(t)
	sent, _ := s.step(0)
	if want := []Packet{{State: Down, Multiplier: 3, Mine: 7, DesiredTx: time.Second, RequiredRx: 50 * time.Millisecond}}; !cmp.Equal(sent, want) {
		t.Errorf("first it sends %s", cmp.Diff(want, sent))
	}
	if next := s.Next(); !next.Equal(s.now.Add(time.Second)) {
		t.Errorf("while it is down it sends again after %s", next.Sub(s.now))
	}
	s.hears(Down, func(p *Packet) { p.Yours = 0 })
	sent, changes := s.step(time.Millisecond)
	if len(sent) != 1 || sent[0].State != Init || sent[0].Yours != 9 {
		t.Errorf("having heard of the neighbour it says at once %+v", sent)
	}
	if want := []Change{{From: Down, To: Init}}; !cmp.Equal(changes, want) {
		t.Error(cmp.Diff(want, changes))
	}
	s.hears(Init, func(p *Packet) { p.Poll = true })
	sent, changes = s.step(time.Millisecond)
	if len(sent) != 2 || !sent[0].Final || sent[0].Poll || sent[1].State != Up || !sent[1].Poll || sent[1].Final || sent[1].DesiredTx != 50*time.Millisecond {
		t.Errorf("up, it answers, and asks whether its new interval is known: %+v", sent)
	}
	if want := []Change{{From: Init, To: Up}}; !cmp.Equal(changes, want) {
		t.Error(cmp.Diff(want, changes))
	}
	if sent, _ = s.step(50 * time.Millisecond); len(sent) != 1 || !sent[0].Poll {
		t.Errorf("it asks until there is an answer: %+v", sent)
	}
	s.hears(Up, func(p *Packet) { p.Final = true })
	if sent, _ = s.step(50 * time.Millisecond); len(sent) != 1 || sent[0].Poll {
		t.Errorf("answered, it asks no more: %+v", sent)
	}
}

func TestSilenceEndsIt(t *testing.T) {
	s := up(t)
	if _, changes := s.step(149 * time.Millisecond); len(changes) > 0 {
		t.Errorf("too early: %+v", changes)
	}
	sent, changes := s.step(time.Millisecond)
	if want := []Change{{From: Up, To: Down, Why: Expired}}; !cmp.Equal(changes, want) {
		t.Error(cmp.Diff(want, changes))
	}
	if len(sent) != 1 || sent[0].State != Down || sent[0].Diagnostic != Expired || sent[0].DesiredTx != time.Second || sent[0].Yours != 0 {
		t.Errorf("it says so at once, and forgets the neighbour: %+v", sent)
	}
	if _, changes := s.step(time.Hour); len(changes) > 0 {
		t.Errorf("that it is down is told once: %+v", changes)
	}
}

func TestTheSlowerOfTwoCounts(t *testing.T) {
	s := up(t)
	slower := func(p *Packet) {
		p.DesiredTx, p.RequiredRx, p.Multiplier = 300*time.Millisecond, 200*time.Millisecond, 5
	}
	s.hears(Up, slower)
	s.step(50 * time.Millisecond)
	if next := s.Next(); !next.Equal(s.now.Add(200 * time.Millisecond)) {
		t.Errorf("to a neighbour that takes one in 200 ms it sends after %s", next.Sub(s.now))
	}
	at, _ := s.Expires()
	if want := s.now.Add(-50 * time.Millisecond).Add(5 * 300 * time.Millisecond); !at.Equal(want) {
		t.Errorf("five of the neighbour's, 300 ms each: %s, want %s", at, want)
	}
	s.hears(Up)
	if next := s.Next(); next.After(s.now.Add(50 * time.Millisecond)) {
		t.Errorf("a neighbour that takes more gets it at once, not after %s", next.Sub(s.now))
	}
	s.hears(Up, func(p *Packet) { p.RequiredRx = 0 })
	if sent, _ := s.step(100 * time.Millisecond); len(sent) > 0 {
		t.Errorf("a neighbour that takes none gets %+v", sent)
	}
}

func TestWhatTheNeighbourSays(t *testing.T) {
	for name, tt := range map[string]struct {
		state State
		want  State
		told  []Change
	}{
		"that it is up":                          {Up, Up, nil},
		"that it comes up":                       {Init, Up, nil},
		"that it is down":                        {Down, Down, []Change{{From: Up, To: Down, Why: NeighborDown}}},
		"that its administrator has taken it so": {AdminDown, Down, []Change{{From: Up, To: Down, Why: NeighborDown, Meant: true}}},
	} {
		s := up(t)
		s.hears(tt.state)
		if _, changes := s.step(0); s.state != tt.want || !cmp.Equal(changes, tt.told) {
			t.Errorf("%s: it is %s, %s", name, s.state, cmp.Diff(tt.told, changes))
		}
	}
	s := up(t)
	if err := s.Receive(Packet{State: Down, Mine: 9, Yours: 8, Multiplier: 3}, s.now); err == nil || s.state != Up {
		t.Errorf("what is said to another session: %v, it is %s", err, s.state)
	}
}

func TestANeighbourThatStartsAnewIsFollowed(t *testing.T) {
	s := up(t)
	s.hears(Down, func(p *Packet) { p.Mine, p.Yours = 10, 0 })
	s.is(Down, NeighborDown)
	s.hears(Down, func(p *Packet) { p.Mine, p.Yours = 10, 0 })
	s.hears(Up, func(p *Packet) { p.Mine = 10 })
	s.is(Up, NoDiagnostic)
	_, changes := s.step(0)
	if want := []Change{{From: Up, To: Down, Why: NeighborDown}, {From: Down, To: Init, Why: NeighborDown}, {From: Init, To: Up}}; !cmp.Equal(changes, want) {
		t.Errorf("nothing of it is swallowed: %s", cmp.Diff(want, changes))
	}
}

func TestHostsDoNotSendInStep(t *testing.T) {
	s := up(t)
	for jitter, want := range map[float64]time.Duration{0: 50 * time.Millisecond, 1: 37500 * time.Microsecond} {
		s.now = s.now.Add(50 * time.Millisecond)
		s.hears(Up)
		s.Step(s.now, jitter)
		if got := s.Next().Sub(s.now); got != want {
			t.Errorf("jitter %g: %s, want %s", jitter, got, want)
		}
	}
	s.Multiplier = 1
	s.now = s.now.Add(50 * time.Millisecond)
	s.hears(Up)
	s.Step(s.now, 0)
	if got := s.Next().Sub(s.now); got != 45*time.Millisecond {
		t.Errorf("where none may be missing: %s, want a tenth less", got)
	}
}

func TestANeighbourThatWantsNoneWithoutAskingGetsNone(t *testing.T) {
	s := up(t)
	s.hears(Up, func(p *Packet) { p.Demand = true })
	if sent, _ := s.step(100 * time.Millisecond); len(sent) > 0 {
		t.Errorf("it gets %+v", sent)
	}
	s.hears(Up, func(p *Packet) { p.Demand, p.Poll = true, true })
	if sent, _ := s.step(0); len(sent) != 1 || !sent[0].Final {
		t.Errorf("asked, it says %+v", sent)
	}
}

func TestLeavingIsNoFault(t *testing.T) {
	if p := up(t).Farewell(); p.State != AdminDown || p.Diagnostic != Administrator {
		t.Errorf("it leaves with %+v", p)
	}
}
