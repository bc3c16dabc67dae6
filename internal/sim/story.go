package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/scenario"
)

// staged is a story: one course of events, to the moment, for what faults that are
// drawn bring about too seldom. It is told with other delays for every seed, and
// breaks a promise if one piece of the protocol is missing (package mutants).
type staged struct {
	name    string
	cluster scenario.Cluster
	tell    func(*telling)
}

// Telling is what came of a story.
type Telling struct {
	// Told says that it came to its point. With some delays it takes another turn.
	Told  bool
	Wrong string // what should not have been so; empty: all is well
	Trace string
}

// Tell tells the story of that name with the delays of a seed.
func Tell(name string, seed uint64, trace bool) (Telling, error) {
	i := slices.IndexFunc(stories, func(s staged) bool { return s.name == name })
	if i < 0 {
		return Telling{}, fmt.Errorf("there is no story %q", name)
	}
	return stories[i].with(directions{}, seed, trace), nil
}

// with tells it in a world that is otherwise, too.
func (s staged) with(d directions, seed uint64, trace bool) Telling {
	t := &telling{Stage: NewStage(s.cluster, seed, trace)}
	t.w.stage = d
	if cast, err := t.Begin(context.Background()); err != nil {
		t.wrong = err.Error()
	} else {
		t.p = t.w.node(cluster.NodeName(cast.Primary))
		for _, r := range cast.Replicas {
			t.others = append(t.others, t.w.node(cluster.NodeName(r)))
		}
		s.tell(t)
		t.end()
	}
	return Telling{Told: t.told, Wrong: t.wrong, Trace: t.Trace()}
}

// Stories are their names.
func Stories() (names []string) {
	for _, s := range stories {
		names = append(names, s.name)
	}
	return names
}

// directions are what a story may ask of the world besides faults. All of it lies
// within what the world does anyway, but for bare and unmarked.
type directions struct {
	quiet bool // clients do not write
	// bare servers obey whatever they are told, as real ones do: it is Baton's
	// drivers that refuse to forget what is not applied.
	bare bool
	// unmarked has servers leave numbers out without the marker of the reign, as those
	// do that refuse it.
	unmarked bool
	// twice has every operation on the store that is carried out be carried out once
	// more later, as one is whose answer got lost and that is sent again.
	twice bool
	// slowStop is how long a receiver takes to stop.
	slowStop time.Duration
	// late is how late an operation of a host comes to the store; less than
	// nothing: never.
	late func(*host, operation) time.Duration
	// answer is how late the answer to an operation comes back to a host.
	answer func(*host, operation) time.Duration
	// news is how late a watch tells a host something.
	news func(*host, news) time.Duration
}

func (d *directions) callLate(h *host, what operation) (late time.Duration, lost bool) {
	if d.late == nil {
		return 0, false
	}
	late = d.late(h, what)
	return max(late, 0), late < 0
}

func (d *directions) answerLate(h *host, what operation) time.Duration {
	if d.answer == nil {
		return 0
	}
	return d.answer(h, what)
}

func (d *directions) newsLate(h *host, n news) time.Duration {
	if d.news == nil {
		return 0
	}
	return d.news(h, n)
}

// telling is a story being told. Once something went wrong, or otherwise than it
// was to go, the rest of it is not told.
type telling struct {
	*Stage
	p      *host // primary at the start
	others []*host
	off    bool // it took another turn
	told   bool
	wrong  string
}

func (t *telling) over() bool {
	if t.wrong == "" && t.w.result.Violation != "" {
		t.wrong = "a promise is broken " + t.w.result.Violation
	}
	return t.wrong != "" || t.off
}

// comes lets time go on, event by event, until it is so.
func (t *telling) comes(within time.Duration, so func() bool) bool {
	w := t.w
	for end := w.now + int64(within); !t.over(); w.step() {
		if so() {
			return true
		}
		if len(w.queue) == 0 || w.queue[0].at > end {
			return false
		}
	}
	return false
}

