package sim

import (
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// write is one write of a client.
type write struct {
	n     int
	acked bool // its client was told that it is committed
	by    cluster.NodeName
	at    int64
}

// client writes again and again, mostly to whoever has the address.
type client struct {
	w  *world
	at int // its host in the network
}

func newClient(w *world, i int) *client {
	c := &client{w: w, at: w.net.clientsAt()}
	w.after(w.between(0, 100*time.Millisecond), c.writeNext)
	return c
}

// target is the server that the client would reach now.
func (c *client) target() *host {
	if c.w.chance(0.1) { // some know the servers' own addresses
		return c.w.nodes[c.w.rng.IntN(len(c.w.nodes))]
	}
	for _, h := range c.w.nodes {
		if _, announced := h.has(); announced && c.w.net.both(c.at, h.i) {
			return h
		}
	}
	return nil
}

func (c *client) writeNext() {
	w := c.w
	pause := w.between(20*time.Millisecond, 300*time.Millisecond)
	again := false
	next := func() {
		if !again {
			again = true
			w.after(pause, c.writeNext)
		}
	}
	h := c.target()
	if w.stage.quiet || h == nil || !h.data || !w.net.open(c.at, h.i) {
		next()
		return
	}
	w.after(time.Second, next) // it gives a silent server up
	w.after(w.net.delay(c.at, h.i), func() {
		if !h.passes() || !h.srv.writable() || h.srv.locking || h.srv.backup {
			return
		}
		v := &write{n: len(w.writes)}
		w.writes = append(w.writes, v)
		h.srv.commit(v, 0, func(ok bool) {
			if !ok || !h.passes() || !h.srv.answers() {
				return // the answer does not leave the host
			}
			w.acknowledge(v, h)
			next()
		})
	})
}

// acknowledge notes that an answer left for the client.
func (w *world) acknowledge(v *write, h *host) {
	v.acked, v.by, v.at = true, h.name, w.now
	w.result.Written++
	w.gap = max(w.gap, w.now-w.chaos.served)
	w.chaos.served = w.now
}
