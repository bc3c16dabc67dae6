package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// What the text of a decoding program is read as. Every item belongs to the
// transaction that began last.
type (
	// list is what had been logged before this file.
	list struct{ gtids string }
	// begin is the beginning of a transaction.
	begin struct {
		id string // GTID
		at time.Time
		// pos is where in the file its first event stands.
		pos uint64
	}
	// row is one changed row.
	row struct {
		op            Op
		database      string
		table         string
		before, after []Cell
		cut           bool // some of it was too long, and is not here
	}
	// statement is one that was logged as text: DDL, or DML that is no row event.
	statement struct {
		sql      string
		database string   // the default one
		context  []string // what has to be set before it, each a statement
		cut      bool
	}
	// opened says that the transaction is one that ends with a commit.
	opened struct{}
	// commit ends a transaction. Of a rolled-back one there is nothing left.
	commit struct{ rolledBack bool }
	// strange is something that the decoder said and nobody here understands.
	strange struct{ said string }
)

// Op is what was done to a row.
type Op string

// The operations.
const (
	Insert Op = "insert"
	Update Op = "update"
	Delete Op = "delete"
)

// parser reads the text of mysqlbinlog or mariadb-binlog with --verbose and
// --base64-output=decode-rows.
type parser struct {
	in     *lines
	flavor string
	// visit takes in an item. wanted says whether what follows is of interest:
	// rows of other transactions are not even read.
	visit  func(item any) error
	wanted func() bool

	pos     uint64 // of the event that is being read
	at      time.Time
	gtidPos uint64 // of the event that gave the GTID
	row     *row   // being read
	image   *[]Cell
	db      string // default database, which the decoder prints when it changes
	context []string
	stmt    *bytes.Buffer // statement being read
	stmtCut bool
}

