package e2e_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/lab"
)

// TestAPreheatedReplicaHasInMemoryWhatClientsRead: the role goes to a replica that
// was not preheated and then to one that was. Clients read the same rows before and
// after; the first of them tell the two apart.
func TestAPreheatedReplicaHasInMemoryWhatClientsRead(t *testing.T) {
	rare(t)
	for _, flavor := range []string{config.MariaDB, config.MySQL} {
		t.Run(flavor, func(t *testing.T) { preheatedHasInMemory(t, flavor) })
	}
}

func preheatedHasInMemory(t *testing.T, flavor string) {
	l, ctx := up(t, lab.Options{Flavor: flavor}), inTime(t)
	primary := primaryOf(t, l)
	rest := replicas(l, primary)
	if err := l.FillBig(ctx, primary); err != nil {
		t.Fatal(err)
	}
	if err := l.LetHeat(ctx, primary); err != nil {
		t.Fatal(err)
	}
	if flavor == config.MySQL {
		// It applies in parallel, so that its rows are in other pages: the data of
		// both must be copies of one another.
		for _, n := range rest {
			baton(t, l, primary, "rejoin", n, "--reclone", "--drop-old", "--yes")
		}
	}
	read := func(node string, count int) lab.Reads {
		t.Helper()
		r, err := l.ReadHot(ctx, node, count)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	move := func(to string) lab.Reads {
		t.Helper()
		if err := l.WaitSteady(ctx); err != nil {
			t.Fatal(err)
		}
		if err := l.Switchover(ctx, to); err != nil {
			t.Fatal(err)
		}
		return read(to, 500)
	}
	heated := func(node, by string) {
		t.Helper()
		if err := l.WaitStatus(ctx, node+" is preheated", []string{by}, func(st api.Status) error {
			for _, r := range st.Nodes {
				if string(r.Name) == node && strings.HasSuffix(r.Preheated, "pages that "+by+" uses") {
					return nil
				} else if string(r.Name) == node {
					return fmt.Errorf("it says %q", r.Preheated)
				}
			}
			return errors.New("it is not to be heard of")
		}); err != nil {
			t.Fatal(err)
		}
	}

	before := read(primary, 3000)
	cold := move(rest[0])
	read(rest[0], 3000)
	if err := l.Reconfigure(func(text string) string { return text + "preheat: {every: 10s, percent: 90}\n" }); err != nil {
		t.Fatal(err)
	}
	heated(rest[1], rest[0])
	warm := move(rest[1])
	for what, r := range map[string]lab.Reads{"before": before, "not preheated": cold, "preheated": warm} {
		t.Logf("%s: %d reads, median %s, 99 %% within %s, longest %s, %d pages from disk", what, r.Count, r.Median, r.P99, r.Worst, r.FromDisk)
	}
	if cold.FromDisk < 100 {
		t.Errorf("the one that was not preheated read only %d pages from its disk: the test shows nothing", cold.FromDisk)
	}
	if warm.FromDisk*3 > cold.FromDisk {
		t.Errorf("the preheated one read %d pages from its disk, and the other %d", warm.FromDisk, cold.FromDisk)
	}
}
