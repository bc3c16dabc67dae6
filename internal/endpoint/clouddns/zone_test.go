package clouddns_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// entry is a record in a zone of a vendor's.
type entry struct {
	id, name, kind, value string
	ttl                   int
	line                  string // or routing policy; empty: everybody
	off, proxied          bool
}

// store is what a vendor keeps of a zone. Its server's lock guards it.
type store struct {
	entries []entry
	last    int
	writes  int
	before  func() // of the next write, once
}

var (
	errGone  = errors.New("gone")
	errThere = errors.New("there")
)

func (s *store) add(e entry) (string, error) {
	if slices.ContainsFunc(s.entries, func(x entry) bool {
		return x.name == e.name && x.kind == e.kind && x.value == e.value && x.line == e.line
	}) {
		return "", errThere
	}
	s.last++
	e.id = fmt.Sprint(1000 + s.last)
	s.entries = append(s.entries, e)
	return e.id, nil
}

func (s *store) remove(id string) error {
	i := slices.IndexFunc(s.entries, func(x entry) bool { return x.id == id })
	if i < 0 {
		return errGone
	}
	s.entries = slices.Delete(s.entries, i, i+1)
	return nil
}

func (s *store) update(e entry) error {
	i := slices.IndexFunc(s.entries, func(x entry) bool { return x.id == e.id })
	switch {
	case i < 0:
		return errGone
	case s.entries[i] == e:
		return errThere // as AliDNS has it
	}
	s.entries[i] = e
	return nil
}

// write counts a write, and lets somebody else be faster than it.
func (s *store) write() {
	s.writes++
	if s.before != nil {
		before := s.before
		s.before = nil
		before()
	}
}

func (s *store) at(name string) []entry {
	var all []entry
	for _, e := range s.entries {
		if e.name == name {
			all = append(all, e)
		}
	}
	return all
}

// String is the zone for comparison, without IDs.
func (s *store) String() string {
	var lines []string
	for _, e := range s.entries {
		line := fmt.Sprintf("%s %d %s %s", e.name, e.ttl, e.kind, e.value)
		if e.line != "" {
			line += " " + e.line
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
