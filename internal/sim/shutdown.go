package sim

import (
	"math/rand/v2"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// listens reports whether the server's process takes connections.
func (s *server) listens() bool { return s.up && !s.stopping }

// shutDown ends the server in order, as somebody who stops its service does: whoever
// is connected is disconnected at once, commits that wait are answered to nobody, and
// nothing new is let in; but the process is there for as long as it takes to write
// its pages, and for a while longer while its memory is freed.
func (s *server) shutDown(takes, dies time.Duration) {
	if !s.answers() {
		return
	}
	s.trace("the server is shut down, which takes %s", takes+dies)
	s.stopping = true
	s.releaseWaiters()
	s.replica.started, s.replica.connected = false, false
	life := s.life
	s.w.after(takes, func() {
		if s.stopping && s.life == life {
			s.exit(dies)
		}
	})
}

// exit is the end of a shutdown: nothing of the log is lost.
func (s *server) exit(dies time.Duration) {
	s.keepTheOnlyCopies()
	s.up, s.stopping, s.waiting = false, false, nil
	s.gone = s.w.now + int64(dies)
	s.h.sicken()
	s.trace("the server ends, holding %s", s.position())
	if a := s.h.agent; a != nil {
		a.serverGone(cluster.ServerExiting)
		a.after(dies, func() { a.serverGone(cluster.ServerStopped) })
	}
	s.managed()
}

// managed has the host's service manager start the server again, where agents do not.
func (s *server) managed() {
	if !s.w.draw.start && !s.w.scripted {
		s.w.after(s.w.between(time.Second, 10*time.Second), s.start)
	}
}

// dies reports that the process is there and executes nothing any more.
func (s *server) dies() bool { return !s.up && s.w.now < s.gone }

// shutdowns draws from numbers of their own whether servers are shut down slowly in a
// run, so that the others are what they were before there was such a thing.
func (w *world) shutdowns(seed uint64) {
	if own := rand.New(rand.NewPCG(seed, 0x51057)); own.IntN(4) == 0 {
		w.draw.stops = own
	}
}

// stopNext has a server shut down now and then.
func (c *chaos) stopNext() {
	w := c.w
	apart := int64(3 * w.draw.apart)
	w.after(time.Duration(apart/4+w.draw.stops.Int64N(2*apart)), func() {
		if c.over == 0 {
			c.strike(ServerStop)
			c.stopNext()
		}
	})
}
