package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/timeline"
)

func newDoctorCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Say what an outage would be made of, and what would shorten it",
		Long: `Adds up, for every way in which clients can come to be without a primary, how long
each part of it takes: from the settings in force, from what the replicas have to apply
at this moment, and from the switches in the history. Beside the sum stands how long it
took when that really happened. Then it says how long each endpoint takes on top, which
are led at the same time, and what would save most.

A part that neither a setting nor the history tells of is not guessed; one planned
switch tells most of them. When clients with an idle connection learn of a switch is
no part of it: see docs/connections.md. Nothing is changed.`,
		Example: "  baton doctor\n  baton doctor -o json | jq '.ways[] | {name, total_ms}'",
		Args:    noArgs,
		RunE:    show(e, (*api.Client).Budget, e.printBudget),
	}
}

func (e *env) printBudget(w io.Writer, x api.Budget) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, epoch %d (seen from %s)\n", e.paint(bold, fmt.Sprintf("%s: what an outage would be made of", printable(x.Cluster))), x.Epoch, x.Node)
	if len(x.Ways) == 0 {
		point(&b, "", "nobody can be promoted now: see `baton explain`")
	}
	for _, w := range x.Ways {
		e.title(&b, fmt.Sprintf("If %s: %s", withPrimary(w.Name), total(w)))
		t := newTable(&b)
		for _, p := range w.Parts {
			fmt.Fprintf(t, "  %s\t%s\t%s\n", p.Name, orUnknown(p.Takes), printable(fromText(p)))
		}
		t.Flush()
		if w.Real.Runs > 0 {
			fmt.Fprintf(&b, "  it took %s, %s\n", timeline.Duration(w.Real.Median.D()), realText(w.Real))
		}
	}
	e.roads(&b, x.Roads)
	if len(x.Last) > 0 {
		e.title(&b, "The last switches")
		t := newTable(&b)
		for _, l := range x.Last {
			fmt.Fprintf(t, "  epoch %d\t%s\t%s\t%s\n", l.Epoch, l.Kind, timeline.Duration(l.Took.D()), l.Reason)
		}
		t.Flush()
	}
	e.title(&b, "What would shorten it most")
	for i, a := range x.Advice {
		saves := ""
		if a.Saves > 0 {
			saves = fmt.Sprintf("up to %s: ", short(a.Saves.D()))
		}
		fmt.Fprintf(&b, "  %d. %s%s\n", i+1, saves, printable(a.Text))
	}
	if len(x.Advice) == 0 {
		fmt.Fprintln(&b, "  nothing that Baton knows of")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (e *env) roads(b *strings.Builder, roads []api.Road) {
	if len(roads) == 0 {
		return
	}
	e.title(b, "Clients that go by an endpoint wait longer, from when the gate opens")
	t := newTable(b)
	for _, r := range roads {
		led := "not known: the history has none"
		if r.Led.Runs > 0 {
			led = fmt.Sprintf("%s (%s)", timeline.Duration(r.Led.Median.D()), realText(r.Led))
		}
		if r.Cached != nil {
			led += fmt.Sprintf(", and up to %s until nobody goes by the old answer any more", short(r.Cached.D()))
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\n", printable(r.Name), r.Kind, led)
	}
	t.Flush()
}

// withPrimary makes a condition of a way's name.
func withPrimary(name string) string {
	if name == api.Planned {
		return "the role is handed over"
	}
	return name
}

func total(w api.Way) string {
	if w.Total == nil {
		var known time.Duration
		for _, p := range w.Parts {
			if p.Takes != nil {
				known += p.Takes.D()
			}
		}
		if known == 0 {
			return "not known"
		}
		return fmt.Sprintf("at least %s, for not all is known", timeline.Duration(known))
	}
	return "about " + timeline.Duration(w.Total.D())
}

func orUnknown(m *timeline.Millis) string {
	if m == nil {
		return "?"
	}
	return timeline.Duration(m.D())
}

func fromText(p api.Stretch) string {
	if p.Worst != nil {
		return fmt.Sprintf("%s (worst %s)", p.From, timeline.Duration(p.Worst.D()))
	}
	return p.From
}

func realText(t timeline.Typical) string {
	if t.Runs == 1 {
		return "the one time in the history"
	}
	return fmt.Sprintf("the median of %d in the history, worst %s", t.Runs, timeline.Duration(t.Worst.D()))
}

// short is a duration as settings have them: 2s and not 2.00 s.
func short(d time.Duration) string {
	text := d.Round(time.Millisecond).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}
