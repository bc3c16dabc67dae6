package e2e_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/lab"
	"github.com/baton-db/baton/internal/lab/load"
)

// death is an agent that dies at a point of a switch.
type death struct {
	crash bool   // the primary's server is killed; otherwise the switch is planned
	who   string // the old primary, the candidate or the third node
	point string
}

// These are tried by make test: in the midst of what cannot be undone.
func fewDeaths() []death {
	return []death{
		{false, "primary", "after drain"},
		{true, "candidate", "after promote"},
	}
}

// allDeaths are every step and every swap, on every node, before and after.
func allDeaths() []death {
	points := []string{
		"probe-addresses", "promise", "stop-replication", "apply", "promote", "gate", "writable", "semi-source", "semi-replica", "marker",
		"events", "address", "verify", "unblock", "follow", "ack-again", "cut-replica", "uncut-replica",
		"drain", "mute", "gate-read-only", "read-only", "release", "fence", "start-server",
		"swap handoff", "swap electing", "swap fencing", "swap promoting", "swap steady",
	}
	var all []death
	for _, crash := range []bool{false, true} {
		for _, who := range []string{"primary", "candidate", "third"} {
			for _, p := range points {
				all = append(all, death{crash, who, "before " + p}, death{crash, who, "after " + p})
			}
		}
	}
	return all
}

// TestAnAgentThatDiesAtAnyStepOfASwitch: whoever dies, the switch ends, forward or
// back, nothing is lost and nobody writes twice.
func TestAnAgentThatDiesAtAnyStepOfASwitch(t *testing.T) {
	few := os.Getenv(deathsVar) != "all"
	all, tries := allDeaths(), 1
	if few {
		// Who will be chosen after a crash can only be foretold: another one may
		// have received more by then, and the foretold one comes to no promotion.
		all, tries = fewDeaths(), 5
	}
	tried, came := 0, 0
	for _, d := range all {
		kind := "switchover"
		if d.crash {
			kind = "crash"
		}
		t.Run(fmt.Sprintf("%s/%s %s", kind, d.who, d.point), func(t *testing.T) {
			tried++
			died := false
			for range tries {
				if died = diesDuring(t, shared(t, config.MariaDB), d); died {
					came++
					break
				}
			}
			if few && !died {
				t.Errorf("in %d switches the agent never came to its point", tries)
			}
		})
	}
	// Of all the points, not every node comes to every one.
	if !few && tried == len(all) && came < 80 {
		t.Errorf("of %d points the agents came to %d", tried, came)
	}
}

// diesDuring lets one agent die, and reports whether it came to its point.
func diesDuring(t *testing.T, l *lab.Lab, d death) bool {
	t.Helper()
	ctx := inTime(t)
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	primary, candidate := primaryOf(t, l), ""
	err := l.WaitStatus(ctx, "it knows who would take over", []string{primary}, func(st api.Status) error {
		if st.Preview == nil || st.Preview.Failover.Candidate == "" {
			return fmt.Errorf("nobody could, yet")
		}
		candidate = string(st.Preview.Failover.Candidate)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	node := map[string]string{"primary": primary, "candidate": candidate}[d.who]
	for _, n := range l.DataNodes() {
		if node == "" && n != primary && n != candidate {
			node = n
		}
	}
	v, err := l.DieDuring(ctx, d.crash, candidate, node, d.point, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sound(t, v.Verdict)
	t.Logf("died: %t, outage %.0f ms, by server %v, told: %v", v.Died, v.OutageMS, v.Servers, v.Told)
	return v.Died
}
