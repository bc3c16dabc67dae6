package scenario

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// A SyntaxError says which line is wrong, how, and what would be right.
type SyntaxError struct {
	Line int
	Text string
	Why  string
	Mend string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, %q: %s; %s", e.Line, e.Text, e.Why, e.Mend)
}

// longest is how long anything in a script may take.
const longest = time.Hour

// Parse reads a script. An error is a *SyntaxError.
func Parse(text string) (Script, error) {
	p := parser{script: Script{Cluster: Cluster{Servers: 3}}}
	for i, line := range strings.Split(text, "\n") {
		p.number, p.text = i+1, strings.TrimSpace(line)
		if p.text == "" || strings.HasPrefix(p.text, "#") {
			continue
		}
		if err := p.line(); err != nil {
			return Script{}, err
		}
	}
	if err := p.whole(); err != nil {
		return Script{}, err
	}
	return p.script, nil
}

type parser struct {
	script Script
	number int
	text   string
	last   time.Duration // of the last `at`
}

func (p *parser) wrong(mend, why string, args ...any) error {
	return &SyntaxError{Line: p.number, Text: p.text, Why: fmt.Sprintf(why, args...), Mend: mend}
}

// whole checks what only the whole script shows.
func (p *parser) whole() error {
	p.text = "(the end)"
	s := &p.script
	switch {
	case s.Complaint == "":
		return p.wrong("write `complaint: …` at the top, in a person's words", "it does not say what it is about")
	case s.Only != "" && s.Because == "":
		return p.wrong("write `because: …`", "it runs only in the %s and does not say why", s.Only)
	case s.Only == "" && s.Because != "":
		return p.wrong("say where: `runs in: simulator` or `runs in: lab`", "it says why it runs in one world only, and not in which")
	case !slices.ContainsFunc(s.Lines, func(l Line) bool { return l.Mode != "" }):
		return p.wrong("write what must follow: `expect …`, `keep …` or `finally …`", "it expects nothing")
	case s.Only != InSimulator && (s.Cluster.Servers == 5 || s.Cluster.Async || s.Cluster.Wait):
		return p.wrong("write `runs in: simulator` and `because: …`", "labs are not built as %s", s.Cluster)
	}
	return nil
}

func (p *parser) line() error {
	if key, value, ok := strings.Cut(p.text, ":"); ok && !strings.Contains(key, " ") || ok && key == "runs in" {
		return p.header(key, strings.TrimSpace(value))
	}
	words := strings.Fields(p.text)
	line := Line{Number: p.number, Text: p.text, At: -1}
	var err error
	switch words[0] {
	case "at":
		if len(words) < 3 {
			return p.wrong("write `at 1s crash primary`", "it does not say when and what")
		}
		if line.At, err = p.duration(words[1]); err != nil {
			return err
		}
		if line.At < p.last {
			return p.wrong("put the lines in the order of their times", "it is to happen before the line above it")
		}
		p.last = line.At
		err = p.action(&line, words[2:])
	case "then":
		err = p.action(&line, words[1:])
	case "wait":
		line.Action = Wait
		if len(words) != 2 {
			return p.wrong("write `wait 2s`", "it does not say how long")
		}
		line.For, err = p.duration(words[1])
	case string(Expect), string(Keep), string(Finally):
		err = p.expectation(&line, Mode(words[0]), words[1:])
	default:
		return p.wrong("a line begins with at, then, wait, expect, keep or finally, or is `complaint:`, `cluster:`, `runs in:` or `because:`", "it begins with %q", words[0])
	}
	if err != nil {
		return err
	}
	p.script.Lines = append(p.script.Lines, line)
	return nil
}

func (p *parser) header(key, value string) error {
	s := &p.script
	if value == "" {
		return p.wrong("write it behind the colon", "%s is empty", key)
	}
	switch key {
	case "complaint":
		s.Complaint = value
	case "because":
		s.Because = value
	case "runs in":
		s.Only = Where(value)
		if s.Only != InSimulator && s.Only != InLab {
			return p.wrong("write simulator or lab, or leave the line out: then it runs in both", "there is no world %q", value)
		}
	case "cluster":
		return p.cluster(value)
	default:
		return p.wrong("there are `complaint:`, `cluster:`, `runs in:` and `because:`", "nothing is called %q", key)
	}
	return nil
}

func (p *parser) cluster(value string) error {
	c := &p.script.Cluster
	for i, part := range strings.Split(value, ",") {
		switch part = strings.TrimSpace(part); {
		case i == 0 && part == "2 nodes and a witness":
			*c = Cluster{Servers: 2, Witness: true}
		case i == 0 && part == "3 nodes":
			*c = Cluster{Servers: 3}
		case i == 0 && part == "5 nodes":
			*c = Cluster{Servers: 5}
		case i > 0 && part == "async":
			c.Async = true
		case i > 0 && part == "alone wait":
			c.Wait = true
		default:
			return p.wrong("write `2 nodes and a witness`, `3 nodes` or `5 nodes`, and perhaps `, async` or `, alone wait`", "%q is no cluster", part)
		}
	}
	return nil
}

func (p *parser) duration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > longest {
		return 0, p.wrong("write it like 300ms or 5s, at most 1h", "%q is no time", text)
	}
	return d, nil
}

func (p *parser) who(text string) (Who, error) {
	w := Who(text)
	if !slices.Contains(everybody, w) {
		return "", p.wrong("there are "+list(everybody), "no node is called %q", text)
	}
	c := p.script.Cluster
	if w == TheWitness && !c.Witness || w == OtherReplica && c.Servers < 3 {
		return "", p.wrong("say so above, in `cluster:`", "%s has no %s", c, w)
	}
	return w, nil
}

