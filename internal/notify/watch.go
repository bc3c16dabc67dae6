package notify

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// View is what one node knows at one moment.
type View struct {
	Now  cluster.Instant
	Wall time.Time
	// Speaker is the node that tells people of the cluster; Alive are those heard of
	// lately. Alone says that the store does not answer this node: it then speaks for
	// itself, whoever else does.
	Speaker cluster.NodeName
	Alive   func(cluster.NodeName) bool
	Alone   bool

	Record     cluster.Record
	Conditions map[cluster.NodeName][]cluster.Condition
	// Held is why nothing is done although something is wrong; empty: nothing is.
	Held       cluster.Reason
	HeldDetail string
}

// Meaning is what a reason means to people.
type Meaning struct {
	Severity     Severity
	Sign, Advice string
}

// Watch makes notices of what it is shown. Every node watches, and one of them
// speaks; what the speaker of the moment may not have told, because it died, the
// next one tells. It keeps no clock of its own and is not safe for concurrent use.
type Watch struct {
	Cluster string
	Self    cluster.NodeName
	// Hold is how long something must be out of order, or in order again, before it
	// is told: what comes and goes within a switch is not.
	Hold    time.Duration
	Explain func(cluster.Reason) Meaning

	begun    bool // a first View has been seen
	issues   map[issue]*state
	record   cluster.Record
	replaces *replacing
	kept     []kept
}

// issue is one thing that is out of order; without a node, of the cluster.
type issue struct {
	node   cluster.NodeName
	reason cluster.Reason
}

type state struct {
	detail string
	since  string
	seen   cluster.Instant // since when it is so
	gone   cluster.Instant // since when it is not any more; 0: it is
	told   bool
	own    bool // told by this node while the store was silent
}

// replacing is a switch that goes on.
type replacing struct {
	from    cluster.NodeName
	epoch   cluster.Epoch
	planned bool
	at      cluster.Instant
}

// kept is a notice that was another node's to tell.
type kept struct {
	Notice
	by cluster.NodeName
	at cluster.Instant
}

// grace is how long it is remembered what another node should have told.
const grace = 30 * time.Second

// old is how long something was out of order before this agent started so that
// people are taken to know of it.
const old = time.Minute

// Look returns what this node has to tell now.
func (w *Watch) Look(v View) []Notice {
	if w.issues == nil {
		w.issues = map[issue]*state{}
	}
	var mine []Notice
	say := func(n Notice, own bool) {
		n.Cluster, n.By, n.At = w.Cluster, w.Self, v.Wall.UTC().Format(time.RFC3339)
		if own || v.Speaker == w.Self && !v.Alone {
			mine = append(mine, n)
			return
		}
		w.kept = append(w.kept, kept{n, v.Speaker, v.Now})
	}
	w.switches(v, say)
	w.judge(v, say)
	w.begun = true
	return append(w.leftByTheDead(v), mine...)
}

// leftByTheDead are the notices of speakers that have died since.
func (w *Watch) leftByTheDead(v View) []Notice {
	var mine []Notice
	w.kept = slices.DeleteFunc(w.kept, func(k kept) bool {
		if v.Speaker == w.Self && !v.Alone && (k.by == "" || k.by != w.Self && !v.Alive(k.by)) {
			mine = append(mine, k.Notice)
			return true
		}
		return v.Now.Sub(k.at) > grace
	})
	return mine
}

