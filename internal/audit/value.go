package audit

import (
	"bytes"
	"strconv"
	"strings"
)

// form is how the decoder writes a value.
type form uint8

const (
	null     form = iota + 1
	number        // digits; of an integer that may be unsigned both readings: -1 (255)
	formText      // in quotes: strings, blobs, dates
	bits          // b'0101'
)

// Value is one column of a row image.
type Value struct {
	form form
	// Text is the value: a string's bytes, a number's digits, a bit string's
	// zeros and ones.
	text string
	// kind is the decoder's name for the type, such as VARSTRING(80).
	kind string
	cut  bool // only its beginning was kept
	// controls says that it has control characters, which mariadb-binlog writes
	// as it writes the four characters \x0a: they cannot be told apart.
	controls bool
}

// Cell is a value with the number of its column, from 1.
type Cell struct {
	Column int
	Value  Value
}

// parseCell reads what follows ### in a row image: @1='x' /* STRING(5) meta=… */.
func parseCell(line []byte, flavor string, cut bool) (Cell, bool) {
	line = bytes.TrimLeft(line, " ")
	if len(line) == 0 || line[0] != '@' {
		return Cell{}, false
	}
	eq := bytes.IndexByte(line, '=')
	if eq < 0 {
		return Cell{}, false
	}
	n, err := strconv.Atoi(string(line[1:eq]))
	if err != nil || n < 1 || n > 1<<16 {
		return Cell{}, false
	}
	rest := line[eq+1:]
	var v Value
	// The type stands last, and has no comment's beginning in it; a string may.
	if i := bytes.LastIndex(rest, []byte(" /* ")); i >= 0 && bytes.HasSuffix(rest, []byte("*/")) && !cut {
		v.kind = string(rest[i+4 : len(rest)-2])
		if at := strings.Index(v.kind, " meta="); at >= 0 {
			v.kind = v.kind[:at]
		}
		rest = rest[:i]
	}
	if cut && len(rest) > 0 && rest[0] == '\'' {
		v.form, v.cut = formText, true
		v.text, v.controls = unescape(rest[1:], flavor)
		return Cell{n, v}, true
	}
	return Cell{n, v}, v.read(bytes.TrimRight(rest, " "), flavor)
}

func (v *Value) read(b []byte, flavor string) bool {
	switch {
	case string(b) == "NULL":
		v.form = null
	case len(b) >= 2 && b[0] == '\'' && b[len(b)-1] == '\'':
		v.form = formText
		v.text, v.controls = unescape(b[1:len(b)-1], flavor)
	case len(b) >= 3 && b[0] == 'b' && b[1] == '\'' && b[len(b)-1] == '\'':
		v.form, v.text = bits, string(b[2:len(b)-1])
		return strings.Trim(v.text, "01") == ""
	default:
		v.form, v.text = number, string(b)
		return isNumber(b)
	}
	return true
}

// isNumber accepts what a program prints of a number, perhaps in both readings.
func isNumber(b []byte) bool {
	if i := bytes.Index(b, []byte(" (")); i > 0 && b[len(b)-1] == ')' {
		return isNumber(b[:i]) && isNumber(b[i+2:len(b)-1])
	}
	digit := false
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9':
			digit = true
		case c == '.', c == 'e', c == 'E', c == '+', c == '-' && (i == 0 || b[i-1] == 'e'):
		default:
			return false
		}
	}
	return digit
}

// unescape undoes what the decoders do to strings. mysqlbinlog escapes the
// backslash as well, so nothing is lost; mariadb-binlog escapes control
// characters only (seen in its source and tried on 10.11).
func unescape(b []byte, flavor string) (s string, controls bool) {
	if bytes.IndexByte(b, '\\') < 0 {
		return string(b), false
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' || i+1 == len(b) {
			out = append(out, b[i])
			continue
		}
		if b[i+1] == 'x' && i+3 < len(b) {
			if c, err := strconv.ParseUint(string(b[i+2:i+4]), 16, 8); err == nil && (c < 0x20 || flavor == MySQL) {
				out, controls = append(out, byte(c)), true
				i += 3
				continue
			}
		}
		if c, ok := simpleEscape(b[i+1]); ok && flavor == MySQL {
			out = append(out, c)
			i++
			continue
		}
		out = append(out, b[i])
	}
	return string(out), controls && flavor == MariaDB
}

func simpleEscape(c byte) (byte, bool) {
	switch c {
	case '\\', '\'', '"':
		return c, true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case '0':
		return 0, true
	}
	return 0, false
}
