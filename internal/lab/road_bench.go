package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/store"
	"github.com/baton-db/baton/internal/timeline"
)

// A RoadResult is how long one road took to lead to new primaries.
type RoadResult struct {
	Road string `json:"road"`
	Runs int    `json:"runs"`
	// Settled is from the gate's opening on the new primary until the agent saw the road
	// lead there; of those that are an entry of endpoints:.
	Settled Range `json:"settled_ms"`
	// Own is the part of it that the agent worked on the road.
	Own Range `json:"own_ms"`
	// Seen is from the gate's opening until somebody outside saw it: at the server, the
	// proxy or the router's kernel, where no resolver remembers anything.
	Seen Range `json:"seen_ms"`

	runs []roadRun
}

// roadRun is what one road took in one switch, in milliseconds after the gate's opening.
type roadRun struct {
	settled, own, seen float64
}

// RoadsResult is a bench of all roads of a lab at once.
type RoadsResult struct {
	Fault string       `json:"fault"`
	Runs  int          `json:"runs"`
	Roads []RoadResult `json:"roads"`
	// Whole is until the last road was settled, and Slowest what the slowest one of each
	// run took for itself.
	Whole   Range   `json:"whole_ms"`
	Slowest Range   `json:"slowest_ms"`
	Machine Machine `json:"machine"`

	runs []wholeRun
}

type wholeRun struct{ whole, slowest float64 }

// BenchRoads moves the primary again and again and measures when each road leads to the
// new one. No clients write meanwhile: those who look at each
// road every look are load enough. All hosts of a lab have one clock, so that its
// readings may be compared.
func (l *Lab) BenchRoads(ctx context.Context, f Fault, runs int, look time.Duration, progress io.Writer) (RoadsResult, error) {
	r := RoadsResult{Fault: f.Name, Machine: thisMachine()}
	if !f.Moves {
		return r, fmt.Errorf("%s moves no primary, so no road leads elsewhere", f.Name)
	}
	for _, road := range l.TheRoads() {
		r.Roads = append(r.Roads, RoadResult{Road: road.Name})
	}
	for i := range runs {
		if err := l.benchRoads(ctx, f, look, &r); err != nil {
			return r, fmt.Errorf("run %d of %d: %w", i+1, runs, err)
		}
		last := r.runs[len(r.runs)-1]
		fmt.Fprintf(progress, "run %d of %d: all roads settled after %.1f ms, the slowest took %.1f ms\n", i+1, runs, last.whole, last.slowest)
	}
	r.Machine.LoadAfter = loadAverage()
	return r, nil
}

// benchRoads is one run of it.
func (l *Lab) benchRoads(ctx context.Context, f Fault, look time.Duration, r *RoadsResult) error {
	if err := l.WaitSteady(ctx); err != nil {
		return err
	}
	old, err := l.Primary(ctx)
	if err != nil {
		return err
	}
	if err := l.WaitRoads(ctx, l.TheRoads(), old); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, moveLimit)
	defer cancel()
	seen := l.watchRoads(limited, old, look)
	if err := l.Inject(limited, f, old); err != nil {
		return err
	}
	at, err := seen()
	if err != nil {
		return err
	}
	if _, err := l.Heal(ctx); err != nil {
		return err
	}
	return l.addRoads(ctx, r, at)
}

// watchAsk is how long one question may take, and a connect to a dead host.
const watchAsk = 250 * time.Millisecond

// watchRoads looks when each road leads elsewhere than to old, and says so when all do.
func (l *Lab) watchRoads(ctx context.Context, old string, look time.Duration) (wait func() ([]cluster.Instant, error)) {
	roads := l.TheRoads()
	at, errs := make([]cluster.Instant, len(roads)), make([]error, len(roads))
	var all sync.WaitGroup
	for i, road := range roads {
		ask := road.source
		if ask == nil {
			ask = road.leads
		}
		all.Go(func() { at[i], errs[i] = l.watchRoad(ctx, ask, old, look) })
	}
	return func() ([]cluster.Instant, error) {
		all.Wait()
		return at, errors.Join(errs...)
	}
}

