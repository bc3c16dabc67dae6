package bfd

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// link joins two sessions. All of it is in virtual time.
type link struct {
	ends  [2]*running
	mu    sync.Mutex
	cut   bool
	stuck bool // what is sent to the first one waits in its socket
	waits [][]byte
	saw   [2][]Change
}

// newLink starts two sessions that stop with the test.
func newLink(t *testing.T) *link {
	l := &link{}
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for i := range l.ends {
		l.ends[i] = &running{peer: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), log: slog.New(slog.DiscardHandler), wake: make(chan struct{}, 1),
			session: NewSession(Settings{50 * time.Millisecond, 3}, uint32(i+1), time.Now()),
			send:    func(b []byte) error { l.carry(1-i, b); return nil },
			drain:   func() { l.drain(i) },
			changed: func(_ netip.Addr, c Change) {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.saw[i] = append(l.saw[i], c)
			}}
	}
	for _, end := range l.ends {
		all.Go(func() { end.run(ctx) })
	}
	t.Cleanup(func() { cancel(); all.Wait() })
	return l
}

func (l *link) carry(to int, b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.cut:
	case l.stuck && to == 0:
		l.waits = append(l.waits, b)
	default:
		time.AfterFunc(time.Millisecond, func() { l.arrive(to, b) })
	}
}

func (l *link) arrive(to int, b []byte) {
	if p, err := Parse(b); err == nil {
		_ = l.ends[to].receive(p)
	}
}

func (l *link) drain(i int) {
	l.mu.Lock()
	var waits [][]byte
	if i == 0 {
		waits, l.waits = l.waits, nil
	}
	l.mu.Unlock()
	for _, b := range waits {
		l.arrive(i, b)
	}
}

func (l *link) set(what *bool, to bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*what = to
}

// news is what both ends have seen since the last call.
func (l *link) news() [2][]Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	saw := l.saw
	l.saw = [2][]Change{}
	return saw
}

func (l *link) are(t *testing.T, want State) {
	t.Helper()
	for i, end := range l.ends {
		end.mu.Lock()
		if got := end.session.state; got != want {
			t.Errorf("end %d is %s, want %s", i, got, want)
		}
		end.mu.Unlock()
	}
}

func TestACutIsSeenAndMends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink(t)
		time.Sleep(2 * time.Second)
		l.are(t, Up)
		l.news()
		time.Sleep(10 * time.Minute)
		if saw := l.news(); len(saw[0])+len(saw[1]) > 0 {
			t.Errorf("in ten minutes in which nothing happens: %+v", saw)
		}
		for range 20 {
			l.set(&l.cut, true)
			time.Sleep(151 * time.Millisecond)
			l.are(t, Down)
			for i, saw := range l.news() {
				if len(saw) != 1 || saw[0] != (Change{From: Up, To: Down, Why: Expired}) {
					t.Errorf("end %d sees %+v", i, saw)
				}
			}
			l.set(&l.cut, false)
			time.Sleep(3 * time.Second)
			l.are(t, Up)
			for i, saw := range l.news() {
				if slices.ContainsFunc(saw, func(c Change) bool { return c.From == Up }) {
					t.Errorf("it comes back without flapping; end %d sees %+v", i, saw)
				}
			}
		}
	})
}

func TestAProcessThatHadNoTimeLooksBeforeItJudges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink(t)
		time.Sleep(2 * time.Second)
		l.are(t, Up)
		l.news()
		l.set(&l.stuck, true)
		time.Sleep(10 * time.Second)
		l.are(t, Up)
		if saw := l.news(); len(saw[0])+len(saw[1]) > 0 {
			t.Errorf("packets were there, only unread: %+v", saw)
		}
	})
}

func TestLeavingIsToldToTheNeighbour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink(t)
		time.Sleep(2 * time.Second)
		l.are(t, Up)
		l.news()
		l.ends[0].mu.Lock()
		p := l.ends[0].session.Farewell()
		l.ends[0].mu.Unlock()
		l.carry(1, p.Append(nil))
		l.set(&l.cut, true)
		time.Sleep(10 * time.Millisecond)
		if saw := l.news()[1]; len(saw) != 1 || saw[0] != (Change{From: Up, To: Down, Why: NeighborDown, Meant: true}) {
			t.Errorf("the neighbour sees %+v", saw)
		}
	})
}
