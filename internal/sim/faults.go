package sim

import (
	"fmt"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Fault is a kind of trouble, by name.
type Fault string

// The faults.
const (
	ServerCrash  Fault = "server-crash"
	ServerHang   Fault = "server-hang"
	DiskFull     Fault = "disk-full"
	ServerStop   Fault = "server-shutdown"
	HostCrash    Fault = "host-crash"
	AgentKill    Fault = "agent-kill"
	AgentFreeze  Fault = "agent-freeze"
	AgentStop    Fault = "agent-stop"
	CutLink      Fault = "cut-link"
	CutOneWay    Fault = "cut-one-way"
	Isolate      Fault = "isolate"
	IsolateNodes Fault = "isolate-from-nodes"
	Split        Fault = "split"
	SlowLink     Fault = "slow-link"
	StoreLoss    Fault = "store-loses-answers"
	StoreSlow    Fault = "store-slow"
	StoreLeader  Fault = "store-leader"
	StoreAway    Fault = "store-without-quorum"
	StoreDown    Fault = "store-down"        // the nodes reach each other
	StoreCutOff  Fault = "store-unreachable" // from some nodes, which reach each other
	Switchover   Fault = "switchover"
	Failover     Fault = "failover"
)

// faults are those that are drawn one after the other. ServerStop comes beside them.
var faults = [...]Fault{ServerCrash, ServerHang, DiskFull, HostCrash, AgentKill, AgentFreeze, AgentStop, CutLink, CutOneWay, Isolate,
	IsolateNodes, Split, SlowLink, StoreLoss, StoreSlow, StoreLeader, StoreAway, StoreDown, StoreCutOff, Switchover, Switchover, Switchover, Failover}

// chaos draws faults, and what undoes them.
type chaos struct {
	w         *world
	storeLoss float64
	storeSlow time.Duration
	storeDown int64 // until when a fault keeps it down
	storeSick int64
	undo      []func() // of the faults that are going on
	over      int64    // when they ended; 0: not yet
	served    int64    // when a client was last answered
	asked     int
}

func (c *chaos) begin(w *world) {
	c.w = w
	w.after(w.between(3*time.Second, 6*time.Second), c.next)
	if w.draw.stops != nil {
		c.stopNext()
	}
}

func (c *chaos) next() {
	w := c.w
	if time.Duration(w.now) > w.draw.faults {
		c.end()
		return
	}
	c.strike(faults[w.rng.IntN(len(faults))])
	if w.chance(0.2) { // two at once
		c.strike(faults[w.rng.IntN(len(faults))])
	}
	pause := w.between(w.draw.apart/4, 2*w.draw.apart)
	if w.chance(0.3) {
		pause = w.between(0, w.settings.Lease/2) // while the last is being dealt with
	}
	w.after(pause, c.next)
}

// strikeNow has one fault begin, unless they are over.
func (c *chaos) strikeNow() {
	if c.over == 0 {
		c.strike(faults[c.w.rng.IntN(len(faults))])
	}
}

// end undoes everything and waits for the cluster to be well.
func (c *chaos) end() {
	w := c.w
	for _, u := range c.undo {
		if u != nil {
			u()
		}
	}
	for _, h := range w.nodes {
		h.start()
		h.startAgent()
		if h.srv != nil {
			w.after(w.between(0, time.Second), h.srv.start)
		}
	}
	c.over = w.now
	w.trace("", "the faults are over")
	w.after(500*time.Millisecond, w.settle)
}

// lasts has undo called after a while, or when the faults end.
func (c *chaos) lasts(low, high time.Duration, undo func()) {
	i := len(c.undo)
	once := func() {
		if c.undo[i] != nil {
			c.undo[i] = nil
			undo()
		}
	}
	c.undo = append(c.undo, once)
	c.w.after(c.w.between(low, high), once)
}

// sicken notes that a fault troubles a host until it is undone.
func (h *host) sicken() { h.sick = h.w.now }

// victim draws a host: mostly the primary's.
func (c *chaos) victim(data bool) *host {
	w := c.w
	if p := w.node(w.store.record.value.Primary); p != nil && w.chance(0.5) {
		return p
	}
	if p := w.node(w.store.record.value.Candidate); p != nil && w.chance(0.5) {
		return p
	}
	for {
		if h := w.nodes[w.rng.IntN(len(w.nodes))]; h.data || !data {
			return h
		}
	}
}

func (c *chaos) strike(f Fault) {
	w := c.w
	phase := w.store.record.value.Phase
	if phase == "" {
		phase = "none"
	}
	if w.result.Coverage[f] == nil {
		w.result.Coverage[f] = map[cluster.Phase]int{}
	}
	w.result.Coverage[f][phase]++
	c.strikeAt(f, c.victim(f == ServerCrash || f == ServerHang || f == DiskFull || f == ServerStop))
}

// strikeAt has a fault begin at a host.
func (c *chaos) strikeAt(f Fault, h *host) {
	w, l, phase := c.w, c.w.settings.Lease, c.w.store.record.value.Phase
	w.trace("***", "%s at %s (phase %s)", f, h.name, phase)
	switch f {
	case ServerCrash, ServerHang, DiskFull, ServerStop:
		h.sicken()
		c.strikeServer(f, h)
	case HostCrash:
		h.sicken()
		h.crash()
		c.lasts(l, 20*time.Second, h.start)
	case AgentKill:
		h.sicken()
		h.killAgent()
		c.lasts(10*time.Millisecond, 3*l, h.startAgent)
	case AgentFreeze:
		h.frozen = max(h.frozen, w.now+int64(w.between(10*time.Millisecond, 4*l)))
		h.sick = h.frozen
	case AgentStop:
		h.sicken()
		if a := h.agent; a != nil {
			a.deliver(func() { a.n.Leaving = true; a.look() })
			a.after(2*l+time.Second, a.left)
			c.lasts(3*l, 6*l, h.startAgent)
		}
	case StoreLoss:
		c.storeLoss, c.storeSick = w.rng.Float64(), w.now
		c.lasts(0, 3*l, func() { c.storeLoss, c.storeSick = 0, w.now })
	case StoreSlow:
		c.storeSlow, c.storeSick = w.between(0, l/4), w.now
		c.lasts(0, 5*l, func() { c.storeSlow, c.storeSick = 0, w.now })
	case StoreLeader:
		w.store.leader = -1
	case StoreAway:
		c.storeSick = w.now
		for i := range w.nodes {
			for j := range i {
				c.cut(i, j, 0, 3*l)
				c.cut(j, i, 0, 3*l)
			}
		}
	case StoreDown:
		c.storeDown = w.now + int64(w.between(l/4, 8*l+w.draw.apart))
		c.storeSick = w.now
		c.undo = append(c.undo, func() { c.storeDown = w.now })
	case StoreCutOff:
		for i := range w.nodes {
			if i == h.i || w.chance(0.5) {
				w.store.unreached[i]++
				w.nodes[i].sicken()
				c.lasts(l/4, 8*l, func() { w.store.unreached[i]--; w.nodes[i].sicken() })
			}
		}
	case Switchover, Failover:
		c.ask(f)
	default:
		c.strikeNetwork(f, h)
	}
}

func (c *chaos) strikeServer(f Fault, h *host) {
	w := c.w
	switch f {
	case ServerCrash:
		h.srv.crash("")
	case ServerStop:
		h.srv.shutDown(w.between(0, 3*w.settings.Hang), w.between(0, time.Second))
	case ServerHang:
		if !h.srv.listens() {
			return
		}
		h.srv.hung = true
		life := h.srv.life
		c.lasts(10*time.Millisecond, 3*w.settings.Hang, func() {
			h.sicken()
			if h.srv.life == life {
				h.srv.goOn()
			}
		})
	case DiskFull:
		h.srv.full = true
		c.lasts(100*time.Millisecond, 4*w.settings.Hang, func() { h.srv.full = false; h.sicken() })
	}
}

// cut stops packets from one host to another for a while.
func (c *chaos) cut(from, to int, low, high time.Duration) {
	w := c.w
	w.net.cut[from][to]++
	c.touched(from, to)
	c.lasts(low, high, func() {
		w.net.cut[from][to]--
		c.touched(from, to)
	})
}

// touched notes that a way between two hosts changed.
func (c *chaos) touched(from, to int) {
	for _, i := range []int{from, to} {
		if i < len(c.w.nodes) {
			c.w.nodes[i].sicken()
		}
	}
}

func (c *chaos) strikeNetwork(f Fault, h *host) {
	w, l := c.w, c.w.settings.Lease
	other := w.rng.IntN(len(w.nodes))
	if other == h.i {
		other = w.net.clientsAt()
	}
	long := w.between(10*time.Millisecond, 6*l)
	both := func(a, b int) {
		c.cut(a, b, long, long)
		c.cut(b, a, long, long)
	}
	switch f {
	case CutLink:
		both(h.i, other)
	case CutOneWay:
		if w.chance(0.5) {
			c.cut(h.i, other, long, long)
		} else {
			c.cut(other, h.i, long, long)
		}
	case Isolate, IsolateNodes:
		for j := range w.net.cut {
			if j != h.i && (f == Isolate || j != w.net.clientsAt()) {
				both(h.i, j)
			}
		}
	case Split:
		for i := range w.nodes {
			for j := range i {
				if w.rng.IntN(2) == 0 {
					both(i, j)
				}
			}
		}
	case SlowLink:
		w.net.slow[h.i][other]++
		w.net.slow[other][h.i]++
		c.touched(h.i, other)
		c.lasts(long, long, func() {
			w.net.slow[h.i][other]--
			w.net.slow[other][h.i]--
			c.touched(h.i, other)
		})
	}
}

// ask writes a person's request into the store.
func (c *chaos) ask(f Fault) {
	w := c.w
	c.asked++
	q := cluster.Request{Schema: cluster.Schema, ID: fmt.Sprintf("r%d", c.asked), Kind: cluster.RequestSwitchover, By: "somebody"}
	if f == Failover {
		q.Kind = cluster.RequestFailover
	}
	if w.chance(0.5) {
		data := w.settings.DataNodes()
		q.To = data[w.rng.IntN(len(data))]
	}
	if w.store.serves() {
		_, _ = w.store.putRequest(q)
	}
}

// goOn lets a server that was stopped by a signal run again.
func (s *server) goOn() {
	s.hung = false
	s.trace("the server goes on")
	s.feed()
	s.applyNext()
}
