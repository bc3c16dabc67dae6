package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

// Schema is the version of the JSON files.
const Schema = 1

// How much of what grows with a log a summary names.
const (
	mostTables = 1000
	mostNotes  = 50
)

// Summary is what an audit found, without the rows.
type Summary struct {
	Schema  int              `json:"schema"`
	Cluster string           `json:"cluster"`
	Node    cluster.NodeName `json:"node"`
	Primary cluster.NodeName `json:"primary"`
	Epoch   cluster.Epoch    `json:"epoch"`
	Flavor  string           `json:"flavor"`
	At      string           `json:"at"`     // RFC 3339
	Errant  gtid.Set         `json:"errant"` // what was looked for

	Transactions int         `json:"transactions"` // found, Baton's own included
	Own          int         `json:"own"`          // that changed nothing but Baton's own rows
	Incomplete   int         `json:"incomplete"`   // whose end is not in the log
	Rows         int         `json:"rows"`         // without Baton's own
	Statements   int         `json:"statements"`   // logged as text: DDL, or not as rows
	Tables       []TableRows `json:"tables,omitempty"`
	First        string      `json:"first,omitempty"` // when the first one was written
	Last         string      `json:"last,omitempty"`

	// Unacknowledged is how many surely no client saw acknowledged.
	Unacknowledged int    `json:"unacknowledged"`
	AckWhy         string `json:"ack_why,omitempty"`

	// Missing are those that are in no log. Of MariaDB the numbers of a set need
	// not all exist, so there it is empty.
	Missing gtid.Set `json:"missing,omitzero"`
	// Dropped says that the server's crash recovery took them out of its log.
	Dropped bool `json:"dropped,omitempty"`
	// Findings are what a reader must know of how complete all this is.
	Findings []string `json:"findings,omitempty"`

	Undo Undo `json:"undo"`
}

// TableRows is how many rows of a table were changed.
type TableRows struct {
	Table    string `json:"table"`
	Inserted int    `json:"inserted"`
	Updated  int    `json:"updated"`
	Deleted  int    `json:"deleted"`
}

// Undo is what decides whether the transactions can be taken back.
type Undo struct {
	// File and Position are where the first of them begins; they are the end of
	// the binary log if nothing else follows.
	File     string `json:"file,omitempty"`
	Position uint64 `json:"position,omitempty"`
	// State is what the server had logged before the first of them: the
	// gtid_binlog_state to go back to.
	State gtid.Set `json:"state,omitzero"`
	// InTheWay is the first thing that cannot be undone, in words; empty: nothing.
	InTheWay string `json:"in_the_way,omitempty"`
}

// Acknowledged sums up what clients were told.
func (s Summary) Acknowledged() Acknowledged {
	if s.Transactions > 0 && s.Unacknowledged == s.Transactions && s.Missing.IsZero() {
		return NotAcknowledged
	}
	return MaybeAnswered
}

// Headline is the summary in a few words.
func (s Summary) Headline() string {
	parts := []string{count(s.Transactions, "transaction")}
	if n := len(s.Tables); n > 0 {
		parts = append(parts, fmt.Sprintf("%s in %s", count(s.Rows, "row"), count(n, "table")))
	}
	if s.Statements > 0 {
		parts = append(parts, count(s.Statements, "statement"))
	}
	if !s.Missing.IsZero() {
		parts = append(parts, fmt.Sprintf("%d of them in no log any more", s.Missing.Count()))
	}
	if s.Dropped {
		parts = append(parts, "dropped by crash recovery")
	}
	return strings.Join(parts, ", ")
}

func count(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

func newSummary(j Job) Summary {
	return Summary{Schema: Schema, Cluster: j.Cluster, Node: j.Node, Primary: j.Primary, Epoch: j.Epoch, Flavor: j.Flavor,
		At: rfc3339(j.At), Errant: j.Want, AckWhy: j.AckWhy, Dropped: j.Dropped}
}

// note adds findings, each once.
func (s *Summary) note(all ...string) {
	for _, n := range all {
		switch {
		case slices.Contains(s.Findings, n):
		case len(s.Findings) < mostNotes:
			s.Findings = append(s.Findings, n)
		case len(s.Findings) == mostNotes:
			s.Findings = append(s.Findings, "and more")
		}
	}
}

// inTheWay notes what cannot be undone; the first one is kept.
func (s *Summary) inTheWay(format string, args ...any) {
	if s.Undo.InTheWay == "" {
		s.Undo.InTheWay = fmt.Sprintf(format, args...)
	}
}

// changed counts a row.
func (s *Summary) changed(table string, op Op) {
	s.Rows++
	i := slices.IndexFunc(s.Tables, func(t TableRows) bool { return t.Table == table })
	if i < 0 {
		if len(s.Tables) == mostTables {
			s.note(fmt.Sprintf("more than %d tables were changed; the rows of the others are in the files and not counted by table", mostTables))
			return
		}
		s.Tables = append(s.Tables, TableRows{Table: table})
		i = len(s.Tables) - 1
	}
	switch t := &s.Tables[i]; op {
	case Insert:
		t.Inserted++
	case Update:
		t.Updated++
	case Delete:
		t.Deleted++
	}
}