// parse reads everything.
func (p *parser) parse() error {
	for {
		line, cut, err := p.in.next()
		if errors.Is(err, io.EOF) {
			if err := p.endRow(); err != nil {
				return err
			}
			if p.stmt != nil && len(bytes.TrimSpace(p.stmt.Bytes())) > 0 {
				return p.visit(strange{"a statement that does not end: " + shorten(p.stmt.String())})
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("read what the decoder prints: %w", err)
		}
		if err := p.line(line, cut); err != nil {
			return err
		}
	}
}

func (p *parser) line(line []byte, cut bool) error {
	if p.stmt != nil {
		return p.inStatement(line, cut)
	}
	if bytes.HasPrefix(line, []byte("### ")) {
		return p.rowLine(line[4:], cut)
	}
	if err := p.endRow(); err != nil {
		return err
	}
	switch {
	case len(line) == 0:
	case bytes.HasPrefix(line, []byte("# at ")):
		if n, err := strconv.ParseUint(string(line[5:]), 10, 64); err == nil {
			p.pos = n
		}
	case line[0] == '#' && len(line) > 1 && line[1] >= '0' && line[1] <= '9':
		return p.header(line)
	case string(line) == "START TRANSACTION", string(line) == "BEGIN":
		return p.visit(opened{})
	case bytes.HasPrefix(line, []byte("SET @@SESSION.GTID_NEXT=")):
		return p.gtidNext(line)
	case bytes.HasPrefix(line, []byte("SET ")):
		// INSERT_ID, RAND_SEED, user variables: for the statement after it.
		if s, ok := oneLine(line); ok {
			p.context = append(p.context, s)
		}
	case bytes.HasPrefix(line, []byte("WARNING:")), bytes.HasPrefix(line, []byte("ERROR:")):
		return p.visit(strange{string(line)})
	}
	return nil
}

// header reads the line that describes an event:
// #231121 12:00:01 server id 1  end_log_pos 256 CRC32 0x1234 	Xid = 5
func (p *parser) header(line []byte) error {
	at, rest, ok := headerTime(line)
	if !ok {
		return nil
	}
	p.at = at
	_, what, ok := strings.Cut(rest, "\t")
	if !ok {
		return nil
	}
	what = strings.TrimSpace(what)
	word, _, _ := strings.Cut(what, " ")
	word, _, _ = strings.Cut(word, "\t")
	switch {
	case word == "GTID" && p.flavor == MariaDB:
		return p.mariadbGTID(strings.TrimSpace(strings.TrimPrefix(what, "GTID")))
	case word == "GTID":
		p.gtidPos = p.pos // which one follows in a statement
	case strings.HasPrefix(what, "Gtid list "):
		return p.gtidList(strings.TrimPrefix(what, "Gtid list "))
	case strings.HasPrefix(what, "Previous-GTIDs"):
		return p.previousGTIDs()
	case word == "Query", word == "Execute_load_query":
		p.stmt = &bytes.Buffer{}
	case word == "Xid":
		p.context = nil
		return p.visit(commit{})
	}
	return nil
}

// headerTime reads #YYMMDD hh:mm:ss, in UTC as the program was told.
func headerTime(line []byte) (time.Time, string, bool) {
	const form = "060102 15:04:05"
	if len(line) < 1+len(form)+1 {
		return time.Time{}, "", false
	}
	text := []byte(line[1 : 1+len(form)])
	if text[7] == ' ' {
		text[7] = '0' // the hour has no leading zero
	}
	at, err := time.Parse(form, string(text))
	if err != nil {
		return time.Time{}, "", false
	}
	rest := string(line[1+len(form):])
	return at, rest, strings.HasPrefix(rest, " server id ")
}

// mariadbGTID reads 0-1-5 trans, or 0-1-6 ddl, with more words.
func (p *parser) mariadbGTID(rest string) error {
	id, _, _ := strings.Cut(rest, " ")
	p.context = nil
	return p.visit(begin{id: id, at: p.at, pos: p.pos})
}

// gtidNext reads SET @@SESSION.GTID_NEXT= 'uuid:5'/*!*/;
func (p *parser) gtidNext(line []byte) error {
	_, rest, ok := strings.Cut(string(line), "'")
	id, _, closed := strings.Cut(rest, "'")
	if !ok || !closed || id == "AUTOMATIC" {
		return nil
	}
	p.context = nil
	return p.visit(begin{id: id, at: p.at, pos: p.gtidPos})
}

// gtidList reads [0-1-5,\n# 0-2-7]: a line for each.
func (p *parser) gtidList(rest string) error {
	var b strings.Builder
	b.WriteString(rest)
	for line := []byte(rest); !bytes.Contains(line, []byte("]")) && b.Len() < longest; {
		var err error
		if line, _, err = p.in.next(); err != nil {
			break // cut off: what is there counts
		}
		b.Write(bytes.TrimPrefix(line, []byte("#")))
	}
	all, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(b.String()), "["), "]")
	return p.visit(list{strings.TrimSpace(all)})
}

// previousGTIDs reads lines of # uuid:1-5, or # [empty].
func (p *parser) previousGTIDs() error {
	var all strings.Builder
	for {
		line, _, err := p.in.next()
		if err != nil || bytes.HasPrefix(line, []byte("# at ")) || !bytes.HasPrefix(line, []byte("# ")) {
			if err := p.visit(list{strings.TrimSuffix(strings.TrimSpace(all.String()), ",")}); err != nil {
				return err
			}
			if err != nil {
				return nil // the end, which parse meets again
			}
			return p.line(line, false)
		}
		if text := strings.TrimSpace(string(line[2:])); text != "[empty]" {
			all.WriteString(text)
		}
	}
}

// inStatement collects the text of a statement, which may look like anything,
// up to the delimiter on a line of its own. Before it stand, each on a line,
// the settings that it was run under.
func (p *parser) inStatement(line []byte, cut bool) error {
	if p.stmt.Len() == 0 {
		if s, ok := oneLine(line); ok {
			if name, is := useOf(s); is {
				p.db = name
			} else if len(p.context) < 100 {
				p.context = append(p.context, s)
			}
			return nil
		}
	}
	if string(line) == "/*!*/;" {
		return p.endStatement()
	}
	if p.stmt.Len()+len(line) > longest {
		p.stmtCut = true
		return nil
	}
	p.stmtCut = p.stmtCut || cut
	p.stmt.Write(line)
	p.stmt.WriteByte('\n')
	return nil
}

