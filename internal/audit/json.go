package audit

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// The JSON is written by hand around the values, because a transaction can be
// bigger than memory and its columns keep their order.

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "null" // strings and numbers never fail
	}
	return string(b)
}

func (w *writers) jsonHead() {
	j := w.job
	w.json.printf("{\"schema\":%d,\"cluster\":%s,\"node\":%s,\"primary\":%s,\"epoch\":%d,\"errant\":%s,\"transactions\":[",
		Schema, encode(j.Cluster), encode(j.Node), encode(j.Primary), j.Epoch, encode(j.Want.String()))
}

func (w *writers) comma(n *int) {
	if *n > 0 {
		w.json.printf(",")
	}
	*n++
	w.json.printf("\n")
}

func (w *writers) jsonBegin(t *transaction) {
	w.comma(&w.transactions)
	w.changes = 0
	w.json.printf("{\"gtid\":%s,\"at\":%s,\"file\":%s,\"position\":%d,\"acknowledged\":%s,\"changes\":[",
		encode(t.id), encode(rfc3339(t.at)), encode(t.file), t.pos, encode(t.acks))
}

func (w *writers) jsonRow(tbl *table, r row) {
	w.comma(&w.changes)
	w.json.printf("{\"op\":%s,\"database\":%s,\"table\":%s", encode(r.op), encode(tbl.database), encode(tbl.name))
	for _, part := range []struct {
		name  string
		image []Cell
	}{{"before", r.before}, {"after", r.after}} {
		if part.image == nil {
			continue
		}
		w.json.printf(",\"%s\":{", part.name)
		for i, c := range part.image {
			if i > 0 {
				w.json.printf(",")
			}
			w.json.printf("%s:%s", encode(tbl.column(c.Column)), jsonValue(c.Value, tbl.of(c.Column)))
		}
		w.json.printf("}")
	}
	if r.cut {
		w.json.printf(",\"cut\":true")
	}
	w.json.printf("}")
}

// jsonValue writes numbers as numbers, text as text, and what is neither as an
// object that says what it is.
func jsonValue(v Value, c *Column) string {
	switch v.form {
	case null:
		return "null"
	case bits:
		if n, ok := v.bitsNumber(); ok {
			return encode(n)
		}
		return encode(map[string]string{"bits": v.text})
	case number:
		text, _ := v.numberLiteral(c)
		if strings.HasPrefix(text, "'") {
			return encode(strings.Trim(text, "'"))
		}
		if at, ok := strings.CutPrefix(text, "FROM_UNIXTIME("); ok {
			text = strings.TrimSuffix(at, ")") // seconds since 1970
		}
		text = strings.TrimSuffix(text, "e0")
		if json.Valid([]byte(text)) {
			return text
		}
		return encode(text)
	}
	if v.is("DATE") {
		text, _ := v.literal(c)
		return encode(strings.Trim(text, "'"))
	}
	if v.cut {
		return encode(map[string]any{"begins": hex.EncodeToString([]byte(v.text))})
	}
	if !utf8.ValidString(v.text) || c != nil && c.Charset != "" && !strings.HasPrefix(c.Charset, "utf8") && !isASCII(v.text) {
		return encode(map[string]string{"hex": hex.EncodeToString([]byte(v.text))})
	}
	return encode(v.text)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func (w *writers) jsonStatement(s statement) {
	w.comma(&w.changes)
	w.json.printf("{\"statement\":%s,\"database\":%s", encode(s.sql), encode(s.database))
	if s.cut {
		w.json.printf(",\"cut\":true")
	}
	w.json.printf("}")
}

func (w *writers) jsonEnd(t *transaction) {
	w.json.printf("],\"complete\":%t}", t.complete())
}

func (w *writers) jsonTail(s Summary) { w.json.printf("\n],\"summary\":%s}\n", encode(s)) }