// until is comes for what must come about.
func (t *telling) until(within time.Duration, what string, so func() bool) {
	if !t.comes(within, so) && !t.over() {
		t.wrong = fmt.Sprintf("at %s: not within %s: %s; %s", time.Duration(t.w.now), within, what, t.w.waits())
	}
}

// perhaps is comes for what comes about with most delays.
func (t *telling) perhaps(within time.Duration, so func() bool) {
	if !t.comes(within, so) {
		t.off = true
	}
}

func (t *telling) pass(d time.Duration) { t.comes(d, func() bool { return false }) }

// do has something happen.
func (t *telling) do(what string, f func()) {
	if !t.over() {
		t.w.trace("***", "%s", what)
		f()
	}
}

// never is for what must not be so now.
func (t *telling) never(what string, so bool) {
	if !t.over() && so {
		t.wrong = fmt.Sprintf("at %s: %s", time.Duration(t.w.now), what)
	}
}

// point notes that the story has come to its point.
func (t *telling) point() { t.told = t.told || !t.over() }

// end mends everything and waits until the cluster is well.
func (t *telling) end() {
	t.w.stage = directions{}
	t.over()
	if t.wrong != "" {
		return
	}
	t.off = false
	t.heal()
	for _, h := range t.w.nodes {
		h.start()
		h.startAgent()
		if h.srv != nil {
			h.srv.start()
		}
	}
	t.w.chaos.over = t.w.now
	wrong := ""
	if !t.comes(2*time.Minute, func() bool {
		if t.w.now%int64(100*time.Millisecond) > int64(5*time.Millisecond) {
			return false
		}
		t.w.helpOut()
		wrong = t.w.unwell()
		return wrong == ""
	}) && !t.over() {
		t.wrong = "in the end the cluster is not well: " + wrong
	}
	t.over()
}

func (t *telling) record() cluster.Record { return t.w.store.record.value }

// members is the ack set in words.
func (t *telling) members() string { return strings.Join(names(t.record().Acks().Members), " ") }

func names(nodes []cluster.NodeName) (all []string) {
	for _, n := range nodes {
		all = append(all, string(n))
	}
	return all
}

// takes reports whether clients can write there.
func takes(h *host) bool { return h.srv.writable() && h.passes() }

// move has a person hand the role over, as often as it takes.
func (t *telling) move(to *host) {
	there := func() bool { return t.record().Phase == cluster.PhaseSteady && t.record().Primary == to.name }
	for range 4 {
		t.do("the role is to go to "+string(to.name), func() { _ = t.ask(scenario.Switchover, to.name) })
		if t.comes(5*time.Second, there) {
			return
		}
	}
	t.until(0, "the role goes to "+string(to.name), there)
}

// deaf has the store's news come late to a host.
func (t *telling) deaf(h *host) {
	t.w.stage.news = func(o *host, _ news) time.Duration {
		if o == h {
			return 3 * time.Second
		}
		return 0
	}
}

// apart cuts the ways between two hosts.
func (t *telling) apart(a, b int) {
	change := func(by int) {
		t.w.net.cut[a][b] += by
		t.w.net.cut[b][a] += by
		t.w.chaos.touched(a, b)
	}
	change(1)
	t.later(func() { change(-1) })
}

// isolate cuts a host off from all other nodes; clients reach it.
func (t *telling) isolate(h *host) {
	for _, o := range t.w.nodes {
		if o != h {
			t.apart(h.i, o.i)
		}
	}
}

// power takes a host's away until the end, or until it is given back.
func (t *telling) power(h *host) {
	h.sicken()
	h.crash()
	t.later(h.start)
}

// freeze has an agent stand still for a while.
func (t *telling) freeze(h *host, d time.Duration) {
	h.frozen = t.w.now + int64(d)
	h.sick = h.frozen
}
