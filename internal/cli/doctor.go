package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/reach"
	"github.com/baton-db/baton/internal/timeline"
)

func newDoctorCommand(e *env) *cobra.Command {
	all := false
	cmd := &cobra.Command{
		Use: "doctor", Short: "Say what an outage would be made of, and what would shorten it",
		Long: `Adds up, for every way in which clients can come to be without a primary, how long
each part of it takes: from the settings in force, from what the replicas have to apply
at this moment, and from the switches in the history. Beside it stands how long that
took the last time, and where this page would have been furthest off.

Then it says who waits longer, and for what: clients that go by an endpoint, hosts that
do not heed the announcement of an address, connections that are idle while their host
goes. For that the agents of all nodes read their hosts: ARP and neighbour settings,
the kernel's keepalive and the timers of the connections, the server's time-outs. Last
comes what would save most.

A part that nothing tells of is not guessed; one planned switch tells most of them. Of
clients, a server sees whether they are there and whether they ask (keepalive), and
nothing else. What switches, routers and other systems usually do is no measurement and
shown only with --all, with its source. Nothing is changed.`,
		Example: "  baton doctor\n  baton doctor --all\n  baton doctor -o json | jq '.advice[0]'",
		Args:    noArgs,
		RunE:    show(e, (*api.Client).Budget, func(w io.Writer, x api.Budget) error { return e.printBudget(w, x, all) }),
	}
	cmd.Flags().BoolVar(&all, "all", false, "also the settings that are well, and what is known of systems that cannot be asked")
	return cmd
}

func (e *env) printBudget(w io.Writer, x api.Budget, all bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, epoch %d (seen from %s)\n", e.paint(bold, fmt.Sprintf("%s: what an outage would be made of", printable(x.Cluster))), x.Epoch, x.Node)
	if len(x.Advice) > 0 && x.Advice[0].Saves > 0 {
		fmt.Fprintf(&b, "What would shorten it most: %s\n", adviceText(x.Advice[0]))
	}
	if len(x.Ways) == 0 {
		point(&b, "", "nobody can be promoted now: see `baton explain`")
	}
	for _, w := range x.Ways {
		e.way(&b, w)
	}
	e.roads(&b, x.Roads)
	e.afterwards(&b, x.Afterwards)
	e.surroundings(&b, x, all)
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
		fmt.Fprintf(&b, "  %d. %s\n", i+1, adviceText(a))
	}
	if len(x.Advice) == 0 {
		fmt.Fprintln(&b, "  nothing that Baton knows of")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func adviceText(a api.Advice) string {
	if a.Saves == 0 {
		return printable(a.Text)
	}
	text := "up to " + short(a.Saves.D())
	if a.Of != "" {
		text += " (" + a.Of + ")"
	}
	return text + ": " + printable(a.Text)
}

// way shows one way, and how it went the last time.
func (e *env) way(b *strings.Builder, w api.Way) {
	e.title(b, fmt.Sprintf("If %s: %s", withPrimary(w.Name), total(w)))
	t := newTable(b)
	if w.Last != nil {
		fmt.Fprintln(t, "  \texpected\tlast time")
	}
	for _, p := range w.Parts {
		then := ""
		if w.Last != nil {
			then = orUnknown(w.Last.Of(p.Name).Took) + "\t"
		}
		fmt.Fprintf(t, "  %s\t%s\t%s%s\n", p.Name, orUnknown(p.Takes), then, printable(fromText(p)))
	}
	t.Flush()
	if w.Real.Runs > 0 {
		fmt.Fprintf(b, "  it took %s, %s\n", timeline.Duration(w.Real.Median.D()), realText(w.Real))
	}
	if w.Last != nil {
		fmt.Fprintf(b, "  last time, epoch %d: %s\n", w.Last.Epoch, lastText(*w.Last))
	}
}

// lastText says how far off it would have been.
func lastText(l api.LastTime) string {
	text := timeline.Duration(l.Took.D())
	switch compared := slices.ContainsFunc(l.Parts, func(t api.Then) bool { _, ok := t.Off(); return ok }); {
	case !compared:
		return text + ", the first of its kind: nothing had been foreseen"
	case l.Furthest == "":
		return text + ", as foreseen"
	}
	then := l.Of(l.Furthest)
	off, _ := then.Off()
	way := "longer"
	if off < 0 {
		way, off = "shorter", -off
	}
	return fmt.Sprintf("%s; furthest off: %s, foreseen %s, %s %s", text, l.Furthest, timeline.Duration(then.Foreseen.D()), timeline.Duration(off.D()), way)
}

// afterwards shows who waits longer. Times of minutes and hours are shown as such.
func (e *env) afterwards(b *strings.Builder, all []api.Stretch) {
	if len(all) == 0 {
		return
	}
	e.title(b, "Who waits on top of that, from when the gate opens")
	t := newTable(b)
	for _, p := range all {
		takes := orUnknown(p.Takes)
		if p.Takes != nil && p.Takes.D() >= 10*time.Second {
			takes = short(p.Takes.D().Round(time.Second))
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\n", p.Name, takes, printable(fromText(p)))
	}
	t.Flush()
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
		if r.Calls != nil {
			led += "; " + callsText(*r.Calls)
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\n", printable(r.Name), r.Kind, led)
	}
	t.Flush()
}

// callsText is what an agent measured since it started.
func callsText(c reach.Calls) string {
	one := func(what string, d reach.Distribution) string {
		if d.Count == 0 {
			return ""
		}
		micros := func(n int64) string { return timeline.Duration(time.Duration(n) * time.Microsecond) }
		text := fmt.Sprintf("%s %s (worst %s of %d", what, micros(d.Median), micros(d.Worst), d.Count)
		if d.Failed > 0 {
			text += fmt.Sprintf(", %d failed", d.Failed)
		}
		return text + ")"
	}
	parts := slices.DeleteFunc([]string{one("a change takes", c.Set), one("a look", c.Observe)}, func(s string) bool { return s == "" })
	return "since the agent started, " + strings.Join(parts, ", ")
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
