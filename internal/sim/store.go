package sim

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

var (
	errNoAnswer = errors.New("no answer from the store")
	errGuard    = errors.New("the guard refused the write")
)

// operation is what a node wants of the store.
type operation string

const (
	putsFact  operation = "fact"
	putsView  operation = "view"
	renews    operation = "renewal"
	swaps     operation = "swap"
	reads     operation = "read"
	putsOther operation = "request"
)

// entry is one key of the store.
type entry[T any] struct {
	value T
	rev   cluster.Revision
}

// store is the linearizable store with a member on every host. Its leader
// serves as long as it hears a majority; who cannot reach it has no store.
type store struct {
	w      *world
	rev    cluster.Revision
	leader int // -1: there is none
	// unreached counts the faults that keep a host from the store, though not from
	// the other hosts.
	unreached []int
	away      int64

	record   entry[cluster.Record]
	lease    entry[cluster.Lease]
	facts    map[cluster.NodeName]entry[cluster.Fact]
	views    map[cluster.NodeName]entry[cluster.View]
	requests map[string]entry[cluster.Request]

	watches []watch
	inTouch []int64 // when each host was last seen to reach the leader
	// sent is when the newest renewal that was accepted was sent, on its
	// holder's clock.
	sent map[cluster.NodeName]cluster.Instant
}

// watch is one node's stream of news: in order, or broken.
type watch struct {
	broken bool
	last   int64 // when the newest of it arrives
}

// news is one change, as a watch delivers it. Snapshot says that it is all there
// is.
type news struct {
	record   *entry[cluster.Record]
	lease    *entry[cluster.Lease]
	fact     *entry[cluster.Fact]
	view     *entry[cluster.View]
	request  *entry[cluster.Request]
	done     []string
	snapshot bool
	facts    map[cluster.NodeName]entry[cluster.Fact]
	views    map[cluster.NodeName]entry[cluster.View]
	requests map[string]entry[cluster.Request]
}

func newStore(w *world) *store {
	s := &store{w: w, rev: 1, leader: 0, facts: map[cluster.NodeName]entry[cluster.Fact]{}, views: map[cluster.NodeName]entry[cluster.View]{},
		requests: map[string]entry[cluster.Request]{}, watches: make([]watch, len(w.nodes)), inTouch: make([]int64, len(w.nodes)), unreached: make([]int, len(w.nodes)), sent: map[cluster.NodeName]cluster.Instant{}}
	for i := range s.watches {
		s.watches[i].broken = true
	}
	s.tend()
	return s
}

// tend looks after leadership and broken watches, again and again.
func (s *store) tend() {
	if !s.serves() {
		s.w.chaos.storeSick = s.w.now
		s.w.checkPromised()
	}
	if s.leader >= 0 && !s.serves() {
		if s.away == 0 {
			s.away = s.w.now
		}
		if time.Duration(s.w.now-s.away) > s.w.settings.Lease/4 {
			s.leader = -1
		}
	} else {
		s.away = 0
	}
	if s.leader < 0 {
		for _, i := range s.w.rng.Perm(len(s.w.nodes)) {
			if s.majority(i) {
				s.leader, s.away = i, 0
				s.w.trace("etcd", "%s leads", s.w.nodes[i].name)
				break
			}
		}
	}
	for i := range s.watches {
		if s.reachable(i) {
			s.inTouch[i] = s.w.now
		}
		if s.watches[i].broken && s.reachable(i) && s.w.nodes[i].agent != nil {
			s.watches[i].broken = false
			s.send(i, s.all())
		}
	}
	s.w.after(s.w.between(20*time.Millisecond, 60*time.Millisecond), s.tend)
}

// majority reports whether host i is up and speaks with more than half of all.
func (s *store) majority(i int) bool {
	if !s.w.nodes[i].up {
		return false
	}
	n := 0
	for j, h := range s.w.nodes {
		if h.up && s.w.net.both(i, j) {
			n++
		}
	}
	return n >= len(s.w.nodes)/2+1
}

func (s *store) serves() bool {
	return s.leader >= 0 && s.w.chaos.storeDown <= s.w.now && s.majority(s.leader)
}

// reachable reports whether host i's member is in touch with a leader.
func (s *store) reachable(i int) bool {
	return s.serves() && s.w.nodes[i].up && s.unreached[i] == 0 && s.w.net.both(i, s.leader)
}

// all is everything that there is, copied.
func (s *store) all() news {
	record, lease := s.record, s.lease
	return news{snapshot: true, record: &record, lease: &lease, facts: maps.Clone(s.facts), views: maps.Clone(s.views), requests: maps.Clone(s.requests)}
}

// tell sends one change to everybody who listens.
func (s *store) tell(n news) {
	for i := range s.watches {
		switch {
		case s.watches[i].broken || s.w.nodes[i].agent == nil:
			s.watches[i].broken = true
		case !s.reachable(i):
			s.watches[i].broken = true
		default:
			s.send(i, n)
			if s.w.chance(0.002) {
				s.send(i, n) // a watch that was taken up again tells some things twice
			}
		}
	}
}

