package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/lab"
	"github.com/baton-db/baton/internal/lab/load"
)

// wellObserved is what an observing node says of a cluster in which db1 is
// primary and well. Something is in the way of those that lack.
func wellObserved(st api.Status, lack ...cluster.NodeName) error {
	w := st.Would
	switch {
	case st.Known:
		return fmt.Errorf("there is a record, of epoch %d", st.Epoch)
	case w == nil || !w.Supposed || w.Primary != "db1" || !slices.Equal(w.Followers, []cluster.NodeName{"db2", "db3"}):
		return fmt.Errorf("it sees %+v", w)
	case w.Changes || w.Failover != nil:
		return fmt.Errorf("it would change something: %s %s", w.Reason, w.Detail)
	case w.Begin == nil || w.Begin.Primary != "db1":
		return fmt.Errorf("it would begin like this: %+v", w.Begin)
	case w.IfLost == nil || w.IfLost.Candidate == "" || w.Lossy == "":
		return fmt.Errorf("if db1 were lost: %+v (%s)", w.IfLost, w.Lossy)
	}
	for _, r := range st.Nodes {
		if len(r.Would) == 0 || slices.Contains(lack, r.Name) != slices.ContainsFunc(r.Lacks, func(l string) bool { return strings.Contains(l, "privilege") }) {
			return fmt.Errorf("%s would do %v, in its way is %v", r.Name, r.Would, r.Lacks)
		}
	}
	return nil
}

