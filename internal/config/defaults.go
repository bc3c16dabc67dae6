package config

import (
	"fmt"
	"reflect"
)

// defaults fills in what the file does not say, in two rounds: what the
// profile gives, then what follows from other keys. It also says which keys
// are missing.
func (l *loader) defaults() {
	c := reflect.ValueOf(l.cfg).Elem()
	set := func(path string, v reflect.Value, text string) {
		k, _ := l.table.row(path)
		if what, _ := k.assign(v, text, false); what != "" {
			// A default out of bounds comes from another key's odd value.
			if k.Rule == "" {
				panic(fmt.Sprintf("default %q of %s: %s", text, path, what))
			}
			l.report(path, fmt.Sprintf("it follows from %s, and %s", k.Rule, what), "write it yourself, from "+k.Min+" to "+k.Max)
		}
	}
	if l.cfg.Profile == "" {
		l.cfg.Profile = Balanced
	}
	each(c, "", func(path string, v reflect.Value) {
		k, ok := l.table.row(path)
		if text := k.Default(l.cfg.Profile); ok && !l.said(path) && text != "" {
			set(path, v, text)
		}
	})
	each(c, "", func(path string, v reflect.Value) {
		if k, ok := l.table.row(path); ok && k.from != nil && !l.said(path) {
			set(path, v, k.from(l.cfg))
		}
	})
	l.absolute(c, "")
	l.missing(c)
}

// said reports whether the file gives the key a value that can be used.
func (l *loader) said(path string) bool {
	if l.bad[path] {
		return false
	}
	_, ok := l.cfg.lines[path]
	return ok && !l.empty[path]
}

// missing reports every required key that has no value.
func (l *loader) missing(c reflect.Value) {
	each(c, "", func(path string, v reflect.Value) {
		if k, _ := l.table.row(path); k.Required != "" && v.IsZero() {
			l.report(path, "is missing", k.Required)
		}
	})
	if k := l.table["nodes"]; len(l.cfg.Nodes) == 0 {
		l.report("nodes", "is missing", k.Required)
	}
}
