package config

import (
	"fmt"
	"slices"
	"strings"
)

// Change is one key that differs between two configurations.
type Change struct {
	Key    string `json:"key"` // nodes[db2].prefer
	Old    string `json:"old"`
	New    string `json:"new"`
	Line   int    `json:"line,omitempty"` // in the new file
	Reload bool   `json:"reload"`         // can change while the agent runs
	// Why says why the change was not taken over.
	Why string `json:"why,omitempty"`
}

// String is the change in one line: timing.hang: 3s becomes 2s
func (c Change) String() string {
	s := fmt.Sprintf("%s: %s becomes %s", c.Key, orNothing(c.Old), orNothing(c.New))
	if c.Why != "" {
		s += ": " + c.Why
	}
	return s
}

func orNothing(s string) string {
	if s == "" || s == "[]" {
		return "nothing"
	}
	return s
}

// Diff returns what changed from old to new, in the order of the new file's
// keys; keys that only old has come last.
func Diff(old, new *Config) []Change {
	before := make(map[string]value)
	for _, x := range old.values() {
		before[x.named] = x
	}
	var changes []Change
	for _, x := range new.values() {
		was, had := before[x.named]
		delete(before, x.named)
		if had && write(was.v) == write(x.v) {
			continue
		}
		c := Change{Key: x.named, New: write(x.v), Line: new.where(x.path), Reload: had && x.key.Reload}
		if had {
			c.Old = write(was.v)
		} else if c.New == "" || c.New == "[]" {
			continue
		}
		changes = append(changes, c)
	}
	for _, x := range old.values() {
		if _, gone := before[x.named]; gone && write(x.v) != "" && write(x.v) != "[]" {
			changes = append(changes, Change{Key: x.named, Old: write(x.v)})
		}
	}
	return changes
}

// Reload returns what an agent that runs with old runs with after SIGHUP: old
// with every change of new that is possible at run time. taken are those;
// refused are the others, each with the reason. Neither old nor new is changed.
func Reload(old, new *Config) (next *Config, taken, refused []Change) {
	if old.Profile != new.Profile || old.Node != new.Node {
		return old, nil, refuse(Diff(old, new), "the profile and the node's name are not changed at run time, nor anything with them: restart the agent")
	}
	next = old.clone()
	wanted := make(map[string]value)
	for _, x := range new.values() {
		wanted[x.named] = x
	}
	next.lines = next.linesIn(new, wanted)
	for _, x := range next.values() {
		w, ok := wanted[x.named]
		_, said := new.lines[w.path]
		if ok && x.key.Reload && (said || x.key.Rule == "") {
			x.v.Set(w.v)
		}
	}
	// What follows from other keys follows from those that are in force.
	for _, x := range next.values() {
		w, ok := wanted[x.named]
		if _, said := new.lines[w.path]; ok && !said && x.key.from != nil && x.key.Reload {
			x.key.assign(x.v, x.key.from(next), false)
		}
	}
	l := &loader{file: new.File, cfg: next, table: newTable()}
	if l.judge(); len(l.found.Errors()) > 0 {
		return old, nil, refuse(Diff(old, new), "together with what cannot change at run time it is impossible: "+l.found.Errors()[0].String())
	}
	taken = Diff(old, next)
	for i, c := range taken {
		taken[i].Line = new.where(wanted[c.Key].path)
	}
	refused = slices.DeleteFunc(Diff(next, new), func(c Change) bool { return c.Reload })
	return next, taken, refuse(refused, "it is not changed at run time: restart the agent")
}

func refuse(changes []Change, why string) []Change {
	for i := range changes {
		changes[i].Why = why
	}
	return changes
}

// linesIn says where the new file has what c has: lists may be in another
// order there.
func (c *Config) linesIn(new *Config, wanted map[string]value) map[string]int {
	lines := make(map[string]int)
	for path, line := range new.lines {
		if !strings.Contains(path, "[") {
			lines[path] = line
		}
	}
	for path, line := range c.lines {
		if strings.HasPrefix(path, "endpoints[") { // they stay as they are, and their blocks say what they are
			lines[path] = line
		}
	}
	for _, x := range c.values() {
		if line, ok := new.lines[wanted[x.named].path]; ok {
			lines[x.path] = line
		}
	}
	return lines
}

// clone copies everything that Reload writes to.
func (c *Config) clone() *Config {
	d := *c
	d.Nodes = slices.Clone(c.Nodes)
	for i, n := range d.Nodes {
		if n.Server != nil {
			own := *n.Server
			d.Nodes[i].Server = &own
		}
	}
	d.Addresses = slices.Clone(c.Addresses)
	d.Readers.Addresses = slices.Clone(c.Readers.Addresses)
	d.Endpoints = slices.Clone(c.Endpoints)
	d.Hooks = slices.Clone(c.Hooks)
	d.Notify.Targets = slices.Clone(c.Notify.Targets)
	d.Detection.Track = slices.Clone(c.Detection.Track)
	d.Health.Prometheus = slices.Clone(c.Health.Prometheus)
	return &d
}