// switches tells of changes of the record.
func (w *Watch) switches(v View, say func(Notice, bool)) {
	before, now := w.record, v.Record
	if now.Epoch == 0 || before.Epoch == now.Epoch && before.Phase == now.Phase {
		return
	}
	w.record = now
	if now.Phase != cluster.PhaseSteady {
		if w.replaces == nil {
			w.replaces = &replacing{from: cmp.Or(before.Primary, now.Previous, now.Primary), epoch: now.Epoch, planned: now.Phase == cluster.PhaseHandoff, at: v.Now}
			if w.begun && before.Epoch != 0 {
				say(w.switched(SwitchBegun, now, 0), false)
			}
		}
		return
	}
	r := w.replaces
	w.replaces = nil
	if !w.begun || r == nil || r.from == "" {
		return // what was so when this agent started, or the cluster's first reign
	}
	kind := SwitchDone
	if r.planned && now.Primary == r.from {
		kind = SwitchFailed
	}
	w.replaces = r
	say(w.switched(kind, now, v.Now.Sub(r.at)), false)
	w.replaces = nil
}

func (w *Watch) switched(kind Kind, r cluster.Record, took time.Duration) Notice {
	meaning := w.Explain(r.Reason)
	n := Notice{ID: fmt.Sprintf("%s/%d/%s", w.Cluster, w.replaces.epoch, kind), Kind: kind, Severity: Note, Reason: r.Reason, Sign: meaning.Sign, Detail: r.Detail,
		Epoch: r.Epoch, From: w.replaces.from, To: r.Primary, TookMS: took.Milliseconds()}
	switch {
	case kind == SwitchBegun && !w.replaces.planned:
		n.Severity, n.To = Critical, ""
	case kind == SwitchBegun:
		n.To = r.Candidate
	case kind == SwitchFailed, !w.replaces.planned:
		n.Severity = Warning // a failover has left something to look at
	}
	if kind == SwitchDone && !w.replaces.planned {
		n.Advice = meaning.Advice
	}
	return n
}

// judge tells of what has come to be out of order, and of what is over.
func (w *Watch) judge(v View, say func(Notice, bool)) {
	present := w.present(v)
	for i, c := range present {
		s := w.issues[i]
		if s == nil {
			s = &state{since: c.Since, seen: v.Now}
			began, err := time.Parse(time.RFC3339, c.Since)
			s.told = !w.begun && err == nil && v.Wall.Sub(began) > old
			w.issues[i] = s
		}
		s.detail, s.gone = c.Detail, 0
	}
	for _, i := range slices.SortedFunc(maps.Keys(w.issues), func(a, b issue) int {
		return cmp.Or(cmp.Compare(a.node, b.node), cmp.Compare(a.reason, b.reason))
	}) {
		s := w.issues[i]
		if _, is := present[i]; !is && s.gone == 0 {
			s.gone = v.Now
		}
		switch {
		case s.gone != 0 && !s.told: // nobody need know
			delete(w.issues, i)
		case s.gone == 0 && !s.told && v.Now.Sub(s.seen) >= w.Hold:
			s.told, s.own = true, v.Alone && i.node == w.Self
			say(w.notice(Raised, i, s), s.own)
		case s.gone != 0 && v.Now.Sub(s.gone) >= w.Hold:
			delete(w.issues, i)
			say(w.notice(Resolved, i, s), s.own)
		}
	}
}

// present is all that is out of order now, as far as this node can know: alone, it
// knows of itself.
func (w *Watch) present(v View) map[issue]cluster.Condition {
	all := map[issue]cluster.Condition{}
	for node, conditions := range v.Conditions {
		for _, c := range conditions {
			all[issue{node, c.Reason}] = c
		}
	}
	if v.Held != "" {
		held := issue{"", v.Held}
		if v.Alone {
			held.node = w.Self
		}
		all[held] = cluster.Condition{Reason: v.Held, Detail: v.HeldDetail}
	}
	return all
}

func (w *Watch) notice(kind Kind, i issue, s *state) Notice {
	meaning := w.Explain(i.reason)
	return Notice{ID: fmt.Sprintf("%s/%s/%s/%s/%s", w.Cluster, i.node, i.reason, s.since, kind), Kind: kind, Severity: meaning.Severity, Node: i.node,
		Reason: i.reason, Sign: meaning.Sign, Detail: s.detail, Advice: meaning.Advice}
}
