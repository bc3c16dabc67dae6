package lab

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/lab/load"
)

// patience is how long a test waits for something that is sure to happen.
const patience = time.Minute

// testLab builds a lab that goes with the test.
func testLab(t *testing.T, o Options) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NEEDS ROOT: builds a lab from network namespaces")
	}
	for _, program := range []string{"mariadbd", "nft", "ip", "keepalived"} {
		if _, err := exec.LookPath(program); err != nil && (program != "keepalived" || o.Manager == ByKeepalived) {
			t.Skipf("NEEDS %s, which is not installed: scripts/setup.sh installs it", program)
		}
	}
	dir, err := os.MkdirTemp("", "blab")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	o.Name, o.Dir = fmt.Sprintf("t%d", os.Getpid()), dir
	l, err := Up(t.Context(), o, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			if saved, err := l.SaveLogs(""); err == nil {
				t.Logf("logs are in %s", saved)
			}
		}
		if err := l.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return l
}

func start(t *testing.T, l *Lab) *load.Client {
	t.Helper()
	c, err := l.StartLoad(t.Context(), load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop() })
	return c
}

// await waits for a write that was sent from now on and acknowledged.
func await(t *testing.T, c *load.Client, what string, want func(load.Ack) bool) load.Ack {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	a, err := c.Until(ctx, c.Now(), want)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return a
}

func anyAck(load.Ack) bool { return true }

func inject(t *testing.T, l *Lab, fault, target string) {
	t.Helper()
	f, err := FaultByName(fault)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Inject(t.Context(), f, target); err != nil {
		t.Fatal(err)
	}
}

// TestServersHostsAndClientsWithoutAnyManager breaks and heals by hand all that
// needs no agent.
func TestServersHostsAndClientsWithoutAnyManager(t *testing.T) {
	l := testLab(t, Options{Manager: ByNobody, Routed: true})
	again, err := Open(Options{Name: l.Name, Dir: l.Dir})
	if err != nil {
		t.Fatal(err)
	}
	l = again // as another invocation of baton lab would
	c := start(t, l)
	if a := await(t, c, "before anything is broken", anyAck); l.nodeOf(a.Server) != "db1" {
		t.Fatalf("%+v was acknowledged by %s, want db1", a, l.nodeOf(a.Server))
	}
	for _, fault := range []string{"crash", "link", "freeze", "partition", "partition-in", "partition-out", "power"} {
		broken := c.Now()
		inject(t, l, fault, "db1")
		if err := until(t.Context(), "clients notice", func(context.Context) error {
			if len(load.CountFailures(c.Journal(), broken)) == 0 {
				return fmt.Errorf("%s: no statement failed", fault)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if f, _ := FaultByName(fault); l.Fits(f, "db1") == nil {
			t.Errorf("%s can hit a host again that it has hit already", fault)
		}
		healed, err := l.Heal(t.Context())
		if err != nil || len(healed) != 1 {
			t.Fatalf("heal %s: %v, %v", fault, healed, err)
		}
		if fault == "power" { // two faults may have taken the host, and both are healed
			if err := l.boot(t.Context(), "db1"); err != nil {
				t.Fatal(err)
			}
		}
		// After a start nobody lets clients write, nor leads them there.
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := l.do(ctx, "db1", "SET GLOBAL read_only=OFF"); err != nil {
			t.Fatal(err)
		}
		if fault == "power" {
			if err := l.bindByHand(ctx, "db1"); err != nil {
				t.Fatal(err)
			}
		}
		await(t, c, "after the heal of "+fault, anyAck)
		cancel()
	}
	j := c.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := until(ctx, "replicas follow again", l.Replicating); err != nil {
		t.Fatal(err)
	}
	v, err := l.Judge(ctx, j, WholeRun(), math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	if v.Lost != 0 || v.DoubleWriters != 0 || v.Primary != "db1" || v.Acknowledged == 0 {
		t.Errorf("verdict: %+v", v)
	}
	t.Logf("verdict: %+v", v)
}

// TestTheVerdictSeesWhatWentWrong plants a split brain and a lost tail: it
// shows that the lab would find them.
func TestTheVerdictSeesWhatWentWrong(t *testing.T) {
	l := testLab(t, Options{Manager: ByNobody})
	c := start(t, l)
	await(t, c, "before", anyAck)
	// Half of the clients stay with db1, the others are led to db2.
	inject(t, l, "partition-split", "db1")
	if err := l.do(t.Context(), "db2", "STOP SLAVE", "SET GLOBAL read_only=OFF"); err != nil {
		t.Fatal(err)
	}
	if err := l.bindByHand(t.Context(), "db2"); err != nil {
		t.Fatal(err)
	}
	// Nobody has announced that, and clients would believe what they know for half a minute.
	if out, err := exec.CommandContext(t.Context(), "ip", "-n", l.net.Namespace("cl"), "neigh", "flush", "dev", "eth0").CombinedOutput(); err != nil {
		t.Fatalf("have the clients ask again who has the addresses: %v: %s", err, out)
	}
	for range 2 {
		for _, node := range []string{"db2", "db1"} {
			await(t, c, "from both sides", func(a load.Ack) bool { return l.nodeOf(a.Server) == node })
		}
	}
	j := c.Stop()
	if err := l.do(t.Context(), "db1", "SET GLOBAL read_only=ON"); err != nil {
		t.Fatal(err)
	}
	v, err := l.Judge(t.Context(), j, WholeRun(), math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	if v.Primary != "db2" || v.DoubleWriters == 0 || v.Lost == 0 || v.Lost >= v.Acknowledged {
		t.Errorf("the verdict has not seen the split brain: %+v", v)
	}
}

func TestDownLeavesNothingBehind(t *testing.T) {
	l := testLab(t, Options{Manager: ByNobody})
	inject(t, l, "freeze", "db2")
	inject(t, l, "power", "db3")
	dir := l.Dir
	if err := l.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
	if left, err := l.net.Namespaces(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("namespaces left: %v, %v", left, err)
	}
	out, err := exec.Command("ps", "-eo", "args").Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), dir) {
		t.Errorf("processes left:\n%s", out)
	}
	// testLab takes it down once more, which must find an empty place.
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := l.save(); err != nil {
		t.Fatal(err)
	}
}

// TestTheYardstickFailsOver shows that the rig works without Baton.
func TestTheYardstickFailsOver(t *testing.T) {
	l := testLab(t, Options{Manager: ByKeepalived})
	f, err := FaultByName("crash")
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.Bench(t.Context(), f, 1, load.Options{}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if r.Runs != 1 || r.OutageMS.Min <= 0 || r.Acknowledged == 0 {
		t.Errorf("result: %+v", r)
	}
	agents, err := FaultByName("agent-kill")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Bench(t.Context(), agents, 1, load.Options{}, t.Output()); err == nil {
		t.Error("agent-kill was accepted, although there is no agent")
	}
}