// TestObservingDoesNothing: agents watch a running cluster, then the death of its
// primary. They say what they would do, and neither a host nor a server is touched:
// what an agent could change is compared with what it was before any ran, and every
// statement that they sent was one that reads (MariaDB says so). The agent of db3 may not even write,
// and says what it lacks.
func TestObservingDoesNothing(t *testing.T) {
	l := up(t, lab.Options{Flavor: config.MariaDB, Observe: true})
	ctx := inTime(t)
	before := map[string]string{}
	for _, n := range l.DataNodes() {
		if err := l.StopAgent(ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.LetAgentReadOnly(ctx, "db3"); err != nil {
		t.Fatal(err)
	}
	for _, n := range l.DataNodes() {
		if err := l.RecordStatements(ctx, n); err != nil {
			t.Fatal(err)
		}
		before[n] = footprint(t, l, n)
	}
	for _, n := range l.DataNodes() {
		if err := l.StartAgent(ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	unchanged := func(nodes ...string) {
		t.Helper()
		if err := l.LetAgentsLook(ctx, 2); err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes {
			if now := footprint(t, l, n); now != before[n] {
				t.Errorf("%s has been changed. Before:\n%s\nnow:\n%s", n, before[n], now)
			}
			all, more, err := l.AgentStatements(ctx, n)
			if err != nil {
				t.Fatal(err)
			}
			if all == 0 || len(more) > 0 {
				t.Errorf("of %d statements of Baton's accounts on %s these do more than read: %q", all, n, more)
			}
		}
	}
	err := l.WaitStatus(ctx, "all say what they would do", l.Nodes(), func(st api.Status) error { return wellObserved(st, "db3") })
	if err != nil {
		t.Fatal(err)
	}
	unchanged(l.DataNodes()...)

	crash, err := lab.FaultByName("crash")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Inject(ctx, crash, "db1"); err != nil {
		t.Fatal(err)
	}
	err = l.WaitStatus(ctx, "all would fail over", l.Nodes(), func(st api.Status) error {
		w := st.Would
		if w == nil || !w.Changes || w.Reason != cluster.PrimaryResigned || w.Failover == nil || !slices.Contains([]cluster.NodeName{"db2", "db3"}, w.Failover.Candidate) {
			return fmt.Errorf("it would %+v", w)
		}
		for _, r := range st.Nodes {
			if r.Name == w.Failover.Candidate && !slices.Contains(r.Would, "read_only off") {
				return fmt.Errorf("%s is to be promoted, and would %q", r.Name, r.Would)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	unchanged("db2", "db3")
	if w := l.Writable(ctx); len(w) > 0 {
		t.Errorf("%v have been made writable", w)
	}
	for _, n := range l.Nodes() {
		if st, err := l.ClusterStatus(ctx, n); err != nil || st.Known {
			t.Errorf("%s knows a record of epoch %d (%v)", n, st.Epoch, err)
		}
	}
}

func footprint(t *testing.T, l *lab.Lab, node string) string {
	t.Helper()
	f, err := l.Footprint(inTime(t), node)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestAClusterIsTakenOverUnderLoad: clients write to the primary's own address
// without a break, while agents observe and are told to act, one by one. No
// server is restarted and no write fails. Then one agent goes back to observing:
// it is counted on for nothing, and the others fail over without it.
func TestAClusterIsTakenOverUnderLoad(t *testing.T) {
	t.Parallel()
	l := up(t, lab.Options{Flavor: config.MariaDB, Observe: true, Profile: "balanced"})
	ctx := inTime(t)
	err := l.WaitStatus(ctx, "all say what they would do", l.Nodes(), func(st api.Status) error { return wellObserved(st) })
	if err != nil {
		t.Fatal(err)
	}
	if err := l.RecordStatements(ctx, "db2"); err != nil {
		t.Fatal(err)
	}
	c, err := l.StartLoad(ctx, load.Options{Addresses: []string{l.DirectAddress("db1")}, Answer: 10 * time.Second, Connect: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	taken := takeOver(t, l)
	journal := c.Stop()
	if taken != nil {
		t.Fatal(taken)
	}
	v, err := l.Judge(ctx, journal, lab.WholeRun(), 0)
	if err != nil {
		t.Fatal(err)
	}
	sound(t, v)
	if len(v.Failures) > 0 || len(v.Connects.Failed) > 0 || len(v.Reconnects.Failed) > 0 || v.Servers["db1"] != v.Acknowledged {
		t.Errorf("writes failed: %v, connects: %v and %v, by server %v", v.Failures, v.Connects.Failed, v.Reconnects.Failed, v.Servers)
	}
	t.Logf("%d writes, the longest time without one %.0f ms", v.Acknowledged, v.OutageMS)
	for _, n := range l.DataNodes() {
		if starts, err := l.Starts(n); err != nil || starts != 1 {
			t.Errorf("the server of %s was started %d times (%v)", n, starts, err)
		}
	}
	if _, more, err := l.AgentStatements(ctx, "db2"); err != nil || len(more) == 0 {
		t.Errorf("the agent of db2 acted, and not one of its statements looks so (%v): the test that observing does nothing is blind", err)
	}
	anObserverAmongActiveNodes(t, l)
}

// takeOver tells one agent after the other to act.
func takeOver(t *testing.T, l *lab.Lab) error {
	ctx := inTime(t)
	for _, n := range l.Nodes() {
		if err := l.SetMode(ctx, n, cluster.Active); err != nil {
			return err
		}
		err := l.WaitStatus(ctx, "its store is well again", []string{n}, func(st api.Status) error {
			if st.Mode != cluster.Active || st.Online != len(l.Nodes()) || st.Store.Members == 0 || st.Store.Healthy != st.Store.Members {
				return fmt.Errorf("mode %s, %d agents heard of, %d of %d members", st.Mode, st.Online, st.Store.Healthy, st.Store.Members)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if err := l.WaitSteady(ctx); err != nil {
		return err
	}
	if p := primaryOf(t, l); p != "db1" {
		return fmt.Errorf("%s is primary, and db1 took the writes", p)
	}
	return nil
}

func anObserverAmongActiveNodes(t *testing.T, l *lab.Lab) {
	ctx := inTime(t)
	if err := l.SetMode(ctx, "db2", cluster.Observe); err != nil {
		t.Fatal(err)
	}
	err := l.WaitStatus(ctx, "db2 is counted on for nothing", []string{"db1", "db3"}, func(st api.Status) error {
		for _, r := range st.Nodes {
			if r.Name == "db2" && !slices.ContainsFunc(r.Conditions, func(c cluster.Condition) bool { return c.Reason == cluster.SemiSyncStranger }) {
				return fmt.Errorf("db2, in mode %s, does not say that it acknowledges for nobody: %v", r.Mode, r.Conditions)
			}
		}
		p := st.Preview
		switch {
		case !slices.Equal(st.Acks.Members, []cluster.NodeName{"db3"}):
			return fmt.Errorf("the ack set is %v", st.Acks.Members)
		case p == nil || p.Switchover.Candidate != "db3":
			return fmt.Errorf("a switchover would lead to %+v", p)
		case !slices.ContainsFunc(p.Switchover.Passed, func(a api.Alternative) bool {
			return a.Node == "db2" && a.Reason == cluster.PassedObserving && !a.Possible
		}):
			return fmt.Errorf("it is not said that db2 only observes: %+v", p.Switchover.Passed)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	crash, err := lab.FaultByName("crash")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Inject(ctx, crash, "db1"); err != nil {
		t.Fatal(err)
	}
	err = l.WaitStatus(ctx, "db3 serves", []string{"db3", "db2"}, func(st api.Status) error {
		if st.Primary != "db3" || st.Phase == cluster.PhaseElecting {
			return fmt.Errorf("%s, primary %s", st.Phase, st.Primary)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
