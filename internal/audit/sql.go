package audit

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Column is one column of a table.
type Column struct {
	Name      string
	Type      string // information_schema's DATA_TYPE: int, varchar, uuid …
	Charset   string // of a text; empty: it has none
	Unsigned  bool
	Generated bool
	Key       bool // part of the primary key
}

// of returns the description of a column, nil if it is not known.
func (t *table) of(n int) *Column {
	if n > len(t.columns) {
		return nil
	}
	return &t.columns[n-1]
}

// name is what a column is called.
func (t *table) column(n int) string {
	if c := t.of(n); c != nil {
		return c.Name
	}
	return "@" + strconv.Itoa(n)
}

// known reports whether all columns of a row have names.
func (t *table) known(r row) bool { return widest(r) > 0 && widest(r) <= len(t.columns) }

// literal writes a value as SQL does, and says whether it is exactly what the
// log has. The decoders round FLOAT to six digits.
func (v Value) literal(c *Column) (sql string, exact bool) {
	switch v.form {
	case null:
		return "NULL", true
	case bits:
		n, ok := v.bitsNumber()
		if !ok {
			return "b'" + v.text + "'", false
		}
		return strconv.FormatUint(n, 10), true
	case number:
		return v.numberLiteral(c)
	}
	if v.cut {
		return quote(v.text) + " /* and more */", false
	}
	switch {
	case v.is("DATE") && len(v.text) == 10:
		return "'" + strings.ReplaceAll(v.text, ":", "-") + "'", true
	case v.is("DATE"), v.is("DATETIME"), v.is("TIME"), v.is("TIMESTAMP"):
		return quote(v.text), true
	case v.is("JSON"):
		return quote(v.text), true
	case c != nil && c.Type == "uuid":
		return v.uuidLiteral()
	}
	return textLiteral(v.padded(c), c), true
}

// padded is a text's bytes; the log has BINARY(n) without the zeros at its end.
func (v Value) padded(c *Column) string {
	if c == nil || c.Type != "binary" {
		return v.text
	}
	var n int
	if _, err := fmt.Sscanf(v.kind, "STRING(%d)", &n); err != nil || n < len(v.text) || n > 255 {
		return v.text
	}
	return v.text + strings.Repeat("\x00", n-len(v.text))
}

// is reports whether the decoder's type is of that name: DATETIME(6) is DATETIME.
func (v Value) is(name string) bool {
	rest, ok := strings.CutPrefix(v.kind, name)
	return ok && (rest == "" || rest[0] == '(' || rest[0] == ' ')
}

func (v Value) numberLiteral(c *Column) (string, bool) {
	signed, unsigned, both := strings.Cut(v.text, " (")
	text := signed
	if both && c != nil && c.Unsigned {
		text = strings.TrimSuffix(unsigned, ")")
	}
	switch {
	case v.is("TIMESTAMP"):
		if strings.Trim(text, "0.") == "" {
			return "'0000-00-00 00:00:00'", true
		}
		return "FROM_UNIXTIME(" + text + ")", true
	case v.is("FLOAT"):
		return text, false
	case v.is("DOUBLE"):
		if !strings.ContainsAny(text, "eE") {
			text += "e0" // a decimal number would be compared as one
		}
		return text, true
	}
	return text, !both || c != nil
}

// bitsNumber reads BIT, whose first byte is the highest, and SET, whose bytes
// are printed in the order in which they lie in memory: the lowest first.
func (v Value) bitsNumber() (uint64, bool) {
	text := v.text
	if v.is("SET") {
		var turned strings.Builder
		for i := len(text) - 8; i >= 0; i -= 8 {
			turned.WriteString(text[i : i+8])
		}
		if turned.Len() != len(text) {
			return 0, false
		}
		text = turned.String()
	}
	n, err := strconv.ParseUint(text, 2, 64)
	return n, err == nil
}

