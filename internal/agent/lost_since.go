package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/audit"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/db"
)

// since is how the rows that errant transactions changed are on the primary: a
// row that is as they had found it can take their change, one that somebody has
// changed since cannot without losing that.
type since struct {
	At      string           `json:"at"` // RFC 3339
	Primary cluster.NodeName `json:"primary"`

	Unchanged int `json:"unchanged"` // as the transactions had found them
	Same      int `json:"same"`      // as they left them: the change was made again
	Changed   int `json:"changed"`   // neither: in conflict
	// NotCompared is how many rows are too big to ask for, or of a table that the
	// primary does not have like that, and Why what kept all of
	// them from being compared.
	NotCompared int    `json:"not_compared,omitempty"`
	Why         string `json:"why,omitempty"`
	// Conflicts are the changed ones, the first thousand of them.
	Conflicts []conflict `json:"conflicts,omitempty"`
}

// conflict is one row that was changed since, and by which errant transactions
// before.
type conflict struct {
	Table string   `json:"table"`
	Key   string   `json:"key"`
	GTIDs []string `json:"gtids"`
}

// Limits of comparing rows with the primary's.
const (
	sinceFile      = "since.json"
	mostCompared   = 10_000    // rows; they are held in memory
	mostConflicts  = 1000      // named
	rowsPerAsk     = 50        // in one question to the primary
	mostAsked      = 128 << 10 // bytes of one row's question
	comparingLimit = 20 * time.Second
)

func (s since) String() string {
	switch {
	case s.Why != "":
		return "not compared with the primary: " + s.Why
	case s.Changed > 0:
		return fmt.Sprintf("%d of %d rows have been changed on %s since", s.Changed, s.Unchanged+s.Same+s.Changed+s.NotCompared, s.Primary)
	case s.NotCompared > 0:
		return fmt.Sprintf("%d rows could not be compared with those of %s, the others have not been changed since", s.NotCompared, s.Primary)
	}
	return fmt.Sprintf("none of the rows has been changed on %s since", s.Primary)
}

// asked is a question for rows; the answer has a state for each.
type asked struct {
	Rows []audit.Touched `json:"rows"`
}

type rowStates struct {
	States []audit.RowState `json:"states"`
}

// rowsPath is where the primary is asked how rows are.
const rowsPath = "rows"

// rowsNow answers a question for rows. Whoever asks is a member of the cluster,
// which has the same rows, and asks in a transaction that can only read.
func (h *hostParts) rowsNow(ctx context.Context, q asked) (rowStates, error) {
	ctx, cancel := context.WithTimeout(ctx, comparingLimit)
	defer cancel()
	if h.database == nil {
		return rowStates{}, errors.New("a witness has no rows")
	}
	var a rowStates
	err := h.database.AskRows(ctx, func(ask db.Ask) error {
		for _, r := range q.Rows {
			state, err := r.State(ask)
			if err != nil {
				// Here the table may not be, or be another: then the server answers others.
				if _, silent := ask("SELECT 1"); silent != nil {
					return err
				}
				state = audit.Unknown
			}
			a.States = append(a.States, state)
		}
		return nil
	})
	return a, err
}

// compareOnce compares unless that was done before.
func (a *auditor) compareOnce(ctx context.Context, primary cluster.NodeName, found lostOf) (since, error) {
	if s, err := readSince(filepath.Join(found.dir, sinceFile)); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	return a.compare(ctx, primary, found)
}

// compare asks the primary how the rows are there now, and keeps the answer beside
// the audit. It reads the logs that the audit kept: the server may have removed its
// own by now.
func (a *auditor) compare(ctx context.Context, primary cluster.NodeName, found lostOf) (since, error) {
	path := filepath.Join(found.dir, sinceFile)
	s := since{At: time.Now().UTC().Format(time.RFC3339), Primary: primary}
	logs, err := audit.Kept(found.dir)
	if err != nil {
		return s, err
	}
	job := audit.Job{Program: a.program, Flavor: a.flavor, Files: logs, Want: found.sum.Errant, Node: found.sum.Node, Primary: primary,
		Columns: a.columns, Start: startQuietly}
	rows, err := job.Touched(ctx, mostCompared)
	switch {
	case ctx.Err() != nil:
		return s, ctx.Err()
	case err != nil:
		s.Why = err.Error() // it would come to the same again
	default:
		rows = slices.DeleteFunc(rows, func(r audit.Touched) bool { return r.Database == db.Schema }) // nobody's data
		if err := s.ask(ctx, rows, a.rowsAt); err != nil {
			return s, err
		}
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = writeWhole(path, append(b, '\n'))
	}
	return s, err
}

// ask compares the rows, some at a time.
func (s *since) ask(ctx context.Context, rows []audit.Touched, at func(context.Context, cluster.NodeName, asked) (rowStates, error)) error {
	for len(rows) > 0 {
		var q asked
		size := 0
		for len(rows) > 0 && len(q.Rows) < rowsPerAsk && size < mostAsked {
			r := rows[0]
			rows = rows[1:]
			if len(r.Was)+len(r.Became)+len(r.Key) > mostAsked {
				s.NotCompared++
				continue
			}
			size += len(r.Was) + len(r.Became) + len(r.Key)
			q.Rows = append(q.Rows, r)
		}
		if len(q.Rows) == 0 {
			continue
		}
		answer, err := at(ctx, s.Primary, q)
		if err != nil {
			return fmt.Errorf("compare rows with those of %s: %w", s.Primary, err)
		}
		if len(answer.States) != len(q.Rows) {
			return fmt.Errorf("compare rows with those of %s: asked for %d, told of %d", s.Primary, len(q.Rows), len(answer.States))
		}
		for i, state := range answer.States {
			switch r := q.Rows[i]; state {
			case audit.AsBefore, audit.Both:
				s.Unchanged++
			case audit.AsAfter:
				s.Same++
			case audit.Unknown:
				s.NotCompared++
			default:
				s.Changed++
				if len(s.Conflicts) < mostConflicts {
					s.Conflicts = append(s.Conflicts, conflict{Table: r.Table, Key: r.Key, GTIDs: r.GTIDs})
				}
			}
		}
	}
	return nil
}

func readSince(path string) (s since, err error) {
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	return s, err
}

// sinceText is what the report has at its end.
func sinceText(dir string) string {
	s, err := readSince(filepath.Join(dir, sinceFile))
	if err != nil {
		return "\nnot compared with the primary's rows yet: `baton lost NAME --check` does it\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nAs it was on %s at %s, and as nobody has looked since (`baton lost NAME --check` looks anew):\n%s\n", s.Primary, s.At, s)
	for _, c := range s.Conflicts {
		fmt.Fprintf(&b, "  %s where %s: changed by %s here, and since by somebody else there\n", c.Table, c.Key, strings.Join(c.GTIDs, ", "))
	}
	if s.Changed > len(s.Conflicts) {
		fmt.Fprintf(&b, "  and %d more\n", s.Changed-len(s.Conflicts))
	}
	return b.String()
}
