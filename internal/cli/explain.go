package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/timeline"
)

func newExplainCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "explain", Short: "Say why nothing is done, and what a failover now would do, take and put at risk",
		Long: `Answers three questions, as the daemon of this host sees the cluster:

  why there is no failover now, what that rests on, and what would hold one back;
  what would happen if the primary's host were gone this moment: who would be
  promoted, why each other node would not, how long it would take and what would
  be at risk;
  what a planned switch would do.

The second is thought through with the same code that decides. How long is made
of the lease, of the median of the switches in the history, and of what the new
primary would have to apply first. While all is well nodes tell their positions
once in timing.beat, so these may be that old. Nothing is changed.`,
		Example: "  baton explain\n  baton explain -o json | jq .if_primary_gone.risks",
		Args:    noArgs,
		RunE:    show(e, (*api.Client).Explain, e.printExplanation),
	}
}

func (e *env) printExplanation(w io.Writer, x api.Explanation) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, epoch %d (seen from %s)\n", e.paint(bold, fmt.Sprintf("%s: %s", printable(x.Cluster), x.Headline)), x.Epoch, x.Node)
	e.whyNothing(&b, x)
	if x.IfGone != nil {
		e.ifGone(&b, x)
	}
	if x.Switchover != nil {
		e.ifSwitched(&b, x)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (e *env) title(b *strings.Builder, text string) { fmt.Fprintf(b, "\n%s\n", e.paint(bold, text)) }

// point writes one thing under its name. Later lines of the same thing have none.
func point(b *strings.Builder, name string, lines ...string) {
	for _, l := range lines {
		fmt.Fprintf(b, "  %-9s %s\n", name, printable(l))
		name = ""
	}
}

func (e *env) whyNothing(b *strings.Builder, x api.Explanation) {
	title := "Why there is no failover now"
	if x.Primary == "" {
		title = "Why there is no primary now"
	}
	e.title(b, title)
	if v := x.Verdict; v.Reason != "" {
		point(b, "because", because(v.Reason, v.Detail))
	} else if x.Primary != "" {
		point(b, "because", "nothing is wrong with "+string(x.Primary))
	}
	point(b, "seen", x.Evidence...)
	for _, w := range x.Waiting {
		if w.Detail != x.Verdict.Detail {
			point(b, "waits for", waitText(w))
		}
	}
	if x.Verdict.Reason != "" {
		point(b, "meaning", x.Meaning.Sign)
		point(b, "baton", x.Meaning.Baton)
		point(b, "you", x.Meaning.You)
	}
}

func (e *env) ifGone(b *strings.Builder, x api.Explanation) {
	g := x.IfGone
	e.title(b, fmt.Sprintf("If the host of %s were gone now", x.Primary))
	switch {
	case g.Stuck != nil:
		point(b, "promoted", "nobody")
		point(b, "because", because(g.Stuck.Reason, g.Stuck.Detail))
	default:
		point(b, "promoted", fmt.Sprintf("%s (%s)", g.Promoted, g.By))
	}
	if g.Held != nil {
		point(b, "held back", because(g.Held.Reason, g.Held.Detail))
	}
	passedOver(b, g.Passed, "")
	if g.Stuck == nil {
		point(b, "takes", tookText(g.Took, "failover"))
	}
	point(b, "at risk", g.Risks...)
	if g.Lost != "" {
		point(b, "lost", g.Lost)
	}
}

func (e *env) ifSwitched(b *strings.Builder, x api.Explanation) {
	e.title(b, "If a planned switch were asked for now")
	p := x.Switchover
	if p.Refused != "" {
		point(b, "refused", p.Refused)
		return
	}
	if p.Candidate == "" {
		point(b, "promoted", "nobody")
		return
	}
	point(b, "promoted", fmt.Sprintf("%s (%s)", p.Candidate, p.By))
	passedOver(b, p.Passed, " (possible with --to)")
	for i, w := range p.Waits {
		point(b, []string{"waits for", ""}[min(i, 1)], waitText(w))
	}
	if x.SwitchoverTook != nil {
		point(b, "takes", tookText(*x.SwitchoverTook, "switchover"))
	}
}

func passedOver(b *strings.Builder, passed []api.Alternative, ifPossible string) {
	for i, a := range passed {
		text := fmt.Sprintf("%s: %s", a.Node, because(a.Reason, a.Detail))
		if a.Possible {
			text += ifPossible
		}
		point(b, []string{"not", ""}[min(i, 1)], text)
	}
}

// tookText says what the time of a switch is made of.
func tookText(t api.Took, kind cluster.RequestKind) string {
	var parts []string
	if t.Lease > 0 {
		parts = append(parts, fmt.Sprintf("at most %s until its lease has surely run out", timeline.Duration(t.Lease.D())))
	}
	switch h := t.History; {
	case h.Runs == 0:
		parts = append(parts, fmt.Sprintf("how long the switch itself takes is not known: the history has no %s", kind))
	case t.Lease > 0:
		parts = append(parts, fmt.Sprintf("then %s", beforeText(h, kind)))
	default:
		parts = append(parts, beforeText(h, kind))
	}
	switch {
	case t.ToApply == 0:
	case t.Apply == nil:
		parts = append(parts, fmt.Sprintf("and %d transactions to apply, at a pace that is not known", t.ToApply))
	default:
		parts = append(parts, fmt.Sprintf("and about %s for %d transactions to apply, at its pace of late", timeline.Duration(t.Apply.D().Round(time.Millisecond)), t.ToApply))
	}
	text := strings.Join(parts, ", ")
	if t.Total != nil && len(parts) > 1 {
		text = fmt.Sprintf("about %s: %s", timeline.Duration(t.Total.D()), text)
	}
	return text
}

func beforeText(h timeline.Typical, kind cluster.RequestKind) string {
	return fmt.Sprintf("%s, the median of the history's %d %s (worst %s)", timeline.Duration(h.Median.D()), h.Runs, plural(h.Runs, string(kind)), timeline.Duration(h.Worst.D()))
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}