func (s *store) send(i int, n news) {
	at := max(s.w.now+int64(s.w.net.delay(s.leader, i)+s.w.stage.newsLate(s.w.nodes[i], n)), s.watches[i].last+1)
	s.watches[i].last = at
	a := s.w.nodes[i].agent
	s.w.at(at, func() { a.deliver(func() { a.sawNews(n) }) })
}

// call carries one operation of host i to the leader and its answer back. The
// operation may be carried out although no answer comes. done is told once:
// with what apply returned, or with errNoAnswer at the deadline.
func (s *store) call(a *agent, what operation, within time.Duration, apply func() (cluster.Revision, error), done func(cluster.Revision, error)) {
	w, i := s.w, a.h.i
	answered := false
	answer := func(rev cluster.Revision, err error) {
		a.deliver(func() {
			if !answered {
				answered = true
				done(rev, err)
			}
		})
	}
	w.after(a.h.wait(within), func() { answer(0, errNoAnswer) })
	if !s.reachable(i) || w.chance(w.chaos.storeLoss) {
		inTouch := s.reachable(i) || w.now-s.inTouch[i] < int64(w.settings.Call)
		if s.serves() && inTouch && w.chance(0.3) {
			w.after(w.between(0, 2*w.settings.Lease), func() { // it was on its way all the same
				if s.serves() {
					_, _ = apply()
				}
			})
		}
		return
	}
	late, lost := w.stage.callLate(a.h, what)
	if lost {
		return
	}
	there := late + w.net.delay(i, s.leader) + w.between(0, w.chaos.storeSlow+time.Millisecond)
	if w.chance(0.01) {
		there += w.between(0, 2*w.settings.Lease) // it comes when nobody reckons with it any more
	}
	w.after(there, func() {
		if !s.serves() {
			return
		}
		w.after(s.commitDelay(), func() {
			if !s.serves() {
				return
			}
			rev, err := apply()
			if w.stage.twice {
				w.after(w.between(0, w.settings.Lease), func() { _, _ = apply() })
			}
			if !s.reachable(i) || w.chance(w.chaos.storeLoss) {
				return // carried out, and the answer is lost
			}
			w.after(w.net.delay(s.leader, i)+w.stage.answerLate(a.h, what), func() { answer(rev, err) })
		})
	})
}

// commitDelay is how long the leader waits for the fastest members that make a
// majority with it.
func (s *store) commitDelay() time.Duration {
	var all []time.Duration
	for i, h := range s.w.nodes {
		if i != s.leader && h.up && s.w.net.both(i, s.leader) {
			all = append(all, 2*s.w.net.delay(s.leader, i))
		}
	}
	slices.Sort(all)
	if most := len(s.w.nodes)/2 - 1; most < len(all) {
		return all[most]
	}
	return time.Millisecond
}

func (s *store) next() cluster.Revision { s.rev++; return s.rev }

func (s *store) renew(h *host, record cluster.Revision, l cluster.Lease, sent cluster.Instant) func() (cluster.Revision, error) {
	return func() (cluster.Revision, error) {
		if s.record.rev != record {
			return 0, errGuard
		}
		s.lease = entry[cluster.Lease]{l, s.next()}
		s.sent[h.name] = max(s.sent[h.name], sent)
		e := s.lease
		s.tell(news{lease: &e})
		return e.rev, nil
	}
}

func (s *store) swap(prev cluster.Revision, lease *cluster.Revision, next cluster.Record, why cluster.Reason, requests []string) func() (cluster.Revision, error) {
	return func() (cluster.Revision, error) {
		if s.record.rev != prev || lease != nil && s.lease.rev != *lease {
			return 0, errGuard
		}
		before := s.record.value
		s.record = entry[cluster.Record]{next, s.next()}
		for _, id := range requests {
			delete(s.requests, id)
		}
		e := s.record
		s.tell(news{record: &e, done: slices.Clone(requests)})
		s.w.why = append(s.w.why, why)
		s.w.recordChanged(before, next)
		return e.rev, nil
	}
}

func (s *store) putFact(f cluster.Fact) func() (cluster.Revision, error) {
	return func() (cluster.Revision, error) {
		e := entry[cluster.Fact]{f, s.next()}
		s.facts[f.Node] = e
		s.tell(news{fact: &e})
		return e.rev, nil
	}
}

func (s *store) putView(v cluster.View) func() (cluster.Revision, error) {
	return func() (cluster.Revision, error) {
		e := entry[cluster.View]{v, s.next()}
		s.views[v.Observer] = e
		s.tell(news{view: &e})
		return e.rev, nil
	}
}

func (s *store) putRequest(q cluster.Request) (cluster.Revision, error) {
	e := entry[cluster.Request]{q, s.next()}
	s.requests[q.ID] = e
	s.tell(news{request: &e})
	return e.rev, nil
}