func (p *parser) action(line *Line, words []string) error {
	if len(words) == 0 || !slices.Contains(actions, Action(words[0])) || words[0] == string(Wait) {
		return p.wrong("there are "+list(actions), "it does not say what happens")
	}
	line.Action = Action(words[0])
	switch rest := words[1:]; {
	case line.Action.needsNode() && len(rest) != 1:
		return p.wrong(fmt.Sprintf("write `%s primary`, or another of %s", line.Action, list(everybody)), "it does not say where")
	case len(rest) > 1, len(rest) == 1 && !line.Action.needsNode() && !line.Action.Asks():
		return p.wrong("leave that out", "%q is too much", strings.Join(rest, " "))
	case len(rest) == 1:
		var err error
		line.Node, err = p.who(rest[0])
		if err == nil && line.Node == TheWitness && line.Action != Power && line.Action != AgentKill && line.Action != Partition {
			return p.wrong("name a data node", "the witness has no server that %s could hit", line.Action)
		}
		return err
	}
	return nil
}

// expectation reads `expect CHECK within 5s`, `keep CHECK for 5s`, `finally CHECK`.
func (p *parser) expectation(line *Line, mode Mode, words []string) error {
	line.Mode = mode
	before := map[Mode]string{Expect: "within", Keep: "for"}[mode]
	if n := len(words); before != "" {
		if n < 3 || words[n-2] != before {
			return p.wrong(fmt.Sprintf("end it with `%s 5s`", before), "it does not say %s how long", before)
		}
		var err error
		if line.For, err = p.duration(words[n-1]); err != nil {
			return err
		}
		words = words[:n-2]
	}
	check, err := p.check(words)
	if err != nil {
		return err
	}
	if check.Kind.final() != (mode == Finally) && (check.Kind.final() || check.Kind == ClientsWrite) {
		return p.wrong("write `finally lost 0`, `finally outage below 5s`, `expect clients write within 5s`", "that cannot be told with %s", mode)
	}
	line.Check = check
	return nil
}

const checksMend = "there are `primary is WHO`, `primary is not WHO`, `WHO follows`, `all follow`, `WHO is read-only`, `clients write`, `address at WHO`, " +
	"`address on one`, `one writer`, `phase is PHASE`, `trace REASON, REASON`, `reason is REASON`, `refused`, `lost 0`, `outage below 5s`"

func (p *parser) check(words []string) (Check, error) {
	text := strings.Join(words, " ")
	var c Check
	var err error
	after := func(prefix string) bool {
		rest, ok := strings.CutPrefix(text, prefix+" ")
		if ok {
			words = strings.Fields(rest)
		}
		return ok && len(words) > 0
	}
	switch {
	case text == string(AllFollow), text == string(ClientsWrite), text == string(Refused), text == string(AddressOnce), text == string(OneWriter):
		c.Kind = Kind(text)
	case len(words) == 3 && words[1] == "is" && words[2] == "read-only":
		c.Kind = ReadOnly
		c.Who, err = p.who(words[0])
		words = words[:1]
	case after("primary is not"):
		c.Kind, c.Not = PrimaryIs, true
		c.Who, err = p.who(words[0])
	case after("primary is"):
		c.Kind = PrimaryIs
		c.Who, err = p.who(words[0])
	case after("address at"):
		c.Kind = AddressAt
		c.Who, err = p.who(words[0])
	case after("phase is"):
		c.Kind, c.Phase = PhaseIs, cluster.Phase(words[0])
		if !slices.Contains([]cluster.Phase{cluster.PhaseSteady, cluster.PhaseHandoff, cluster.PhaseFencing, cluster.PhaseElecting, cluster.PhasePromoting}, c.Phase) {
			err = p.wrong("there are steady, handoff, fencing, electing and promoting", "there is no phase %q", c.Phase)
		}
	case after("trace"), after("reason is"):
		c.Kind = Trace
		if strings.HasPrefix(text, "reason") {
			c.Kind = ReasonIs
		}
		for _, r := range strings.Split(strings.Join(words, " "), ",") {
			r = strings.TrimSpace(r)
			if r == "" || strings.ContainsAny(r, " \t") {
				return c, p.wrong("write the names of docs/failures.md, with commas between: `trace lease-expired, reign-began`", "%q is no reason", r)
			}
			c.Reasons = append(c.Reasons, cluster.Reason(r))
		}
		if c.Kind == ReasonIs && len(c.Reasons) != 1 {
			err = p.wrong("name one, or write `trace …`", "it names several reasons")
		}
		return c, err
	case after("lost"):
		c.Kind = Lost
		if c.Count, err = strconv.Atoi(words[0]); err != nil || c.Count < 0 {
			err = p.wrong("write `lost 0`", "%q is no number", words[0])
		}
	case after("outage below"):
		c.Kind = Outage
		c.Below, err = p.duration(words[0])
	case len(words) == 2 && words[1] == "follows":
		c.Kind = Follows
		c.Who, err = p.who(words[0])
		words = words[:1]
	default:
		return c, p.wrong(checksMend, "it is not clear what is expected")
	}
	if err == nil && slices.Contains([]Kind{PrimaryIs, AddressAt, PhaseIs, Lost, Outage}, c.Kind) && len(words) != 1 {
		err = p.wrong(checksMend, "%q is too much", strings.Join(words[1:], " "))
	}
	return c, err
}
