package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/timeline"
)

// hooked are hooks on a node, their log, and what they say to the loop.
type hooked struct {
	*hooks
	log  bytes.Buffer
	told chan [2]string
	// failed is what status says; nil: nothing was said yet.
	failed atomic.Pointer[string]
}

// history is what the timeline has of a hook.
func (h *hooked) history(name string) string {
	part, _ := h.timeline.Part(6)
	var said []string
	for _, e := range part.Events {
		if e.Step == timeline.Step("hook "+name) {
			said = append(said, string(e.Outcome)+": "+e.Detail)
		}
	}
	return strings.Join(said, "\n")
}

func hooksOn(node cluster.NodeName, all ...config.Hook) *hooked {
	h := &hooked{told: make(chan [2]string, 8)}
	h.hooks = &hooks{node: node, cluster: "shop", log: slog.New(slog.NewTextHandler(&h.log, nil)), asked: map[string]bool{},
		timeline: timeline.NewRecorder(timeline.Options{Node: node, Now: clock.Now}), hidden: func() []string { return []string{"hunter2"} },
		tell:  func(request, why string) { h.told <- [2]string{request, why} },
		raise: func(failed string) { h.failed.Store(&failed) }}
	h.timeline.Saw(cluster.Record{Epoch: 6, Phase: cluster.PhasePromoting, Primary: "db1"}, 60)
	for _, c := range all {
		if c.Limit == 0 {
			c.Limit = time.Minute
		}
		h.all = append(h.all, hook{c, make(chan moment, queued)})
	}
	return h
}

// queuedNow are the moments that wait, in words.
func (h *hooked) queuedNow() []string {
	var all []string
	for _, one := range h.all {
		for len(one.queue) > 0 {
			m := <-one.queue
			kind := "failover"
			if m.Planned {
				kind = "planned"
			}
			all = append(all, strings.Join([]string{m.Hook, m.When, string(m.Phase), string(m.From) + ">" + string(m.To), kind}, " "))
		}
	}
	return all
}

func (h *hooked) begin(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{}, len(h.all))
	h.run(ctx, func(f func()) { go func() { f(); done <- struct{}{} }() })
	t.Cleanup(func() {
		stop()
		for range h.all {
			<-done
		}
	})
}

func everyPhase() []string { return []string{"steady", "handoff", "fencing", "electing", "promoting"} }

