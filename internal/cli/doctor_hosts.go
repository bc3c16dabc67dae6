package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/reach"
)

// surroundings shows what was read of the hosts: what is worth a change, and with all
// everything.
func (e *env) surroundings(b *strings.Builder, x api.Budget, all bool) {
	if len(x.Hosts) == 0 {
		return
	}
	e.hosts(b, x.Hosts)
	var shown []reach.Note
	for _, n := range x.Notes {
		if all || n.Mend != "" {
			shown = append(shown, n)
		}
	}
	title := "Settings worth a change"
	if all {
		title = "Settings, and what they mean for a switch"
	}
	if len(shown) > 0 {
		e.title(b, title)
	}
	for _, g := range alikeNotes(shown) {
		fmt.Fprintf(b, "  %s = %s on %s\n", g.Setting, g.Value, strings.Join(g.nodes, ", "))
		point(b, "", g.Means)
		if g.Mend != "" {
			point(b, "mend", g.Mend)
		}
	}
	if !all {
		return
	}
	e.title(b, "What is known of others, by their documentation; nothing of it is measured")
	for _, k := range x.Usual {
		fmt.Fprintf(b, "  %s: %s: %s\n", k.Who, k.What, k.Takes)
		point(b, "advice", k.Advice)
		point(b, "source", k.Source)
	}
}

// hosts shows how each stands to the addresses, and of which nothing is known.
func (e *env) hosts(b *strings.Builder, hosts []reach.Host) {
	e.title(b, "The hosts, as their agents have just read them")
	t := newTable(b)
	for _, h := range hosts {
		if h.Why != "" {
			fmt.Fprintf(t, "  %s\tnot known: %s\n", h.Node, printable(h.Why))
			continue
		}
		name := string(h.Node)
		for _, p := range h.Paths {
			fmt.Fprintf(t, "  %s\t%s\n", name, printable(pathText(p)))
			name = ""
		}
		if len(h.Paths) == 0 {
			fmt.Fprintf(t, "  %s\tread; the cluster has no virtual address\n", name)
		}
		for _, m := range h.Missing {
			fmt.Fprintf(t, "  \tnot read: %s\n", printable(m))
		}
	}
	t.Flush()
}

func pathText(p reach.Path) string {
	switch {
	case p.Why != "":
		return fmt.Sprintf("%s: %s", p.Address, p.Why)
	case p.Here && p.Loopback:
		return fmt.Sprintf("%s is here, on lo; neighbours are on %s", p.Address, p.Interface)
	case p.Here:
		return fmt.Sprintf("%s is here, on %s", p.Address, p.Interface)
	case p.Gateway.IsValid():
		return fmt.Sprintf("%s is behind the router %s on %s: whose neighbour table counts", p.Address, p.Gateway, p.Interface)
	case p.Entry == "":
		return fmt.Sprintf("%s is a neighbour on %s, unknown so far: it is asked for when it is used", p.Address, p.Interface)
	}
	return fmt.Sprintf("%s is a neighbour on %s, %s (%s)", p.Address, p.Interface, p.MAC, p.Entry)
}

// noteOfNodes is the same note of several nodes.
type noteOfNodes struct {
	reach.Note
	nodes []string
}

// alikeNotes puts those together that say the same, in the order of the first.
func alikeNotes(notes []reach.Note) (all []noteOfNodes) {
	for _, n := range notes {
		i := slices.IndexFunc(all, func(g noteOfNodes) bool {
			return g.Setting == n.Setting && g.Value == n.Value && g.Means == n.Means && g.Mend == n.Mend
		})
		if i < 0 {
			i = len(all)
			all = append(all, noteOfNodes{Note: n})
		}
		all[i].nodes = append(all[i].nodes, string(n.Node))
	}
	return all
}
