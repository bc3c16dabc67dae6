package sim

import (
	"errors"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/core/reconcile"
)

var (
	errCancelled = errors.New("not wanted any more")
	errLeaseOver = errors.New("the lease is over")
	errRestarted = errors.New("the server restarted meanwhile")
)

// job is one step being carried out, in parts that take time. Its agent may die
// or stand still between any two of them.
type job struct {
	a         *agent
	step      reconcile.Step
	cancelled bool
	ended     bool
}

// begin carries a step out.
func (a *agent) begin(s reconcile.Step) {
	j := &job{a: a, step: s}
	a.running[s.Lane] = j
	a.w.trace(string(a.h.name), "begins %s (epoch %d)", s, s.Epoch)
	j.in(50*time.Microsecond, 500*time.Microsecond, func() { j.perform() })
}

// in goes on after a while, unless the step was cancelled.
func (j *job) in(low, high time.Duration, f func()) {
	j.a.after(j.a.w.between(low, high), func() {
		if j.cancelled {
			j.end(errCancelled, nil)
			return
		}
		f()
	})
}

// end tells the loop what came of the step.
func (j *job) end(err error, deed func(*agent)) {
	if j.ended {
		return
	}
	j.ended = true
	a := j.a
	if err != nil {
		a.w.trace(string(a.h.name), "fails at %s: %v", j.step, err)
	}
	a.after(20*time.Microsecond, func() {
		delete(a.running, j.step.Lane)
		a.lanes.Ended(j.step, err != nil, a.h.clock())
		if err != nil {
			a.n.StepFailed(j.step)
		}
		if deed != nil {
			deed(a)
		}
		a.look()
	})
}

// sql has a statement carried out. One that is under way when its step is
// cancelled, or its agent dies, may take effect all the same.
func (j *job) sql(do func(*server) error, then func(error)) {
	a, srv, life := j.a, j.a.h.srv, j.a.h.srv.life
	a.w.after(a.w.between(200*time.Microsecond, 3*time.Millisecond), func() {
		err := errServerDown
		switch {
		case !srv.listens() || srv.life != life:
		case srv.hung:
			a.w.after(time.Second, func() { a.deliver(func() { then(errServerDown) }) })
			return
		default:
			err = do(srv)
		}
		a.w.after(100*time.Microsecond, func() {
			a.deliver(func() {
				if j.cancelled {
					err = errCancelled
				}
				then(err)
			})
		})
	})
}

// statement is a step that is one statement and a look afterwards.
func (j *job) statement(do func(*server) error, deed func(*agent)) {
	j.sql(do, func(err error) { j.endWithALook(err, deed) })
}

func (j *job) endWithALook(err error, deed func(*agent)) {
	if err != nil {
		j.end(err, nil)
		return
	}
	j.a.observe(func(_ cluster.ServerFact, err error) {
		if err != nil {
			deed = nil
		}
		j.end(err, deed)
	})
}

func (j *job) perform() {
	a, h, s := j.a, j.a.h, j.step
	onGate := func(change func(*gate)) {
		change(&h.gate)
		if h.gate.mode == reconcile.GateMissing {
			h.gate.mode = reconcile.GateClosed // it comes into being as it is wanted
		}
		j.in(0, time.Millisecond, func() { j.end(nil, (*agent).readGate) })
	}
	switch s.Kind {
	case reconcile.GateClose:
		a.keeper.Open = false
		onGate(func(g *gate) { g.mode = reconcile.GateClosed })
	case reconcile.GateReadOnly:
		a.keeper.Open = false
		onGate(func(g *gate) { g.mode = reconcile.GateOpenRead })
	case reconcile.GateLease:
		if !a.keeper.Held.Valid(s.Epoch, h.clock()) {
			j.end(errLeaseOver, (*agent).readGate)
			return
		}
		h.extend(a.keeper.Until())
		a.keeper.Open = true
		j.in(0, time.Millisecond, func() { j.end(nil, (*agent).readGate) })
	case reconcile.Cut:
		j.cut()
	case reconcile.Uncut:
		onGate(func(g *gate) { g.cut = without(g.cut, s.Nodes...) })
	case reconcile.ReleaseBlocked:
		onGate(func(g *gate) { g.blocked = nil })
	case reconcile.Fence:
		j.fence()
	case reconcile.ProbeAddresses:
		j.in(5*time.Millisecond, 30*time.Millisecond, func() { j.end(nil, func(a *agent) { a.n.HasDone(s.Kind, s.Epoch) }) })
	case reconcile.BindAddresses:
		if !a.keeper.Held.Valid(s.Epoch, h.clock()) {
			j.end(errLeaseOver, nil)
			return
		}
		h.addr = address{bound: true, until: h.wholeSeconds(a.keeper.Held.Until)}
		a.w.trace(string(h.name), "has the address")
		j.in(0, 2*time.Millisecond, func() { j.end(nil, (*agent).readAddresses) })
	case reconcile.Mute:
		h.addr.muted = true
		j.in(0, time.Millisecond, func() {
			j.end(nil, func(a *agent) { a.readAddresses(); a.n.Muted = s.Epoch })
		})
	case reconcile.Release:
		h.addr = address{}
		j.in(0, time.Millisecond, func() { j.end(nil, (*agent).readAddresses) })
	case reconcile.VerifyPaths:
		j.in(0, 5*time.Millisecond, func() {
			j.end(nil, func(a *agent) {
				a.readAddresses()
				if _, announced := a.h.has(); announced {
					a.n.Endpoints = s.Epoch
				}
			})
		})
	case reconcile.StartServer:
		a.w.after(a.w.between(200*time.Millisecond, 2*time.Second), h.srv.start)
		j.in(200*time.Millisecond, 3*time.Second, func() { j.end(nil, nil) })
	default:
		j.onServer()
	}
}