func TestHooksRunAtThePhasesOfASwitch(t *testing.T) {
	planned := []cluster.Record{
		{Epoch: 5, Phase: cluster.PhaseSteady, Primary: "db1"},
		{Epoch: 6, Phase: cluster.PhaseHandoff, Primary: "db1", Candidate: "db2"},
		{Epoch: 7, Phase: cluster.PhasePromoting, Primary: "db2", Previous: "db1", Planned: true},
		{Epoch: 7, Phase: cluster.PhasePromoting, Primary: "db2", Previous: "db1", Planned: true, Detail: "nothing that matters here"},
		{Epoch: 7, Phase: cluster.PhaseSteady, Primary: "db2", Previous: "db1", Planned: true},
	}
	forced := []cluster.Record{
		{Epoch: 5, Phase: cluster.PhaseSteady, Primary: "db1"},
		{Epoch: 6, Phase: cluster.PhaseElecting, Previous: "db1"},
		{Epoch: 6, Phase: cluster.PhasePromoting, Primary: "db2", Previous: "db1"},
		{Epoch: 6, Phase: cluster.PhaseSteady, Primary: "db2", Previous: "db1"},
	}
	all := config.Hook{Name: "all", On: config.OnEvery, Before: everyPhase(), After: everyPhase()}
	old := config.Hook{Name: "old", On: config.OnOld, After: []string{"steady"}}
	fresh := config.Hook{Name: "new", On: config.OnNew, Before: []string{"steady", "electing"}}
	waits := config.Hook{Name: "waits", On: config.OnOld, Before: []string{"handoff"}, Wait: true}
	for name, tt := range map[string]struct {
		node    cluster.NodeName
		records []cluster.Record
		hooks   []config.Hook
		want    []string
	}{
		"planned, on every node": {"db3", planned, []config.Hook{all}, []string{
			"all after steady db1>db2 planned", "all before handoff db1>db2 planned",
			"all after handoff db1>db2 planned", "all before promoting db1>db2 planned",
			"all after promoting db1>db2 planned", "all before steady db1>db2 planned",
		}},
		"forced, on every node": {"db3", forced, []config.Hook{all}, []string{
			"all after steady db1> failover", "all before electing db1> failover",
			"all after electing db1>db2 failover", "all before promoting db1>db2 failover",
			"all after promoting db1>db2 failover", "all before steady db1>db2 failover",
		}},
		"on the old one":                          {"db1", forced, []config.Hook{old, fresh}, []string{"old after steady db1> failover"}},
		"on the new one":                          {"db2", forced, []config.Hook{old, fresh}, []string{"new before steady db1>db2 failover"}},
		"what is waited for has run before":       {"db1", planned, []config.Hook{waits}, nil},
		"an agent that starts has seen no change": {"db1", planned[4:], []config.Hook{all}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h := hooksOn(tt.node, tt.hooks...)
			before := cluster.Record{}
			for _, r := range tt.records {
				h.saw(before, r)
				before = r
			}
			if diff := cmp.Diff(tt.want, h.queuedNow()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAHookIsToldWhatHappensAndCannotStopTheNext(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	h := hooksOn("db1",
		config.Hook{Name: "hangs", On: config.OnEvery, Before: []string{"electing"}, Limit: 30 * time.Millisecond, Command: []string{"sh", "-c", "echo hunter2; exec sleep 1000"}},
		config.Hook{Name: "tells", On: config.OnEvery, Before: []string{"electing"}, Command: []string{"sh", "-c", `cat > ` + out + `; echo "$BATON_PHASE $BATON_FROM hunter2"`}},
		config.Hook{Name: "missing", On: config.OnEvery, Before: []string{"electing"}, Command: []string{"/no/such/hook"}})
	ended := make(chan error, 3)
	for i := range h.all {
		one := h.all[i]
		m := h.moment(one, "before", cluster.PhaseElecting, cluster.Record{Epoch: 6, Phase: cluster.PhaseElecting, Previous: "db1", Reason: cluster.LeaseExpired, Detail: "gone"}, false)
		m.done = func(err error) { ended <- err }
		h.queue(one, m)
	}
	h.begin(t)
	for range 3 {
		<-ended
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var got moment
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := moment{Cluster: "shop", Node: "db1", Hook: "tells", When: "before", Phase: cluster.PhaseElecting, Epoch: 6, From: "db1", Cause: cluster.LeaseExpired, Detail: "gone"}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(moment{}), cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "done" }, cmp.Ignore())); diff != "" {
		t.Error(diff)
	}
}

func TestWhatAHookDidIsInLogStatusAndTimelineWithoutPasswords(t *testing.T) {
	for name, tt := range map[string]struct {
		command []string
		limit   time.Duration
		want    []string
	}{
		"well":             {[]string{"sh", "-c", "echo done with hunter2"}, time.Minute, []string{`msg="a hook has run"`, `printed="done with (secret)"`, "hook=x", "phase=steady"}},
		"it fails":         {[]string{"sh", "-c", "echo hunter2 is wrong >&2; exit 4"}, time.Minute, []string{`msg="a hook failed"`, "exit status 4: it says: (secret) is wrong"}},
		"it hangs":         {[]string{"sleep", "1000"}, 20 * time.Millisecond, []string{"it did not end in time and was killed (limit 20ms)"}},
		"it is missing":    {[]string{"/no/such/hook"}, time.Minute, []string{"run /no/such/hook", "no such file or directory"}},
		"it is no program": {[]string{"/etc/passwd"}, time.Minute, []string{"run /etc/passwd", "permission denied"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := hooksOn("db1", config.Hook{Name: "x", Command: tt.command, Limit: tt.limit})
			h.perform(t.Context(), h.all[0], moment{When: "before", Phase: cluster.PhaseSteady, Epoch: 6})
			for _, want := range tt.want {
				if !strings.Contains(h.log.String(), want) {
					t.Errorf("the log does not say %s:\n%s", want, h.log.String())
				}
			}
			status, history := *h.failed.Load(), h.history("x")
			if name == "well" {
				if status != "" || history != "ok: before steady" {
					t.Errorf("status says %q, the timeline %q", status, history)
				}
			} else {
				why := tt.want[len(tt.want)-1]
				if !strings.HasPrefix(status, "x, before steady of epoch 6: ") || !strings.Contains(status, why) {
					t.Errorf("status says %q, want that it says %q", status, why)
				}
				if !strings.HasPrefix(history, "failed: before steady: ") || !strings.Contains(history, why) {
					t.Errorf("the timeline has %q, want that it says %q", history, why)
				}
				h.perform(t.Context(), hook{Hook: config.Hook{Name: "x", Command: []string{"true"}, Limit: time.Minute}}, moment{When: "after", Phase: cluster.PhaseSteady, Epoch: 6})
				if status := *h.failed.Load(); status != "" {
					t.Errorf("once it has ended well, status says %q", status)
				}
			}
			if all := h.log.String() + status + history; strings.Contains(all, "hunter2") {
				t.Errorf("a password is shown:\n%s", all)
			}
		})
	}
}

func TestAPlannedSwitchHearsWhatItsHooksSay(t *testing.T) {
	hook := func(name, script string, veto bool) config.Hook {
		return config.Hook{Name: name, Command: []string{"sh", "-c", script}, On: config.OnOld, Before: []string{"handoff"}, Wait: true, Veto: veto}
	}
	for name, tt := range map[string]struct {
		hooks []config.Hook
		why   string
	}{
		"all are for it":                  {[]config.Hook{hook("a", "true", true), hook("b", "true", false)}, ""},
		"one that may not refuse fails":   {[]config.Hook{hook("a", "true", true), hook("b", "false", false)}, ""},
		"one refuses, and says why":       {[]config.Hook{hook("a", "echo a batch runs; exit 1", true), hook("b", "true", false)}, "the hook a is against it: run sh: exit status 1: it says: a batch runs"},
		"one is told where the role goes": {[]config.Hook{hook("a", `test "$BATON_FROM$BATON_TO$BATON_EPOCH" = db1db26`, true)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := hooksOn("db1", append(tt.hooks, config.Hook{Name: "other", On: config.OnEvery, Before: []string{"handoff"}, Command: []string{"false"}})...)
			h.begin(t)
			h.ask("r1", cluster.Record{Epoch: 6, Phase: cluster.PhaseHandoff, Primary: "db1", Candidate: "db2"})
			if got := <-h.told; got != [2]string{"r1", tt.why} {
				t.Errorf("got %q, want %q", got, tt.why)
			}
		})
	}
}

func TestRunsOfAHookThatHangsDoNotPileUp(t *testing.T) {
	h := hooksOn("db1", config.Hook{Name: "x", On: config.OnEvery, Before: []string{"electing"}})
	for epoch := range cluster.Epoch(100) {
		h.saw(cluster.Record{Epoch: epoch + 1, Phase: cluster.PhaseSteady}, cluster.Record{Epoch: epoch + 2, Phase: cluster.PhaseElecting})
	}
	if n := len(h.all[0].queue); n != queued || !strings.Contains(h.log.String(), "a hook is left out") {
		t.Errorf("%d wait; the log:\n%s", n, h.log.String())
	}
}
