package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/lab"
)

// TestBadInputChangesNothing: on real servers, what cannot be meant is refused with
// the reason and what to do instead, and nothing has changed. What a rejoin refuses
// is in TestANodeGetsNewData, every case of either in package decide.
func TestBadInputChangesNothing(t *testing.T) {
	rare(t)
	for _, flavor := range []string{config.MariaDB, config.MySQL} {
		t.Run(flavor, func(t *testing.T) { badInput(t, flavor) })
	}
}

func badInput(t *testing.T, flavor string) {
	l, ctx := shared(t, flavor), inTime(t)
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	before, err := l.ClusterStatus(ctx, l.DataNodes()[0])
	if err != nil {
		t.Fatal(err)
	}
	primary := string(before.Primary)
	late, other := replicas(l, primary)[0], replicas(l, primary)[1]
	for _, tt := range []struct{ args, reason, instead string }{
		{"switchover --to db9", `"db9" is no data node`, "one of db1, db2, db3"},
		{"failover --yes --to db9", `"db9" is no data node`, "one of db1, db2, db3"},
		{"maintenance db9 on", `"db9" is no node`, "one of db1, db2, db3"},
		{"switchover --to " + primary, primary + " is the primary already", "name another node"},
		{"rejoin " + primary + " --reclone --yes", primary + " is the primary", "baton switchover"},
	} {
		args := strings.Fields(tt.args)
		refused(t, l, other, tt.reason, args...)
		refused(t, l, other, tt.instead, args...)
	}

	release := behindBy(t, l, primary, late, 2500)
	refused(t, l, other, "transactions still to apply", "switchover", "--to", late)
	refused(t, l, other, "wait until it has caught up", "switchover", "--to", late)
	release()
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	awaitLeft(t, l, late, "has caught up, as all know", func(left uint64) bool { return left == 0 })
	if now, err := l.ClusterStatus(ctx, primary); err != nil || now.Epoch != before.Epoch || now.Primary != before.Primary {
		t.Errorf("it was epoch %d of %s, it is %d of %s, %v", before.Epoch, before.Primary, now.Epoch, now.Primary, err)
	}
	twoAtOnce(t, l, primary, late, other)
}

// behindBy keeps a replica from applying what it receives, and writes until all
// nodes know how far it is behind.
func behindBy(t *testing.T, l *lab.Lab, primary, late string, transactions int) (release func()) {
	t.Helper()
	ctx := inTime(t)
	if err := l.Do(ctx, primary, "CREATE TABLE IF NOT EXISTS app.many (id INT AUTO_INCREMENT PRIMARY KEY, v INT) ENGINE=InnoDB"); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	release, err := l.Keep(ctx, late, "FLUSH TABLES WITH READ LOCK")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	writes := make([]string, transactions)
	for i := range writes {
		writes[i] = fmt.Sprintf("INSERT INTO app.many (v) VALUES (%d)", i)
	}
	if err := l.Do(ctx, primary, writes...); err != nil {
		t.Fatal(err)
	}
	awaitLeft(t, l, late, "is behind, as all know", func(left uint64) bool { return left >= uint64(transactions) })
	return release
}

// awaitLeft waits until all agents know of so many transactions that a replica has
// received and not applied. A replica's position is news for them once in a beat.
func awaitLeft(t *testing.T, l *lab.Lab, late, what string, so func(left uint64) bool) {
	t.Helper()
	ctx := inTime(t)
	err := l.WaitStatus(ctx, late+" "+what, l.DataNodes(), func(api.Status) error {
		var errs []error
		for _, n := range l.DataNodes() {
			switch left, err := leftToApply(ctx, l, n, late); {
			case err != nil:
				errs = append(errs, err)
			case !so(left):
				errs = append(errs, fmt.Errorf("%s knows of %d transactions that %s has not applied", n, left, late))
			}
		}
		return errors.Join(errs...)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// leftToApply asks a node's agent what the newest fact of a replica says.
func leftToApply(ctx context.Context, l *lab.Lab, at, late string) (uint64, error) {
	c := api.NewClient(l.ControlSocket(at))
	defer c.Close()
	all, err := c.Facts(ctx)
	srv := all.Facts[cluster.NodeName(late)].Server
	return srv.Replica.Received.Subtract(srv.Executed).Count(), err
}

// twoAtOnce has two people hand the role over at the same time, to different nodes:
// one gets what he wants, the other is told why not.
func twoAtOnce(t *testing.T, l *lab.Lab, primary, a, b string) {
	t.Helper()
	type said struct {
		to, text string
		err      error
	}
	answers := make(chan said, 2)
	for at, to := range map[string]string{a: a, b: b} {
		go func() {
			out, err := exec.CommandContext(inTime(t), rig.binary, "switchover", "--to", to, "--socket", l.ControlSocket(at)).CombinedOutput()
			answers <- said{to, string(out), err}
		}()
	}
	won, refusals := "", 0
	for range 2 {
		s := <-answers
		var exit *exec.ExitError
		switch {
		case s.err == nil:
			won = s.to
		case errors.As(s.err, &exit) && exit.ExitCode() == 3 && (strings.Contains(s.text, "wait for it to end") || strings.Contains(s.text, "look again")):
			refusals++
		default:
			t.Errorf("handing over to %s: %v, %s", s.to, s.err, s.text)
		}
	}
	if won == "" || refusals != 1 {
		t.Fatalf("%q got it, %d were refused", won, refusals)
	}
	if err := l.WaitSteady(inTime(t)); err != nil {
		t.Fatal(err)
	}
	if now := primaryOf(t, l); now != won || now == primary {
		t.Errorf("%s is primary, %s was handed the role", now, won)
	}
}
