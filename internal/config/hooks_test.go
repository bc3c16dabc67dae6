package config

import "testing"

// Each case is one hook in a good file, on line 12.
func TestWhatIsWrongWithAHook(t *testing.T) {
	const here = "baton.yaml:12: hooks[0]"
	for name, tt := range map[string]struct {
		hook string
		want []string
	}{
		"a whole one":         {"name: tell, command: [/x, -v], before: [promoting], after: [steady, handoff], on: new, limit: 5s", nil},
		"one that may refuse": {"name: tell, command: [/x], before: [handoff], on: old, veto: true", nil},
		"one that does nothing": {"name: Tell", []string{
			here + `.name: "Tell" is no name for a hook; use lower-case letters, digits and dashes, at most 32`,
			here + ".command: is missing; write the program to run, such as [/etc/baton/hooks/Tell]",
			here + ": never runs; add before: or after: with steady, handoff, fencing, electing or promoting",
		}},
		"odd parts": {"name: tell, command: ['sh -c x'], before: [promotting, now], on: here", []string{
			here + `.command: "sh -c x" is one word with spaces in it, and no shell takes it apart; write [sh, -c, x]`,
			here + `.before[0]: "promotting" is no phase; did you mean promoting?`,
			here + `.before[1]: "now" is no phase; use steady, handoff, fencing, electing or promoting`,
			here + `.on: "here" is no place for a hook; use every, old or new`,
		}},
		"a failover would have to wait": {"name: tell, command: [/x], before: [fencing], wait: true", []string{
			here + ".wait: a switch can wait only before anything has been stopped; write before: [handoff] and on: old, and nothing after",
		}},
		"a switch would have to wait in its middle": {"name: tell, command: [/x], before: [handoff, promoting], on: old, veto: true", []string{
			here + ".veto: a switch can wait only before anything has been stopped; write before: [handoff] and on: old, and nothing after",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			wantFindings(t, good+"hooks:\n  - {"+tt.hook+"}\n", tt.want...)
		})
	}
}
