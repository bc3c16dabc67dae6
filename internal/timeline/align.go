package timeline

import (
	"math"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// lateAfter is from when on a node counts as having been cut off rather than
// as having a slow watch.
const lateAfter = Millis(100 * time.Millisecond)

// unbounded is the offset about which nothing is known.
const unbounded = time.Duration(math.MaxInt64)

// align finds every clock's reading at the time of the first change.
//
// What a node wrote into the store at one reading of its clock, no other node
// saw earlier. So each such pair bounds how far the two clocks are apart, from
// one side; with writes in both directions the bounds close in on the truth,
// and what is left between them is how exactly the clocks can be placed.
func align(sources []*source, changes []Change) {
	first := changes[0].Rev
	ref := reference(sources, first)
	for _, src := range sources {
		if src == ref {
			continue
		}
		off, within, ok := apart(sources, ref, src)
		src.zero, src.placing.Within, src.placing.Unplaced = cluster.Instant(off), toMillis(within), !ok
	}
	ref.zero = 0
	// So far zero is the start of ref's clock. Move it to the first change: when
	// the node says that made it, or the first that saw it. The parts of both may
	// not have been saved yet: then to the next change of which somebody knows
	// the time, or to the first thing that anybody did.
	at, seen := begun(sources, first)
	for _, c := range changes[1:] {
		if seen {
			break
		}
		at, seen = begun(sources, c.Rev)
	}
	if !seen {
		at = firstEvent(sources)
	}
	for _, src := range sources {
		src.zero += at
	}
}

// begun is when the change was made, by ref's clock.
func begun(sources []*source, rev cluster.Revision) (at cluster.Instant, seen bool) {
	for _, src := range sources {
		m, ok := src.marks[rev]
		if !ok || src.placing.Unplaced {
			continue
		}
		if t := m.at - src.zero; !seen || m.mine || t < at {
			at, seen = t, true
		}
		if m.mine {
			break
		}
	}
	return at, seen
}

func firstEvent(sources []*source) cluster.Instant {
	var at cluster.Instant
	seen := false
	for _, src := range sources {
		for _, e := range src.events {
			if t := e.At - src.zero; !src.placing.Unplaced && (!seen || t < at) {
				at, seen = t, true
			}
		}
	}
	return at
}

// reference is the source whose clock the others are placed by: the one that
// made the first change, or else the most changes. Sources are sorted, so that
// ties are split the same way everywhere.
func reference(sources []*source, first cluster.Revision) *source {
	best, most := sources[0], -1
	for _, src := range sources {
		made := 0
		for rev, m := range src.marks {
			switch {
			case !m.mine:
			case rev == first:
				return src
			default:
				made++
			}
		}
		if made > most {
			best, most = src, made
		}
	}
	return best
}

// apart returns by how much src's clock is ahead of ref's, how exact that is,
// and whether anything is known at all.
func apart(sources []*source, ref, src *source) (off, within time.Duration, ok bool) {
	atMost, least := path(sources, ref, src), path(sources, src, ref)
	switch {
	case atMost == unbounded && least == unbounded:
		off, ok = together(ref, src)
		return off, 0, ok
	case least == unbounded:
		return atMost, 0, true
	case atMost == unbounded:
		return -least, 0, true
	}
	atLeast := -least
	width := atMost - atLeast
	if width > lateAfter.D() {
		// It saw others' writes late because it was cut off. What it wrote
		// itself, it wrote while it was not.
		return atLeast, 0, true
	}
	return atLeast + width/2, (width / 2).Abs(), true
}

// path is the tightest bound on how far b's clock is ahead of a's, directly or
// by way of one other node.
func path(sources []*source, a, b *source) time.Duration {
	best := bound(a, b)
	for _, via := range sources {
		if via == a || via == b {
			continue
		}
		if x, y := bound(a, via), bound(via, b); x != unbounded && y != unbounded {
			best = min(best, x+y)
		}
	}
	return best
}

// bound is the most that b's clock can be ahead of a's: b saw nothing of a's
// before a wrote it.
func bound(a, b *source) time.Duration {
	best := unbounded
	for rev, wrote := range a.marks {
		if saw, ok := b.marks[rev]; ok && wrote.mine {
			best = min(best, saw.at.Sub(wrote.at))
		}
	}
	return best
}

// together takes what two nodes saw as seen at the same time; the best that
// is left when the parts of all who wrote are missing.
func together(a, b *source) (time.Duration, bool) {
	var diffs []time.Duration
	for rev, m := range a.marks {
		if o, ok := b.marks[rev]; ok {
			diffs = append(diffs, o.at.Sub(m.at))
		}
	}
	if len(diffs) == 0 {
		return 0, false
	}
	slices.Sort(diffs)
	return diffs[(len(diffs)-1)/2], true
}
