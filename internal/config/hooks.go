package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Hook is a command that is run when a switch enters or leaves a phase.
type Hook struct {
	Name    string        `key:"name"`
	Command []string      `key:"command"`
	Before  []string      `key:"before"`
	After   []string      `key:"after"`
	On      string        `key:"on"`
	Limit   time.Duration `key:"limit"`
	Wait    bool          `key:"wait"`
	Veto    bool          `key:"veto"`
}

// Delays reports whether planned switches wait for it.
func (h Hook) Delays() bool { return h.Wait || h.Veto }

// Where hooks run.
const (
	OnEvery = "every" // every node
	OnOld   = "old"   // the node that has or had the role
	OnNew   = "new"   // the node that gets it, once it is known
)

var phases = []string{string(cluster.PhaseSteady), string(cluster.PhaseHandoff), string(cluster.PhaseFencing), string(cluster.PhaseElecting), string(cluster.PhasePromoting)}

func hookKeys() []Key {
	return []Key{
		key("hooks", Block).same().
			doc("Commands of your own around the phases of a switch (docs/hooks.md). They get JSON on their standard input, and no failover waits for any of them."),
		key("hooks[].name", Text).required("give the hook a name").same().like("tell-batch-jobs").
			doc("Its name in the log and the timeline."),
		key("hooks[].command", Words).like("[/etc/baton/hooks/tell-batch-jobs]").
			doc("The program and its arguments; no shell."),
		key("hooks[].before", Words).same().like("[promoting]").
			doc("The phases at whose beginning it runs: steady (a reign begins), handoff, fencing, electing, promoting."),
		key("hooks[].after", Words).same().like("[steady]").
			doc("The phases at whose end it runs; after steady: a switch has begun."),
		choice("hooks[].on", "place for a hook", OnEvery, OnOld, OnNew).byDefault(OnEvery).same().
			doc("On which nodes: every one, the one that has or had the role, or the one that gets it."),
		key("hooks[].limit", Duration).byDefault("10s").between("100ms", "10m").
			doc("How long it may run; then it is killed with its process group."),
		key("hooks[].wait", YesNo).byDefault("false").same().
			doc("Whether a planned switchover begins only once it has ended, or its limit is over. Only before handoff, on the old primary."),
		key("hooks[].veto", YesNo).byDefault("false").same().
			doc("Whether a planned switchover is refused if it fails or does not end. Implies wait. A failover cannot be refused."),
	}
}

func (l *loader) judgeHooks() {
	names := map[string]int{}
	for i, h := range l.cfg.Hooks {
		block := at("hooks", i, "")
		l.once(names, block+".name", h.Name, "give every hook its own name")
		if h.Name != "" && !nameShape.MatchString(h.Name) {
			l.report(block+".name", fmt.Sprintf("%q is no name for a hook", h.Name), nameMend)
		}
		if len(h.Command) == 0 {
			l.report(block+".command", "is missing", "write the program to run, such as [/etc/baton/hooks/"+h.Name+"]")
		}
		l.judgeWords(block+".command", h.Command)
		if len(h.Before)+len(h.After) == 0 {
			l.report(block, "never runs", "add before: or after: with "+orList(phases))
		}
		l.judgePhases(block+".before", h.Before)
		l.judgePhases(block+".after", h.After)
		if h.Delays() && (!slices.Equal(h.Before, []string{string(cluster.PhaseHandoff)}) || len(h.After) > 0 || h.On != OnOld) {
			key := block + ".wait"
			if h.Veto {
				key = block + ".veto"
			}
			l.report(key, "a switch can wait only before anything has been stopped", "write before: [handoff] and on: old, and nothing after")
		}
	}
}

func (l *loader) judgePhases(path string, given []string) {
	for i, p := range given {
		if slices.Contains(phases, p) {
			continue
		}
		mend := "use " + orList(phases)
		if near, ok := nearest(strings.ToLower(p), phases); ok {
			mend = fmt.Sprintf("did you mean %s?", near)
		}
		l.report(at(path, i, ""), fmt.Sprintf("%q is no phase", p), mend)
	}
}

// checkHooks looks for the programs on this host.
func (c *Config) checkHooks() Findings {
	var found Findings
	for i, h := range c.Hooks {
		found = append(found, c.checkCommand(at("hooks", i, "command"), h.Command)...)
	}
	return found
}
