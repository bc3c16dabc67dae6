package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/lab"
)

// TestEveryRoadLeadsToThePrimary: real servers of every kind in one lab. After each
// switch all of them lead to the new primary, as seen by their own clients.
func TestEveryRoadLeadsToThePrimary(t *testing.T) {
	rare(t)
	l := withRoads(t, lab.EveryRoad)
	one := func(name string, f func(t *testing.T)) {
		if !t.Failed() { // otherwise the lab may be in any state
			t.Run(name, f)
		}
	}
	for range runs(t) {
		for _, fault := range []string{"crash", "switchover", "power", "partition"} {
			one(fault, func(t *testing.T) { moves(t, l, fault) })
		}
		for _, r := range l.TheRoads() {
			if r.CanBeMeddledWith() {
				one("by hand: "+r.Name, func(t *testing.T) { isPutRight(t, l, r) })
			}
		}
		for _, name := range []string{"dns", "haproxy", "nginx", "zookeeper", "webhook"} {
			r := theRoad(t, l, name)
			one("hangs: "+name, func(t *testing.T) { delaysNobody(t, l, r, hangs) })
			one("dead: "+name, func(t *testing.T) { delaysNobody(t, l, r, dies) })
		}
		one("an uplink", func(t *testing.T) { floats(t, l) })
	}
}

// TestTheAgentsOwnBGPLeadsToThePrimary: in place of an FRR's.
func TestTheAgentsOwnBGPLeadsToThePrimary(t *testing.T) {
	rare(t)
	l := withRoads(t, "bgp")
	for range runs(t) {
		for _, fault := range []string{"crash", "switchover", "power", "partition"} {
			if !t.Failed() {
				t.Run(fault, func(t *testing.T) { moves(t, l, fault) })
			}
		}
	}
}

// withRoads builds a lab, or skips the test where it cannot be built.
func withRoads(t *testing.T, roads ...string) *lab.Lab {
	t.Helper()
	if err := lab.Check(lab.Options{Binary: rig.binary, Roads: roads}); err != nil {
		t.Skipf("THE ROADS NEED MORE than this machine has: %s", err)
	}
	return up(t, lab.Options{Roads: roads})
}

func theRoad(t *testing.T, l *lab.Lab, name string) lab.Road {
	t.Helper()
	all := l.TheRoads()
	i := slices.IndexFunc(all, func(r lab.Road) bool { return r.Name == name })
	if i < 0 {
		t.Fatalf("the lab has no road %s", name)
	}
	return all[i]
}

// moves breaks something at the primary, waits until another one serves, heals it, and
// waits until the cluster is steady.
func moves(t *testing.T, l *lab.Lab, fault string) {
	t.Helper()
	ctx := inTime(t)
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	f, err := lab.FaultByName(fault)
	if err != nil {
		t.Fatal(err)
	}
	old := primaryOf(t, l)
	if err := l.Inject(ctx, f, old); err != nil {
		t.Fatal(err)
	}
	primary := anotherServes(t, l, old)
	// While the old one is still dead, hung or cut off.
	if err := l.WaitRoads(ctx, l.TheRoads(), primary); err != nil {
		t.Error(err)
	}
	if _, err := l.Heal(ctx); err != nil {
		t.Fatal(err)
	}
	if err := l.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	leadToThePrimary(t, l)
}

func leadToThePrimary(t *testing.T, l *lab.Lab) {
	t.Helper()
	if err := l.WaitRoads(inTime(t), l.TheRoads(), primaryOf(t, l)); err != nil {
		t.Error(err)
	}
	everyEndpoint(t, l, func(e cluster.Lead) error {
		if !e.Settled || string(e.To) != primaryOf(t, l) || e.Because != "" {
			return fmt.Errorf("status says %+v", e)
		}
		return nil
	})
}

