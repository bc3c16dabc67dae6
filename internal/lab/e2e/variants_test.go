package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/lab"
	"github.com/baton-db/baton/internal/lab/load"
)

// drill breaks one thing in a lab, and expects the promises to hold.
func drill(t *testing.T, l *lab.Lab, fault, target string) lab.Verdict {
	t.Helper()
	f, err := lab.FaultByName(fault)
	if err != nil {
		t.Fatal(err)
	}
	v, err := l.Drill(inTime(t), f, target, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sound(t, v)
	for host, o := range v.Hosts {
		if o.Open {
			t.Errorf("%s %s: the clients on %s could not write any more", fault, target, host)
		}
	}
	t.Logf("%s %s: outage %.0f ms, by client host %v, by server %v", fault, target, v.OutageMS, v.Hosts, v.Servers)
	return v
}

// moved expects that another server than the first took writes, too.
func moved(t *testing.T, v lab.Verdict) {
	t.Helper()
	if len(v.Servers) < 2 {
		t.Errorf("only %v acknowledged writes: nobody took over", v.Servers)
	}
}

// stayed expects that one server took all writes.
func stayed(t *testing.T, primary string, v lab.Verdict) {
	t.Helper()
	if v.Servers[primary] != v.Acknowledged {
		t.Errorf("%s was primary and well, yet writes went to %v", primary, v.Servers)
	}
}

// TestTwoServersAndAWitness: the witness is the third voice, and not needed for
// anything while both servers are well. The smallest cluster that there is, with
// the settings that one gets who sets nothing.
func TestTwoServersAndAWitness(t *testing.T) {
	t.Parallel()
	l := up(t, lab.Options{Witness: true, Profile: "balanced"})
	moved(t, drill(t, l, "partition", ""))
	stayed(t, primaryOf(t, l), drill(t, l, "power", "w1"))
	upgraded(t, l)
}

// upgraded restarts the agents in place, one after the other, under load: nobody
// notices.
func upgraded(t *testing.T, l *lab.Lab) {
	t.Helper()
	primary := primaryOf(t, l)
	if err := l.WaitSteady(inTime(t)); err != nil {
		t.Fatal(err)
	}
	c, err := l.StartLoad(inTime(t), load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range l.Nodes() {
		out, err := exec.CommandContext(inTime(t), rig.binary, "restart", "--socket", l.ControlSocket(n)).CombinedOutput()
		if err != nil {
			t.Errorf("restart the agent of %s: %v: %s", n, err, out)
		}
		t.Logf("%s", out)
	}
	v, err := l.Judge(inTime(t), c.Stop(), lab.WholeRun(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	sound(t, v)
	stayed(t, primary, v)
	if len(v.Connects.Failed) != 0 || v.Connects.Logins != 0 {
		t.Errorf("clients noticed: connects failed %v, %d logins ended", v.Connects.Failed, v.Connects.Logins)
	}
	t.Logf("longest time without an acknowledgement: %.0f ms", v.OutageMS)
}

// TestAClientBehindARouter: the router, whose neighbour table nobody but the new
// primary can refresh, leads its clients on like those on the same network.
func TestAClientBehindARouter(t *testing.T) {
	t.Parallel()
	l := up(t, lab.Options{Routed: true})
	for _, fault := range []string{"power", "switchover"} {
		moved(t, drill(t, l, fault, ""))
		if err := l.RouterFollows(inTime(t), primaryOf(t, l)); err != nil {
			t.Errorf("after %s: %v", fault, err)
		}
	}
}

// TestAnExternalStore: etcd's own server, as the distribution packs it, on hosts
// of its own, spoken to by mutual TLS.
func TestAnExternalStore(t *testing.T) {
	if _, err := exec.LookPath("etcd"); err != nil {
		t.Skip("NEEDS etcd, which is not installed: scripts/setup.sh test installs it")
	}
	l := up(t, lab.Options{Store: lab.StoreExternal})
	told(t, l)
	moved(t, drill(t, l, "crash", ""))
	told(t, l)
	if err := l.MeddleWithApp(inTime(t), "db9"); err != nil {
		t.Fatal(err)
	}
	told(t, l)
	stayed(t, primaryOf(t, l), drill(t, l, "store-leader", ""))
	// Three servers that reach each other need no store to go on as they are.
	stayed(t, primaryOf(t, l), drill(t, l, "store-loss", ""))
}

// told waits until applications that watch a key are told who the primary is, and
// until `baton status` says so.
func told(t *testing.T, l *lab.Lab) {
	t.Helper()
	primary := primaryOf(t, l)
	err := l.WaitStatus(inTime(t), "applications are led to "+primary, l.DataNodes(), func(st api.Status) error {
		v, err := l.AppPrimary(inTime(t))
		switch i := slices.IndexFunc(st.Endpoints, func(e cluster.Lead) bool { return e.Endpoint == lab.AppEndpoint }); {
		case err != nil:
			return err
		case string(v.Node) != primary || v.Epoch != st.Epoch || v.Port == 0 || !v.Address.IsValid():
			return fmt.Errorf("they are told %+v at epoch %d", v, st.Epoch)
		case i < 0 || !st.Endpoints[i].Settled || string(st.Endpoints[i].To) != primary:
			return fmt.Errorf("status says %v", st.Endpoints)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestTheClientsNetworkIsLost: replication and the store still work, yet no
// client reaches the primary. The role moves; but not when no node is better off.
func TestTheClientsNetworkIsLost(t *testing.T) {
	l := up(t, lab.Options{ClientNet: true})
	moved(t, drill(t, l, "clients-link", ""))
	moved(t, drill(t, l, "clients-cut", ""))
	primary := primaryOf(t, l)
	if err := l.SetGateway(inTime(t), false); err != nil {
		t.Fatal(err)
	}
	for _, n := range l.DataNodes() {
		if _, err := l.WaitCondition(inTime(t), n, cluster.NetworkLost, true); err != nil {
			t.Fatal(err)
		}
	}
	v, err := l.Watch(inTime(t), load.Options{}, time.Second, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	sound(t, v)
	stayed(t, primary, v)
	if err := l.SetGateway(inTime(t), true); err != nil {
		t.Fatal(err)
	}
	// Nor does it move when one node sees the gateway's return before another.
	for _, n := range l.DataNodes() {
		if _, err := l.WaitCondition(inTime(t), n, cluster.NetworkLost, false); err != nil {
			t.Fatal(err)
		}
	}
	if now := primaryOf(t, l); now != primary {
		t.Errorf("the gateway came back, and the role went from %s to %s", primary, now)
	}
}

// TestOnMySQL is what matters most on the other flavor, or all of it where there is
// time. It comes last of those that share a lab: that has servers of one flavor.
func TestOnMySQL(t *testing.T) {
	defer sharedDown(t) // the parallel tests, which are left, have their own
	needLab(t, config.MySQL)
	all := os.Getenv(mysqlVar) == "all"
	faults := []string{"crash", "power", "freeze", "agent-kill", "partition"}
	if all {
		faults = allFaults()
	}
	t.Run("faults at the primary", func(t *testing.T) { faultsAtThePrimary(t, config.MySQL, faults) })
	t.Run("switchover under load", func(t *testing.T) { switchoverUnderLoad(t, config.MySQL) })
	if !all {
		return
	}
	t.Run("faults of the store", func(t *testing.T) { faultsOfTheStore(t, config.MySQL) })
	t.Run("faults of a replica", func(t *testing.T) { faultsOfAReplica(t, config.MySQL) })
	t.Run("a useless primary", func(t *testing.T) { uselessPrimaryIsReplaced(t, config.MySQL) })
	t.Run("a busy primary", func(t *testing.T) { busyPrimaryIsLeftAlone(t, config.MySQL) })
	t.Run("a strain", func(t *testing.T) { strainAlerts(t, config.MySQL) })
	t.Run("a running cluster is adopted", func(t *testing.T) { isAdopted(t, config.MySQL) })
	t.Run("a node gets new data", func(t *testing.T) { getsNewData(t, config.MySQL) })
}
