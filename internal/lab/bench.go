package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/lab/load"
)

// Times of one run of a drill.
const (
	warmUp    = time.Second      // the load runs so long before anything breaks
	afterMove = time.Second      // and so long after clients were led elsewhere
	stay      = 4 * time.Second  // how long a fault lasts that must move nothing
	afterHeal = 2 * time.Second  // the load goes on so long after the heal
	moveLimit = 90 * time.Second // nobody takes over any more after that
)

// Drill breaks one thing under load, waits for what follows, heals it under
// load, waits until the lab is as before, and judges what the clients saw. The
// target may be empty: then it is the one that the fault is made for.
func (l *Lab) Drill(ctx context.Context, f Fault, target string, o load.Options) (Verdict, error) {
	if err := l.WaitSteady(ctx); err != nil {
		return Verdict{}, fmt.Errorf("before %s: %w", f.Name, err)
	}
	primary, err := l.Primary(ctx)
	if err != nil {
		return Verdict{}, err
	}
	if target == "" {
		if target, err = l.Target(ctx, f); err != nil {
			return Verdict{}, err
		}
	}
	c, err := l.StartLoad(ctx, o)
	if err != nil {
		return Verdict{}, err
	}
	defer c.Stop()
	span, err := l.breakAndHeal(ctx, c, f, target, primary)
	if err != nil {
		return Verdict{}, fmt.Errorf("%s at %s: %w", f.Name, target, err)
	}
	j := c.Stop()
	if l.Manager == ByBaton {
		if err := l.Settle(ctx); err != nil {
			return Verdict{}, fmt.Errorf("after %s at %s was healed: %w", f.Name, target, err)
		}
	}
	return l.Judge(ctx, j, span, shortestReign)
}

// breakAndHeal is the part of a drill for which the load runs.
func (l *Lab) breakAndHeal(ctx context.Context, c *load.Client, f Fault, target, primary string) (Span, error) {
	ctx, cancel := context.WithTimeout(ctx, moveLimit)
	defer cancel()
	if _, err := c.Until(ctx, warmUp, func(load.Ack) bool { return true }); err != nil {
		return Span{}, fmt.Errorf("before anything was broken: %w", err)
	}
	span := Span{Broken: c.Now()}
	if err := l.Inject(ctx, f, target); err != nil {
		return Span{}, err
	}
	settled, elsewhere := stay, false
	if f.Moves && target == primary {
		first, err := c.Until(ctx, span.Broken, func(a load.Ack) bool { return l.nodeOf(a.Server) != primary })
		if err != nil {
			return Span{}, fmt.Errorf("no other server than %s took over: %w", primary, err)
		}
		settled, elsewhere = first.Acked-span.Broken+afterMove, true
	}
	if f.Stops {
		select {
		case <-time.After(settled):
		case <-ctx.Done():
			return Span{}, ctx.Err()
		}
	} else if _, err := c.Until(ctx, span.Broken+settled, func(a load.Ack) bool { return !elsewhere || l.nodeOf(a.Server) != primary }); err != nil {
		return Span{}, fmt.Errorf("while %s was broken: %w", f.Name, err)
	}
	span.Healed = c.Now()
	if _, err := l.Heal(ctx); err != nil {
		return Span{}, err
	}
	if err := c.UntilEach(ctx, span.Healed+afterHeal); err != nil {
		return Span{}, fmt.Errorf("after the heal: %w", err)
	}
	return span, nil
}

// A Result is what many runs of one drill came to.
type Result struct {
	Fault         string    `json:"fault"`
	With          string    `json:"with"` // who moved the primary
	Profile       string    `json:"profile,omitempty"`
	Runs          int       `json:"runs"`
	OutageMS      Range     `json:"outage_ms"`
	AfterHealMS   Range     `json:"after_heal_ms"`
	Lost          int       `json:"lost"`
	DoubleWriters int       `json:"double_writers"`
	Acknowledged  int       `json:"acknowledged"`
	FailedConnect int       `json:"connects_failed"` // of clients without a time limit of their own
	EndedLogins   int       `json:"logins_ended"`    // connected, and ended before the login was through
	SlowConnects  int       `json:"connects_slow"`   // a second or more: a SYN was retransmitted
	Machine       Machine   `json:"machine"`
	Verdicts      []Verdict `json:"verdicts"`
}

