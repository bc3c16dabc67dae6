package agent

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
)

// TestAPromiseSurvivesTheAgent: what one agent wrote down binds the next one of
// the same boot, and nobody after a boot that outlasted it.
func TestAPromiseSurvivesTheAgent(t *testing.T) {
	s := cluster.Settings{Lease: time.Second, Drift: 0.01, Margin: 10 * time.Millisecond}
	dir := t.TempDir()
	first := pledges{dir: dir, boot: "one"}
	promised := lease.Pledge{Epoch: 7, Until: cluster.Instant(90 * time.Second)}
	if err := first.keep(promised); err != nil {
		t.Fatal(err)
	}
	if err := first.keep(lease.Pledge{Epoch: 7, Until: cluster.Instant(80 * time.Second)}); err != nil {
		t.Fatal(err)
	}
	now := cluster.Instant(89 * time.Second)
	if got, err := (&pledges{dir: dir, boot: "one"}).atStart(now, s); err != nil || got != promised {
		t.Errorf("the next agent is bound by %+v, %v; an answer that was overtaken must not shorten it", got, err)
	}
	got, err := (&pledges{dir: dir, boot: "two"}).atStart(now, s)
	if err != nil || got.Binds(8, now) {
		t.Errorf("89 s after the next boot it is still bound: %+v, %v", got, err)
	}
	if !got.Binds(1, cluster.Instant(1019*time.Millisecond)) {
		t.Errorf("just after the next boot it is bound by nothing: %+v", got)
	}
}

// TestADamagedPromiseBindsForAsLongAsOneLasts: nobody knows what it was.
func TestADamagedPromiseBindsForAsLongAsOneLasts(t *testing.T) {
	s := cluster.Settings{Lease: time.Second}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, pledgeFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	now := cluster.Instant(time.Hour)
	got, err := (&pledges{dir: dir, boot: "one"}).atStart(now, s)
	if err == nil || !got.Binds(1, now.Add(999*time.Millisecond)) || got.Binds(1, now.Add(time.Second)) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestAPromiseThatCannotBeWrittenIsNotGiven: it would not survive this agent.
func TestAPromiseThatCannotBeWrittenIsNotGiven(t *testing.T) {
	p := pledges{dir: filepath.Join(t.TempDir(), "missing"), boot: "one"}
	if err := p.keep(lease.Pledge{Epoch: 7, Until: 1}); err == nil {
		t.Error("it was written where there is no directory")
	}
}
