// Package sim answers whether whole clusters keep Baton's promises under any mix
// of faults: it runs the production code of internal/core (decide, reconcile,
// node, lease, detect, candidate, gtid) for every node of a cluster on one
// goroutine under virtual time, against a simulated store, servers, kernels,
// network and clients.
//
// It never reads a real clock and holds no copy of a decision: what is simulated
// is the world, and the hands that carry steps out in it. The one rule: a run
// is determined by its seed alone, so that a failing one can be run again.
package sim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Options say what to run.
type Options struct {
	Seed uint64
	// Trace keeps a readable line for everything that matters.
	Trace bool
}

// Result is what one run came to.
type Result struct {
	Seed     uint64
	About    string // the cluster and its settings, in one line
	Steps    int    // delivered events that ran Decide and Reconcile
	Events   int
	Switches int // reigns that began after the first
	Promised int // times that a lease was prolonged by promises, without the store
	Written  int // writes that clients saw acknowledged
	Lost     int // of those, writes that asynchronous replication lost
	Filled   int // transactions brought over from the logs of dead primaries
	Virtual  time.Duration
	// Recloned counts what a person provisioned anew, once the faults were over.
	Recloned int
	// Forced says that a person had to decide an election: its promises could
	// not come. Writes may be lost then.
	Forced bool
	// Coverage counts faults by kind and by the record's phase when they began.
	Coverage map[Fault]map[cluster.Phase]int
	// Violation says which promise was broken; empty if none was.
	Violation string
	Trace     []string
}

// world is everything that is simulated in one run.
type world struct {
	rng   *rand.Rand
	now   int64 // ns since the run began; no node sees it
	queue queue
	order uint64

	settings cluster.Settings
	draw     draw
	nodes    []*host
	store    *store
	net      *network
	clients  []*client
	writes   []*write
	reported map[*write]bool // acknowledged, lost by asynchronous replication, told of and then gone with the log they were in
	chaos    chaos
	scripted bool             // nothing happens but what a script says
	why      []cluster.Reason // of the record's changes, in order
	gap      int64            // longest time between two answers to clients
	stage    directions       // what a story wants to the moment

	result  Result
	tracing bool
	ended   bool
}

// Run runs one cluster from its foundation through a time of faults to the end
// of a quiet time.
func Run(o Options) Result {
	w := newWorld(o)
	w.shutdowns(o.Seed)
	w.found()
	w.run()
	return w.result
}

func newWorld(o Options) *world {
	w := &world{reported: map[*write]bool{}, rng: rand.New(rand.NewPCG(o.Seed, 0x9e3779b97f4a7c15)), tracing: o.Trace}
	w.result = Result{Seed: o.Seed, Coverage: map[Fault]map[cluster.Phase]int{}}
	return w
}

// run has everything happen in order until the run ends.
func (w *world) run() {
	for !w.ended && len(w.queue) > 0 {
		w.step()
	}
	w.result.Virtual = time.Duration(w.now)
}

// runUntil has everything happen in order that happens until t.
func (w *world) runUntil(t int64) {
	for !w.ended && len(w.queue) > 0 && w.queue[0].at <= t {
		w.step()
	}
	w.now = max(w.now, t)
}

// step has the next event happen.
func (w *world) step() {
	e := heap.Pop(&w.queue).(event)
	w.now = max(w.now, e.at)
	w.result.Events++
	e.do()
	w.check()
}

// event is something that happens at a moment.
type event struct {
	at    int64
	order uint64
	do    func()
}

type queue []event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(v any)   { *q = append(*q, v.(event)) }
func (q *queue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*q = old[:len(old)-1]
	return e
}

func (w *world) at(t int64, do func()) {
	w.order++
	heap.Push(&w.queue, event{at: t, order: w.order, do: do})
}

func (w *world) after(d time.Duration, do func()) { w.at(w.now+int64(d), do) }

// between draws a duration.
func (w *world) between(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(w.rng.Int64N(int64(high-low)))
}

// chance draws whether something of that probability happens.
func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

// wall is the true wall clock; a host's own may be off (host.wallOff).
func (w *world) wall() time.Time { return time.Unix(1_700_000_000, 0).Add(time.Duration(w.now)) }

func (w *world) trace(who, format string, args ...any) {
	if w.tracing {
		w.result.Trace = append(w.result.Trace, fmt.Sprintf("%11.6f %-4s %s", time.Duration(w.now).Seconds(), who, fmt.Sprintf(format, args...)))
	}
}

// violate ends the run: a promise was broken.
func (w *world) violate(format string, args ...any) {
	if w.ended {
		return
	}
	w.result.Violation = fmt.Sprintf("at %.6f s: ", time.Duration(w.now).Seconds()) + fmt.Sprintf(format, args...)
	w.trace("!!!", "%s", w.result.Violation)
	w.ended = true
}

func (w *world) node(n cluster.NodeName) *host {
	for _, h := range w.nodes {
		if h.name == n {
			return h
		}
	}
	return nil
}
