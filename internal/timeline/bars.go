package timeline

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/baton-db/baton/internal/core/cluster"
)

// row is one line of a waterfall, in text or as a picture: a step of a node,
// or a change of the record.
type row struct {
	change *Change
	span   *Span
	at     Millis // from the first sign
	end    Millis
}

// scale is the stretch of time that a waterfall shows.
type scale struct {
	length Millis // from the first sign on; never zero
}

// rows returns the lines of a switch's waterfall in order of time, a change of
// the record before the steps that begin with it.
func rows(s Switch) ([]row, scale) {
	var rs []row
	for i := range s.Changes {
		at := s.Changes[i].At - s.Began
		rs = append(rs, row{change: &s.Changes[i], at: at, end: at})
	}
	for i := range s.Spans {
		sp := &s.Spans[i]
		rs = append(rs, row{span: sp, at: sp.Start - s.Began, end: sp.End() - s.Began})
	}
	slices.SortStableFunc(rs, func(a, b row) int { return cmp.Compare(a.at, b.at) })
	return rs, scaleOf(s, rs)
}

// scaleOf shows everything up to the new reign. What lasts much longer (a
// replica that follows a minute later) runs off the edge instead of squeezing
// the rest into nothing.
func scaleOf(s Switch, rs []row) scale {
	core := s.Took
	for _, c := range s.Changes {
		if c.Phase == cluster.PhaseSteady {
			core = max(core, c.At-s.Began)
			break
		}
	}
	length := core
	for _, r := range rs {
		if core == 0 || r.end <= 2*core {
			length = max(length, r.end)
		}
	}
	return scale{length: max(length, Millis(time.Microsecond))}
}

// ticks returns round instants along the scale, at most n of them after zero.
func (sc scale) ticks(n int) []Millis {
	step := sc.step(n)
	var ticks []Millis
	for at := Millis(0); at <= sc.length; at += step {
		ticks = append(ticks, at)
	}
	return ticks
}

// step is the smallest of 1, 2, 5, 10, 20 … microseconds that goes into the
// scale at most n times.
func (sc scale) step(n int) Millis {
	for base := Millis(time.Microsecond); ; base *= 10 {
		for _, mul := range []Millis{1, 2, 5} {
			if sc.length/(base*mul) <= Millis(n) {
				return base * mul
			}
		}
	}
}

// tickText labels an instant on the axis: short, as ticks are round.
func tickText(at Millis) string {
	switch d := at.D(); {
	case d == 0:
		return "0"
	case d < time.Second:
		return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', -1, 64) + "ms"
	default:
		return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
	}
}

func (t Text) bars(b *strings.Builder, s Switch) {
	rs, sc := rows(s)
	nodeW, stepW := 4, 6
	for _, r := range rs {
		if r.span != nil {
			nodeW = max(nodeW, utf8.RuneCountInString(string(r.span.Node)))
			stepW = max(stepW, utf8.RuneCountInString(string(r.span.Step)))
		}
	}
	nodeW, stepW = min(nodeW, 20), min(stepW, 20)
	left := nodeW + stepW + 24
	barW := max(16, t.width()-left-2)
	detailW := 0
	if barW > 72 {
		detailW, barW = barW-60, 58
	}
	t.heading(b, "what happened")
	fmt.Fprintln(b, strings.TrimRight(fmt.Sprintf("  %-*s %-*s %9s %9s %s", nodeW, "NODE", stepW, "STEP", "AT", "TOOK", t.axis(sc, barW)), " "))
	for _, r := range rs {
		fmt.Fprintln(b, strings.TrimRight(t.line(s, r, sc, nodeW, stepW, barW, detailW), " "))
	}
}

func (t Text) line(s Switch, r row, sc scale, nodeW, stepW, barW, detailW int) string {
	if c := r.change; c != nil {
		head := fmt.Sprintf("%s e%d", c.Phase, c.Epoch)
		return t.dim(fmt.Sprintf("  %-*s %9s %9s %s", nodeW+stepW+1, clip(head, nodeW+stepW+1), Duration(r.at.D()), "", t.mark(r, sc, barW)))
	}
	sp := r.span
	took := Duration(sp.Took.D())
	switch sp.Outcome {
	case Open:
		took = "not ended"
	case Failed:
		took += "!"
	}
	line := fmt.Sprintf("  %-*s %-*s %9s %9s %s", nodeW, clip(clean(string(sp.Node)), nodeW), stepW, clip(clean(string(sp.Step)), stepW),
		Duration(r.at.D()), took, t.bar(r, sc, barW))
	detail := clean(sp.Detail)
	switch {
	case detail == "" && sp.Outcome != Failed:
	case detailW > 0 && sp.Outcome != Failed:
		line += "  " + clip(detail, detailW-2)
	case sp.Outcome == Failed:
		line = t.red(strings.TrimRight(line, " ")) + "\n" + strings.Repeat(" ", nodeW+3) + t.red(clip("failed: "+dash(detail), t.width()-nodeW-3))
	}
	return line
}

func (t Text) axis(sc scale, width int) string {
	axis := []rune(strings.Repeat(" ", width))
	free := 0
	for _, at := range sc.ticks(max(2, width/12)) {
		label := []rune(tickText(at))
		pos := sc.column(at, width)
		if pos < free || pos+len(label) > width {
			continue
		}
		copy(axis[pos:], label)
		free = pos + len(label) + 1
	}
	return string(axis)
}

func (sc scale) column(at Millis, width int) int {
	return min(width-1, int(int64(at)*int64(width)/int64(sc.length)))
}

// bar draws a span; at least one character, with an arrow where it runs off.
func (t Text) bar(r row, sc scale, width int) string {
	full, point, off := "#", "|", ">"
	if t.Unicode {
		full, point, off = "█", "▏", "▸"
	}
	if r.at > sc.length {
		return strings.Repeat(" ", width-1) + off
	}
	from := sc.column(r.at, width)
	lead := strings.Repeat(" ", from)
	if r.span.Outcome == Open || r.end > sc.length {
		return lead + strings.Repeat(full, width-1-from) + off
	}
	begin, end := sc.eighth(r.at, width), sc.eighth(r.end, width)
	whole, rest := end/8-from, end%8
	if end-begin < 8 {
		whole, rest = 0, end-begin // one character is enough, also across two cells
	}
	switch {
	case whole == 0 && (rest == 0 || !t.Unicode):
		return lead + point
	case rest == 0 || !t.Unicode || from+whole >= width:
		return lead + strings.Repeat(full, whole)
	}
	return lead + strings.Repeat(full, whole) + string([]rune("▏▎▍▌▋▊▉")[rest-1])
}

// eighth is where an instant lies, in eighths of a character.
func (sc scale) eighth(at Millis, width int) int {
	return int(int64(at) * int64(width) * 8 / int64(sc.length))
}

func (t Text) mark(r row, sc scale, width int) string {
	dot, mark, off := "-", "*", ">"
	if t.Unicode {
		dot, mark, off = "┄", "◆", "▸"
	}
	if r.at > sc.length {
		return strings.Repeat(dot, width-1) + off
	}
	col := sc.column(r.at, width)
	return strings.Repeat(dot, col) + mark + strings.Repeat(dot, width-1-col)
}

func (t Text) dim(s string) string {
	if !t.Color {
		return s
	}
	return "\x1b[2m" + s + "\x1b[0m"
}

func (t Text) red(s string) string {
	if !t.Color {
		return s
	}
	return "\x1b[31m" + s + "\x1b[0m"
}

// clip shortens text to n characters, saying so.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:max(0, n-3)]) + "..."
}
