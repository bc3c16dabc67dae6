package timeline

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Text says how to write for people. The zero value is plain ASCII, 80 wide.
type Text struct {
	Width   int  // columns; less than 60 counts as 60, 0 as 80
	Unicode bool // block characters for bars
	Color   bool // ANSI colours
}

func (t Text) width() int {
	if t.Width == 0 {
		return 80
	}
	return max(60, t.Width)
}

// List writes one line per switch, newest first.
func (t Text) List(w io.Writer, switches []Switch) error {
	if len(switches) == 0 {
		_, err := fmt.Fprintln(w, "no switch has been recorded yet")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "EPOCH\tAT\tKIND\tFROM\tTO\tTOOK\tREASON\tLONGEST")
	for i := len(switches) - 1; i >= 0; i-- {
		s := switches[i]
		longest := "-"
		if m, ok := s.Slowest(); ok && m.After > 0 {
			longest = fmt.Sprintf("%s %s", m.Name, Duration(m.After.D()))
		}
		fmt.Fprintf(tw, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Epoch, dash(Moment(s.At)), s.kindText(), dash(string(s.From)), dash(s.toText()),
			Duration(s.Took.D()), clean(string(s.Reason)), longest)
	}
	return tw.Flush()
}

func (s Switch) kindText() string {
	if !s.Ended {
		return string(s.Kind) + ", not ended"
	}
	return string(s.Kind)
}

func (s Switch) toText() string {
	if !s.Ended && s.To != "" {
		return string(s.To) + "?"
	}
	return string(s.To)
}

// Title is the switch in one line.
func (s Switch) Title() string {
	epochs := fmt.Sprintf("epoch %d", s.Epoch)
	if s.First != s.Epoch {
		epochs = fmt.Sprintf("epochs %d-%d", s.First, s.Epoch)
	}
	title := fmt.Sprintf("%s, %s: ", epochs, s.kindText())
	switch {
	case s.Kind == RolledBack:
		return title + fmt.Sprintf("%s stays primary", s.From)
	case s.From == "":
		return title + dash(string(s.To))
	}
	return title + fmt.Sprintf("%s to %s", s.From, dash(s.toText()))
}

// Waterfall writes everything that is known of one switch.
func (t Text) Waterfall(w io.Writer, s Switch) error {
	var b strings.Builder
	fmt.Fprintln(&b, t.bold(s.Title()))
	t.summary(&b, s)
	t.milestones(&b, s)
	t.bars(&b, s)
	t.chain(&b, s)
	t.led(&b, s)
	t.choice(&b, s)
	t.accuracy(&b, s)
	_, err := io.WriteString(w, b.String())
	return err
}

func (t Text) summary(b *strings.Builder, s Switch) {
	if s.At != "" {
		fmt.Fprintf(b, "  at       %s\n", Moment(s.At))
	}
	t.wrapped(b, "  reason   ", reasonText(s.Reason, s.Detail))
	switch {
	case s.Serving != nil:
		fmt.Fprintf(b, "  took     %s from the first sign until %s served\n", Duration(s.Took.D()), s.To)
	case s.Kind == Bootstrap:
	default:
		fmt.Fprintf(b, "  took     %s from the first sign to the last thing known\n", Duration(s.Took.D()))
	}
	if f := s.BackFill; f != nil {
		t.wrapped(b, "  data     ", clean(f.String()))
	}
	if m, ok := s.Slowest(); ok && m.After > 0 {
		fmt.Fprintf(b, "  longest  %s, %s\n", m.Name, Duration(m.After.D()))
	}
}

func (t Text) milestones(b *strings.Builder, s Switch) {
	if len(s.Milestones) == 0 {
		return
	}
	t.heading(b, "where the time went")
	tw := tabwriter.NewWriter(b, 0, 8, 2, ' ', tabwriter.AlignRight)
	for _, m := range s.Milestones {
		fmt.Fprintf(tw, "%s\t+%s\t  %s\n", Duration((m.At - s.Began).D()), Duration(m.After.D()), join(m.Name, string(m.Node)))
	}
	tw.Flush()
}