func (p *parser) endStatement() error {
	sql := strings.TrimSpace(p.stmt.String())
	s := statement{sql: sql, database: p.db, context: p.context, cut: p.stmtCut}
	p.stmt, p.stmtCut, p.context = nil, false, nil
	switch strings.ToUpper(sql) {
	case "":
		return nil
	case "BEGIN", "START TRANSACTION":
		return p.visit(opened{})
	case "COMMIT":
		return p.visit(commit{})
	case "ROLLBACK":
		return p.visit(commit{rolledBack: true})
	}
	return p.visit(s)
}

// oneLine reads a statement that ends on its line, as settings do.
func oneLine(line []byte) (string, bool) {
	s, ok := strings.CutSuffix(string(line), "/*!*/;")
	if !ok || s == "" {
		return "", false
	}
	for _, begins := range []string{"SET ", "use ", "/*!"} {
		if strings.HasPrefix(s, begins) {
			return strings.TrimSpace(s), true
		}
	}
	return "", false
}

func useOf(s string) (string, bool) {
	rest, ok := strings.CutPrefix(s, "use ")
	if !ok {
		return "", false
	}
	name, _, ok := identifier([]byte(rest))
	return name, ok
}

// rowLine reads one line of a row event.
func (p *parser) rowLine(line []byte, cut bool) error {
	if len(line) > 0 && line[0] != ' ' {
		switch word := string(bytes.TrimSpace(line)); word {
		case "SET":
			if p.row != nil {
				p.image = &p.row.after
			}
			return nil
		case "WHERE":
			if p.row != nil {
				p.image = &p.row.before
			}
			return nil
		}
		return p.beginRow(line)
	}
	if p.row == nil || p.image == nil {
		return nil
	}
	c, ok := parseCell(line, p.flavor, cut)
	if !ok {
		p.row.cut = true
		return p.visit(strange{"a value that cannot be read: " + shorten(string(line))})
	}
	p.row.cut = p.row.cut || c.Value.cut
	*p.image = append(*p.image, c)
	return nil
}

func (p *parser) beginRow(line []byte) error {
	if err := p.endRow(); err != nil {
		return err
	}
	for begins, op := range map[string]Op{"INSERT INTO ": Insert, "UPDATE ": Update, "DELETE FROM ": Delete} {
		rest, ok := bytes.CutPrefix(line, []byte(begins))
		if !ok {
			continue
		}
		database, rest, ok := identifier(rest)
		if !ok || len(rest) == 0 || rest[0] != '.' {
			break
		}
		table, _, ok := identifier(rest[1:])
		if !ok {
			break
		}
		if p.wanted() {
			p.row = &row{op: op, database: database, table: table}
		}
		return nil
	}
	if bytes.HasPrefix(line, []byte("Extra row info")) {
		return nil
	}
	return p.visit(strange{shorten(string(line))})
}

func (p *parser) endRow() error {
	r := p.row
	if r == nil {
		return nil
	}
	p.row, p.image = nil, nil
	return p.visit(*r)
}

// identifier reads `a name` with its backquotes doubled inside.
func identifier(b []byte) (name string, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '`' {
		return "", b, false
	}
	var out []byte
	for i := 1; i < len(b); i++ {
		if b[i] != '`' {
			out = append(out, b[i])
			continue
		}
		if i+1 < len(b) && b[i+1] == '`' {
			out = append(out, '`')
			i++
			continue
		}
		return string(out), b[i+1:], true
	}
	return "", b, false
}

// shorten keeps a text on one line and short.
func shorten(s string) string {
	const enough = 200
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > enough {
		s = strings.ToValidUTF8(s[:enough], "") + "…"
	}
	return s
}