func (j *job) onServer() {
	a, s := j.a, j.step
	switch s.Kind {
	case reconcile.Promise:
		j.promise()
	case reconcile.Follow:
		a.h.gate.blocked = without(a.h.gate.blocked, s.Node)
		j.statement(func(srv *server) error { return srv.follow(a.w.node(s.Node), s.On) }, (*agent).readGate)
	case reconcile.Apply:
		j.apply(gtid.Set{})
	case reconcile.BackFill:
		j.backFill()
	case reconcile.Promote:
		j.sql((*server).detach, func(err error) {
			if err != nil {
				j.end(err, nil)
				return
			}
			j.statement(func(srv *server) error { srv.setReplicaSemi(false); srv.setSemiSource(s.On); return nil }, nil)
		})
	case reconcile.SemiSource:
		j.statement(func(srv *server) error { srv.setSemiSource(s.On); return nil }, nil)
	case reconcile.SemiReplica:
		j.statement(func(srv *server) error { srv.setReplicaSemi(s.On); return nil }, nil)
	case reconcile.AckAgain:
		j.statement(func(srv *server) error { srv.acknowledgeAgain(); return nil }, func(a *agent) { a.n.HasDone(s.Kind, s.Epoch) })
	case reconcile.SetWritable:
		j.setWritable()
	case reconcile.SetReadOnly:
		j.readOnly(func(err error) { j.endWithALook(err, nil) })
	case reconcile.StopReplication:
		if s.Node != "" {
			a.h.gate.block(s.Node)
		}
		j.statement(func(srv *server) error { srv.stopReceiver(); return nil }, (*agent).readGate)
	case reconcile.CarryEvents:
		j.statement(func(*server) error { return nil }, func(a *agent) { a.n.HasDone(s.Kind, s.Epoch) })
	case reconcile.Drain:
		j.drain()
	case reconcile.WriteMarker:
		j.marker()
	}
}

// acknowledgeAgain tells the source once more that everything is received.
func (s *server) acknowledgeAgain() {
	if r := &s.replica; r.connected && r.acks {
		s.acknowledge(r.next - 1)
	}
}

func (g *gate) block(nodes ...cluster.NodeName) {
	for _, n := range nodes {
		if !slices.Contains(g.blocked, n) {
			g.blocked = append(g.blocked, n)
		}
	}
	slices.Sort(g.blocked)
}

func (j *job) cut() {
	h := j.a.h
	for _, n := range j.step.Nodes {
		if !slices.Contains(h.gate.cut, n) {
			h.gate.cut = append(h.gate.cut, n)
		}
	}
	slices.Sort(h.gate.cut)
	cut := slices.Clone(h.gate.cut)
	j.in(0, time.Millisecond, func() {
		j.a.observe(func(f cluster.ServerFact, err error) {
			if err == nil && j.cancelled {
				err = errCancelled
			}
			if err != nil {
				j.end(err, nil)
				return
			}
			j.end(nil, func(a *agent) {
				a.readGate()
				a.n.HasCut(cut, f.Executed)
			})
		})
	})
}

// fence is everything that stops clients from writing here, in order.
func (j *job) fence() {
	a, h, srv := j.a, j.a.h, j.a.h.srv
	a.keeper.Latch(j.step.Epoch)
	h.gate.mode = reconcile.GateClosed
	h.addr.muted = true
	silenced := func(err error) {
		if err != nil {
			j.end(err, nil)
			return
		}
		j.end(nil, func(a *agent) {
			a.readGate()
			a.readAddresses()
			a.n.HasFenced(j.step.Epoch)
			a.observeNow()
			if a.w.chaos.over == 0 && a.w.chance(0.1) {
				a.w.after(a.w.between(time.Millisecond, 20*time.Millisecond), func() { a.w.chaos.strikeAt(AgentKill, a.h) })
			}
		})
	}
	kill := func() {
		srv.crash("by its agent's hand")
		silenced(nil)
	}
	j.in(0, 2*time.Millisecond, func() {
		switch {
		case !srv.up:
			silenced(nil)
		case srv.hung:
			kill()
		default:
			j.sql(func(s *server) error { s.releaseWaiters(); return nil }, func(err error) {
				if j.cancelled {
					j.end(errCancelled, nil)
					return
				}
				if err != nil {
					kill()
					return
				}
				j.readOnly(func(err error) {
					if j.cancelled {
						j.end(errCancelled, nil)
						return
					}
					if err != nil {
						kill()
						return
					}
					a.observe(func(_ cluster.ServerFact, err error) { silenced(err) })
				})
			})
		}
	})
}

