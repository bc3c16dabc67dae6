package e2e_test

import (
	"errors"
	"fmt"
	"os/exec"
	"testing"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/lab"
)

// TestANodeInMaintenanceIsPassedOver: the replica that would be chosen is being
// worked on when the primary dies: the other one takes over, and nothing is lost.
func TestANodeInMaintenanceIsPassedOver(t *testing.T) {
	l, ctx := shared(t, config.MariaDB), inTime(t)
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	primary := primaryOf(t, l)
	rest := replicas(l, primary)
	worked, other := rest[0], rest[1] // of equal ones the first is chosen
	maintenance(t, l, primary, worked, "on")
	if err := l.WaitChoice(ctx, primary, other); err != nil {
		t.Fatal(err)
	}

	v := drill(t, l, "crash", "")
	if v.Servers[worked] > 0 || v.Servers[other] == 0 {
		t.Errorf("%s was being worked on, and writes went to %v", worked, v.Servers)
	}
	maintenance(t, l, primary, worked, "off")
	err := l.WaitStatus(ctx, worked+" may be promoted again", []string{other}, func(st api.Status) error {
		if st.Preview == nil {
			return errors.New("it has not thought about a switch yet")
		}
		for _, p := range st.Preview.Switchover.Passed {
			if p.Node == cluster.NodeName(worked) && p.Reason == cluster.PassedMaintenance {
				return fmt.Errorf("%s is passed over: %s", worked, p.Detail)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func maintenance(t *testing.T, l *lab.Lab, at, node, onOff string) {
	t.Helper()
	args := []string{"maintenance", node, onOff, "--socket", l.ControlSocket(at)}
	if out, err := exec.CommandContext(inTime(t), rig.binary, args...).CombinedOutput(); err != nil {
		t.Fatalf("baton %v: %v: %s", args, err, out)
	}
}
