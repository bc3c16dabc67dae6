package audit

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/core/gtid"
)

// ownSchema is Baton's own database on every server (package db): the marker of
// a reign and the row of the write probe are nobody's data.
const ownSchema = "baton"

// transaction is one of those that were asked for, while it is read.
type transaction struct {
	id   string
	set  gtid.Set
	at   time.Time
	file string
	pos  uint64
	acks Acknowledged

	begun      bool // it ends with a commit
	ended      bool
	rolledBack bool
	rows       int
	statements int
	others     int // changes of anything but Baton's own rows
	lossy      bool
}

// complete reports that all of it has been read: a statement on its own, such as
// DDL, ends without a commit.
func (t *transaction) complete() bool {
	return t.ended || !t.begun && t.rows == 0 && t.statements > 0
}

// A sink takes in the wanted transactions, piece by piece.
type sink interface {
	begin(*transaction) error
	row(*transaction, *table, row) error
	statement(*transaction, statement) error
	end(*transaction) error
}

// collector picks the wanted transactions out of the logs.
type collector struct {
	job Job
	out sink
	sum Summary

	names  map[string]*table
	now    *transaction // being read; nil: none that is wanted
	found  []string     // GTIDs of MySQL, whose sets are exact
	exact  gtid.Set
	passed bool     // something else came after the first wanted one
	logged gtid.Set // MariaDB: what had been logged before the first wanted one
}

// file reads one binary log.
func (c *collector) file(ctx context.Context, path string) error {
	p := &parser{wanted: func() bool { return c.now != nil }}
	p.visit = func(item any) error { return c.take(ctx, path, item) }
	complaint, err := c.job.decode(ctx, path, p)
	if err != nil {
		return err
	}
	if complaint != "" {
		c.sum.note("the log could not be read to its end: " + complaint)
		c.sum.inTheWay("the log %s cannot be read to its end", filepath.Base(path))
	}
	if t := c.now; t != nil && !t.complete() {
		c.sum.note(fmt.Sprintf("the log %s ends in the middle of a transaction: %s", filepath.Base(path), t.id))
	}
	return c.endTransaction()
}

// end completes the summary.
func (c *collector) end() {
	c.fold()
	if c.job.Flavor == MySQL {
		c.sum.Missing = c.job.Want.Subtract(c.exact)
	}
	switch {
	case !c.sum.Missing.IsZero():
		c.sum.note(fmt.Sprintf("%s are in no binary log of this server any more", c.sum.Missing))
		c.sum.inTheWay("%s are in no binary log any more", c.sum.Missing)
	case c.sum.Transactions == 0:
		c.sum.note("none of them is in the binary logs of this server")
		c.sum.inTheWay("none of them is in the binary logs")
	}
	if c.job.Flavor != MariaDB {
		c.sum.inTheWay("MySQL has no way to undo row events")
	}
}

func (c *collector) take(ctx context.Context, path string, item any) error {
	switch item := item.(type) {
	case list:
		if before, err := gtid.Parse(item.gtids); err == nil && c.sum.Transactions == 0 {
			c.logged = before
		}
	case begin:
		return c.begin(path, item)
	case opened:
		if c.now != nil {
			c.now.begun = true
		}
	case row:
		if c.now != nil {
			return c.row(ctx, item)
		}
	case statement:
		if c.now != nil {
			return c.statement(item)
		}
	case commit:
		if c.now != nil {
			c.now.ended, c.now.rolledBack = true, item.rolledBack
		}
	case strange:
		if c.now != nil {
			c.now.lossy = true
			c.sum.note("the decoder says: " + shorten(item.said))
			c.sum.inTheWay("%s: %s", c.now.id, shorten(item.said))
		}
	}
	return nil
}

