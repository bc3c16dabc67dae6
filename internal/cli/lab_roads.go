package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/lab"
)

// roadState is one line of `baton lab roads`.
type roadState struct {
	Road  string `json:"road"`
	Leads string `json:"leads_to,omitempty"`
	Why   string `json:"why,omitempty"` // it does not lead anywhere
	Help  string `json:"help"`
}

func newLabRoadsCommand(e *env, o *lab.Options) *cobra.Command {
	var list strings.Builder
	for _, r := range lab.Roads() {
		byName := ""
		if r.ByNameOnly() {
			byName = " (by name only: not one of " + lab.EveryRoad + ")"
		}
		fmt.Fprintf(&list, "  %-12s %s%s\n", r.Name, r.Help, byName)
	}
	return &cobra.Command{
		Use: "roads", Short: "Show where each road of a lab leads its clients",
		Long: `Asks every road that was built with ` + "`baton lab up --roads`" + ` where it leads, as a client of
it does: with a DNS question, over a connection through the load balancer, by reading
the key. The roads:

` + list.String(),
		Example: "  baton lab up --roads dns,haproxy,nginx\n  baton lab roads\n  baton lab roads -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := lab.Open(*o)
			if err != nil {
				return usage("%w", err)
			}
			return e.printRoads(cmd.Context(), l)
		},
	}
}

func (e *env) printRoads(ctx context.Context, l *lab.Lab) error {
	all := []roadState{}
	for _, r := range l.TheRoads() {
		s := roadState{Road: r.Name, Help: r.Help}
		node, err := l.Leads(ctx, r)
		if err != nil {
			s.Why = err.Error()
		}
		s.Leads = node
		all = append(all, s)
	}
	if e.json() {
		return e.printJSON(all)
	}
	if len(all) == 0 {
		fmt.Fprintln(e.out, "this lab has the virtual addresses only; `baton lab up --roads` builds more")
		return nil
	}
	w := newTable(e.out)
	fmt.Fprintln(w, "ROAD\tLEADS TO\tWHAT IT IS")
	for _, s := range all {
		what := s.Help
		if s.Why != "" {
			what = printable(s.Why)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Road, orDash(s.Leads), what)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// newLabCentreCommand is the config centre of a lab.
func newLabCentreCommand() *cobra.Command {
	return &cobra.Command{Use: "centre ADDRESS FILE SECRET", Short: "Be a config centre of one value, as the road webhook has it", Hidden: true, Args: cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			secret, err := os.ReadFile(args[2])
			if err != nil {
				return fmt.Errorf("read the secret: %w", err)
			}
			s := &http.Server{Addr: args[0], Handler: lab.Centre(args[1], strings.TrimSpace(string(secret)))}
			stop := context.AfterFunc(cmd.Context(), func() { _ = s.Close() })
			defer stop()
			if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("be a config centre on %s: %w", args[0], err)
			}
			return nil
		}}
}

// newLabRestartCommand is what an agent of a lab has in place of a service manager, for
// what a road needs restarted.
func newLabRestartCommand(o *lab.Options) *cobra.Command {
	return &cobra.Command{Use: "restart ROAD", Short: "Restart what runs for a road, as an agent does", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Open(*o)
			if err != nil {
				return usage("%w", err)
			}
			for _, r := range l.TheRoads() {
				if r.Name == args[0] {
					return l.RestartRoad(cmd.Context(), r)
				}
			}
			return usage("this lab has no road %q", args[0])
		}}
}

// benchRoads builds a lab, measures its roads and takes it away.
func (e *env) benchRoads(ctx context.Context, o lab.Options, faults []lab.Fault, runs int, look time.Duration) error {
	var results []lab.RoadsResult
	failed := lab.With(ctx, o, e.err, func(l *lab.Lab) error {
		for _, f := range faults {
			r, err := l.BenchRoads(ctx, f, runs, look, e.err)
			if r.Runs > 0 {
				results = append(results, r)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	for _, r := range results {
		if err := e.printRoadsResult(r); err != nil {
			return err
		}
	}
	return failed
}

func (e *env) printRoadsResult(r lab.RoadsResult) error {
	if e.json() {
		return e.printLine(r)
	}
	w := newTable(e.out)
	fmt.Fprintf(w, "ROAD\tAFTER\tRUNS\tSETTLED MIN\tMEDIAN\tMAX\tOWN MEDIAN\tSEEN MIN\tMEDIAN\tMAX\n")
	for _, road := range r.Roads {
		settled := "-\t-\t-\t-"
		if road.Own.Max > 0 || road.Settled.Max > 0 {
			settled = fmt.Sprintf("%.1f\t%.1f\t%.1f\t%.1f", road.Settled.Min, road.Settled.Median, road.Settled.Max, road.Own.Median)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%.1f\t%.1f\t%.1f\n", road.Road, r.Fault, road.Runs, settled, road.Seen.Min, road.Seen.Median, road.Seen.Max)
	}
	fmt.Fprintf(w, "all\t%s\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t\t\t\n", r.Fault, r.Runs, r.Whole.Min, r.Whole.Median, r.Whole.Max, r.Slowest.Median)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	fmt.Fprintf(e.out, "milliseconds after the gate opened; OWN of all is that of the slowest\n%d cores, Linux %s, load average %s before and %s after\n", r.Machine.Cores, r.Machine.Kernel, r.Machine.LoadBefore, r.Machine.LoadAfter)
	return nil
}
