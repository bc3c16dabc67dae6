package gtid

import (
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// maxMySQL is the greatest transaction number of MySQL, 2^63-2.
const maxMySQL = math.MaxInt64 - 1

// A SyntaxError says what is wrong in a text and at which place.
type SyntaxError struct {
	Text   string // the whole text
	Offset int    // of the wrong part, in bytes from 0
	Part   string // the wrong part
	Want   string // what would be right
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("GTID set %s: %s at byte %d: want %s", shorten(e.Text), shorten(e.Part), e.Offset, e.Want)
}

// shorten quotes a text; sets of a megabyte exist.
func shorten(s string) string {
	const enough = 80
	if len(s) <= enough {
		return strconv.Quote(s)
	}
	return strconv.Quote(s[:enough]) + "…"
}

// Parse reads a set as a server prints it: a GTID set of MySQL (gtid_executed,
// Retrieved_Gtid_Set …), or a binary-log state of MariaDB (gtid_binlog_state);
// also what String writes. The syntax tells the kinds apart. White space, line
// breaks, upper case and empty elements are accepted as servers accept them.
// An error is a *SyntaxError.
//
// A position of MariaDB means something else: use ParsePosition.
func Parse(text string) (Set, error) {
	b := builder{text: text}
	for at, element := range elements(text) {
		if err := b.element(at, element); err != nil {
			return Set{}, err
		}
	}
	return b.set(), nil
}

// MustParse is Parse for texts that are known to be right, such as those in
// tests. It panics otherwise.
func MustParse(text string) Set {
	s, err := Parse(text)
	if err != nil {
		panic(err)
	}
	return s
}

// elements yields the parts between commas that are not blank, trimmed, with
// their offsets.
func elements(text string) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		for at := 0; at <= len(text); {
			part, _, _ := strings.Cut(text[at:], ",")
			start, trimmed := trim(at, part)
			if trimmed != "" && !yield(start, trimmed) {
				return
			}
			at += len(part) + 1
		}
	}
}

// trim removes white space, and moves the offset accordingly.
func trim(at int, s string) (int, string) {
	left := strings.TrimLeft(s, " \t\r\n")
	return at + len(s) - len(left), strings.TrimRight(left, " \t\r\n")
}

// builder collects spans in any order.
type builder struct {
	text    string
	entries []entry
	index   map[source]int
}

func (b *builder) add(from source, r span) {
	if n := len(b.entries); n > 0 && b.entries[n-1].from == from {
		b.entries[n-1].have = append(b.entries[n-1].have, r)
		return
	}
	i, found := b.index[from]
	if !found {
		if b.index == nil {
			b.index = map[source]int{}
		}
		i = len(b.entries)
		b.index[from] = i
		b.entries = append(b.entries, entry{from: from})
	}
	b.entries[i].have = append(b.entries[i].have, r)
}

func (b *builder) set() Set {
	for i := range b.entries {
		b.entries[i].have = normalised(b.entries[i].have)
	}
	slices.SortFunc(b.entries, func(x, y entry) int { return x.from.compare(y.from) })
	return Set{b.entries}
}

func (b *builder) wrong(at int, part, want string) error {
	return &SyntaxError{Text: b.text, Offset: at, Part: part, Want: want}
}

// element reads what stands between two commas.
func (b *builder) element(at int, s string) error {
	head, _, colon := strings.Cut(s, ":")
	switch strings.Count(head, "-") {
	case 2:
		if !colon {
			return b.mariadb(at, s)
		}
	case 4:
		return b.mysql(at, s)
	}
	return b.wrong(at, s, "a MySQL set such as 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5 or a MariaDB GTID such as 0-1-100")
}

func (b *builder) mysql(at int, s string) error {
	head, rest, colon := strings.Cut(s, ":")
	_, id := trim(at, head)
	uuid, ok := parseUUID(id)
	if !ok {
		return b.wrong(at, head, "a UUID such as 3e11fa47-71ca-11e1-9e33-c80aa9429562")
	}
	if !colon {
		return b.wrong(at, s, "an interval after the UUID, such as "+id+":1-5")
	}
	from := source{kind: mysql, uuid: uuid}
	bare := false // whether a tag has had no interval yet
	for pos := at + len(head) + 1; ; {
		part, after, more := strings.Cut(rest, ":")
		start, word := trim(pos, part)
		if tag, isTag := parseTag(word); isTag && more && !bare {
			from.tag, bare = tag, true
		} else {
			r, err := b.interval(start, word)
			if err != nil {
				return err
			}
			b.add(from, r)
			bare = false
		}
		if !more {
			return nil
		}
		pos, rest = pos+len(part)+1, after
	}
}

// interval reads 7 or 1-5.
func (b *builder) interval(at int, s string) (span, error) {
	const want = "a transaction number or an interval such as 1-5, from 1 to 9223372036854775806"
	lo, hi, isRange := strings.Cut(s, "-")
	_, lo = trim(0, lo)
	first, ok := parseNumber(lo, maxMySQL)
	if !ok || first == 0 {
		return span{}, b.wrong(at, s, want)
	}
	if !isRange {
		return span{first, first}, nil
	}
	_, hi = trim(0, hi)
	last, ok := parseNumber(hi, maxMySQL)
	if !ok {
		return span{}, b.wrong(at, s, want)
	}
	if last < first {
		return span{}, b.wrong(at, s, "an interval that does not end before it begins")
	}
	return span{first, last}, nil
}

func parseUUID(s string) (id [16]byte, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, false
	}
	packed := make([]byte, 0, 32)
	packed = append(packed, s[:8]...)
	packed = append(packed, s[9:13]...)
	packed = append(packed, s[14:18]...)
	packed = append(packed, s[19:23]...)
	packed = append(packed, s[24:]...)
	_, err := hex.Decode(id[:], packed)
	return id, err == nil
}

// parseTag reads a tag of MySQL 8.3 and later: up to 32 letters, digits and
// underscores, not beginning with a digit.
func parseTag(s string) (string, bool) {
	if s == "" || len(s) > 32 || s[0] >= '0' && s[0] <= '9' {
		return "", false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_':
		default:
			return "", false
		}
	}
	return strings.ToLower(s), true
}

// parseNumber reads decimal digits and nothing else.
func parseNumber(s string, limit uint64) (uint64, bool) {
	if s == "" || s[0] < '0' || s[0] > '9' { // ParseUint allows no sign, but be plain about it
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && n <= limit
}
