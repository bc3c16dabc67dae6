package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/db/dbtest"
	"github.com/baton-db/baton/internal/lab"
	"github.com/baton-db/baton/internal/lab/load"
)

// sound are the promises that hold whatever happened.
func sound(t *testing.T, v lab.Verdict) {
	t.Helper()
	if v.Acknowledged == 0 {
		t.Error("nothing was acknowledged: the test shows nothing")
	}
	if v.Lost != 0 {
		t.Errorf("%d acknowledged writes are missing at %s, such as %+v", v.Lost, v.Primary, v.LostSample)
	}
	if v.DoubleWriters != 0 {
		t.Errorf("%d writes were acknowledged by two servers in overlapping time, such as %+v", v.DoubleWriters, v.DoubleSample)
	}
	if v.OutageOpen {
		t.Error("clients could not write any more")
	}
}

// TestFaultsAtThePrimary breaks the primary in every way there is. Another node
// takes over, nothing is lost, nobody writes twice, and after the heal all
// follow again.
func TestFaultsAtThePrimary(t *testing.T) { faultsAtThePrimary(t, config.MariaDB, allFaults()) }

func allFaults() []string {
	return []string{
		"crash", "power", "link", "freeze", "agent-kill", "agent-freeze",
		"partition", "partition-in", "partition-out", "partition-nodes", "partition-split", "replica-restart",
	}
}

func faultsAtThePrimary(t *testing.T, flavor string, faults []string) {
	for _, name := range faults {
		f, err := lab.FaultByName(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range runs(t) {
			t.Run(fmt.Sprintf("%s/%d", name, i+1), func(t *testing.T) {
				l := shared(t, flavor)
				v, err := l.Drill(inTime(t), f, "", load.Options{})
				if err != nil {
					t.Fatal(err)
				}
				sound(t, v)
				if len(v.Servers) < 2 {
					t.Errorf("only %v acknowledged writes: nobody took over", v.Servers)
				}
				t.Logf("outage %.0f ms, by server %v, connects %+v", v.OutageMS, v.Servers, v.Connects)
			})
		}
	}
}

// TestSwitchoverUnderLoad moves the role as planned: no connect fails.
func TestSwitchoverUnderLoad(t *testing.T) { switchoverUnderLoad(t, config.MariaDB) }

func switchoverUnderLoad(t *testing.T, flavor string) {
	f, err := lab.FaultByName("switchover")
	if err != nil {
		t.Fatal(err)
	}
	for i := range runs(t) {
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			l := shared(t, flavor)
			v, err := l.Drill(inTime(t), f, "", load.Options{})
			if err != nil {
				t.Fatal(err)
			}
			sound(t, v)
			if len(v.Connects.Failed) != 0 || v.Connects.Slow != 0 {
				t.Errorf("connects failed: %v, %d took a second or more", v.Connects.Failed, v.Connects.Slow)
			}
			if len(v.Servers) != 2 {
				t.Errorf("writes were acknowledged by %v, want two servers", v.Servers)
			}
			t.Logf("outage %.0f ms, connects %+v", v.OutageMS, v.Connects)
		})
	}
}

// TestFaultsOfTheStoreMoveNothing: the store is in trouble, the database is
// not, and stays where it is.
func TestFaultsOfTheStoreMoveNothing(t *testing.T) { faultsOfTheStore(t, config.MariaDB) }

func faultsOfTheStore(t *testing.T, flavor string) {
	for _, name := range []string{"store-garbage", "store-leader", "store-loss", "agents-apart"} {
		f, err := lab.FaultByName(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range runs(t) {
			t.Run(fmt.Sprintf("%s/%d", name, i+1), func(t *testing.T) {
				l := shared(t, flavor)
				before, err := l.Primary(inTime(t))
				if err != nil {
					t.Fatal(err)
				}
				v, err := l.Drill(inTime(t), f, "", load.Options{})
				if err != nil {
					t.Fatal(err)
				}
				sound(t, v)
				// When the whole store was away, two members may find each other
				// again before the primary's does: then the role moves, rightly.
				if !f.Stops {
					stayed(t, before, v)
				}
				t.Logf("longest time without an acknowledgement: %.0f ms", v.OutageMS)
			})
		}
	}
}

// TestAFaultOfAReplicaMovesNothing: clients hardly notice.
func TestAFaultOfAReplicaMovesNothing(t *testing.T) { faultsOfAReplica(t, config.MariaDB) }

func faultsOfAReplica(t *testing.T, flavor string) {
	faults := []string{"crash", "power", "freeze", "partition", "agent-kill"}
	if often() {
		faults = append(faults, "link")
	}
	for _, name := range faults {
		f, err := lab.FaultByName(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			l := shared(t, flavor)
			primary, err := l.Primary(inTime(t))
			if err != nil {
				t.Fatal(err)
			}
			replica := l.DataNodes()[0]
			if replica == primary {
				replica = l.DataNodes()[1]
			}
			v, err := l.Drill(inTime(t), f, replica, load.Options{})
			if err != nil {
				t.Fatal(err)
			}
			sound(t, v)
			stayed(t, primary, v)
			t.Logf("longest time without an acknowledgement: %.0f ms", v.OutageMS)
		})
	}
}

