package audit

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// reportHead says what a person must know before the rows.
func reportHead(f *file, s Summary) {
	f.printf("Transactions that %s has and the primary %s lacks\n", s.Node, orUnknown(string(s.Primary)))
	f.printf("cluster %s, found in epoch %d on %s\n\n", s.Cluster, s.Epoch, s.At)
	line := func(name, format string, args ...any) { f.printf("%-14s %s\n", name, fmt.Sprintf(format, args...)) }
	line("GTIDs", "%s", s.Errant)
	line("found", "%s", s.Headline())
	if s.First != "" {
		line("written", "%s to %s (this server's clock)", s.First, s.Last)
	}
	if s.Own > 0 {
		line("Baton's own", "%s changed nothing but Baton's own rows", count(s.Own, "transaction"))
	}
	line("acknowledged", "%s: %s", s.Acknowledged(), orUnknown(s.AckWhy))
	for i, t := range s.Tables {
		line([]string{"tables", ""}[min(i, 1)], "%s: %d inserted, %d updated, %d deleted", t.Table, t.Inserted, t.Updated, t.Deleted)
	}
	if s.Undo.InTheWay == "" {
		line("rewind", "possible: nothing is in the way of undoing them")
	} else {
		line("rewind", "not possible: %s. `baton rejoin --reclone` gives this server new data", s.Undo.InTheWay)
	}
	for _, n := range s.Findings {
		line("NOTE", "%s", n)
	}
	f.printf("\n%s carries them out on the primary, each only where the rows still are as they\nwere; %s has the same for programs; %s/ are the binary logs themselves.\n",
		ReplayFile, TransactionsFile, EvidenceDir)
}

func orUnknown(s string) string {
	if s == "" {
		return "nothing is known"
	}
	return s
}

func (w *writers) reportBegin(t *transaction) {
	w.report.printf("\n%s  %s  acknowledged: %s  (%s at %d)\n", t.id, rfc3339(t.at), t.acks, t.file, t.pos)
}

func (w *writers) reportRow(tbl *table, r row) {
	f := w.report
	f.printf("  %s %s.%s\n", strings.ToUpper(string(r.op)), tbl.database, tbl.name)
	if r.op != Update {
		image := r.after
		if r.op == Delete {
			image = r.before
		}
		for _, c := range image {
			f.printf("    %-20s %s\n", tbl.column(c.Column), shown(c.Value, tbl.of(c.Column)))
		}
		return
	}
	after := map[int]Value{}
	for _, c := range r.after {
		after[c.Column] = c.Value
	}
	seen := map[int]bool{}
	for _, c := range r.before {
		of := tbl.of(c.Column)
		text := shown(c.Value, of)
		if now, changed := after[c.Column]; changed && now != c.Value {
			text += "  →  " + shown(now, of)
		}
		seen[c.Column] = true
		f.printf("    %-20s %s\n", tbl.column(c.Column), text)
	}
	for _, c := range r.after {
		if !seen[c.Column] {
			f.printf("    %-20s →  %s\n", tbl.column(c.Column), shown(c.Value, tbl.of(c.Column)))
		}
	}
}

// mostShown is how much of a value the report has. The other files have all.
const mostShown = 1000

// shown is a value for a person: on one line, harmless to a terminal, and not
// too long.
func shown(v Value, c *Column) string {
	text, exact := v.literal(c)
	if len(text) > mostShown {
		cut := text[:mostShown]
		for !utf8.ValidString(cut) && len(cut) > mostShown-utf8.UTFMax {
			cut = cut[:len(cut)-1]
		}
		text = fmt.Sprintf("%s… (%d bytes)", cut, len(v.text))
	}
	if !exact && v.form == number {
		text += " (about)"
	}
	return text
}

func (w *writers) reportStatement(s statement) {
	in := ""
	if s.database != "" {
		in = " in " + s.database
	}
	w.report.printf("  STATEMENT%s\n", in)
	for line := range strings.SplitSeq(s.sql, "\n") {
		w.report.printf("    %s\n", printable(line))
	}
}

// printable keeps a client's text from doing things to a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\t' || r == 0x7f {
			return '�'
		}
		return r
	}, s)
}

func (w *writers) reportEnd(t *transaction) {
	switch {
	case !t.complete():
		w.report.printf("  THE LOG ENDS HERE, in the middle of this transaction\n")
	case t.rolledBack:
		w.report.printf("  ROLLED BACK: only what no transaction can take back remains\n")
	}
}
