package e2e_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/lab"
	"github.com/baton-db/baton/internal/lab/load"
	"github.com/baton-db/baton/internal/timeline"
)

// TestIdleClientsOfADeadHostLearnOfIt: the primary's host loses its power, or its way
// to the clients, and cannot tell them that their connections are over. The other nodes
// know them, and the one that takes over has each get a reset.
func TestIdleClientsOfADeadHostLearnOfIt(t *testing.T) {
	rare(t)
	for _, name := range []string{"power", "clients-cut"} {
		f, err := lab.FaultByName(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range runs(t) {
			t.Run(fmt.Sprintf("%s/%d", name, i+1), func(t *testing.T) { idleClientsLearn(t, f) })
		}
	}
}

func idleClientsLearn(t *testing.T, f lab.Fault) {
	l, ctx := up(t, lab.Options{Flavor: config.MariaDB, ClientNet: f.ClientNet}), inTime(t)
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	const idle = 32
	old := primaryOf(t, l)
	c, err := l.StartLoad(ctx, load.Options{Idle: idle})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.UntilEach(ctx, 0); err != nil {
		t.Fatal(err)
	}
	knowTheClients(t, l, old, idle)
	if err := l.Inject(ctx, f, old); err != nil {
		t.Fatal(err)
	}
	primary := anotherServes(t, l, old)
	soon, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if _, err := c.Until(soon, c.Now(), func(load.Ack) bool { return len(c.Journal().Idle) >= idle }); err != nil {
		t.Fatalf("%d of %d idle clients know that %s is gone: %v\n%s", len(c.Journal().Idle), idle, old, err, baton(t, l, primary, "history"))
	}
	if e := load.CountIdle(c.Stop(), 0); e.Unaware != 0 || e.Learned != idle {
		t.Errorf("idle clients: %+v, want that all %d have learned of it", e, idle)
	}
	tellsOf(t, l, primary, timeline.StepTickle)
}

// knowTheClients waits until every replica's agent knows at least so many clients of
// the primary.
func knowTheClients(t *testing.T, l *lab.Lab, primary string, count int) {
	t.Helper()
	ctx := inTime(t)
	if err := l.WaitStatus(ctx, "the replicas know the clients", []string{primary}, func(api.Status) error {
		for _, n := range replicas(l, primary) {
			c := api.NewClient(l.ControlSocket(n))
			known, err := c.Ledger(ctx)
			c.Close()
			if err != nil {
				return err
			}
			if string(known.Node) != primary || len(known.Connections) < count {
				return fmt.Errorf("%s knows %d of %q (%s)", n, len(known.Connections), known.Node, known.Why)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// tellsOf waits until a node's history tells of a step that went well.
func tellsOf(t *testing.T, l *lab.Lab, node string, step timeline.Step) {
	t.Helper()
	ctx := inTime(t)
	if err := l.WaitStatus(ctx, "the history tells of it", []string{node}, func(api.Status) error {
		c := api.NewClient(l.ControlSocket(node))
		defer c.Close()
		all, err := c.History(ctx)
		if err != nil {
			return err
		}
		for _, s := range all {
			for _, span := range s.Spans {
				if span.Step == step && span.Outcome == timeline.OK {
					t.Log(span.Detail)
					return nil
				}
			}
		}
		return fmt.Errorf("it tells of no %s", step)
	}); err != nil {
		t.Fatal(err)
	}
}