// uuidLiteral reads the UUID type of MariaDB, which is stored with its five
// parts turned around unless it is of version 6 or later.
func (v Value) uuidLiteral() (string, bool) {
	b := []byte(v.text)
	if len(b) > 16 {
		return textLiteral(v.text, nil), false
	}
	b = append(b, bytes.Repeat([]byte{0}, 16-len(b))...) // trailing zeros are cut off
	// Turned around, the byte with the version is the one before the last four.
	turned := append(append(append(append(append([]byte{}, b[12:16]...), b[10:12]...), b[8:10]...), b[6:8]...), b[0:6]...)
	if version := turned[6] >> 4; version >= 1 && version <= 5 && turned[8]&0x80 != 0 {
		b = turned
	}
	h := hex.EncodeToString(b)
	return "'" + strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-") + "'", false
}

// textLiteral writes a string so that the server takes exactly its bytes. What is
// not plain text in UTF-8 is written in hexadecimal digits, which have no
// character set of their own: the column's bytes are taken as they are.
func textLiteral(s string, c *Column) string {
	if s == "" {
		return "''"
	}
	plain, ascii := utf8.ValidString(s), true
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			ascii = false
		}
		if s[i] < 0x20 && s[i] != '\n' && s[i] != '\t' && s[i] != '\r' || s[i] == 0x7f {
			plain = false
		}
	}
	if plain && (ascii && !wide(c) || c != nil && strings.HasPrefix(c.Charset, "utf8")) {
		return quote(s)
	}
	return "x'" + hex.EncodeToString([]byte(s)) + "'"
}

// wide reports a character set in which a letter of ASCII has more than a byte.
func wide(c *Column) bool {
	return c != nil && (strings.HasPrefix(c.Charset, "utf16") || strings.HasPrefix(c.Charset, "utf32") || strings.HasPrefix(c.Charset, "ucs2"))
}

// quote writes a string literal, on one line, for a session whose sql_mode has
// no NO_BACKSLASH_ESCAPES.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\'', '\\':
			b.WriteByte('\\')
			b.WriteByte(s[i])
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case 0:
			b.WriteString(`\0`)
		case 0x1a:
			b.WriteString(`\Z`)
		default:
			b.WriteByte(s[i])
		}
	}
	b.WriteByte('\'')
	return b.String()
}

func quoteName(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// change writes a row's change as SQL that takes effect only if the row is as it
// was before. rough names the columns whose values are rounded.
func (t *table) change(r row) (sql string, rough []string) {
	name := quoteName(t.database) + "." + quoteName(t.name)
	value := func(c Cell) (string, bool) {
		text, exact := c.Value.literal(t.of(c.Column))
		if !exact {
			rough = append(rough, t.column(c.Column))
		}
		return text, exact
	}
	switch r.op {
	case Insert:
		var names, values []string
		for _, c := range r.after {
			if of := t.of(c.Column); of != nil && of.Generated {
				continue
			}
			text, _ := value(c)
			names, values = append(names, quoteName(t.column(c.Column))), append(values, text)
		}
		return fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s);", name, strings.Join(names, ", "), strings.Join(values, ", ")), rough
	case Delete:
		return fmt.Sprintf("DELETE FROM %s WHERE %s LIMIT 1;", name, t.where(r.before)), rough
	}
	old := map[int]Value{}
	for _, c := range r.before {
		old[c.Column] = c.Value
	}
	var sets []string
	set := func(all bool) {
		for _, c := range r.after {
			if of := t.of(c.Column); of != nil && of.Generated {
				continue
			}
			if before, had := old[c.Column]; all || !had || before != c.Value {
				text, _ := value(c)
				sets = append(sets, quoteName(t.column(c.Column))+" = "+text)
			}
		}
	}
	if set(false); len(sets) == 0 {
		set(true) // it differs in what the decoder rounds
	}
	return fmt.Sprintf("UPDATE %s SET %s WHERE %s LIMIT 1;", name, strings.Join(sets, ", "), t.where(r.before)), rough
}

// where finds the row as it was, in all columns that can be compared exactly.
func (t *table) where(image []Cell) string {
	var all []string
	for _, c := range image {
		text, exact := c.Value.literal(t.of(c.Column))
		if !exact {
			continue
		}
		if c.Value.is("JSON") && c.Value.form == formText {
			text = "CAST(" + text + " AS JSON)"
		}
		all = append(all, quoteName(t.column(c.Column))+" <=> "+text)
	}
	if len(all) == 0 {
		return "FALSE"
	}
	return strings.Join(all, " AND ")
}
