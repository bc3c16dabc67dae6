package config

import (
	"regexp"
	"strings"
)

// Kind says how a value is written.
type Kind string

// The kinds of values.
const (
	Text     Kind = "text"
	File     Kind = "path"
	Choice   Kind = "choice"
	Integer  Kind = "number"
	Ratio    Kind = "ratio"
	Duration Kind = "duration"
	Size     Kind = "size"
	Rate     Kind = "size per second"
	YesNo    Kind = "true or false"
	IP       Kind = "IP address"
	Words    Kind = "list"
	Block    Kind = "list of blocks"
	Override Kind = "block"
)

// Key is one row of the table of everything that baton.yaml may say.
type Key struct {
	Path    string // "timing.lease", "nodes[].role"
	Kind    Kind
	Unit    string   // of the number, in words; durations carry theirs
	Noun    string   // what a choice is called in messages
	Choices []string // of a choice
	Min     string   // least value, as it would be written; empty: none
	Max     string   // greatest value
	// Fast, Balanced and WAN are the defaults by profile, as they would be
	// written; all empty if the key has none.
	Fast, Balanced, WAN string
	// Rule says how the default follows from other keys, if it does.
	Rule string
	// Required is what to write if the key is missing; empty if it may be.
	Required string
	// Same says that nodes which differ hold back automatic decisions.
	Same bool
	// Reload says that SIGHUP changes it at run time.
	Reload  bool
	Doc     string
	Example string

	from func(*Config) string // computes the default of Rule
}

// Default returns the default under a profile as it would be written; empty if
// there is none, or if it follows from other keys.
func (k Key) Default(p Profile) string {
	switch p {
	case Fast:
		return k.Fast
	case WAN:
		return k.WAN
	}
	return k.Balanced
}

// Name is the last part of the path.
func (k Key) Name() string {
	return k.Path[strings.LastIndexByte(k.Path, '.')+1:]
}

func key(path string, kind Kind) Key { return Key{Path: path, Kind: kind} }

func choice(path, noun string, choices ...string) Key {
	return Key{Path: path, Kind: Choice, Noun: noun, Choices: choices}
}

func (k Key) byDefault(v string) Key { return k.byProfile(v, v, v) }

func (k Key) byProfile(fast, balanced, wan string) Key {
	k.Fast, k.Balanced, k.WAN = fast, balanced, wan
	return k
}

func (k Key) follows(rule string, from func(*Config) string) Key {
	k.Rule, k.from = rule, from
	return k
}

func (k Key) between(least, most string) Key { k.Min, k.Max = least, most; return k }
func (k Key) of(unit string) Key             { k.Unit = unit; return k }
func (k Key) same() Key                      { k.Same = true; return k }
func (k Key) reload() Key                    { k.Reload = true; return k }
func (k Key) required(mend string) Key       { k.Required = mend; return k }
func (k Key) like(example string) Key        { k.Example = example; return k }
func (k Key) doc(lines ...string) Key        { k.Doc = strings.Join(lines, " "); return k }

// Keys returns the whole table, in the order of the documentation.
func Keys() []Key {
	var all []Key
	for _, part := range [][]Key{identityKeys(), nodeKeys(), storeKeys(), serverKeys(), endpointKeys(), readerKeys(), centralKeys(), connectionKeys(), hookKeys(), notifyKeys(), durabilityKeys(), timingKeys(), detectionKeys(), healthKeys(), preheatKeys(), otherKeys(), httpKeys(), dnsKeys()} {
		all = append(all, part...)
	}
	return all
}

var indexes = regexp.MustCompile(`\[[^\]]*\]`)

// pattern turns the path of a value into that of its row in the table: a
// node's own server block has the keys of the common one.
func pattern(path string) string {
	p := indexes.ReplaceAllString(path, "[]")
	if own, ok := strings.CutPrefix(p, "nodes[].server."); ok {
		return "server." + own
	}
	return p
}

// table is Keys by path.
type table map[string]Key

func newTable() table {
	t := make(table)
	for _, k := range Keys() {
		t[k.Path] = k
	}
	return t
}

func (t table) row(path string) (Key, bool) {
	k, ok := t[pattern(path)]
	return k, ok
}
