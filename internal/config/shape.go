package config

import (
	"net/netip"
	"reflect"
	"strings"
)

// The shape of the file is the shape of Config: a field's tag is its key.

func fieldOf(v reflect.Value, name string) (reflect.Value, bool) {
	t := v.Type()
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("key"); tag != "" && tag == name {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// tags are the keys of a block, in order.
func tags(t reflect.Type) []string {
	var all []string
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("key"); tag != "" {
			all = append(all, tag)
		}
	}
	return all
}

func names(t reflect.Type, between string) string { return strings.Join(tags(t), between) }

// isBlock reports whether values of that type are written as keys.
func isBlock(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[netip.Addr]()
}

// each calls f with every single value of the block v, lists of words
// included, in the order of the file. Paths have indexes.
func each(v reflect.Value, path string, f func(path string, v reflect.Value)) {
	t := v.Type()
	for i := range t.NumField() {
		tag := t.Field(i).Tag.Get("key")
		if tag == "" {
			continue
		}
		field, full := v.Field(i), join(path, tag)
		switch {
		case field.Kind() == reflect.Pointer:
			if !field.IsNil() {
				each(field.Elem(), full, f)
			}
		case isBlock(field.Type()):
			each(field, full, f)
		case field.Kind() == reflect.Slice && isBlock(field.Type().Elem()):
			for j := range field.Len() {
				each(field.Index(j), at(full, j, ""), f)
			}
		default:
			f(full, field)
		}
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
