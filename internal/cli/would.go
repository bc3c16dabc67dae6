package cli

import (
	"fmt"
	"strings"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
)

// said is one line of what a node that only observes has to say.
type said struct{ about, text string }

// wouldText says what would be done, and why, and what would not.
func wouldText(w api.Would) []said {
	var lines []said
	say := func(about, format string, args ...any) {
		lines = append(lines, said{about, printable(fmt.Sprintf(format, args...))})
	}
	if w.Supposed {
		followers := "nobody"
		if len(w.Followers) > 0 {
			followers = list(w.Followers)
		}
		say("seen", "%s as primary, followed by %s", w.Primary, followers)
	}
	if b := w.Begin; b != nil {
		switch {
		case b.Primary != "":
			say("would", "take the cluster over with %s as primary: %s", b.Primary, because(b.Reason, b.Detail))
		case b.Elects:
			say("would", "take the cluster over and elect a primary: %s", because(b.Reason, b.Detail))
		default:
			say("would not", "take the cluster over: %s", because(b.Reason, b.Detail))
		}
	}
	switch {
	case w.Failover != nil:
		say("would", "%s: %s", promotes("fail over", *w.Failover), because(w.Reason, w.Detail))
		lines = append(lines, passed(*w.Failover)...)
	case w.Changes:
		say("would", "change the record: %s", because(w.Reason, w.Detail))
	case w.Reason != cluster.Nothing && w.Primary != "":
		say("would not", "fail over: %s", because(w.Reason, w.Detail))
	case w.Primary != "":
		say("would not", "do anything to the primary: it is well")
	}
	if p := w.IfLost; p != nil {
		say("if lost", "were %s lost now, it would %s", w.Primary, promotes("fail over", *p))
		lines = append(lines, passed(*p)...)
	}
	if w.Lossy != "" && (w.Failover != nil || w.IfLost != nil) {
		say("but", "%s", w.Lossy)
	}
	return lines
}

// promotes says who would take over.
func promotes(verb string, p api.Plan) string {
	if p.Refused != "" {
		return fmt.Sprintf("begin to %s and promote nobody yet (%s)", verb, p.Refused)
	}
	return fmt.Sprintf("%s to %s (%s)", verb, p.Candidate, p.By)
}

// passed says why the others would not.
func passed(p api.Plan) []said {
	var lines []said
	for _, a := range p.Passed {
		lines = append(lines, said{"not to", printable(fmt.Sprintf("%s: %s", a.Node, because(a.Reason, a.Detail)))})
	}
	return lines
}

// wouldDo lists, node by node, the steps that would be taken.
func (e *env) wouldDo(b *strings.Builder, st api.Status) {
	var lines []string
	for _, r := range st.Nodes {
		if r.Part == api.IsSilent {
			continue
		}
		for i, step := range r.Would {
			lines = append(lines, fmt.Sprintf("  %s: %d. %s", r.Name, i+1, printable(step)))
		}
	}
	if len(lines) > 0 {
		fmt.Fprintf(b, "\n%s\n%s\n", e.paint(bold, "would be done, if it were not only observed"), strings.Join(lines, "\n"))
	}
}
