package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/baton-db/baton/internal/lab/load"
	"github.com/baton-db/baton/internal/lab/process"
	"github.com/baton-db/baton/internal/store"
)

// settleDown is how long a lab is left alone before its agents' cost is
// measured: what a start leaves behind, such as elections and a first
// collection of garbage, is over then.
const settleDown = 5 * time.Second

// A Burden is what one whole agent, its member of the store included, takes of
// its host while nothing happens. Of several spans each figure is the median.
type Burden struct {
	Node      string  `json:"node"`
	Part      string  `json:"part"` // primary, replica or witness
	Profile   string  `json:"profile"`
	Load      bool    `json:"load"` // clients wrote meanwhile
	Runs      int     `json:"runs"`
	Seconds   float64 `json:"seconds"` // of each run
	CPU       Range   `json:"cpu_percent"`
	Resident  float64 `json:"resident_mb"`
	Share     float64 `json:"proportional_mb"` // pages shared with the other agents of the lab by part
	Threads   float64 `json:"threads"`
	Writes    float64 `json:"store_writes_per_second"` // facts, views and renewals
	Wakeups   float64 `json:"wakeups_per_second"`
	Forced    float64 `json:"preempted_per_second"`
	DiskKB    float64 `json:"disk_kb_per_second"`
	Machine   Machine `json:"machine"`
	measuring []spent
}

// spent is what one agent took in one span.
type spent struct {
	seconds float64
	process.Cost
	writes uint64
}

// Idle measures what each agent takes of its host, in several spans of the same
// length. With load, clients write meanwhile.
func (l *Lab) Idle(ctx context.Context, runs int, span time.Duration, loaded bool, progress io.Writer) ([]Burden, error) {
	if l.Manager != ByBaton {
		return nil, fmt.Errorf("what an agent costs is measured with %s, not with %s", ByBaton, l.Manager)
	}
	if err := l.WaitSteady(ctx); err != nil {
		return nil, err
	}
	machine := thisMachine()
	primary, err := l.Primary(ctx)
	if err != nil {
		return nil, err
	}
	counter, err := l.countStore(primary)
	if err != nil {
		return nil, err
	}
	defer counter.close()
	if loaded {
		c, err := l.StartLoad(ctx, load.Options{})
		if err != nil {
			return nil, err
		}
		defer c.Stop()
	}
	if err := letPass(ctx, settleDown); err != nil {
		return nil, err
	}
	all := make([]Burden, len(l.Nodes()))
	for i, n := range l.Nodes() {
		all[i] = Burden{Node: n, Part: l.partOf(n, primary), Profile: l.Profile, Load: loaded, Machine: machine}
	}
	for run := range runs {
		if err := l.measure(ctx, all, span, counter); err != nil {
			return nil, fmt.Errorf("run %d of %d: %w", run+1, runs, err)
		}
		fmt.Fprintf(progress, "run %d of %d is over\n", run+1, runs)
	}
	now, err := l.Primary(ctx)
	if err != nil {
		return nil, err
	}
	if now != primary {
		return nil, fmt.Errorf("the primary moved from %s to %s meanwhile: that was not idle", primary, now)
	}
	for i := range all {
		all[i].sum()
		all[i].Machine.LoadAfter = loadAverage()
	}
	return all, nil
}

func (l *Lab) partOf(node, primary string) string {
	switch node {
	case primary:
		return "primary"
	case witnessName:
		return "witness"
	}
	return "replica"
}

// measure adds one span to each burden.
func (l *Lab) measure(ctx context.Context, all []Burden, span time.Duration, counter storeCounter) error {
	before, err := l.costs(ctx, counter)
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := letPass(ctx, span); err != nil {
		return err
	}
	after, err := l.costs(ctx, counter)
	if err != nil {
		return err
	}
	seconds := time.Since(begun).Seconds()
	for i := range all {
		a, b := after[all[i].Node], before[all[i].Node]
		all[i].measuring = append(all[i].measuring, spent{seconds: seconds, writes: a.writes - b.writes, Cost: process.Cost{
			CPU: a.CPU - b.CPU, Switches: less(a.Switches, b.Switches), Forced: less(a.Forced, b.Forced), Written: a.Written - b.Written,
			Resident: a.Resident, Share: a.Share, Threads: a.Threads,
		}})
	}
	return nil
}

// less is a - b; 0 where a thread took its counter with it when it ended.
func less(a, b uint64) uint64 { return max(a, b) - b }

func (l *Lab) costs(ctx context.Context, counter storeCounter) (map[string]spent, error) {
	writes, err := counter.writes(ctx)
	if err != nil {
		return nil, err
	}
	all := map[string]spent{}
	for _, n := range l.Nodes() {
		p, err := l.agent(n)
		if err != nil {
			return nil, err
		}
		c, err := p.Cost()
		if err != nil {
			return nil, fmt.Errorf("of the agent of %s: %w", n, err)
		}
		all[n] = spent{Cost: c, writes: writes[n]}
	}
	return all, nil
}

// sum makes the figures of the spans.
func (b *Burden) sum() {
	median := func(of func(spent) float64) float64 { return middle(b.measuring, of).Median }
	perSecond := func(of func(spent) uint64) float64 {
		return median(func(s spent) float64 { return float64(of(s)) / s.seconds })
	}
	const mb = 1e6
	b.Runs = len(b.measuring)
	b.Seconds = math.Round(median(func(s spent) float64 { return s.seconds })*10) / 10
	b.CPU = middle(b.measuring, func(s spent) float64 { return 100 * s.CPU.Seconds() / s.seconds })
	b.Resident = median(func(s spent) float64 { return float64(s.Resident) / mb })
	b.Share = median(func(s spent) float64 { return float64(s.Share) / mb })
	b.Threads = median(func(s spent) float64 { return float64(s.Threads) })
	b.Writes = perSecond(func(s spent) uint64 { return s.writes })
	b.Wakeups = perSecond(func(s spent) uint64 { return s.Switches })
	b.Forced = perSecond(func(s spent) uint64 { return s.Forced })
	b.DiskKB = perSecond(func(s spent) uint64 { return s.Written }) / 1000
}

// storeCounter counts what each agent has written to the store, by the sequence
// numbers of what it wrote last.
type storeCounter struct{ etcd *store.Etcd }

// countStore connects to the store through a node's own member.
func (l *Lab) countStore(node string) (storeCounter, error) {
	e, err := l.dialStore(node)
	if err != nil {
		return storeCounter{}, fmt.Errorf("count the writes to the store: %w", err)
	}
	return storeCounter{e}, nil
}

func (c storeCounter) close() { _ = c.etcd.Close() }

func (c storeCounter) writes(ctx context.Context) (map[string]uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, askAgent)
	defer cancel()
	s, err := store.New(c.etcd, clusterName, store.Options{}).Snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("count the writes to the store: %w", err)
	}
	for key, bad := range s.Unreadable() {
		err = errors.Join(err, fmt.Errorf("count the writes to the store: %s: %w", key, bad))
	}
	all := map[string]uint64{}
	for n, f := range s.Facts {
		all[string(n)] += f.Value.Seq
	}
	for n, v := range s.Views {
		all[string(n)] += v.Value.Seq
	}
	all[string(s.Lease.Value.Holder)] += s.Lease.Value.Seq
	return all, err
}

// letPass waits.
func letPass(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
