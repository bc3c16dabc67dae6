package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/lab"
	"github.com/baton-db/baton/internal/lab/load"
)

func (e *env) printVerdict(v lab.Verdict) error {
	w := newTable(e.out)
	fmt.Fprintf(w, "acknowledged writes\t%d\t%s\n", v.Acknowledged, counts(v.Servers))
	open := ""
	if v.OutageOpen {
		open = "and nothing was acknowledged any more"
	}
	fmt.Fprintf(w, "longest outage\t%.1f ms\t%s\n", v.OutageMS, open)
	for _, host := range slices.Sorted(maps.Keys(v.Hosts)) {
		fmt.Fprintf(w, "\t%.1f ms\tof the clients on %s\n", v.Hosts[host].MS, host)
	}
	fmt.Fprintf(w, "lost\t%d\tmissing at %s\n", v.Lost, orDash(v.Primary))
	fmt.Fprintf(w, "double writers\t%d\t\n", v.DoubleWriters)
	fmt.Fprintf(w, "writes that failed\t\t%s\n", counts(v.Failures))
	fmt.Fprintf(w, "plain connects\t%d\tfailed: %s; %d ended during the login; %d took 1 s or more\n",
		v.Connects.Total, counts(v.Connects.Failed), v.Connects.Logins, v.Connects.Slow)
	fmt.Fprintf(w, "writers' connects\t%d\tfailed: %s; %d ended during the login\n", v.Reconnects.Total, counts(v.Reconnects.Failed), v.Reconnects.Logins)
	fmt.Fprintf(w, "idle connections\t%d\t%d learnt of their end, %d know of none\n", v.Idle.Total, v.Idle.Learned, v.Idle.Unaware)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// counts shows how many of what, the most first.
func counts[K ~string](n map[K]int) string {
	var parts []string
	for _, k := range byCount(n) {
		parts = append(parts, fmt.Sprintf("%d %s", n[k], k))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func newLabBenchCommand(e *env, o *lab.Options) *cobra.Command {
	var faults []string
	var runs int
	var look time.Duration
	var idle idleOptions
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure the outage that clients see, fault by fault",
		Long: `Builds a lab of its own and runs each fault again and again under load: break,
wait until clients write elsewhere, heal, wait until all replicas follow. With
-o json every fault is one object on one line.

With --roads no client writes: what is measured is how long each road takes, from the
opening of the new primary's gate, until it leads there. Milliseconds; OWN is what the
agent worked on the road, SEEN is what somebody outside saw of it, who asks every
--look: those who ask share the machine with what they look at.

With --idle nothing is broken: what each agent takes of its host is measured,
the member of the store in it included, in several spans of --seconds.`,
		Example: "  baton lab bench --fault crash --runs 10\n  baton lab bench --fault crash,power,switchover --runs 10 -o json\n  baton lab bench --fault partition --runs 3 --with keepalived\n  baton lab bench --idle --profile balanced --seconds 20\n  baton lab bench --roads all --fault switchover,crash --runs 10",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runs < 1 {
				return usage("--runs %d: use one or more", runs)
			}
			if idle.seconds < 1 {
				return usage("--seconds %d: use one or more", idle.seconds)
			}
			if look < time.Millisecond {
				return usage("--look %s: use 1ms or more", look)
			}
			if idle.on {
				if cmd.Flags().Changed("fault") {
					return usage("--idle breaks nothing: use it without --fault")
				}
				return e.benchIdle(cmd.Context(), *o, runs, idle)
			}
			var wanted []lab.Fault
			for _, name := range faults {
				f, err := lab.FaultByName(name)
				if err != nil {
					return usage("%w", err)
				}
				wanted = append(wanted, f)
			}
			if len(o.Roads) > 0 {
				return e.benchRoads(cmd.Context(), *o, wanted, runs, look)
			}
			return e.bench(cmd.Context(), *o, wanted, runs)
		},
	}
	cmd.Flags().StringSliceVar(&faults, "fault", []string{"crash"}, "`faults` to measure, in this order")
	cmd.Flags().IntVar(&runs, "runs", 10, "runs of each")
	cmd.Flags().BoolVar(&idle.on, "idle", false, "measure what each agent costs while nothing happens")
	cmd.Flags().IntVar(&idle.seconds, "seconds", 10, "with --idle: `length` of each run")
	cmd.Flags().BoolVar(&idle.load, "load", false, "with --idle: clients write meanwhile")
	cmd.Flags().DurationVar(&look, "look", 10*time.Millisecond, "with --roads: how `often` each is asked from outside")
	shapeFlags(cmd, o)
	withFlag(cmd, o)
	cmd.Flags().Lookup("with").Usage = "who moves the primary: baton, or keepalived as the yardstick"
	return cmd
}

// bench builds a lab, measures and takes the lab away. What was measured
// before something went wrong is printed all the same.
func (e *env) bench(ctx context.Context, o lab.Options, faults []lab.Fault, runs int) error {
	var results []lab.Result
	failed := lab.With(ctx, o, e.err, func(l *lab.Lab) error {
		for _, f := range faults {
			r, err := l.Bench(ctx, f, runs, load.Options{}, e.err)
			if r.Runs > 0 {
				results = append(results, r)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if e.json() {
		for _, r := range results {
			if err := e.printLine(r); err != nil {
				return err
			}
		}
		return failed
	}
	w := newTable(e.out)
	fmt.Fprintln(w, "FAULT\tWITH\tRUNS\tOUTAGE MIN\tMEDIAN\tMAX\tLOST\tDOUBLE\tWRITES\tCONNECTS FAILED\tSLOW\tLOGINS ENDED")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%s\t%d\t%.0f ms\t%.0f ms\t%.0f ms\t%d\t%d\t%d\t%d\t%d\t%d\n", r.Fault, r.With, r.Runs,
			r.OutageMS.Min, r.OutageMS.Median, r.OutageMS.Max, r.Lost, r.DoubleWriters, r.Acknowledged, r.FailedConnect, r.SlowConnects, r.EndedLogins)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	if len(results) > 0 {
		m := results[0].Machine
		fmt.Fprintf(e.out, "%d cores, Linux %s, load average %s before and %s after\n", m.Cores, m.Kernel, m.LoadBefore, results[len(results)-1].Machine.LoadAfter)
	}
	return failed
}

func newLabDemoCommand(e *env, o *lab.Options) *cobra.Command {
	cmd := &cobra.Command{
		Use: "demo", Short: "Show a crash of the primary and a switch back, and clean up",
		Example: "  baton lab demo\n  baton lab demo --flavor mysql",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return lab.Demo(cmd.Context(), *o, e.out)
		},
	}
	flavorFlag(cmd, o)
	return cmd
}

// newLabServerCommand is what a lab's agents have in place of a service
// manager.
func newLabServerCommand(o *lab.Options) *cobra.Command {
	cmd := &cobra.Command{Use: "server", Short: "Start or stop a server of a lab, as its agent does", Hidden: true, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	for _, c := range []struct {
		use, short string
		do         func(*lab.Lab, context.Context, string) error
	}{
		{"start NODE", "Start a server and wait until it takes connections", (*lab.Lab).StartServer},
		{"stop NODE", "Shut a server down", (*lab.Lab).StopServer},
		{"wipe NODE", "Kill a server and empty its data directory, as on a new host", (*lab.Lab).WipeServer},
	} {
		cmd.AddCommand(&cobra.Command{Use: c.use, Short: c.short, Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				l, err := lab.Open(*o)
				if err != nil {
					return usage("%w", err)
				}
				return c.do(l, cmd.Context(), args[0])
			}})
	}
	cmd.AddCommand(&cobra.Command{Use: "hold NODE WHAT", Short: "Hold a lock or all connections at a server until the end", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Open(*o)
			if err != nil {
				return usage("%w", err)
			}
			return l.Hold(cmd.Context(), args[0], args[1])
		}})
	return cmd
}

// byCount sorts keys: the most frequent first, then by name.
func byCount[K ~string](n map[K]int) []K {
	return slices.SortedFunc(maps.Keys(n), func(a, b K) int {
		return cmp.Or(cmp.Compare(n[b], n[a]), cmp.Compare(a, b))
	})
}