func (c *collector) begin(path string, b begin) error {
	if t := c.now; t != nil && !t.complete() {
		// A server that crashed in the middle of a transaction begins a new log,
		// so this is one that the decoder describes in other words.
		c.sum.note(fmt.Sprintf("no end of %s was found", t.id))
	}
	if err := c.endTransaction(); err != nil {
		return err
	}
	set, err := gtid.ParseTransaction(b.id)
	if err != nil {
		c.sum.note("a transaction whose GTID cannot be read was left out: " + shorten(b.id))
		c.sum.inTheWay("a transaction has a GTID that cannot be read: %s", shorten(b.id))
		return nil
	}
	if !c.job.Want.Contains(set) {
		if state, err := gtid.Parse(b.id); err == nil && c.sum.Transactions == 0 {
			c.logged = c.logged.Union(state)
		}
		if c.sum.Transactions > 0 && !c.passed {
			c.passed = true
			c.sum.inTheWay("%s, which the primary has, came after the first of them", b.id)
		}
		return nil
	}
	t := &transaction{id: b.id, set: set, at: b.at, file: filepath.Base(path), pos: b.pos, acks: MaybeAnswered}
	if c.job.Acknowledged != nil {
		t.acks = c.job.Acknowledged(set)
	}
	if c.sum.Transactions == 0 {
		c.sum.First = rfc3339(b.at)
		c.sum.Undo.File, c.sum.Undo.Position = t.file, t.pos
		if c.job.Flavor == MariaDB {
			c.sum.Undo.State = c.logged
		}
	}
	c.sum.Last = rfc3339(b.at)
	c.sum.Transactions++
	if t.acks == NotAcknowledged {
		c.sum.Unacknowledged++
	}
	if c.job.Flavor == MySQL {
		c.found = append(c.found, b.id)
		if len(c.found) == 10000 {
			c.fold()
		}
	}
	c.now = t
	return c.out.begin(t)
}

// fold puts the GTIDs that were found together: neighbours become one interval.
func (c *collector) fold() {
	if set, err := gtid.Parse(strings.Join(c.found, ",")); err == nil {
		c.exact = c.exact.Union(set)
	}
	c.found = c.found[:0]
}

func (c *collector) row(ctx context.Context, r row) error {
	t := c.now
	tbl, err := c.table(ctx, r.database, r.table)
	if err != nil {
		return err
	}
	t.rows++
	t.lossy = t.lossy || r.cut
	if r.cut {
		c.sum.note(fmt.Sprintf("%s has values that are too long for these files, or that the decoder cannot print; only the binary log has them whole", t.id))
	}
	if r.database != ownSchema {
		t.others++
		c.sum.changed(r.database+"."+r.table, r.op)
	}
	if r.op == Update && len(r.before) != len(r.after) {
		c.sum.inTheWay("%s changed %s.%s, and its row images are not full (binlog_row_image)", t.id, r.database, r.table)
	}
	if len(tbl.columns) > 0 && len(tbl.columns) < widest(r) {
		c.sum.note(fmt.Sprintf("%s.%s has other columns now than when it was written to: its columns are called @1, @2 …", r.database, r.table))
	}
	if n := len(tbl.columns); n > 0 && r.op != Insert && len(r.before) < n {
		c.sum.inTheWay("%s changed %s.%s, and its row images are not full (binlog_row_image)", t.id, r.database, r.table)
	}
	return c.out.row(t, tbl, r)
}

// widest is the number of the last column that a row has.
func widest(r row) int {
	most := 0
	for _, image := range [][]Cell{r.before, r.after} {
		for _, c := range image {
			most = max(most, c.Column)
		}
	}
	return most
}

func (c *collector) statement(s statement) error {
	c.now.statements++
	c.now.others++
	c.now.lossy = c.now.lossy || s.cut
	c.sum.Statements++
	c.sum.inTheWay("%s is logged as a statement and not as rows: %s", c.now.id, shorten(s.sql))
	return c.out.statement(c.now, s)
}

func (c *collector) endTransaction() error {
	t := c.now
	if t == nil {
		return nil
	}
	c.now = nil
	if !t.complete() {
		c.sum.Incomplete++
		c.sum.inTheWay("%s is not whole in the log", t.id)
	}
	if t.others == 0 && t.complete() {
		c.sum.Own++
	}
	return c.out.end(t)
}

// mostKept bounds how many tables' columns are kept in mind.
const mostKept = 10000

// table is one as it is on the server now.
type table struct {
	database, name string
	columns        []Column
}

func (c *collector) table(ctx context.Context, database, name string) (*table, error) {
	key := database + "\x00" + name
	if t, ok := c.names[key]; ok {
		return t, nil
	}
	t := &table{database: database, name: name}
	if c.job.Columns != nil {
		columns, err := c.job.Columns(ctx, database, name)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			c.sum.note(fmt.Sprintf("the columns of %s.%s are not known (%s): they are called @1, @2 …", database, name, shorten(err.Error())))
		}
		t.columns = columns
	}
	if len(c.names) < mostKept {
		c.names[key] = t
	}
	return t, nil
}

func rfc3339(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
