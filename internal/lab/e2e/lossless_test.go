package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/lab"
	"github.com/baton-db/baton/internal/lab/load"
)

// TestSomebodyWeakensTheAcknowledgement: a time limit after which commits are
// answered without one is noticed, told, and taken back; so is its end altogether.
func TestSomebodyWeakensTheAcknowledgement(t *testing.T) {
	l, ctx := shared(t, config.MariaDB), inTime(t)
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	primary := primaryOf(t, l)
	for _, c := range []struct{ set, name, want, told string }{
		{"SET GLOBAL rpl_semi_sync_master_timeout = 1", "rpl_semi_sync_master_timeout", "31536000000", "rpl_semi_sync_master_timeout is 1"},
		{"SET GLOBAL rpl_semi_sync_master_wait_no_slave = OFF", "rpl_semi_sync_master_wait_no_slave", "1", "rpl_semi_sync_master_wait_no_slave is 0"},
		{"SET GLOBAL rpl_semi_sync_master_enabled = OFF", "rpl_semi_sync_master_enabled", "1", "commits do not wait"},
	} {
		log := filepath.Join(l.Dir, primary, "agent.log")
		before, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Do(ctx, primary, c.set); err != nil {
			t.Fatal(err)
		}
		err = l.WaitStatus(ctx, c.name+" is as it was", []string{primary}, func(api.Status) error {
			got, err := l.Ask(ctx, primary, "SELECT @@global."+c.name)
			if err == nil && got != c.want {
				err = fmt.Errorf("it is %s", got)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		after, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		if said := string(after[len(before):]); !strings.Contains(said, "what=semi-sync-off") || !strings.Contains(said, c.told) {
			t.Errorf("after %s the agent does not say %q", c.set, c.told)
		}
	}
	if err := l.WaitSteady(ctx); err != nil {
		t.Error(err)
	}
}

// TestNobodyIsLeftToAcknowledge: the policy is to continue. Clients write on, it is
// an alarm; the replicas come back, and count again. That only this primary's data
// may be elected meanwhile is shown by the simulator and by core/decide.
func TestNobodyIsLeftToAcknowledge(t *testing.T) {
	l, ctx := shared(t, config.MariaDB), inTime(t)
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	primary := primaryOf(t, l)
	c, err := l.StartLoad(ctx, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	for _, n := range replicas(l, primary) {
		inject(t, l, "freeze", n) // a dead one would be started again
	}
	if _, err := l.WaitCondition(ctx, primary, cluster.AckSetEmpty, true); err != nil {
		t.Fatal(err)
	}
	if err := c.UntilEach(ctx, c.Now()); err != nil {
		t.Fatalf("nobody is left to acknowledge, and clients cannot write: %v", err)
	}
	if _, err := l.Heal(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.UntilEach(ctx, c.Now()+time.Second); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	v, err := l.Judge(ctx, c.Stop(), lab.WholeRun(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	sound(t, v)
	if _, err := l.WaitCondition(ctx, primaryOf(t, l), cluster.AckSetEmpty, false); err != nil {
		t.Error(err)
	}
}

// TestASwitchoverWhileNobodyAcknowledges ends, one way or the other: the demotion
// does not hang behind commits that wait, and clients write again in the end.
func TestASwitchoverWhileNobodyAcknowledges(t *testing.T) {
	l, ctx := shared(t, config.MariaDB), inTime(t)
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	primary := primaryOf(t, l)
	c, err := l.StartLoad(ctx, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	if err := c.UntilEach(ctx, c.Now()); err != nil {
		t.Fatal(err)
	}
	rest := replicas(l, primary)
	for _, n := range rest {
		inject(t, l, "freeze", n)
	}
	// It may be refused at once, for the candidate does not answer, or be rolled back.
	t.Logf("told: %v", l.Switchover(ctx, rest[0]))
	if _, err := l.Heal(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.UntilEach(ctx, c.Now()+time.Second); err != nil {
		t.Fatalf("the cluster was left without a writable primary: %v", err)
	}
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	v, err := l.Judge(ctx, c.Stop(), lab.WholeRun(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	sound(t, v)
}

// inject breaks one thing and leaves it broken.
func inject(t *testing.T, l *lab.Lab, fault, target string) {
	t.Helper()
	f, err := lab.FaultByName(fault)
	if err == nil {
		err = l.Inject(inTime(t), f, target)
	}
	if err != nil {
		t.Fatal(errors.Join(errors.New("break "+target), err))
	}
}
