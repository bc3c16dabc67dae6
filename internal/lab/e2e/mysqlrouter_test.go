package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/lab"
	"github.com/baton-db/baton/internal/lab/load"
)

// TestMySQLRouterLeadsToThePrimary: the real one, in front of real MySQL servers.
func TestMySQLRouterLeadsToThePrimary(t *testing.T) {
	rare(t)
	needLab(t, config.MySQL)
	o := lab.Options{Binary: rig.binary, Flavor: config.MySQL, Roads: []string{"mysqlrouter"}}
	if err := lab.Check(o); err != nil {
		t.Skipf("MYSQL ROUTER WAS NOT TESTED: %v", err)
	}
	l := up(t, o)
	r := theRoad(t, l, "mysqlrouter")
	one := func(name string, f func(t *testing.T)) {
		if !t.Failed() { // otherwise the lab may be in any state
			t.Run(name, f)
		}
	}
	for range runs(t) {
		for _, fault := range []string{"crash", "switchover", "power", "partition"} {
			one(fault, func(t *testing.T) {
				moves(t, l, fault)
				takesWrites(t, l, l.RouterAddress())
			})
		}
		one("by hand", func(t *testing.T) { isPutRight(t, l, r) })
		one("dead", func(t *testing.T) { delaysNobody(t, l, r, dies) })
		one("hangs", func(t *testing.T) { isNamedAndWoken(t, l, r) })
	}
}

// takesWrites: clients that connect there write, and nothing of it is lost.
func takesWrites(t *testing.T, l *lab.Lab, address string) {
	t.Helper()
	v, err := l.Watch(inTime(t), load.Options{Addresses: []string{address}}, time.Second, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	sound(t, v)
	if v.Acknowledged == 0 || v.Servers[primaryOf(t, l)] != v.Acknowledged {
		t.Errorf("of %d writes to %s, servers have acknowledged %v", v.Acknowledged, address, v.Servers)
	}
}

// isNamedAndWoken: a router that hangs is named, and one that is restarted for a switch
// hangs no longer.
func isNamedAndWoken(t *testing.T, l *lab.Lab, r lab.Road) {
	ctx := inTime(t)
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	leadToThePrimary(t, l)
	defer hangs(t, l, r)()
	primary := primaryOf(t, l)
	if err := l.WaitStatus(ctx, "status says that nobody answers there", []string{primary}, func(st api.Status) error {
		e, err := leadOf(st, r)
		if err == nil && !strings.Contains(e.Because, "ask who answers at "+l.RouterAddress()) {
			err = fmt.Errorf("it says %+v", e)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	if err := l.Switchover(ctx, ""); err != nil {
		t.Fatal(err)
	}
	if now := primaryOf(t, l); now == primary {
		t.Fatalf("%s is still the primary", primary)
	}
	leadToThePrimary(t, l)
}