// A Range is of milliseconds, or of what its field says.
type Range struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// Machine is where and under what load it was measured.
type Machine struct {
	Cores      int    `json:"cores"`
	LoadBefore string `json:"load_before"` // of one, five and fifteen minutes
	LoadAfter  string `json:"load_after"`
	Kernel     string `json:"kernel"`
}

// Bench runs a drill again and again. Every run starts from a steady cluster;
// one that cannot is an error and not left out.
func (l *Lab) Bench(ctx context.Context, f Fault, runs int, o load.Options, progress io.Writer) (Result, error) {
	if l.Manager == ByKeepalived && !slices.Contains(keepalivedFaults, f.Name) {
		return Result{}, fmt.Errorf("%s has no meaning with keepalived; it has %s", f.Name, strings.Join(keepalivedFaults, ", "))
	}
	r := Result{Fault: f.Name, With: l.Manager, Machine: thisMachine()}
	if l.Manager == ByBaton {
		r.Profile = l.Profile
	}
	for i := range runs {
		if i > 0 && l.Manager == ByKeepalived {
			if err := l.renew(ctx); err != nil {
				return r, fmt.Errorf("run %d of %d: make the rig new: %w", i+1, runs, err)
			}
		}
		v, err := l.Drill(ctx, f, "", o)
		if err != nil {
			return r, fmt.Errorf("run %d of %d: %w", i+1, runs, err)
		}
		r.add(v)
		fmt.Fprintf(progress, "run %d of %d: outage %.1f ms, lost %d, double writers %d, primary now %s\n",
			i+1, runs, v.OutageMS, v.Lost, v.DoubleWriters, v.Primary)
	}
	r.Machine.LoadAfter = loadAverage()
	return r, nil
}

func (r *Result) add(v Verdict) {
	r.Verdicts = append(r.Verdicts, v)
	r.Runs = len(r.Verdicts)
	r.OutageMS = rangeOf(r.Verdicts, func(v Verdict) float64 { return v.OutageMS })
	r.AfterHealMS = rangeOf(r.Verdicts, func(v Verdict) float64 { return v.AfterHealMS })
	r.Lost += v.Lost
	r.DoubleWriters += v.DoubleWriters
	r.Acknowledged += v.Acknowledged
	for _, n := range v.Connects.Failed {
		r.FailedConnect += n
	}
	r.EndedLogins += v.Connects.Logins
	r.SlowConnects += v.Connects.Slow
}

// rangeOf is the smallest, the middle and the largest value; of an even number
// of values the middle is the mean of two.
func rangeOf(all []Verdict, value func(Verdict) float64) Range { return middle(all, value) }

func middle[T any](all []T, value func(T) float64) Range {
	values := make([]float64, 0, len(all))
	for _, v := range all {
		values = append(values, value(v))
	}
	if len(values) == 0 {
		return Range{}
	}
	slices.SortFunc(values, cmp.Compare)
	n := len(values)
	return Range{Min: values[0], Median: (values[(n-1)/2] + values[n/2]) / 2, Max: values[n-1]}
}

func thisMachine() Machine {
	return Machine{Cores: runtime.NumCPU(), LoadBefore: loadAverage(), Kernel: firstWords("/proc/sys/kernel/osrelease", 1)}
}

func loadAverage() string { return firstWords("/proc/loadavg", 3) }

func firstWords(file string, n int) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return errors.Unwrap(err).Error()
	}
	words := strings.Fields(string(b))
	return strings.Join(words[:min(n, len(words))], " ")
}
