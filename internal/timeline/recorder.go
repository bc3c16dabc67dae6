package timeline

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/core/candidate"
	"github.com/baton-db/baton/internal/core/cluster"
)

// Bounds of what one node keeps, so that a cluster that switches back and
// forth for a week fills neither memory nor the store.
const (
	maxEvents  = 200 // per part
	maxSights  = 64  // per part
	maxParts   = 8   // in memory; the store has the rest
	maxBeacons = 64
)

// Options describe a Recorder.
type Options struct {
	Node  cluster.NodeName
	Clock string                 // identity of the clock: the host's boot id
	Now   func() cluster.Instant // that clock
	// RunUp is how long before a switch an event may have begun to belong to
	// it; zero means one minute.
	RunUp time.Duration
	// Settle is how long after the new reign began the last steps of the
	// switch may still begin; zero means one minute.
	Settle time.Duration
}

// Recorder keeps one node's part of the timeline. All methods may be called
// by several goroutines at once.
type Recorder struct {
	node          cluster.NodeName
	clock         string
	now           func() cluster.Instant
	runUp, settle time.Duration

	mu       sync.Mutex
	parts    []*part // by epoch
	known    bool    // a record has been seen
	epoch    cluster.Epoch
	phase    cluster.Phase
	rev      cluster.Revision
	steadyAt cluster.Instant
	before   []*event // begun in steady: may turn out to be the run-up to a switch
	beacons  []Beacon
}

type part struct {
	NodePart
	events []*event
	saved  uint64
}

// event is shared between the part it belongs to and the Running that ends it.
type event struct {
	Event
	ended bool
	in    *part // nil while it only waits in Recorder.before
}

// NewRecorder returns a recorder that has seen nothing yet.
func NewRecorder(o Options) *Recorder {
	return &Recorder{
		node: o.Node, clock: o.Clock, now: o.Now,
		runUp: cmp.Or(o.RunUp, time.Minute), settle: cmp.Or(o.Settle, time.Minute),
	}
}

