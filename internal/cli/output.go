package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/baton-db/baton/internal/timeline"
)

func (e *env) json() bool { return e.output == "json" }

// color reports whether to use colours.
func (e *env) color() bool { return e.screen && !e.noColor }

// text is how the timeline should write.
func (e *env) text() timeline.Text {
	t := timeline.Text{Color: e.color()}
	if e.screen {
		t.Width, t.Unicode = e.width(), e.utf8 && !e.noColor
	}
	return t
}

// printJSON writes a document for machines.
func (e *env) printJSON(v any) error {
	enc := json.NewEncoder(e.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// printLine writes one JSON document on one line.
func (e *env) printLine(v any) error {
	enc := json.NewEncoder(e.out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

func newTable(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 8, 2, ' ', 0) }

// The colours that tables use, all from the terminal's own palette.
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// paint colours text, outside of tabwriter's columns: it counts escapes as
// characters.
func (e *env) paint(color, text string) string {
	if !e.color() {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// printable takes out what would steer a terminal: much of what is shown comes
// from a server's error messages.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// because joins a reason and its evidence.
func because[R ~string](reason R, detail string) string {
	switch {
	case detail == "":
		return printable(string(reason))
	case reason == "":
		return printable(detail)
	}
	return printable(string(reason) + ": " + detail)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return printable(s)
}