func (t Text) chain(b *strings.Builder, s Switch) {
	t.heading(b, "record")
	for _, c := range s.Changes {
		head := fmt.Sprintf("%9s  epoch %d %s", Duration((c.At - s.Began).D()), c.Epoch, c.Phase)
		if c.Guessed {
			head = fmt.Sprintf("%9s  epoch %d %s", "?", c.Epoch, c.Phase)
		}
		switch {
		case c.Phase == cluster.PhaseHandoff:
			head += fmt.Sprintf(", %s to %s", c.Primary, c.Candidate)
		case c.Primary != "":
			head += ", " + string(c.Primary)
		}
		if c.By != "" {
			head += ", by " + string(c.By)
		}
		fmt.Fprintln(b, head)
		why, detail := c.Why, c.Evidence
		if why == "" {
			why, detail = c.Reason, c.Detail
		}
		t.wrapped(b, "           ", reasonText(why, detail))
	}
}

func (t Text) choice(b *strings.Builder, s Switch) {
	if s.Choice == nil {
		return
	}
	t.heading(b, "choice")
	line := fmt.Sprintf("  %s was chosen", dash(string(s.Choice.Chosen)))
	if s.Choice.By != "" {
		line += fmt.Sprintf(" (decided by %s)", s.Choice.By)
	}
	fmt.Fprintln(b, line)
	for _, p := range s.Choice.Passed {
		t.wrapped(b, fmt.Sprintf("  %s was passed over: ", p.Node), reasonText(p.Reason, p.Detail))
	}
}

func (t Text) accuracy(b *strings.Builder, s Switch) {
	var worst Millis
	var notes []string
	for _, n := range s.Nodes {
		worst = max(worst, n.Within)
		switch {
		case n.Unplaced:
			notes = append(notes, fmt.Sprintf("%s's steps are left out: nothing it saw was seen by another node.", n.Node))
		case n.CutOff:
			notes = append(notes, fmt.Sprintf("%s was cut off: it learned of the record's changes %s late.", n.Node, Duration(n.Late.D())))
		}
	}
	t.heading(b, "accuracy")
	t.wrapped(b, "  ", fmt.Sprintf("Clocks of nodes are never compared; their steps are lined up at what all of them saw in the store, here to within %s.", Duration(worst.D())))
	for _, n := range notes {
		t.wrapped(b, "  ", n)
	}
}

func (t Text) heading(b *strings.Builder, text string) { fmt.Fprintf(b, "\n%s\n", t.bold(text)) }

func (t Text) bold(s string) string {
	if !t.Color {
		return s
	}
	return "\x1b[1m" + s + "\x1b[0m"
}

// wrapped writes text after a lead, broken at words, later lines indented to
// the lead's width.
func (t Text) wrapped(b *strings.Builder, lead, text string) {
	indent := strings.Repeat(" ", utf8.RuneCountInString(lead))
	line := lead
	used := 0
	for _, word := range strings.Fields(text) {
		if used > 0 && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > t.width() {
			fmt.Fprintln(b, line)
			line, used = indent, 0
		}
		if used > 0 {
			line += " "
		}
		line += word
		used++
	}
	fmt.Fprintln(b, line)
}

// Duration prints a duration the way people compare them: with a unit that
// fits and three digits that matter.
func Duration(d time.Duration) string {
	switch a := d.Abs(); {
	case a < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	case a < time.Second:
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
	case a < time.Minute:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// Moment prints a time of RFC 3339 to the millisecond. What is none stays what it
// is.
func Moment(at string) string {
	t, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return clean(at)
	}
	return t.Format("2006-01-02T15:04:05.999Z07:00")
}

func reasonText(r cluster.Reason, detail string) string {
	switch {
	case detail == "":
		return clean(string(r))
	case r == "":
		return clean(detail)
	}
	return clean(string(r)) + ": " + clean(detail)
}

// clean takes what would move the cursor or recolour the screen out of text
// that may come from a server's error message.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func join(a, b string) string {
	if b == "" {
		return a
	}
	return a + " (" + b + ")"
}
