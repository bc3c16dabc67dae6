// Package clustertest answers what a stored value could look like that nobody
// meant to write: of a damaged disk, a person's hand, a version to come.
//
// It decides nothing about such values. The one rule: the same document gives
// the same odd ones in the same order, so that a failing case can be run again.
package clustertest

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
)

// instead are the values that are put where something else stood.
func instead() []string {
	return []string{
		"null", "true", "0", "1", "-1", "1.5", "1e400", "4", "9223372036854775807", "9223372036854775808", "18446744073709551615",
		`""`, `"db1"`, `"db9"`, `"down"`, `"steady"`, `"electing"`, `"0-1-18446744073709551615"`, `"0-*-5"`, `"\u0000"`, "[]", `["db2","db2"]`, "{}", `{"":{}}`,
	}
}

// Odd yields documents like that one in which one thing is not as it should be:
// each field in turn replaced by something else, left out, or joined by another,
// and the whole cut short. With each comes a sentence that says what was done.
func Odd(document []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, n := range []int{0, 1, len(document) / 2, len(document) - 1} {
			if n >= 0 && n < len(document) && !yield(fmt.Sprintf("cut short after %d bytes", n), document[:n]) {
				return
			}
		}
		var whole any
		if err := json.Unmarshal(document, &whole); err != nil {
			yield(fmt.Sprintf("as it was: %v", err), document)
			return
		}
		more := true
		at(whole, "", func(path string, wrapped func(json.RawMessage) any) {
			for _, v := range instead() {
				// What cannot be encoded is a damaged document, too: 1e400 is valid JSON.
				b, err := json.Marshal(wrapped(json.RawMessage(v)))
				if more = more && (err != nil || yield(path+" is "+v, b)); !more {
					return
				}
			}
			if b, err := json.Marshal(wrapped(nil)); more && err == nil {
				more = yield(path+" is left out", b)
			}
		})
	}
}

// at visits every value in a document with a function that returns the document
// with something else in its place; nil leaves it out.
func at(v any, path string, visit func(string, func(json.RawMessage) any)) {
	within(v, path, func(r json.RawMessage) any { return r }, visit)
}

func within(v any, path string, wrap func(json.RawMessage) any, visit func(string, func(json.RawMessage) any)) {
	visit(path, wrap)
	put := func(inner any) json.RawMessage {
		b, err := json.Marshal(inner)
		if err != nil {
			return json.RawMessage("null")
		}
		return b
	}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			within(v[k], path+"."+k, func(r json.RawMessage) any {
				changed := maps.Clone(v)
				if changed[k] = r; r == nil {
					delete(changed, k)
				}
				return wrap(put(changed))
			}, visit)
		}
		visit(path+".another", func(r json.RawMessage) any {
			changed := maps.Clone(v)
			changed["another"] = r
			return wrap(put(changed))
		})
	case []any:
		for i := range v {
			within(v[i], path+"["+strconv.Itoa(i)+"]", func(r json.RawMessage) any {
				changed := slices.Clone(v)
				if changed[i] = r; r == nil {
					changed = slices.Delete(changed, i, i+1)
				}
				return wrap(put(changed))
			}, visit)
		}
	}
}
