package audit

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// RowState is how a row is now, beside what the transactions found and left.
type RowState string

// The states of a row.
const (
	AsBefore RowState = "as-before" // as the first of the transactions found it
	AsAfter  RowState = "as-after"  // as the last of them left it
	Both     RowState = "both"      // they left it as they had found it, and so it is
	Other    RowState = "other"     // somebody else has changed it
	Unknown  RowState = "unknown"   // it cannot be asked for: there is no such table, or it has other columns
)

// Touched is one row that the transactions changed, from its first image to its
// last.
type Touched struct {
	Database string   `json:"database"`
	Name     string   `json:"name"`
	Table    string   `json:"table"` // database.name, for people
	Key      string   `json:"key"`   // its primary key, in SQL
	GTIDs    []string `json:"gtids"` // who changed it; the first few

	// Was and Became are SQL that is 1 if the row's columns are so; empty: there was
	// no row.
	Was    string `json:"was"`
	Became string `json:"became"`
}

// ErrTooMany says that more rows were changed than can be held in mind.
var ErrTooMany = errors.New("too many rows")

// ErrNoKey says that a table has no primary key by which a row could be found.
var ErrNoKey = errors.New("no primary key")

// Touched reads the logs again and returns the rows that were changed, Baton's
// own included, in the order in which they first were; no more than most.
func (j Job) Touched(ctx context.Context, most int) ([]Touched, error) {
	files, _, err := j.relevant(ctx)
	if err != nil {
		return nil, err
	}
	r := &rowBook{most: most, at: map[string]int{}}
	c := &collector{job: j, out: r, sum: newSummary(j), names: map[string]*table{}}
	for _, f := range files {
		if err := c.file(ctx, f); err != nil {
			return nil, fmt.Errorf("read which rows were changed: %w", err)
		}
	}
	return r.rows, nil
}

// rowBook is a sink that keeps a row's first and last image.
type rowBook struct {
	most int
	rows []Touched
	at   map[string]int // by table and key
}

func (b *rowBook) begin(*transaction) error                { return nil }
func (b *rowBook) end(*transaction) error                  { return nil }
func (b *rowBook) statement(*transaction, statement) error { return nil }

func (b *rowBook) row(t *transaction, tbl *table, r row) error {
	if r.cut || !tbl.known(r) {
		return fmt.Errorf("a row of %s.%s that %s changed is not known whole", r.database, r.table, t.id)
	}
	before, after := "", ""
	for _, image := range []struct {
		cells []Cell
		into  *string
	}{{r.before, &before}, {r.after, &after}} {
		if image.cells == nil {
			continue
		}
		key, ok := tbl.key(image.cells)
		if !ok {
			return fmt.Errorf("%s.%s, which %s changed: %w", r.database, r.table, t.id, ErrNoKey)
		}
		*image.into = key
	}
	if before != "" && before != after {
		if err := b.touch(t, tbl, before, r.before, nil); err != nil {
			return err
		}
	}
	if after == "" {
		return nil
	}
	var was []Cell
	if before == after {
		was = r.before
	}
	return b.touch(t, tbl, after, was, r.after)
}

// touch notes that a row went from one image to another; nil is no row.
func (b *rowBook) touch(t *transaction, tbl *table, key string, was, became []Cell) error {
	id := tbl.database + "\x00" + tbl.name + "\x00" + key
	i, known := b.at[id]
	if !known {
		if len(b.rows) == b.most {
			return fmt.Errorf("%w: more than %d were changed", ErrTooMany, b.most)
		}
		i = len(b.rows)
		b.at[id] = i
		b.rows = append(b.rows, Touched{Table: tbl.database + "." + tbl.name, Key: key, Database: tbl.database, Name: tbl.name, Was: tbl.same(was)})
	}
	row := &b.rows[i]
	row.Became = tbl.same(became)
	if len(row.GTIDs) < 10 && !slices.Contains(row.GTIDs, t.id) {
		row.GTIDs = append(row.GTIDs, t.id)
	}
	return nil
}

// key is the condition that finds a row by its primary key.
func (t *table) key(image []Cell) (string, bool) {
	var keys []Cell
	for _, c := range image {
		if of := t.of(c.Column); of != nil && of.Key {
			keys = append(keys, c)
		}
	}
	parts := 0
	for _, c := range t.columns {
		if c.Key {
			parts++
		}
	}
	return t.where(keys), parts > 0 && len(keys) == parts
}

// same is a condition that holds if the columns of a row have exactly the values
// of an image, to the byte; empty for no row.
func (t *table) same(image []Cell) string {
	if image == nil {
		return ""
	}
	all := []string{"TRUE"}
	for _, c := range image {
		all = append(all, c.Value.same(quoteName(t.column(c.Column)), t.of(c.Column)))
	}
	return strings.Join(all, " AND ")
}

// same compares a column with a value as the decoder gave it: what it rounds is
// rounded on the other side, too.
func (v Value) same(name string, c *Column) string {
	text, _ := v.literal(c)
	switch {
	case v.form == null:
		return name + " IS NULL"
	case v.form == bits, v.is("ENUM"):
		return name + "+0 <=> " + text
	case v.is("TIMESTAMP") && v.form == number:
		return "UNIX_TIMESTAMP(" + name + ") <=> " + v.text
	case v.is("FLOAT"):
		return "CAST(CONCAT(" + name + ") AS DOUBLE) <=> CAST(CONCAT(CAST(" + text + " AS FLOAT)) AS DOUBLE)"
	case v.form == number, v.is("DATE"), v.is("DATETIME"), v.is("TIME"), v.is("TIMESTAMP"):
		return name + " <=> " + text
	case v.is("JSON"):
		return name + " <=> CAST(" + text + " AS JSON)"
	case c != nil && c.Type == "uuid":
		return name + " <=> " + text
	}
	exact := "HEX(" + name + ") <=> '" + strings.ToUpper(hex.EncodeToString([]byte(v.padded(c)))) + "'"
	if v.controls {
		raw := "HEX(" + name + ") <=> '" + strings.ToUpper(hex.EncodeToString([]byte(asPrinted(v.text)))) + "'"
		return "(" + exact + " OR " + raw + ")"
	}
	return exact
}

// asPrinted is a text with its control characters as mariadb-binlog prints them.
func asPrinted(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if s[i] < 0x20 {
			fmt.Fprintf(&b, "\\x%02x", s[i])
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// State asks how the row is now.
func (r Touched) State(ask func(query string) ([]map[string]string, error)) (RowState, error) {
	is := func(condition string) string {
		if condition == "" {
			return "FALSE"
		}
		return condition
	}
	rows, err := ask(fmt.Sprintf("SELECT %s AS was, %s AS became FROM %s.%s WHERE %s",
		is(r.Was), is(r.Became), quoteName(r.Database), quoteName(r.Name), r.Key))
	if err != nil {
		return "", fmt.Errorf("look at %s where %s: %w", r.Table, r.Key, err)
	}
	before, after := r.Was == "", r.Became == ""
	if len(rows) > 0 {
		before, after = rows[0]["was"] == "1", rows[0]["became"] == "1"
	}
	switch {
	case before && after:
		return Both, nil
	case before:
		return AsBefore, nil
	case after:
		return AsAfter, nil
	}
	return Other, nil
}