// everyEndpoint waits until what the primary's status says of every road is right.
func everyEndpoint(t *testing.T, l *lab.Lab, right func(cluster.Lead) error) {
	t.Helper()
	err := l.WaitStatus(inTime(t), "status says how every road stands", []string{primaryOf(t, l)}, func(st api.Status) error {
		for _, r := range l.TheRoads() {
			if r.Endpoint() == "" {
				continue
			}
			e, err := leadOf(st, r)
			if err == nil {
				err = right(e)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func leadOf(st api.Status, r lab.Road) (cluster.Lead, error) {
	return leadCalled(st, r.Endpoint())
}

// leadCalled is what status says of an endpoint.
func leadCalled(st api.Status, name string) (cluster.Lead, error) {
	i := slices.IndexFunc(st.Endpoints, func(e cluster.Lead) bool { return e.Endpoint == name && e.Wanted != "" })
	if i < 0 {
		return cluster.Lead{}, fmt.Errorf("status knows no %s: %+v", name, st.Endpoints)
	}
	return st.Endpoints[i], nil
}

// repaired is how often a road was put right, as status has it.
func repaired(t *testing.T, l *lab.Lab, r lab.Road) int {
	t.Helper()
	st, err := l.ClusterStatus(inTime(t), primaryOf(t, l))
	if err != nil {
		t.Fatal(err)
	}
	e, err := leadOf(st, r)
	if err != nil {
		t.Fatal(err)
	}
	return e.Repaired
}

// isPutRight: somebody leads a road to a replica, behind Baton's back.
func isPutRight(t *testing.T, l *lab.Lab, r lab.Road) {
	ctx := inTime(t)
	leadToThePrimary(t, l)
	primary, before := primaryOf(t, l), repaired(t, l, r)
	if err := l.Meddle(ctx, r, replicas(l, primary)[0]); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitStatus(ctx, "it is found out", []string{primary}, func(st api.Status) error {
		e, err := leadOf(st, r)
		if err == nil && e.Repaired <= before {
			err = fmt.Errorf("status says %+v", e)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	leadToThePrimary(t, l)
}

// trouble is what happens to a road's server; the answer ends it.
type trouble func(t *testing.T, l *lab.Lab, r lab.Road) (over func())

func hangs(t *testing.T, l *lab.Lab, r lab.Road) func() {
	p, err := l.RoadServer(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := p.Signal(unix.SIGCONT); err != nil {
			t.Error(err)
		}
	}
}

func dies(t *testing.T, l *lab.Lab, r lab.Road) func() {
	p, err := l.RoadServer(r)
	if err == nil {
		err = p.Stop(inTime(t), 10*time.Second) // nginx's workers would survive worse
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := l.StartRoad(inTime(t), r); err != nil {
			t.Error(err)
		}
	}
}

// delaysNobody: a road's server is in trouble, and the primary moves. All other roads
// lead to the new one, status says what is the matter with that road, and it is put
// right when its server is back.
func delaysNobody(t *testing.T, l *lab.Lab, r lab.Road, trouble trouble) {
	ctx := inTime(t)
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	old := primaryOf(t, l)
	over := trouble(t, l, r)
	defer leadToThePrimary(t, l)
	defer over()
	if err := l.Switchover(ctx, ""); err != nil {
		t.Fatal(err)
	}
	primary := primaryOf(t, l)
	if primary == old {
		t.Fatalf("%s is still the primary", old)
	}
	others := slices.DeleteFunc(l.TheRoads(), func(other lab.Road) bool { return other.Name == r.Name })
	if err := l.WaitRoads(ctx, others, primary); err != nil {
		t.Error(err)
	}
	if err := l.WaitStatus(ctx, "status says why "+r.Name+" does not lead there", []string{primary}, func(st api.Status) error {
		e, err := leadOf(st, r)
		if err == nil && (e.Settled || string(e.Wanted) != primary || e.Because == "") {
			err = fmt.Errorf("it says %+v", e)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	told := false // that it is wanted there, and because of what it is not
	said := baton(t, l, primary, "status")
	for line := range strings.Lines(said) {
		told = told || strings.HasPrefix(line, r.Name+" ") && strings.Contains(line, " "+primary+" ") && !strings.HasSuffix(strings.TrimSpace(line), " -")
	}
	if !told {
		t.Errorf("people are told:\n%s", said)
	}
}

// floats: of two uplinks the better one goes, and comes back.
func floats(t *testing.T, l *lab.Lab) {
	ctx := inTime(t)
	leadToThePrimary(t, l)
	primary := primaryOf(t, l)
	for _, up := range []bool{false, true} {
		if err := l.SetUplink(ctx, "w1", up); err != nil {
			t.Fatal(err)
		}
		want := "eth0"
		if up {
			want = "eth1"
		}
		if err := l.WaitStatus(ctx, "the way out is "+want, []string{primary}, func(api.Status) error {
			card, err := l.WayOut(ctx)
			if err == nil && card != want {
				err = fmt.Errorf("it is %s", card)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
		if err := l.WaitRoads(ctx, []lab.Road{theRoad(t, l, "route")}, primary); err != nil {
			t.Error(err)
		}
	}
}
