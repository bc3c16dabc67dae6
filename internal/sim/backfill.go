package sim

import (
	"time"
)

// backFill brings over what the log of a dead primary holds, transaction by
// transaction, for as long as that is there to be read and time is left. As in
// production it never fails, and each part of it may be the last.
func (j *job) backFill() {
	a, w := j.a, j.a.w
	from, until := w.node(j.step.Node), w.now+int64(w.settings.BackFill)
	over := func() { j.endWithALook(nil, func(a *agent) { a.n.HasDone(j.step.Kind, j.step.Epoch) }) }
	if j.step.Why != "" {
		over()
		return
	}
	life := from.srv.life
	var next func()
	next = func() {
		if from.srv.dies() {
			j.in(5*time.Millisecond, 5*time.Millisecond, next)
			return
		}
		dead := !from.srv.up && from.srv.life == life // its log is at rest
		answers := dead && from.up && from.agent != nil && from.frozen <= w.now && w.net.both(a.h.i, from.i)
		if !answers || w.now >= until {
			over()
			return
		}
		more := false
		j.sql(func(s *server) error { more = s.fillFrom(from.srv); return nil }, func(err error) {
			switch {
			case err != nil:
				j.end(err, nil)
			case !more:
				over()
			default:
				a.n.Progress = "back-fill " + a.h.srv.position()
				a.look()
				j.in(100*time.Microsecond, w.draw.apply, next)
			}
		})
	}
	j.in(time.Millisecond, 20*time.Millisecond, next)
}

// fillFrom applies the next transaction of a dead server's log, if that continues
// what this server has. It reports whether there may be more.
func (s *server) fillFrom(dead *server) bool {
	i := 0
	if n := len(s.log); n > 0 {
		i = find(dead.log, s.log[n-1]) + 1
		if i == 0 {
			return false // diverged
		}
	}
	switch {
	case len(s.replica.relay) > 0:
		return false
	case i < len(dead.log):
		s.append(dead.log[i])
		s.w.result.Filled++
		return true
	}
	// Now it is said that nothing of that server is lost.
	for _, t := range dead.log {
		if t.write != nil && t.write.acked && !has(s.log, t) {
			s.w.violate("%s is said to have everything of %s, and lacks write %d (0-%d-%d), which was acknowledged", s.h.name, dead.h.name, t.write.n, t.server, t.seq)
			break
		}
	}
	return false
}
