package sim

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// TestClustersKeepTheirPromises runs a share of the seeds; make sim runs more.
func TestClustersKeepTheirPromises(t *testing.T) {
	var sum Summary
	begun := time.Now()
	seeds := uint64(60)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		r := Run(Options{Seed: seed})
		sum.Add(r)
		if r.Violation != "" {
			t.Errorf("%s", Story(r, 60))
		}
	}
	t.Log(sum.String(time.Since(begun)))
	if perRun := sum.Switches / sum.Runs; perRun < 2 || sum.Written < 100*sum.Runs {
		t.Errorf("%d switches and %d acknowledged writes in %d runs: too little happens to prove anything", sum.Switches, sum.Written, sum.Runs)
	}
	if testing.Short() {
		return
	}
	// Every fault strikes in every phase that lasts long enough; of the short ones it
	// is enough that several do.
	for f, phases := range sum.Coverage {
		for _, p := range []cluster.Phase{cluster.PhaseSteady, cluster.PhaseElecting, cluster.PhasePromoting} {
			if phases[p] == 0 {
				t.Errorf("%s never struck in phase %s", f, p)
			}
		}
	}
	for _, p := range []cluster.Phase{cluster.PhaseHandoff, cluster.PhaseFencing} {
		struck := 0
		for _, phases := range sum.Coverage {
			struck += min(phases[p], 1)
		}
		if struck < 5 {
			t.Errorf("only %d kinds of faults struck in phase %s", struck, p)
		}
	}
	for _, f := range append(slices.Clone(faults[:]), ServerStop) {
		if len(sum.Coverage[f]) == 0 {
			t.Errorf("%s never struck", f)
		}
	}
}

// TestASeedDeterminesARun is what makes a failing seed of use.
func TestASeedDeterminesARun(t *testing.T) {
	for _, seed := range []uint64{3, 14} {
		if a, b := Run(Options{Seed: seed, Trace: true}), Run(Options{Seed: seed, Trace: true}); !reflect.DeepEqual(a, b) {
			for i := range min(len(a.Trace), len(b.Trace)) {
				if a.Trace[i] != b.Trace[i] {
					t.Fatalf("seed %d went two ways: %q and %q", seed, a.Trace[i], b.Trace[i])
				}
			}
			t.Fatalf("seed %d went two ways", seed)
		}
	}
}

// TestTheChecksSeeWhatIsWrong breaks each promise by hand in a world that is well.
func TestTheChecksSeeWhatIsWrong(t *testing.T) {
	for name, spoil := range map[string]func(w *world, primary, other *host){
		"two servers take writes": func(_ *world, _, other *host) {
			other.srv.readOnly, other.gate.mode = false, "missing"
		},
		"a server takes writes without what was acknowledged": func(w *world, p, _ *host) {
			v := &write{n: len(w.writes), acked: true}
			w.writes = append(w.writes, v)
			w.checkHolds(p.srv)
		},
		"a write that asynchronous replication lost is gone, and nobody told of it": func(w *world, p, _ *host) {
			w.writes = append(w.writes, &write{n: len(w.writes), acked: true})
			w.checkTold(p.srv)
		},
		"a gate is open for longer than the lease": func(w *world, p, _ *host) {
			p.extend(p.clock().Add(2 * w.settings.Lease))
		},
		"a primary is replaced that is well": func(w *world, p, _ *host) {
			next := w.store.record.value
			next.Epoch, next.Phase, next.Primary = next.Epoch+1, cluster.PhaseElecting, ""
			p.sick, w.chaos.storeSick = -int64(time.Hour), -int64(time.Hour)
			w.recordChanged(w.store.record.value, next)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := well(t)
			if w.check(); w.result.Violation != "" {
				t.Fatal(w.result.Violation)
			}
			p := w.node(w.store.record.value.Primary)
			spoil(w, p, w.nodes[(p.i+1)%2])
			if w.check(); w.result.Violation == "" {
				t.Error("nobody noticed")
			} else {
				t.Log(w.result.Violation)
			}
		})
	}
}

// well is a lossless cluster at the end of a run that broke no promise.
func well(t *testing.T) *world {
	for seed := range uint64(100) {
		w := newWorld(Options{Seed: seed})
		w.found()
		if w.settings.Durability != cluster.Lossless {
			continue
		}
		if w.run(); w.result.Violation == "" {
			w.ended = false
			return w
		}
	}
	t.Fatal("no seed ends well")
	return nil
}
