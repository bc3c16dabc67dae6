package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/timeline"
)

func newStatusCommand(e *env) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show who is primary, how every node is, and what is being waited for",
		Long: `Shows the cluster as the daemon of this host sees it. With --watch, a terminal
is redrawn whenever something changes; elsewhere each change becomes a line.`,
		Example: "  baton status\n  baton status --watch\n  baton status -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withDaemon(cmd, func(ctx context.Context, c *api.Client) error {
				if watch {
					return e.watch(ctx, c)
				}
				st, err := c.Status(ctx)
				if err != nil {
					return err
				}
				if e.json() {
					return e.printJSON(st)
				}
				return e.printStatus(e.out, st)
			})
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on, and show every change")
	return cmd
}

// printStatus writes the status for people: the cluster, the nodes, and what
// is out of order.
func (e *env) printStatus(w io.Writer, st api.Status) error {
	var b strings.Builder
	e.head(&b, st)
	nodeTable(&b, st)
	endpointTable(&b, st)
	e.wouldDo(&b, st)
	e.attention(&b, st)
	_, err := io.WriteString(w, b.String())
	return err
}

func (e *env) head(b *strings.Builder, st api.Status) {
	head := fmt.Sprintf("%s: %s", printable(st.Cluster), st.Headline())
	if st.Known {
		head += fmt.Sprintf(", epoch %d", st.Epoch)
	}
	fmt.Fprint(b, e.paint(bold, head))
	if age, ok := since(st.Since, st.At); ok {
		fmt.Fprintf(b, " for %s", age)
	}
	fmt.Fprintf(b, " (seen from %s)\n", st.Node)
	if st.Store.Silent && st.Known {
		fmt.Fprintln(b, e.paint(yellow, "  this is what was so when the store last answered this node; it does not answer now"))
	}
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(b, "  %-10s %s\n", name, text)
		}
	}
	line("reason", because(st.Reason, st.Detail))
	line("lease", leaseText(st))
	line("writes", acksText(st))
	line("store", storeText(st.Store))
	if p := st.Paused; p != nil {
		line("paused", e.paint(yellow, printable(fmt.Sprintf("by %s at %s: %s", p.By, timeline.Moment(p.At), cmp.Or(p.Why, "no reason given")))))
	}
	for _, m := range st.Maintenance {
		line("maintained", e.paint(yellow, printable(fmt.Sprintf("%s, by %s at %s: %s", m.Node, m.By, timeline.Moment(m.At), cmp.Or(m.Why, "no reason given")))))
	}
	if j := st.Rejoin; j != nil {
		line("rejoin", printable(fmt.Sprintf("%s at %s: %s", j.Rejoin, timeline.Moment(j.At), cmp.Or(j.Progress, "not begun"))))
	}
	if j := st.Rejoined; j != nil && j.Failed != "" {
		line("rejoin", e.paint(red, printable(fmt.Sprintf("the %s of %s failed: %s", j.Method, j.Node, j.Failed))))
	}
	if len(st.LeftAlone) > 0 {
		line("held", fmt.Sprintf("%s, as a person wants it", list(st.LeftAlone)))
	}
	if st.Mode == cluster.Observe {
		line("mode", e.paint(yellow, "observe: nothing is done, only explained"))
	}
	if w := st.Would; w != nil {
		for _, said := range wouldText(*w) {
			line(said.about, said.text)
		}
	}
	for _, waiting := range st.Waiting {
		line("waits for", waitText(waiting))
	}
	if st.Verdict != nil && (st.Known || st.Would == nil) { // Would says the same, and more
		line("no action", because(st.Verdict.Reason, st.Verdict.Detail))
	}
	for _, q := range st.Requests {
		line("asked", requestText(q))
	}
	if l := st.LastSwitch; l != nil {
		line("last", printable(fmt.Sprintf("%s to %s at %s, %s (%s); baton history %d", l.Kind, l.To, timeline.Moment(l.At), timeline.Duration(l.Took.D()), l.Reason, l.Epoch)))
	}
}

func leaseText(st api.Status) string {
	if st.Lease.Holder == "" {
		return ""
	}
	text := fmt.Sprintf("%s, renewed %d ms ago of %d", st.Lease.Holder, st.Lease.AgeMS, st.Lease.LengthMS)
	if st.Lease.Overdue {
		text += ", overdue"
	}
	return text
}

func acksText(st api.Status) string {
	switch a := st.Acks; {
	case !st.Known:
		return ""
	case a.K == 0:
		return "asynchronous: a failover may lose the newest transactions"
	case len(a.Members) == 0:
		return fmt.Sprintf("%s, but nobody acknowledges: only %s's data may be elected", a.Durability, st.Primary)
	default:
		return fmt.Sprintf("%s, acknowledged by %d of %s", a.Durability, a.K, list(a.Members))
	}
}

func storeText(s api.Store) string {
	text := ""
	if s.Members > 0 {
		text = fmt.Sprintf("%d of %d members, leader %s", s.Healthy, s.Members, orDash(string(s.Leader)))
	}
	if s.Silent {
		text = strings.TrimSuffix("no majority answers; "+text, "; ")
	}
	if s.Detail != "" {
		text = strings.TrimPrefix(text+": "+printable(s.Detail), ": ")
	}
	return text
}

func waitText(w api.Waiting) string {
	text := because(w.For, w.Detail)
	if w.Node != "" {
		return string(w.Node) + ", " + text
	}
	return text
}

func requestText(q cluster.Request) string {
	text := string(q.Kind)
	if q.To != "" {
		text += " to " + string(q.To)
	}
	text += " by " + q.By
	if q.Refused != "" {
		text += ", refused: " + q.Refused
	}
	return printable(text)
}

