package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/baton-db/baton/internal/lab"
)

// idleOptions are what `baton lab bench --idle` was told.
type idleOptions struct {
	on, load bool
	seconds  int
}

// benchIdle builds a lab, measures what its agents cost, and takes it away.
func (e *env) benchIdle(ctx context.Context, o lab.Options, runs int, idle idleOptions) error {
	var burdens []lab.Burden
	err := lab.With(ctx, o, e.err, func(l *lab.Lab) (err error) {
		burdens, err = l.Idle(ctx, runs, time.Duration(idle.seconds)*time.Second, idle.load, e.err)
		return err
	})
	if err != nil {
		return err
	}
	return e.printBurdens(burdens)
}

func (e *env) printBurdens(burdens []lab.Burden) error {
	if e.json() {
		for _, b := range burdens {
			if err := e.printLine(b); err != nil {
				return err
			}
		}
		return nil
	}
	w := newTable(e.out)
	fmt.Fprintln(w, "NODE\tPART\tPROFILE\tCPU MIN\tMEDIAN\tMAX\tRESIDENT\tPROPORTIONAL\tTHREADS\tSTORE WRITES\tWAKE-UPS\tDISK")
	for _, b := range burdens {
		fmt.Fprintf(w, "%s\t%s\t%s\t%.1f %%\t%.1f %%\t%.1f %%\t%.0f MB\t%.0f MB\t%.0f\t%.1f/s\t%.0f/s\t%.0f kB/s\n", b.Node, b.Part, b.Profile,
			b.CPU.Min, b.CPU.Median, b.CPU.Max, b.Resident, b.Share, b.Threads, b.Writes, b.Wakeups, b.DiskKB)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	if len(burdens) > 0 {
		b := burdens[0]
		fmt.Fprintf(e.out, "%d runs of %.0f s, CPU as a part of one core; %d cores, Linux %s, load average %s before and %s after\n",
			b.Runs, b.Seconds, b.Machine.Cores, b.Machine.Kernel, b.Machine.LoadBefore, b.Machine.LoadAfter)
	}
	return nil
}
