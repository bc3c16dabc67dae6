package timeline

import (
	"cmp"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// source is what one clock of one node tells of a switch.
type source struct {
	node    cluster.NodeName
	clock   string
	sights  map[cluster.Revision]Sight
	marks   map[cluster.Revision]mark
	events  []placedEvent
	zero    cluster.Instant // this clock's reading at the switch's time zero
	placing Placing
}

// mark is a reading of a source's clock at something in the store that other
// nodes saw as well.
type mark struct {
	at   cluster.Instant
	mine bool // this node wrote it: nobody saw it earlier
}

type placedEvent struct {
	Event
	epoch cluster.Epoch
}

// Merge lays the parts of one switch over each other. The order of the parts
// does not matter, nor what the nodes' clocks show. It returns false if no
// part tells of a record change.
func Merge(parts []NodePart) (Switch, bool) {
	sources := gather(parts)
	changes := chain(sources)
	if len(changes) == 0 {
		return Switch{}, false
	}
	s := Switch{Schema: Schema, Changes: changes, Choice: lastChoice(parts)}
	align(sources, changes)
	timeChanges(sources, changes)
	for _, src := range sources {
		src.judge(changes)
		s.Nodes = append(s.Nodes, src.placing)
		s.Spans = append(s.Spans, src.spans()...)
	}
	slices.SortFunc(s.Spans, compareSpans)
	slices.SortFunc(s.Nodes, func(a, b Placing) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Late, b.Late))
	})
	s.describe()
	s.measure()
	s.Milestones = milestones(s)
	return s, true
}

// gather sorts parts by clock. Of two versions of a part the newer one counts.
func gather(parts []NodePart) []*source {
	type key struct {
		node  cluster.NodeName
		epoch cluster.Epoch
		clock string
	}
	newest := map[key]NodePart{}
	for _, p := range parts {
		k := key{p.Node, p.Epoch, p.Clock}
		if old, ok := newest[k]; !ok || p.Seq > old.Seq {
			newest[k] = p
		}
	}
	var sources []*source
	for k, p := range newest {
		i := slices.IndexFunc(sources, func(s *source) bool { return s.node == k.node && s.clock == k.clock })
		if i < 0 {
			i = len(sources)
			sources = append(sources, &source{
				node: k.node, clock: k.clock, sights: map[cluster.Revision]Sight{}, marks: map[cluster.Revision]mark{},
				placing: Placing{Node: k.node},
			})
		}
		sources[i].add(p)
	}
	slices.SortFunc(sources, func(a, b *source) int {
		return cmp.Or(cmp.Compare(a.node, b.node), cmp.Compare(a.clock, b.clock))
	})
	return sources
}

func (s *source) add(p NodePart) {
	for _, b := range p.Beacons {
		s.marks[b.Rev] = mark{b.At, b.Mine}
	}
	for _, sight := range p.Sights {
		s.sights[sight.Rev] = sight
		if !sight.Read {
			s.marks[sight.Rev] = mark{sight.At, sight.Mine}
		}
	}
	for _, e := range p.Events {
		s.events = append(s.events, placedEvent{e, p.Epoch})
	}
}

// chain returns the record changes that any source knows of, in order.
func chain(sources []*source) []Change {
	known := map[cluster.Revision]Sight{}
	for _, src := range sources {
		for rev, sight := range src.sights {
			if old, ok := known[rev]; !ok || sight.Mine && !old.Mine {
				known[rev] = sight
			}
		}
	}
	var changes []Change
	for rev, sight := range known {
		changes = append(changes, Change{Rev: rev, RecordSight: sight.Record, Why: sight.Why, Evidence: sight.Detail})
	}
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Rev, b.Rev) })
	return changes
}

// timeChanges says when each change was: as the node says that made it, or
// else no later than the first that saw it.
func timeChanges(sources []*source, changes []Change) {
	for i := range changes {
		c := &changes[i]
		at, seen, own := Millis(0), false, false
		for _, src := range sources {
			m, ok := src.marks[c.Rev]
			if !ok || src.placing.Unplaced || own {
				continue
			}
			t := toMillis(m.at.Sub(src.zero))
			if own = m.mine; own || !seen || t < at {
				at, seen = t, true
			}
		}
		if c.Guessed = !seen && i > 0; i > 0 {
			c.At = max(at, changes[i-1].At) // the store's order is beyond doubt
		}
	}
}

// judge says how late the changes reached this node.
func (s *source) judge(changes []Change) {
	var late []Millis
	for _, c := range changes {
		if m, ok := s.marks[c.Rev]; ok && !m.mine && !c.Guessed {
			late = append(late, toMillis(m.at.Sub(s.zero))-c.At)
		}
	}
	if len(late) == 0 || s.placing.Unplaced {
		return
	}
	s.placing.Late = max(0, median(late))
	s.placing.CutOff = slices.Min(late) > lateAfter
	if s.placing.Within == 0 && !s.placing.CutOff {
		s.placing.Within = s.placing.Late
	}
}

func (s *source) spans() []Span {
	if s.placing.Unplaced {
		return nil
	}
	var spans []Span
	for _, e := range s.events {
		spans = append(spans, Span{
			Node: s.node, Step: e.Step, Epoch: e.epoch, Phase: e.Phase,
			Start: toMillis(e.At.Sub(s.zero)), Took: max(0, toMillis(e.Took)), Outcome: e.Outcome, Detail: e.Detail,
			BackFill: e.BackFill,
		})
	}
	return spans
}

func compareSpans(a, b Span) int {
	return cmp.Or(
		cmp.Compare(a.Start, b.Start), cmp.Compare(a.Node, b.Node), cmp.Compare(b.Took, a.Took),
		cmp.Compare(a.Step, b.Step), cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Phase, b.Phase),
		cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Detail, b.Detail),
	)
}

// lastChoice returns the choice of the last election. Equal epochs are split
// by node, so that every order of parts gives the same one.
func lastChoice(parts []NodePart) *Choice {
	var last NodePart
	for _, p := range parts {
		if p.Choice == nil {
			continue
		}
		if last.Choice == nil || cmp.Or(cmp.Compare(p.Epoch, last.Epoch), cmp.Compare(last.Node, p.Node), cmp.Compare(p.Seq, last.Seq)) > 0 {
			last = p
		}
	}
	return last.Choice
}

// longest is what the timeline calls for ever. It keeps the arithmetic of
// pictures within its bounds, whatever was stored.
const longest = 100 * time.Hour

func toMillis(d time.Duration) Millis {
	return Millis(min(max(d, -longest), longest).Round(time.Microsecond))
}

// median returns the lower of the two in the middle.
func median(ms []Millis) Millis {
	slices.Sort(ms)
	return ms[(len(ms)-1)/2]
}