// TestAPreferenceChangesAtRunTime: an edited file and a SIGHUP, and the cluster
// would choose another node.
func TestAPreferenceChangesAtRunTime(t *testing.T) {
	l, ctx := shared(t, config.MariaDB), inTime(t)
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	primary := primaryOf(t, l)
	reconfigure := func(edit func(string) string) {
		t.Helper()
		if err := l.Reconfigure(edit); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range l.DataNodes() {
		if n == primary {
			continue
		}
		line := "      name: " + n + "\n"
		reconfigure(func(s string) string { return strings.Replace(s, line, line+"      prefer: 9\n", 1) })
		if err := l.WaitChoice(ctx, primary, n); err != nil {
			t.Fatal(err)
		}
		reconfigure(func(s string) string { return strings.Replace(s, line+"      prefer: 9\n", line, 1) })
	}
}

// TestAnAddressThatSomebodyAddedElsewhereIsGivenUp: somebody gives the virtual addresses
// to a replica's host by hand. That host gives them up and says so; the primary keeps
// them and the role, and blames nobody for long.
func TestAnAddressThatSomebodyAddedElsewhereIsGivenUp(t *testing.T) {
	f, err := lab.FaultByName("duplicate")
	if err != nil {
		t.Fatal(err)
	}
	l, ctx := shared(t, config.MariaDB), inTime(t)
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	primary := primaryOf(t, l)
	other, err := l.Target(ctx, f)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Inject(ctx, f, other); err != nil {
		t.Fatal(err)
	}
	detail, err := l.WaitCondition(ctx, other, cluster.AddressStray, true)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(detail, "although "+primary+" leads clients") || !strings.Contains(detail, "removed") {
		t.Errorf("%q does not say what was done, and why", detail)
	}
	if _, err := l.WaitCondition(ctx, primary, cluster.AddressDuplicate, false); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Heal(ctx); err != nil {
		t.Fatal(err)
	}
	if now := primaryOf(t, l); now != primary {
		t.Errorf("%s was primary and well, and %s is now", primary, now)
	}
	// When this primary took the role others looked where they find the addresses.
	var all string
	dbtest.Until(t, func() bool { // each node writes its part by and by
		all = baton(t, l, primary, "history", "-o", "json")
		return strings.Contains(all, `"step": "seen-from `) && strings.Contains(all, " answers with ")
	}, func() string { return "the history does not tell what others saw:\n" + all })
}

// primaryOf is the node whose server takes writes.
func primaryOf(t *testing.T, l *lab.Lab) string {
	t.Helper()
	p, err := l.Primary(inTime(t))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestARunningClusterIsAdopted: Baton takes over what was set up by hand and
// restarts no server for it.
func TestARunningClusterIsAdopted(t *testing.T) {
	t.Parallel()
	isAdopted(t, config.MariaDB)
}

func isAdopted(t *testing.T, flavor string) {
	l := up(t, lab.Options{Adopt: true, Flavor: flavor})
	for _, n := range l.DataNodes() {
		b, err := os.ReadFile(filepath.Join(l.Dir, n, "mysqld.log"))
		if err != nil {
			t.Fatal(err)
		}
		if starts := bytes.Count(b, []byte("Version: '")); starts != 1 {
			t.Errorf("the server of %s was started %d times", n, starts)
		}
	}
	if primary, err := l.Primary(inTime(t)); err != nil || primary != "db1" {
		t.Errorf("primary is %s (%v), but db1 was the one that took writes", primary, err)
	}
	v, err := l.Watch(inTime(t), load.Options{}, time.Second, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	sound(t, v)
}