func (l *Lab) watchRoad(ctx context.Context, ask asks, old string, look time.Duration) (cluster.Instant, error) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		short, cancel := context.WithTimeout(ctx, watchAsk)
		node, err := ask(short, l)
		cancel()
		if err == nil && node != old {
			return clock.Now(), nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, fmt.Errorf("wait for a road that still leads to %s: %w", old, errors.Join(context.Cause(ctx), err))
		}
	}
}

// addRoads takes a run in: when each road was seen to lead elsewhere, and what the agents'
// own timelines say.
func (l *Lab) addRoads(ctx context.Context, r *RoadsResult, seen []cluster.Instant) error {
	if err := l.Settle(ctx); err != nil {
		return err
	}
	primary, err := l.Primary(ctx)
	if err != nil {
		return err
	}
	var gate cluster.Instant
	var ended map[timeline.Step]timeline.Event
	short, cancel := context.WithTimeout(ctx, steadyLimit)
	defer cancel()
	if err := until(short, "the history tells of every road", func(ctx context.Context) error {
		gate, ended, err = l.historyOfRoads(ctx, primary)
		return err
	}); err != nil {
		return err
	}
	whole := wholeRun{}
	for i := range r.Roads {
		road := &r.Roads[i]
		run := roadRun{seen: since(gate, seen[i])}
		if e, led := ended[endpointStep(road.Road)]; led {
			run.settled, run.own = since(gate, e.At.Add(e.Took)), milliseconds(e.Took)
			whole.whole, whole.slowest = max(whole.whole, run.settled), max(whole.slowest, run.own)
		}
		road.add(run)
	}
	r.runs = append(r.runs, whole)
	r.Runs = len(r.runs)
	r.Whole = middle(r.runs, func(w wholeRun) float64 { return w.whole })
	r.Slowest = middle(r.runs, func(w wholeRun) float64 { return w.slowest })
	return nil
}

func (r *RoadResult) add(run roadRun) {
	r.runs = append(r.runs, run)
	r.Runs = len(r.runs)
	r.Settled = middle(r.runs, func(x roadRun) float64 { return x.settled })
	r.Own = middle(r.runs, func(x roadRun) float64 { return x.own })
	r.Seen = middle(r.runs, func(x roadRun) float64 { return x.seen })
}

func since(from, to cluster.Instant) float64 { return milliseconds(to.Sub(from)) }

// endpointStep is a road's step in the timeline.
func endpointStep(road string) timeline.Step { return timeline.Step("endpoint " + road) }

// historyOfRoads is when the gate was opened for the present reign, and the steps with
// which roads were settled in it. All of them have to have ended.
func (l *Lab) historyOfRoads(ctx context.Context, primary string) (gate cluster.Instant, ended map[timeline.Step]timeline.Event, err error) {
	st, err := l.ClusterStatus(ctx, primary)
	if err != nil {
		return 0, nil, err
	}
	etcd, err := l.dialStore(primary)
	if err != nil {
		return 0, nil, err
	}
	defer etcd.Close()
	parts, err := store.New(etcd, clusterName, store.Options{}).HistoryOf(ctx, st.Epoch)
	if err != nil {
		return 0, nil, err
	}
	ended = map[timeline.Step]timeline.Event{}
	for _, p := range parts {
		part, err := timeline.Decode(p.Value)
		if err != nil {
			return 0, nil, err
		}
		for _, e := range part.Events {
			switch {
			case e.Outcome != timeline.OK:
			case e.Step == timeline.StepOpenGate:
				if string(part.Node) == primary && gate == 0 {
					gate = e.At.Add(e.Took)
				}
			default:
				ended[e.Step] = e
			}
		}
	}
	if gate == 0 {
		return 0, nil, fmt.Errorf("nobody tells of a gate that was opened in epoch %d", st.Epoch)
	}
	roads := slices.DeleteFunc(l.TheRoads(), func(r Road) bool { return r.Endpoint() == "" })
	for _, r := range roads {
		if _, there := ended[endpointStep(r.Name)]; !there {
			return 0, nil, fmt.Errorf("nobody tells of the road %s in epoch %d", r.Name, st.Epoch)
		}
	}
	return gate, ended, nil
}