// readOnly sets read_only with a lock wait of one second.
func (j *job) readOnly(then func(error)) {
	a := j.a
	j.sql(func(s *server) error {
		s.setReadOnly(true, time.Second, func(err error) { a.deliver(func() { then(err) }) })
		return nil
	}, func(err error) {
		if err != nil {
			then(err)
		}
	})
}

func (j *job) setWritable() {
	a, epoch := j.a, j.step.Epoch
	if !a.keeper.Held.Valid(epoch, a.h.clock()) {
		j.end(errLeaseOver, nil)
		return
	}
	j.sql(func(s *server) error {
		if j.step.On {
			s.skipNumbers(epoch)
		}
		s.setReadOnly(false, 0, func(error) {})
		return nil
	}, func(err error) {
		if err == nil && !a.keeper.Held.Valid(epoch, a.h.clock()) {
			j.readOnly(func(error) { j.end(errLeaseOver, nil) })
			return
		}
		j.endWithALook(err, nil)
	})
}

// promise blocks the path to all others, stops receiving, and reads what is held.
func (j *job) promise() {
	a, h := j.a, j.a.h
	for _, o := range a.w.nodes {
		if o != h && o.data {
			h.gate.block(o.name)
		}
	}
	if h.gate.mode == reconcile.GateMissing {
		h.gate.mode = reconcile.GateClosed
	}
	a.observe(func(before cluster.ServerFact, err error) {
		if err != nil {
			j.end(err, nil)
			return
		}
		p := cluster.Promise{Epoch: j.step.Epoch}
		stop := func(do func(*server) error, then func(error)) { j.sql(do, then) }
		if slow := a.w.stage.slowStop; slow > 0 {
			stop = func(do func(*server) error, then func(error)) { j.in(slow, slow, func() { j.sql(do, then) }) }
		}
		stop(func(s *server) error {
			s.stopReceiver()
			p.Received, p.Executed, p.Marker = s.received(), s.set(), s.marker
			return nil
		}, func(err error) {
			if err != nil {
				j.end(err, nil)
				return
			}
			a.observe(func(f cluster.ServerFact, err error) {
				switch {
				case err != nil:
				case f.Replica.Started:
					err = errReceiver
				case f.Start != before.Start:
					err = errRestarted
				}
				p.Start = f.Start
				if err != nil {
					j.end(err, nil)
					return
				}
				j.end(nil, func(a *agent) {
					a.readGate()
					a.n.Promise = &p
				})
			})
		})
	})
}

// apply waits until a position is applied.
func (j *job) apply(before gtid.Set) {
	a := j.a
	j.sql(func(s *server) error {
		s.applyNext()
		executed := s.set()
		if !executed.Equal(before) {
			before = executed
			a.n.Progress = "applied " + executed.String()
		}
		switch {
		case executed.Contains(j.step.Position):
			return nil
		case s.replica.source == nil, !s.replica.started && !s.received().Contains(j.step.Position):
			return errReceiver
		}
		return errUnapplied
	}, func(err error) {
		if errors.Is(err, errUnapplied) {
			a.look()
			j.in(5*time.Millisecond, 20*time.Millisecond, func() { j.apply(before) })
			return
		}
		j.endWithALook(err, nil)
	})
}

// drain waits for open transactions, turns read-only, and reads the position.
func (j *job) drain() {
	a := j.a
	j.in(0, 20*time.Millisecond, func() {
		j.readOnly(func(err error) {
			if err == nil && j.cancelled {
				err = errCancelled
			}
			if err != nil {
				j.end(err, nil)
				return
			}
			a.observe(func(f cluster.ServerFact, err error) {
				if err == nil && !f.ReadOnly {
					err = errServerDown
				}
				if err != nil {
					j.end(err, nil)
					return
				}
				j.end(nil, func(a *agent) { a.n.Drained = &cluster.Position{Epoch: j.step.Epoch, At: f.Executed} })
			})
		})
	})
}

// marker writes the first transaction of a reign and waits until it is
// acknowledged.
func (j *job) marker() {
	a, epoch := j.a, j.step.Epoch
	committed, broken := false, false
	life := a.h.srv.life
	var wait func()
	wait = func() {
		switch {
		case committed:
			j.end(nil, func(a *agent) { a.n.Marked = epoch })
		case broken, !a.h.srv.up, a.h.srv.life != life:
			j.end(errServerDown, nil)
		default:
			j.in(2*time.Millisecond, 10*time.Millisecond, wait)
		}
	}
	j.sql(func(s *server) error {
		if !s.writable() || s.locking {
			return errServerDown
		}
		s.commit(nil, epoch, func(ok bool) { committed, broken = ok, !ok })
		return nil
	}, func(err error) {
		if err != nil {
			j.end(err, nil)
			return
		}
		wait()
	})
}

func without[T comparable](list []T, drop ...T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(v T) bool { return slices.Contains(drop, v) })
}
