// Package health answers what a reason means to the person who reads it at
// night: what one sees, what it rests on, what Baton does about it, and what is
// left to do.
//
// It decides nothing and looks at nothing. The one rule: every cluster.Reason
// has exactly one row, and the row is true for every place that the reason is
// shown in. docs/failures.md is written from it.
package health

import (
	"fmt"
	"slices"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Severity says how soon a person should look.
type Severity string

// The severities.
const (
	Normal   Severity = "normal"   // a step on the way, or an answer to a question: nothing to do
	Notice   Severity = "notice"   // look at it when there is time
	Warning  Severity = "warning"  // less is safe than it should be: look at it today
	Critical Severity = "critical" // clients cannot write, or the next failure will cost something: look now
)

// Row is everything to be said about one reason.
type Row struct {
	Reason   cluster.Reason `json:"reason"`
	Severity Severity       `json:"severity"`
	Sign     string         `json:"sign"`     // what one sees, in one line
	Evidence string         `json:"evidence"` // what it rests on
	Baton    string         `json:"baton"`    // what Baton does
	You      string         `json:"you"`      // what is left to do
}

// Chapter is the rows of one kind of reason.
type Chapter struct {
	Title string
	Intro string
	Rows  []Row
}

// Chapters returns the whole catalogue.
func Chapters() []Chapter {
	return []Chapter{
		{"Why a primary was replaced", "The reason of a new epoch, in the history and in `baton status`.", replaced()},
		{"Steps of a switch, and other changes of the record", "One line each in the history.", changes()},
		{"Why nothing is done", "Something is wrong or going on, and Baton waits. `baton status` shows it.", waits()},
		{"Why a node was passed over, or chosen", "The history keeps one of these for every node; `baton switchover --dry-run` shows them beforehand.", passed()},
		{"What came of a back-fill", "After an asynchronous reign: was everything fetched that only the dead server's log held? `baton history EPOCH` says it.", backFilled()},
		{"Conditions", "What is out of order on a host. Shown by `baton status` until it is over.", conditions()},
	}
}

// Explain returns the row of a reason. A reason that this build does not know,
// from a newer one, gets a row that says so, and ok is false.
func Explain(r cluster.Reason) (row Row, ok bool) {
	for _, c := range Chapters() {
		if i := slices.IndexFunc(c.Rows, func(row Row) bool { return row.Reason == r }); i >= 0 {
			return c.Rows[i], true
		}
	}
	return Row{
		Reason: r, Severity: Notice,
		Sign:     fmt.Sprintf("%q, which this version of Baton does not know.", string(r)),
		Evidence: "A newer version on another node wrote it.",
		Baton:    "It keeps the value as it is.",
		You:      "Read about it with the newer version; finish the upgrade.",
	}, false
}

// Document writes the catalogue as Markdown, for docs/failures.md.
func Document() string {
	var b strings.Builder
	b.WriteString(documentHead)
	for _, c := range Chapters() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", c.Title, c.Intro)
		for _, r := range c.Rows {
			fmt.Fprintf(&b, "\n### %s\n\n**%s** (%s)\n\n", heading(r.Reason), r.Sign, r.Severity)
			fmt.Fprintf(&b, "- *Evidence:* %s\n- *Baton:* %s\n- *You:* %s\n", r.Evidence, r.Baton, r.You)
		}
	}
	return b.String()
}

func heading(r cluster.Reason) string {
	if r == cluster.Nothing {
		return "(no reason)"
	}
	return "`" + string(r) + "`"
}

const documentHead = `# Failures: every reason, what it means, what to do

<!-- Written by a test from the catalogue in internal/health. Do not edit:
     change the catalogue, then run go test ./internal/health -run Documentation -update -->

Whatever Baton decides, or does not do, has a reason. The same word stands in the log, the metrics,
` + "`baton status`, `baton history`" + ` and here: search this page for it.

How urgent it is: **critical**, clients cannot write or the next failure will cost something, look now; **warning**, less
is safe than it should be, look today; **notice**, when there is time; **normal**, a step on the way.

When something is wrong and you do not know where to begin:

1. ` + "`baton status`" + ` on any node: who is primary, in which phase, and which conditions there are.
2. ` + "`baton explain`" + `: why nothing is done, what a failover now would do, and what would be at risk.
3. ` + "`baton history`" + `, then ` + "`baton history EPOCH`" + `: what happened when, on which node.
4. ` + "`journalctl -u baton`" + ` on the node it is about.

Never make a server writable by hand, and never open Baton's firewall table by hand: both undo what keeps two
servers from taking writes. ` + "`baton pause`" + ` stops everything automatic while you look.
`