// Resume gives back what an earlier run of this agent stored of an epoch that
// may still be going on. Parts of another boot are left alone: their instants
// mean nothing to this clock. Call it before anything else is recorded.
func (r *Recorder) Resume(p NodePart) bool {
	if p.Node != r.node || p.Clock != r.clock || p.Schema > Schema {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.find(p.Epoch) != nil {
		return false
	}
	resumed := &part{NodePart: p, saved: p.Seq}
	for _, e := range p.Events {
		// Whoever ran an open step is gone.
		resumed.events = append(resumed.events, &event{Event: e, ended: true, in: resumed})
	}
	r.insert(resumed)
	return true
}

// Saw notes that the watch delivered this record. The first one after a start
// is what the node found, not what it saw happen.
func (r *Recorder) Saw(rec cluster.Record, rev cluster.Revision) {
	r.saw(Sight{Rev: rev, Record: SightOf(rec)})
}

// Swapped notes that this node's swap made the record so, and why.
func (r *Recorder) Swapped(rec cluster.Record, rev cluster.Revision, why cluster.Reason, detail string) {
	r.saw(Sight{Rev: rev, Record: SightOf(rec), Mine: true, Why: why, Detail: detail})
}

func (r *Recorder) saw(s Sight) {
	s.At = r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.Rev <= r.rev {
		// The answer to a swap and the watch bring the same change. The
		// earlier one tells better when it was, the swap tells why.
		r.explain(s)
		return
	}
	s.Read = !r.known && !s.Mine
	newEpoch := s.Record.Epoch != r.epoch
	wasSteady := r.known && r.phase == cluster.PhaseSteady
	r.known = true
	r.epoch, r.phase, r.rev = s.Record.Epoch, s.Record.Phase, s.Rev
	if s.Record.Phase == cluster.PhaseSteady {
		if !wasSteady || newEpoch {
			r.steadyAt = s.At
		}
		if s.Read || (wasSteady && !newEpoch && s.At.Sub(r.steadyAt) > r.settle) {
			return // part of no switch
		}
	}
	p := r.open(s.Record.Epoch)
	if len(p.Sights) < maxSights && !slices.ContainsFunc(p.Sights, func(o Sight) bool { return o.Rev == s.Rev }) {
		p.Sights = append(p.Sights, s)
		p.Seq++
	}
	if newEpoch {
		if wasSteady {
			r.attachRunUp(p, s.At)
		}
		r.before = nil
	}
}

func (r *Recorder) explain(s Sight) {
	p := r.find(s.Record.Epoch)
	if p == nil || !s.Mine {
		return
	}
	for i := range p.Sights {
		if p.Sights[i].Rev == s.Rev && !p.Sights[i].Mine {
			p.Sights[i].Mine, p.Sights[i].Why, p.Sights[i].Detail = true, s.Why, s.Detail
			p.Seq++
		}
	}
}

// attachRunUp gives a new switch what led to it.
func (r *Recorder) attachRunUp(p *part, at cluster.Instant) {
	p.Beacons = slices.Clone(r.beacons)
	for _, e := range r.before {
		// A node that was cut off fenced itself long before it learned why.
		stale := at.Sub(e.At) > r.runUp && !fences(e.Step)
		if e.Outcome == Cleared || stale || len(p.events) >= maxEvents {
			continue
		}
		e.in = p
		p.events = append(p.events, e)
	}
}

// Beacon notes a change in the store other than of the record, which all nodes
// watch: a renewal of the lease, a fact. A node calls it when the watch
// delivers the change and, with mine set, when the store has answered its own
// write; the earlier of the two readings is kept.
func (r *Recorder) Beacon(rev cluster.Revision, mine bool) {
	at := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	i, known := slices.BinarySearchFunc(r.beacons, rev, func(b Beacon, rev cluster.Revision) int { return cmp.Compare(b.Rev, rev) })
	if known {
		r.beacons[i].Mine = r.beacons[i].Mine || mine
		return
	}
	r.beacons = slices.Insert(r.beacons, i, Beacon{Rev: rev, At: at, Mine: mine})
	if len(r.beacons) > maxBeacons {
		r.beacons = slices.Delete(r.beacons, 0, len(r.beacons)-maxBeacons)
	}
}

// Chose notes how the candidate of that epoch's election was chosen. The node
// whose swap it became calls it.
func (r *Recorder) Chose(epoch cluster.Epoch, c candidate.Choice) {
	choice := Choice{Chosen: c.Winner, By: c.Decided}
	for _, p := range c.Passed {
		choice.Passed = append(choice.Passed, Passed(p))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.open(epoch)
	p.Choice = &choice
	p.Seq++
}

// Running is a step that has begun.
type Running struct {
	r *Recorder
	e *event
}

// Begin notes that a step begins. Whoever calls it must call End.
func (r *Recorder) Begin(step Step, detail string) *Running {
	at := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	e := &event{Event: Event{Step: step, Rev: r.rev, Phase: r.phase, At: at, Detail: detail}}
	r.place(e)
	return &Running{r: r, e: e}
}

// End notes how the step ended. A detail that is not empty replaces the one it
// began with. Only the first call counts.
func (s *Running) End(outcome Outcome, detail string) {
	if s == nil {
		return // nothing was begun that belongs on the timeline
	}
	at := s.r.now()
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if s.e.ended {
		return
	}
	s.e.ended = true
	s.e.Took, s.e.Outcome = at.Sub(s.e.At), outcome
	s.e.Detail = cmp.Or(detail, s.e.Detail)
	if s.e.in != nil {
		s.e.in.Seq++
	}
}

// Note records a step that takes no time.
func (r *Recorder) Note(step Step, outcome Outcome, detail string) {
	r.Begin(step, "").End(outcome, detail)
}

// place puts an event where it belongs: into the switch that is going on or
// has just ended, or aside, where the next switch may claim it.
func (r *Recorder) place(e *event) {
	if !r.known {
		return
	}
	steady := r.phase == cluster.PhaseSteady
	p := r.find(r.epoch)
	if !steady && p == nil {
		p = r.open(r.epoch)
	}
	if steady && (p == nil || e.At.Sub(r.steadyAt) > r.settle || opensSwitch(e.Step)) {
		r.putAside(e)
		return
	}
	if len(p.events) < maxEvents {
		e.in = p
		p.events = append(p.events, e)
		p.Seq++
	}
}

// putAside keeps an event of a steady reign for as long as it may turn out to
// be what led to the next switch.
func (r *Recorder) putAside(e *event) {
	r.before = slices.DeleteFunc(r.before, func(o *event) bool {
		switch {
		case !o.ended:
			return false
		case fences(o.Step):
			return e.Step == StepOpenGate // it serves again: nobody replaced it
		}
		return o.Outcome == Cleared || e.At.Sub(o.At) > r.runUp
	})
	if len(r.before) >= maxEvents {
		r.before = slices.Delete(r.before, 0, 1)
	}
	r.before = append(r.before, e)
}

// opensSwitch reports whether a step, taken under a steady record, must be the
// beginning of the next switch and not the end of the last one.
func opensSwitch(s Step) bool { return s == StepDetect || s == StepConfirm || fences(s) }

func fences(s Step) bool {
	switch s {
	case StepFence, StepCloseGate, StepSockets, StepDropAddress, StepKillServer:
		return true
	}
	return false
}

// Unsaved returns the parts that have changed since they were last saved.
func (r *Recorder) Unsaved() []NodePart {
	r.mu.Lock()
	defer r.mu.Unlock()
	var parts []NodePart
	for _, p := range r.parts {
		if p.Seq != p.saved {
			parts = append(parts, p.snapshot())
		}
	}
	return parts
}

// Saved notes that this version of a part is in the store.
func (r *Recorder) Saved(p NodePart) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if own := r.find(p.Epoch); own != nil {
		own.saved = max(own.saved, p.Seq)
	}
}

// Part returns the node's part of an epoch as it is now.
func (r *Recorder) Part(epoch cluster.Epoch) (NodePart, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.find(epoch)
	if p == nil {
		return NodePart{}, false
	}
	return p.snapshot(), true
}

func (p *part) snapshot() NodePart {
	s := p.NodePart
	s.Sights, s.Beacons = slices.Clone(p.Sights), slices.Clone(p.Beacons)
	s.Events = make([]Event, len(p.events))
	for i, e := range p.events {
		s.Events[i] = e.Event
	}
	return s
}

func (r *Recorder) find(epoch cluster.Epoch) *part {
	i := slices.IndexFunc(r.parts, func(p *part) bool { return p.Epoch == epoch })
	if i < 0 {
		return nil
	}
	return r.parts[i]
}

func (r *Recorder) open(epoch cluster.Epoch) *part {
	if p := r.find(epoch); p != nil {
		return p
	}
	p := &part{NodePart: NodePart{Schema: Schema, Node: r.node, Epoch: epoch, Clock: r.clock}}
	r.insert(p)
	return p
}

func (r *Recorder) insert(p *part) {
	r.parts = append(r.parts, p)
	slices.SortFunc(r.parts, func(a, b *part) int { return cmp.Compare(a.Epoch, b.Epoch) })
	if len(r.parts) > maxParts {
		r.parts = slices.Delete(r.parts, 0, len(r.parts)-maxParts)
	}
}
