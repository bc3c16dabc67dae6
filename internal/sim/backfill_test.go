package sim

import (
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/scenario"
)

// asyncCrash has a primary die whose replicas are behind, and strikes once
// the one chosen has begun to fetch what they lack.
func asyncCrash(t *testing.T, seed uint64, budget time.Duration, strike func(*world, *host)) (scenario.Verdict, int) {
	t.Helper()
	s := NewStage(scenario.Cluster{Servers: 3, Async: true}, seed, false)
	w := s.w
	w.settings.BackFill = budget
	for _, h := range w.nodes {
		if h.agent != nil {
			h.agent.n.Settings.BackFill = budget
		}
	}
	cast, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := w.node(cluster.NodeName(cast.Primary))
	for _, h := range w.nodes {
		w.net.slow[p.i][h.i]++
	}
	never := func() bool { return false }
	if err := s.Pass(t.Context(), 300*time.Millisecond, never); err != nil {
		t.Fatal(err)
	}
	if err := s.Do(t.Context(), scenario.Crash, cast.Primary); err != nil {
		t.Fatal(err)
	}
	if strike != nil {
		promoting := func() bool { r := w.store.record.value; return r.Phase == cluster.PhasePromoting && r.Epoch > 1 }
		if err := s.Pass(t.Context(), 10*time.Second, promoting); err != nil {
			t.Fatal(err)
		}
		if err := s.Pass(t.Context(), w.between(0, 60*time.Millisecond), never); err != nil {
			t.Fatal(err)
		}
		strike(w, w.node(w.store.record.value.Primary))
	}
	if err := s.Pass(t.Context(), 5*time.Second, never); err != nil {
		t.Fatal(err)
	}
	filled := w.result.Filled
	for _, h := range w.nodes {
		w.net.slow[p.i][h.i]--
	}
	v, err := s.Finish(t.Context())
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	return v, filled
}

func TestWhatOnlyADeadServersLogHoldsIsBroughtOver(t *testing.T) {
	all, lost := 0, 0
	for seed := range uint64(6) {
		v, filled := asyncCrash(t, seed, 5*time.Second, nil)
		if v.Lost > 0 {
			t.Errorf("seed %d: %d writes are lost although all could be had", seed, v.Lost)
		}
		all += filled
		v, filled = asyncCrash(t, seed, 0, nil)
		if filled > 0 {
			t.Errorf("seed %d: %d transactions are brought over although nobody wants that", seed, filled)
		}
		lost += v.Lost
	}
	if all == 0 || lost == 0 {
		t.Errorf("%d transactions were brought over, and without that %d writes lost: the test shows nothing", all, lost)
	}
	t.Logf("%d transactions brought over; without that %d writes are lost", all, lost)
}

// TestABackFillThatIsInterruptedEnds: whoever dies in the middle of it, somebody
// serves in the end, and what is lost is told of (world.unwell).
func TestABackFillThatIsInterruptedEnds(t *testing.T) {
	all := 0
	for name, strike := range map[string]func(*world, *host){
		"its agent dies":      func(w *world, h *host) { h.killAgent(); w.after(time.Second, h.startAgent) },
		"its server dies":     func(w *world, h *host) { h.srv.crash(""); w.after(3*time.Second, h.srv.start) },
		"its host dies":       func(w *world, h *host) { h.crash(); w.after(8*time.Second, h.start) },
		"the dead one starts": func(w *world, h *host) { w.node(w.store.record.value.Before()).srv.start() },
	} {
		for seed := range uint64(5) {
			strikes := func(w *world, h *host) {
				if h != nil && (name != "the dead one starts" || w.store.record.value.Before() != "") {
					strike(w, h)
				}
			}
			_, filled := asyncCrash(t, 100+seed, 5*time.Second, strikes)
			all += filled
		}
	}
	if all == 0 {
		t.Error("nothing was brought over: the test shows nothing")
	}
}
