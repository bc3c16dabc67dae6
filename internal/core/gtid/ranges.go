package gtid

import (
	"cmp"
	"slices"
)

// span is the transactions numbered from first to last, both included.
type span struct{ first, last uint64 }

// size is the length of a span. It cannot overflow: numbers begin at 1.
func (r span) size() uint64 { return r.last - r.first + 1 }

// ranges is sorted; its spans neither overlap nor touch.
type ranges []span

// normalised returns the same transactions as ranges. It may reorder spans.
func normalised(spans []span) ranges {
	byFirst := func(a, b span) int { return cmp.Compare(a.first, b.first) }
	if !slices.IsSortedFunc(spans, byFirst) {
		slices.SortFunc(spans, byFirst)
	}
	var out ranges
	for _, r := range spans {
		out = out.push(r)
	}
	return slices.Clip(out)
}

// push appends a span that begins at or after the beginning of the last one.
func (a ranges) push(r span) ranges {
	if n := len(a); n > 0 && r.first-1 <= a[n-1].last {
		a[n-1].last = max(a[n-1].last, r.last)
		return a
	}
	return append(a, r)
}

func (a ranges) union(b ranges) ranges {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	out := make(ranges, 0, max(len(a), len(b)))
	for len(a) > 0 || len(b) > 0 {
		if len(b) == 0 || len(a) > 0 && a[0].first <= b[0].first {
			out, a = out.push(a[0]), a[1:]
		} else {
			out, b = out.push(b[0]), b[1:]
		}
	}
	return out
}

func (a ranges) subtract(b ranges) ranges {
	if len(b) == 0 {
		return a
	}
	var out ranges
	for _, r := range a {
		b = b[firstEndingAt(b, r.first):]
		rest, some := r, true
		for _, cut := range b {
			if cut.first > rest.last {
				break
			}
			if cut.first > rest.first {
				out = append(out, span{rest.first, cut.first - 1})
			}
			if cut.last >= rest.last {
				some = false
				break
			}
			rest.first = cut.last + 1
		}
		if some {
			out = append(out, rest)
		}
	}
	return out
}

// firstEndingAt returns the index of the first span that does not end before n.
// It looks near the beginning first: the next one is mostly close by, but a
// small set may have to leap over most of a great one.
func firstEndingAt(a ranges, n uint64) int {
	near := 1
	for near < len(a) && a[near-1].last < n {
		near *= 2
	}
	i, _ := slices.BinarySearchFunc(a[:min(near, len(a))], n, func(r span, n uint64) int { return cmp.Compare(r.last, n) })
	return i
}