func nodeTable(b *strings.Builder, st api.Status) {
	fmt.Fprintln(b)
	w := newTable(b)
	fmt.Fprintln(w, "NODE\tPART\tSITE\tSERVER\tFOLLOWS\tBEHIND\tACKS\tGATE\tADDRESSES\tAGENT")
	for _, r := range st.Nodes {
		columns := []string{serverText(r), followsText(r), behindText(r), ackText(st, r), orDash(r.Gate), orDash(addressesText(r))}
		if r.Part == api.IsSilent { // what it said last may be long past
			columns = []string{"?", "?", "?", ackText(st, r), "?", "?"}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Name, r.Part, orDash(r.Site), strings.Join(columns, "\t"), agentText(r))
	}
	w.Flush() // into a Builder, which takes everything
}

// endpointTable shows where clients are led beside the addresses of the nodes.
func endpointTable(b *strings.Builder, st api.Status) {
	if len(st.Endpoints) == 0 {
		return
	}
	fmt.Fprintln(b)
	w := newTable(b)
	fmt.Fprintln(w, "ENDPOINT\tKIND\tLEADS TO\tWANTED\tREPAIRED\tBECAUSE")
	for _, l := range st.Endpoints {
		to := orDash(string(l.To))
		if !l.Settled && l.To == l.Wanted {
			to += " ?"
		}
		switch {
		case l.Wanted == "":
			to = "stands by, not ready"
		case l.Unseen:
			to = "not known"
		case l.Told:
			to = "told " + string(l.Wanted) + ", cannot be asked"
		}
		name := l.Endpoint
		if l.On != "" {
			name += " on " + string(l.On)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", name, l.Kind, to, orDash(string(l.Wanted)), l.Repaired, orDash(printable(l.Because)))
	}
	w.Flush() // into a Builder, which takes everything
}

// addressesText lists a node's virtual addresses, first those for writers.
func addressesText(r api.Row) string {
	all := slices.Clone(r.Addresses)
	for _, ip := range r.Readers {
		all = append(all, ip+" (readers)")
	}
	return strings.Join(all, " ")
}

func serverText(r api.Row) string {
	switch {
	case r.Role == cluster.Witness:
		return "none"
	case r.Server == cluster.ServerUnknown:
		return "-"
	case r.Server != cluster.ServerUp:
		return string(r.Server)
	case r.ReadOnly:
		return "up, read-only"
	}
	return "up, writable"
}

func followsText(r api.Row) string {
	switch {
	case r.Follows == "":
		return "-"
	case r.ReplError != "":
		return orDash(r.Follows) + ", broken"
	case !r.Receiving:
		return orDash(r.Follows) + ", silent"
	}
	return orDash(r.Follows)
}

func behindText(r api.Row) string {
	if r.Behind == nil {
		return "-"
	}
	return fmt.Sprint(*r.Behind)
}

func ackText(st api.Status, r api.Row) string {
	switch {
	case r.Acks:
		return "yes"
	case st.Acks.Joining == r.Name:
		return "joining"
	}
	return "-"
}

func agentText(r api.Row) string {
	if r.AgentAgeMS == nil {
		return "never seen"
	}
	return timeline.Duration(time.Duration(*r.AgentAgeMS)*time.Millisecond) + " ago"
}

// attention lists what a person should know of, node by node.
func (e *env) attention(b *strings.Builder, st api.Status) {
	var lines []string
	say := func(n cluster.NodeName, text string) {
		lines = append(lines, fmt.Sprintf("  %s: %s", n, printable(text)))
	}
	for _, r := range st.Nodes {
		if slices.ContainsFunc(st.Maintenance, func(m cluster.Maintenance) bool { return m.Node == r.Name }) {
			continue // somebody works on it and knows
		}
		if r.Part == api.IsSilent {
			say(r.Name, "its agent is not to be heard of")
		}
		if r.Mode == cluster.Observe && slices.ContainsFunc(st.Nodes, func(o api.Row) bool { return o.Mode == cluster.Active && o.Part != api.IsSilent }) {
			say(r.Name, "its agent only observes (mode: observe): it is never promoted, and its acknowledgement is not counted on")
		}
		for _, lack := range r.Lacks {
			say(r.Name, "in the way of mode: active: "+lack)
		}
		if r.Held != "" {
			say(r.Name, "held, does not follow: "+r.Held)
		}
		if r.Errant != "" {
			say(r.Name, "has transactions that the primary lacks: "+r.Errant)
		}
		if r.Lost != "" {
			say(r.Name, "that is "+r.Lost)
		}
		if r.ReplError != "" {
			say(r.Name, "replication: "+r.ReplError)
		}
		if r.Differs {
			say(r.Name, fmt.Sprintf("runs with other settings than %s; automatic decisions are held back", st.Node))
		}
		if len(r.Unreachable) > 0 {
			say(r.Name, "its server does not answer "+list(r.Unreachable))
		}
		for _, c := range r.Conditions {
			say(r.Name, because(c.Reason, c.Detail))
		}
	}
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", e.paint(bold, "attention"))
	for _, l := range lines {
		fmt.Fprintln(b, e.paint(red, l))
	}
}

// since is how long ago a wall-clock time was, for people.
func since(from, to string) (time.Duration, bool) {
	a, errA := time.Parse(time.RFC3339, from)
	b, errB := time.Parse(time.RFC3339, to)
	if errA != nil || errB != nil || b.Before(a) {
		return 0, false
	}
	return b.Sub(a).Round(time.Second), true
}

func list(nodes []cluster.NodeName) string {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = string(n)
	}
	return strings.Join(names, ", ")
}
