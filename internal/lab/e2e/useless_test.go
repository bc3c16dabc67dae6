package e2e_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/lab"
	"github.com/baton-db/baton/internal/lab/load"
)

// often reports whether every fault is tried many times, and the rare ones too.
func often() bool { return os.Getenv(runsVar) != "" }

// rare leaves a test to those runs: another one, of which it is a variant or a
// rarer case, is in every run.
func rare(t *testing.T) {
	t.Helper()
	if !often() {
		t.Skip("one of the rarer cases: make test-all tries it")
	}
}

// faultThatFits returns a fault, or skips the test where the machine cannot make it.
func faultThatFits(t *testing.T, l *lab.Lab, name string) lab.Fault {
	t.Helper()
	f, err := lab.FaultByName(name)
	if err != nil {
		t.Fatal(err)
	}
	primary, err := l.Primary(inTime(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Fits(f, primary); err != nil {
		t.Skipf("NOT TRIED, this machine cannot make this fault: %v", err)
	}
	return f
}

// whyUseless is why a primary is replaced after these faults. A server may also
// end by itself when its disk fails it.
var whyUseless = map[string][]cluster.Reason{
	"disk-full":      {cluster.PrimaryDiskFull, cluster.PrimaryResigned},
	"disk-read-only": {cluster.PrimaryDiskReadOnly, cluster.PrimaryResigned},
	"disk-stall":     {cluster.PrimaryDiskStuck, cluster.PrimaryCannotWrite, cluster.PrimaryHung},
	"out-of-memory":  {cluster.PrimaryResigned},
}

// TestAUselessPrimaryIsReplaced: its server is there, and of no use.
func TestAUselessPrimaryIsReplaced(t *testing.T) { uselessPrimaryIsReplaced(t, config.MariaDB) }

func uselessPrimaryIsReplaced(t *testing.T, flavor string) {
	faults := []string{"disk-full", "disk-read-only", "disk-stall"}
	if often() {
		faults = append(faults, "out-of-memory")
	}
	for _, name := range faults {
		for i := range runs(t) {
			t.Run(fmt.Sprintf("%s/%d", name, i+1), func(t *testing.T) {
				l := shared(t, flavor)
				v, err := l.Drill(inTime(t), faultThatFits(t, l, name), "", load.Options{})
				if err != nil {
					t.Fatal(err)
				}
				sound(t, v)
				if len(v.Servers) < 2 {
					t.Errorf("only %v acknowledged writes: nobody took over", v.Servers)
				}
				st, err := l.ClusterStatus(inTime(t), v.Primary)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Contains(whyUseless[name], st.Reason) {
					t.Errorf("it was replaced because of %s (%s), want one of %v", st.Reason, st.Detail, whyUseless[name])
				}
				t.Logf("%s, outage %.0f ms, by server %v, connects %+v", st.Reason, v.OutageMS, v.Servers, v.Connects)
			})
		}
	}
}

// TestABusyPrimaryIsLeftAlone: it waits for somebody, or for its turn, and would
// do so anywhere.
func TestABusyPrimaryIsLeftAlone(t *testing.T) { busyPrimaryIsLeftAlone(t, config.MariaDB) }

func busyPrimaryIsLeftAlone(t *testing.T, flavor string) {
	faults := []string{"backup-lock", "busy"}
	if often() {
		faults = append(faults, "throttle", "metadata-lock", "connections", "partition-pair", "blip")
	}
	for _, name := range faults {
		for i := range runs(t) {
			t.Run(fmt.Sprintf("%s/%d", name, i+1), func(t *testing.T) {
				l := shared(t, flavor)
				f := faultThatFits(t, l, name)
				before := primaryOf(t, l)
				v, err := l.Drill(inTime(t), f, "", load.Options{})
				if err != nil {
					t.Fatal(err)
				}
				sound(t, v)
				if v.Servers[before] != v.Acknowledged {
					t.Errorf("%s was primary and only busy, yet writes went to %v", before, v.Servers)
				}
				t.Logf("longest time without an acknowledgement: %.0f ms", v.OutageMS)
			})
		}
	}
}

// TestABackupsLockIsTold: who holds everybody up with FLUSH TABLES WITH READ LOCK is
// no reason to move, and people are told for as long as it lasts.
func TestABackupsLockIsTold(t *testing.T) {
	rare(t)
	l, ctx := shared(t, config.MariaDB), inTime(t)
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	primary := primaryOf(t, l)
	inject(t, l, "backup-lock", primary)
	detail, err := l.WaitCondition(ctx, primary, cluster.WritesLocked, true)
	if err != nil {
		t.Fatal(err)
	}
	if detail == "" {
		t.Error("it says nothing")
	}
	if now := primaryOf(t, l); now != primary {
		t.Errorf("%s was primary and only locked, and %s is now", primary, now)
	}
	if _, err := l.Heal(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := l.WaitCondition(ctx, primary, cluster.WritesLocked, false); err != nil {
		t.Fatal(err)
	}
	t.Log(detail)
}

// TestAStrainAlertsAndMovesOnlyWhereAsked: all connections are taken, and people
// are told; writes pile up behind a lock, and with action: failover another node
// takes over.
func TestAStrainAlertsAndMovesOnlyWhereAsked(t *testing.T) {
	rare(t)
	strainAlerts(t, config.MariaDB)
}

func strainAlerts(t *testing.T, flavor string) {
	l, ctx := shared(t, flavor), inTime(t)
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	const limits = "health:\n  every: 200ms\n  connections: {for: 1s}\n  locks: {above: 3, for: 1s, action: failover}\n"
	if err := l.Reconfigure(func(text string) string { return text + limits }); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Reconfigure(func(text string) string { return strings.TrimSuffix(text, limits) }); err != nil {
			t.Error(err)
		}
	}()
	before := primaryOf(t, l)
	if err := l.Inject(ctx, faultThatFits(t, l, "connections"), before); err != nil {
		t.Fatal(err)
	}
	detail, err := l.WaitCondition(ctx, before, cluster.Degraded, true)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(detail, "connections: ") {
		t.Errorf("%q does not say that it is the connections", detail)
	}
	if _, err := l.Heal(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := l.WaitCondition(ctx, before, cluster.Degraded, false); err != nil {
		t.Fatal(err)
	}
	if now := primaryOf(t, l); now != before {
		t.Fatalf("%s was primary and only alerted, and %s is now", before, now)
	}
	f := faultThatFits(t, l, "metadata-lock")
	f.Moves, f.Stops = true, false
	v, err := l.Drill(ctx, f, "", load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sound(t, v)
	st, err := l.ClusterStatus(ctx, v.Primary)
	if err != nil {
		t.Fatal(err)
	}
	if st.Reason != cluster.PrimaryDegraded || v.Primary == before {
		t.Errorf("%s is primary after %s, because of %s (%s)", v.Primary, before, st.Reason, st.Detail)
	}
	t.Logf("outage %.0f ms: %s", v.OutageMS, st.Detail)
}
