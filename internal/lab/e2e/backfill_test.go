package e2e_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/db/dbtest"
	"github.com/baton-db/baton/internal/lab"
	"github.com/baton-db/baton/internal/lab/load"
	"github.com/baton-db/baton/internal/timeline"
)

// TestWhatOnlyTheDeadPrimaryHadIsBroughtOver: where commits wait for nobody, a
// primary dies whose replicas had not received the newest writes. Its agent lives:
// the new primary has every one that clients saw acknowledged before it serves, and
// in the end all servers have the same rows.
func TestWhatOnlyTheDeadPrimaryHadIsBroughtOver(t *testing.T) {
	t.Parallel()
	flavors := []string{config.MariaDB}
	if often() {
		flavors = append(flavors, config.MySQL)
	}
	for _, flavor := range flavors {
		t.Run(flavor, func(t *testing.T) {
			l := up(t, lab.Options{Async: true, Flavor: flavor})
			v, f := dieAhead(t, l, "")
			if v.Lost != 0 || !f.Known || f.Left != 0 || f.Brought < ahead {
				t.Errorf("%d acknowledged writes are lost (%v); the history says: %s", v.Lost, v.LostSample, f)
			}
			ctx := inTime(t)
			if _, err := l.Heal(ctx); err != nil {
				t.Fatal(err)
			}
			if err := l.WaitSteady(ctx); err != nil {
				t.Fatal(err)
			}
			sums := map[string]string{}
			for _, n := range l.DataNodes() {
				var err error
				if sums[n], err = l.Checksum(ctx, n, "app.writes"); err != nil || sums[n] != sums[l.DataNodes()[0]] {
					t.Errorf("the checksums of the rows are %v, %v", sums, err)
				}
			}
		})
	}
}

// TestWhatIsNotBroughtOverIsToldOf: the same with no time for it, and with an agent
// that stands still and cannot say that its server is dead. Nobody waits, and no more
// is lost than the history says.
func TestWhatIsNotBroughtOverIsToldOf(t *testing.T) {
	rare(t)
	for _, flavor := range []string{config.MariaDB, config.MySQL} {
		for name, how := range map[string]struct{ budget, also string }{
			"no time":             {budget: "1ms"},
			"its agent is frozen": {also: "agent-freeze"},
		} {
			t.Run(flavor+" "+name, func(t *testing.T) {
				v, f := dieAhead(t, up(t, lab.Options{Async: true, Flavor: flavor, BackFill: how.budget}), how.also)
				if v.Lost == 0 || f.Known && uint64(v.Lost) > f.Left {
					t.Errorf("%d acknowledged writes are lost; the history says: %s", v.Lost, f)
				}
			})
		}
	}
}

// ahead is how many writes clients saw acknowledged that no replica has.
const ahead = 200

// dieAhead kills the server of a primary that is ahead of its replicas, after one
// more thing broke there. It returns what clients lived through and what the history
// says.
func dieAhead(t *testing.T, l *lab.Lab, also string) (lab.Verdict, timeline.BackFill) {
	t.Helper()
	ctx := inTime(t)
	old := primaryOf(t, l)
	c, err := l.StartLoad(ctx, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.UntilEach(ctx, 0); err != nil {
		t.Fatal(err)
	}
	leaveBehind(t, l, c, old)
	for _, name := range []string{also, "crash"} {
		if name == "" {
			continue
		}
		fault, err := lab.FaultByName(name)
		if err == nil {
			err = l.Inject(ctx, fault, old)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	primary := anotherServes(t, l, old)
	if err := c.UntilEach(ctx, c.Now()); err != nil {
		t.Fatal(err)
	}
	v, err := l.Judge(ctx, c.Stop(), lab.WholeRun(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if v.DoubleWriters != 0 {
		t.Errorf("two servers took writes: %v", v.DoubleSample)
	}
	if err := l.ResumeReplication(ctx); err != nil {
		t.Fatal(err)
	}
	var s timeline.Switch
	dbtest.Until(t, func() bool { // each node writes its part by and by
		s = timeline.Switch{}
		err := json.Unmarshal([]byte(baton(t, l, primary, "history", "last", "-o", "json")), &s)
		return err == nil && s.BackFill != nil
	}, func() string {
		return "the history says nothing of the data:\n" + baton(t, l, primary, "history", "last")
	})
	t.Logf("%d writes acknowledged, %d lost, outage %.0f ms; %s", v.Acknowledged, v.Lost, v.OutageMS, s.BackFill)
	return v, *s.BackFill
}

// leaveBehind returns once the replicas lack so much of what the primary has told
// clients. On a busy machine they may have connected again before.
func leaveBehind(t *testing.T, l *lab.Lab, c *load.Client, primary string) {
	t.Helper()
	ctx := inTime(t)
	for try := 1; ; try++ {
		if err := l.StallReplication(ctx, primary); err != nil {
			t.Fatal(err)
		}
		acked := 0
		if _, err := c.Until(ctx, c.Now(), func(load.Ack) bool { acked++; return acked > ahead+50 }); err != nil {
			t.Fatal(err)
		}
		behind := true
		for _, n := range replicas(l, primary) {
			text, err := l.Ask(ctx, n, "SELECT COUNT(*) FROM app.writes")
			var has int
			if err == nil {
				_, err = fmt.Sscan(text, &has)
			}
			if err != nil {
				t.Fatal(err)
			}
			behind = behind && len(c.Journal().Acks) >= has+ahead
		}
		switch {
		case behind:
			return
		case try == 10:
			t.Fatal("the replicas came back again and again")
		}
	}
}
