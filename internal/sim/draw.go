package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/detect"
)

// draw is what a seed decides besides the settings.
type draw struct {
	limits  detect.Limits
	timeout time.Duration // of a probe of a port
	apply   time.Duration // a replica applies one transaction in up to this
	link    time.Duration // a packet takes up to this on its way
	trunc   bool          // a crashed primary comes back without the end of its log
	start   bool          // agents know how to start their server
	adopted bool          // the cluster runs with a writable primary before the agents start
	faults  time.Duration // for how long faults are drawn
	apart   time.Duration // from one to the next, about
	stops   *rand.Rand    // when servers are shut down; nil: never
}

// found draws a cluster and starts it.
func (w *world) found() {
	r := w.rng
	s := cluster.Settings{Cluster: "sim", Durability: cluster.Lossless, Acks: 1, Alone: cluster.AloneContinue, Drift: 0.01, CoolDown: 10 * time.Second}
	ms := time.Millisecond
	profile := "balanced"
	if r.IntN(2) == 0 {
		profile = "fast"
		s.Lease, s.Margin, s.Beat, s.Hang, s.Drain, s.PromoteStall = 750*ms, 20*ms, time.Second, time.Second, 2*time.Second, 5*time.Second
		w.draw.limits = detect.Limits{Normal: 250 * ms, Suspect: 100 * ms, Critical: 50 * ms, Hang: s.Hang}
		w.draw.timeout = 200 * ms
	} else {
		s.Lease, s.Margin, s.Beat, s.Hang, s.Drain, s.PromoteStall = 2*time.Second, 50*ms, time.Second, 3*time.Second, 3*time.Second, 10*time.Second
		w.draw.limits = detect.Limits{Normal: time.Second, Suspect: 250 * ms, Critical: 100 * ms, Hang: s.Hang}
		w.draw.timeout = 500 * ms
	}
	s.Renew, s.Call = s.Lease/4, s.Lease/8
	s.Handoff, s.AckLeave, s.PromiseWait = max(2*s.Drain, 2*s.Lease), 2*s.Lease, s.Lease/2
	if r.IntN(4) == 0 {
		s.Durability = cluster.Async
		s.BackFill = []time.Duration{0, 50 * ms, 5 * time.Second}[r.IntN(3)]
	}
	if r.IntN(4) == 0 {
		s.Alone = cluster.AloneWait
	}
	shape := []string{"2+witness", "2+witness", "3", "3", "5", "3+2"}[r.IntN(6)]
	add := func(name cluster.NodeName, role cluster.Role, site string) {
		s.Nodes = append(s.Nodes, cluster.Node{Name: name, Role: role, Site: site})
	}
	data := map[string]int{"2+witness": 2, "3": 3, "5": 5, "3+2": 5}[shape]
	for i := range data {
		site := ""
		if shape == "3+2" {
			site = []string{"east", "east", "east", "west", "west"}[i]
		}
		add(cluster.NodeName(fmt.Sprintf("db%d", i+1)), cluster.Data, site)
	}
	if shape == "2+witness" {
		add("w1", cluster.Witness, "")
	}
	w.settings = s
	w.draw.apply = []time.Duration{ms, 5 * ms, 50 * ms, 150 * ms}[r.IntN(4)]
	w.draw.link = []time.Duration{ms, 5 * ms, 20 * ms}[r.IntN(3)]
	w.draw.trunc, w.draw.start, w.draw.adopted = r.IntN(2) == 0, r.IntN(4) != 0, r.IntN(2) == 0
	w.draw.faults, w.draw.apart = w.between(40*time.Second, 90*time.Second), w.between(s.Lease, 6*s.Lease)
	if w.chance(0.15) { // one thing at a time, and for long
		w.draw.faults, w.draw.apart = 3*time.Minute, w.between(10*time.Second, 40*time.Second)
	}
	w.result.About = fmt.Sprintf("%s nodes, %s, %s, alone: %s; links up to %s, applying up to %s, truncating: %t, agents start servers: %t, adopted: %t, a fault every %s or so",
		shape, s.Durability, profile, s.Alone, w.draw.link, w.draw.apply, w.draw.trunc, w.draw.start, w.draw.adopted, w.draw.apart.Round(ms))
	w.trace("", "%s", w.result.About)
	w.assemble()
	w.chaos.begin(w)
}

// assemble puts the hosts, the store, the agents and the clients of the settings
// in place.
func (w *world) assemble() {
	s := w.settings
	w.net = newNetwork(w, len(s.Nodes)+1)
	for i, n := range s.Nodes {
		w.nodes = append(w.nodes, newHost(w, i, n))
	}
	w.store = newStore(w)
	for _, h := range w.nodes {
		w.after(w.between(0, 500*time.Millisecond), func() { h.startAgent() })
	}
	for i := range 3 {
		w.clients = append(w.clients, newClient(w, i))
	}
}
