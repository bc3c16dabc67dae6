package agent

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/notify"
)

// chatted is a file that names one webhook, and what that gets.
func chatted(t *testing.T) (*config.Config, <-chan string) {
	t.Helper()
	got := make(chan string, 16)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- string(body)
	}))
	t.Cleanup(s.Close)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "url"), []byte(s.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, found := config.Parse(filepath.Join(dir, "baton.yaml"), []byte(`node: db1
cluster: shop
nodes:
  - {name: db1, address: 10.77.0.11}
  - {name: db2, address: 10.77.0.12}
  - {name: w1, role: witness, address: 10.77.0.20}
server: {password_file: a, replication: {password_file: b}, probe: {password_file: c}}
notify: {targets: [{name: hook, kind: webhook, url_file: url}]}
`))
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return cfg, got
}

func TestATestReachesWhoIsTold(t *testing.T) {
	cfg, got := chatted(t)
	for only, want := range map[string]int{"": 1, "hook": 1, "other": 0} {
		told, err := TryNotify(t.Context(), cfg, only)
		if err != nil || len(told) != want {
			t.Fatalf("%q: %v, %v", only, told, err)
		}
		for _, one := range told {
			if one.Err != nil || !strings.Contains(<-got, `"kind":"test"`) {
				t.Errorf("%q: %v", only, one)
			}
		}
	}
	cfg.Notify.Targets[0].URLFile += ".missing"
	if _, err := TryNotify(t.Context(), cfg, ""); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("without its file: %v", err)
	}
}

// What the loop sees reaches the box: a condition here, one of another node, one of
// a node that somebody works on, one that is nothing to do, and what is held.
func TestTheLoopTellsWhatIsOutOfOrder(t *testing.T) {
	l := reviewed()
	now := clock.Now()
	l.hearing.heard(now, time.Hour)
	l.Board.Record.Maintenance = []cluster.Maintenance{{Node: "db3"}}
	for _, n := range []cluster.NodeName{"db1", "db2", "db3"} {
		l.Board.SawFact(n, cluster.Fact{Node: n, Conditions: []cluster.Condition{{Reason: cluster.ReplicaBroken, Detail: "on " + string(n)}, {Reason: cluster.ObserveOnly, Detail: "it only watches"}}}, 60, now)
	}
	var told []string
	box := notify.NewBox(slog.New(slog.DiscardHandler))
	n := &notices{box: box, watch: notify.Watch{Cluster: "shop", Self: "db1", Explain: func(r cluster.Reason) notify.Meaning {
		told = append(told, string(r))
		return meaningOf(r)
	}}}
	own := cluster.Fact{Node: "db1", Conditions: []cluster.Condition{{Reason: cluster.ServerDown, Detail: "here"}}}
	n.look(l.World(l.senses(now)), own, decide.Outcome{Why: cluster.NobodyToPromote, Detail: "nobody is left"}, now, time.Now())
	if got, want := strings.Join(told, " "), "nobody-to-promote server-down replication-broken"; got != want {
		t.Errorf("told: %s, want %s", got, want)
	}
}
