package sim

import (
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// patience is how long a person waits, once the faults are over, before doing
// what only a person may do.
const patience = 20 * time.Second

// helpOut does what docs/failures.md asks a person to do: provision nodes anew
// that have transactions of their own, and decide an election whose promises
// will not come.
func (w *world) helpOut() {
	if time.Duration(w.now-w.chaos.over) < patience {
		return
	}
	r := w.store.record.value
	if p := w.node(r.Primary); p != nil && p.srv.writable() && p.passes() {
		for _, h := range w.nodes {
			if h.data && h != p && h.agent != nil && (h.agent.n.Divergence.Held() != "" || h.srv.replica.problem != "") {
				if w.unreported(h.srv, p.srv, w.store.facts[h.name].value) != "" {
					continue // nobody throws away what nobody has told of
				}
				w.told(h.srv.log, p.srv)
				w.result.Recloned++
				h.srv.clone(p.srv)
			}
		}
		return
	}
	if r.Phase == cluster.PhaseElecting && !r.Force && !w.result.Forced && slices.ContainsFunc(w.nodes, func(h *host) bool { return h.agent != nil && h.agent.n.Divergence.Held() != "" }) {
		w.result.Forced = true
		w.trace("", "a person forces the election")
		_, _ = w.store.putRequest(cluster.Request{Schema: cluster.Schema, ID: "force", Kind: cluster.RequestFailover, Force: true, By: "somebody"})
	}
}

// clone provisions this server anew from another's data.
func (s *server) clone(of *server) {
	s.trace("provisioned anew from %s", of.h.name)
	s.up = false
	s.waiting = nil
	s.log = slices.Clone(of.log)
	s.counted = 0
	s.last = [8]uint64{}
	s.marker = of.marker
	s.replica = replica{}
	s.start()
}
