package sim

import (
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
	"github.com/baton-db/baton/internal/core/reconcile"
)

// host is one machine: its kernel, its clock, its server and its agent.
type host struct {
	w    *world
	i    int
	name cluster.NodeName
	data bool

	up   bool
	rate float64 // speed of its clock
	boot int64   // when it booted
	gate gate
	addr address

	srv     *server
	agent   *agent
	agents  int                                  // incarnations
	memory  cluster.Epoch                        // on its disk
	pledge  lease.Pledge                         // on its disk, too
	pledged bool                                 // it is of this boot
	grants  map[cluster.NodeName]cluster.Instant // of promises to it
	frozen  int64                                // its agent stands still until then
	sick    int64                                // when a fault last troubled it (invariants)
	still   int64                                // since when it stands still as a whole, its clock with it; 0: it does not
	astray  int64                                // until then its lease may look valid because it stood still
	wallOff time.Duration                        // how far its wall clock is off
}

// gate is the kernel's firewall table.
type gate struct {
	mode    reconcile.GateMode
	until   cluster.Instant
	cut     []cluster.NodeName
	blocked []cluster.NodeName
}

// address is the cluster's virtual address on a host.
type address struct {
	bound, muted bool
	until        cluster.Instant
}

func newHost(w *world, i int, n cluster.Node) *host {
	h := &host{w: w, i: i, name: n.Name, data: n.Role == cluster.Data, up: true, gate: gate{mode: reconcile.GateMissing}}
	h.rate = 1 + (w.rng.Float64()-0.5)*0.98*w.settings.Drift
	h.boot = -int64(w.between(time.Minute, time.Hour))
	if h.data {
		h.srv = newServer(w, h)
	}
	return h
}

// clock is what the host's monotonic clock shows.
func (h *host) clock() cluster.Instant {
	now := h.w.now
	if h.still != 0 {
		now = h.still
	}
	return cluster.Instant(float64(now-h.boot)*h.rate) + 1
}

// pause has a virtual machine stand still as a whole for a while: its agent, its
// server, its kernel's timers, and, if clockToo, its clock. Nobody reaches it.
func (h *host) pause(d time.Duration, clockToo bool) {
	w := h.w
	w.trace(string(h.name), "the machine stands still for %s, its clock too: %t", d, clockToo)
	h.sicken()
	h.frozen = max(h.frozen, w.now+int64(d))
	begun, boot := w.now, h.boot
	if clockToo {
		h.still = w.now
	}
	runs := h.srv != nil && h.srv.answers()
	if runs {
		h.srv.hung = true
	}
	reach := func(by int) {
		for i := range w.net.cut {
			if i != h.i {
				w.net.cut[h.i][i] += by
				w.net.cut[i][h.i] += by
				w.chaos.touched(h.i, i)
			}
		}
	}
	reach(1)
	w.after(d, func() {
		reach(-1)
		if clockToo && h.boot == boot {
			h.boot += w.now - begun
			h.astray = w.now + int64(w.settings.Lease) + int64(w.settings.Lease)/50
		}
		h.still = 0
		w.trace(string(h.name), "the machine goes on")
		if runs {
			h.srv.goOn()
		}
	})
}

// wait is how long a timer of the host takes.
func (h *host) wait(d time.Duration) time.Duration { return time.Duration(float64(d)/h.rate) + 1 }

// mode is for whom the gate is open now: the kernel's timers run by themselves.
func (h *host) mode() reconcile.GateMode {
	if h.gate.mode == reconcile.GateOpenLeased && h.clock() >= h.gate.until {
		return reconcile.GateClosed
	}
	return h.gate.mode
}

// passes reports whether clients' packets get through the gate.
func (h *host) passes() bool { return h.up && h.mode() != reconcile.GateClosed }

// has reports whether the address is bound here, and whether it is announced.
func (h *host) has() (bound, announced bool) {
	bound = h.up && h.addr.bound && h.clock() < h.addr.until
	return bound, bound && !h.addr.muted
}

func (h *host) boundHere() []string {
	if bound, _ := h.has(); bound {
		return []string{"vip"}
	}
	return nil
}

// extend hands a lease to the kernel.
func (h *host) extend(until cluster.Instant) {
	h.gate.mode, h.gate.until = reconcile.GateOpenLeased, until
	h.w.checkGrant(h, until)
	if bound, _ := h.has(); bound {
		h.addr.until = h.wholeSeconds(until)
	}
}

// wholeSeconds is when the kernel drops an address that is valid until then.
func (h *host) wholeSeconds(until cluster.Instant) cluster.Instant {
	left := max(until.Sub(h.clock()), 0)
	return h.clock().Add((left + time.Second - 1).Truncate(time.Second))
}

// linked reports whether replica r's connection to source's server passes both
// gates and the network.
func (w *world) linked(r, source *host) bool {
	return r.up && source.up && w.net.both(r.i, source.i) && !w.refused(r, source)
}

// refused reports that one of the gates resets a connection of r to source.
func (w *world) refused(r, source *host) bool {
	return slices.Contains(source.gate.cut, r.name) || slices.Contains(r.gate.blocked, source.name)
}

// crash takes the power away.
func (h *host) crash() {
	h.w.trace(string(h.name), "the host loses its power")
	h.killAgent()
	if h.srv != nil {
		h.srv.crash("with its host")
	}
	h.up, h.pledged = false, false
	h.gate = gate{mode: reconcile.GateMissing}
	h.addr = address{}
}

// start boots the host; its agent and its server come with it.
func (h *host) start() {
	if h.up {
		return
	}
	h.w.trace(string(h.name), "the host boots")
	h.up, h.boot, h.grants = true, h.w.now, nil // its clock begins anew
	h.startAgent()
	if h.srv != nil {
		h.w.after(h.w.between(200*time.Millisecond, 2*time.Second), h.srv.start)
	}
}

func (h *host) killAgent() {
	if h.agent != nil {
		h.agent.dead = true
		h.agent = nil
		h.w.trace(string(h.name), "the agent is killed")
	}
	h.w.store.watches[h.i].broken = true
}
