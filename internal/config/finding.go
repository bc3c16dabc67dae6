package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Severity says whether a finding keeps an agent from starting.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // refused
	Warning Severity = "warning" // works, but not as well as a person may think
)

// Finding is one thing that is wrong, and what to do about it.
type Finding struct {
	File     string   `json:"file,omitempty"`
	Line     int      `json:"line,omitempty"`  // 0: of no line in particular
	Key      string   `json:"key,omitempty"`   // path of the key, or whose server it is about
	What     string   `json:"what"`            // what is wrong
	Shown    string   `json:"shown,omitempty"` // the statement that shows it
	Mend     string   `json:"mend,omitempty"`  // what to write or do instead
	Severity Severity `json:"severity"`
}

// String is the finding on one line:
//
//	baton.yaml:12: nodes[1].role: "withness" is no role; use data or witness
func (f Finding) String() string {
	var b strings.Builder
	if f.File != "" {
		b.WriteString(f.File)
		if f.Line > 0 {
			fmt.Fprintf(&b, ":%d", f.Line)
		}
		b.WriteString(": ")
	}
	if f.Severity == Warning {
		b.WriteString("warning: ")
	}
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	b.WriteString(f.What)
	if f.Shown != "" {
		fmt.Fprintf(&b, " (%s)", f.Shown)
	}
	if f.Mend != "" {
		b.WriteString("; " + f.Mend)
	}
	return b.String()
}

// Findings are all that one look found.
type Findings []Finding

// Errors returns the findings that keep an agent from starting.
func (fs Findings) Errors() Findings { return fs.of(Error) }

// Warnings returns the findings that do not.
func (fs Findings) Warnings() Findings { return fs.of(Warning) }

func (fs Findings) of(s Severity) Findings {
	var some Findings
	for _, f := range fs {
		if f.Severity == s {
			some = append(some, f)
		}
	}
	return some
}

// Err returns one error that lists all errors, a line each; nil without any.
func (fs Findings) Err() error {
	bad := fs.Errors()
	if len(bad) == 0 {
		return nil
	}
	return errors.New(bad.String())
}

// String lists the findings, a line each.
func (fs Findings) String() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// sorted puts the findings into the order of the file.
func (fs Findings) sorted() Findings {
	slices.SortStableFunc(fs, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return fs
}
