package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
)

// switchFlags are what a switchover and a failover have in common.
type switchFlags struct {
	to      string
	dryRun  bool
	wait    bool
	timeout time.Duration
	why     string
}

func (f *switchFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.to, "to", "", "`node` that is to become primary (default: the best one)")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only show what would happen")
	cmd.Flags().BoolVar(&f.wait, "wait", true, "wait until it is done; --wait=false returns the request's id")
	cmd.Flags().DurationVar(&f.timeout, "timeout", time.Minute, "how long to wait")
	cmd.Flags().StringVar(&f.why, "why", "", "`text` for the log and the history")
}

func newSwitchoverCommand(e *env) *cobra.Command {
	var f switchFlags
	cmd := &cobra.Command{
		Use: "switchover", Short: "Move the write role as planned, with nothing lost and no connect refused",
		Long: `Asks the cluster to hand the write role over. The primary lets open
transactions end, the candidate applies everything, then the addresses move.
If that takes too long the old primary keeps the role and nothing is lost.`,
		Example: `  baton switchover
  baton switchover --to db2
  baton switchover --to db2 --dry-run
  baton switchover --wait=false -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withDaemon(cmd, func(ctx context.Context, c *api.Client) error {
				st, err := c.Status(ctx)
				if err != nil {
					return err
				}
				if f.dryRun {
					return e.dryRun(st, cluster.RequestSwitchover, cluster.NodeName(f.to))
				}
				return e.ask(ctx, c, api.Ask{Kind: cluster.RequestSwitchover, To: cluster.NodeName(f.to), Why: f.why, Epoch: st.Epoch}, f.wait, f.timeout)
			})
		},
	}
	f.register(cmd)
	return cmd
}

func newFailoverCommand(e *env) *cobra.Command {
	var f switchFlags
	var force, yes bool
	cmd := &cobra.Command{
		Use: "failover", Short: "Take the write role from the primary by force",
		Long: `Asks the cluster to fence the primary and elect another one, whether or not it
still works. Use switchover while the primary is well.

An election waits for the promises that show every acknowledged transaction.
--force decides it with those there are: acknowledged writes may be lost.`,
		Example: `  baton failover
  baton failover --to db3 --yes
  baton failover --force`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withDaemon(cmd, func(ctx context.Context, c *api.Client) error {
				st, err := c.Status(ctx)
				if err != nil {
					return err
				}
				if f.dryRun {
					return e.dryRun(st, cluster.RequestFailover, cluster.NodeName(f.to))
				}
				if err := e.confirm(yes, failoverQuestion(st, force)); err != nil {
					return err
				}
				return e.ask(ctx, c, api.Ask{
					Kind: cluster.RequestFailover, To: cluster.NodeName(f.to), Force: force, Why: f.why, Epoch: st.Epoch,
				}, f.wait, f.timeout)
			})
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "elect without the promises that are missing: acknowledged writes may be lost")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func failoverQuestion(st api.Status, force bool) string {
	question := fmt.Sprintf("Take the write role of cluster %s away from %s", st.Cluster, orDash(string(st.Primary)))
	if st.Primary == "" {
		question = fmt.Sprintf("Elect a primary for cluster %s", st.Cluster)
	}
	if force {
		question += ", although acknowledged writes may be lost"
	}
	return question + "?"
}

// ask submits a request and, if wanted, waits for what becomes of it.
func (e *env) ask(ctx context.Context, c *api.Client, a api.Ask, wait bool, timeout time.Duration) error {
	state, err := c.Submit(ctx, a)
	if err != nil {
		return err
	}
	if wait {
		waiting, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		if state, err = c.Await(waiting, state.ID); err != nil {
			return unsettled(ctx, state, err, timeout)
		}
	}
	if e.json() {
		if err := e.printJSON(state); err != nil {
			return err
		}
	}
	return e.settle(state, a.Kind)
}

// unsettled says that a request is in, and that what became of it is not known.
func unsettled(ctx context.Context, state api.RequestState, err error, timeout time.Duration) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return fail(exitTimeout, "request %s is %s after %s; it may go on, see `baton status`", state.ID, state.Status, timeout)
	case errors.Is(err, api.ErrUnreachable):
		return fmt.Errorf("request %s was %s when the daemon hung up; see `baton status` on any node: %w", state.ID, state.Status, err)
	}
	return fmt.Errorf("request %s was %s: %w", state.ID, state.Status, err)
}

// settle turns a request's state into a line or into an error.
func (e *env) settle(s api.RequestState, kind cluster.RequestKind) error {
	switch s.Status {
	case api.Refused:
		return fail(exitRefused, "the cluster refused the %s: %s", kind, orDash(s.Detail))
	case api.Failed:
		return fail(exitFailed, "the %s failed: %s", kind, because(s.Reason, s.Detail))
	}
	if e.json() {
		return nil
	}
	var line string
	switch {
	case s.Status != api.Done:
		line = fmt.Sprintf("%s is %s", s.ID, s.Status)
	case kind == cluster.RequestPause:
		line = "paused: nothing automatic happens until `baton resume`"
	case kind == cluster.RequestResume:
		line = "resumed"
	case kind == cluster.RequestMaintenance:
		line = "in maintenance: it is not promoted and left alone until `baton maintenance NODE off`"
	case kind == cluster.RequestMaintenanceEnd:
		line = "the maintenance is over"
	case kind == cluster.RequestRejoin:
		line = s.Detail
	default:
		line = fmt.Sprintf("%s is primary at epoch %d; `baton history %d` shows where the time went", s.Primary, s.Epoch, s.Epoch)
	}
	_, err := fmt.Fprintln(e.out, line)
	return err
}

// planned is what a dry run answers.
type planned struct {
	Kind     cluster.RequestKind `json:"kind"`
	Cluster  string              `json:"cluster"`
	Epoch    cluster.Epoch       `json:"epoch"`
	Primary  cluster.NodeName    `json:"primary,omitempty"`
	Asked    cluster.NodeName    `json:"asked_for,omitempty"`
	Promoted cluster.NodeName    `json:"promoted,omitempty"` // empty: nobody
	Refused  string              `json:"refused,omitempty"`
	Plan     api.Plan            `json:"plan"`
}

// dryRun shows a plan. It ends as the switch itself would begin: refused, if
// it would be.
func (e *env) dryRun(st api.Status, kind cluster.RequestKind, to cluster.NodeName) error {
	if st.Preview == nil {
		return fail(exitFailed, "the daemon on %s made no preview; see `baton status`", st.Node)
	}
	p := planned{Kind: kind, Cluster: st.Cluster, Epoch: st.Epoch, Primary: st.Primary, Asked: to, Plan: st.Preview.Switchover}
	if kind == cluster.RequestFailover {
		p.Plan = st.Preview.Failover
	}
	p.Promoted, p.Refused = promoted(p.Plan, st, to)
	if e.json() {
		if err := e.printJSON(p); err != nil {
			return err
		}
	} else if err := e.printPlan(p); err != nil {
		return err
	}
	if p.Refused != "" {
		return fail(exitRefused, "the cluster would refuse the %s: %s", kind, printable(p.Refused))
	}
	return nil
}

// promoted is who would become primary, or why nobody would.
func promoted(plan api.Plan, st api.Status, to cluster.NodeName) (cluster.NodeName, string) {
	switch {
	case plan.Refused != "":
		return "", plan.Refused
	case to == "" || to == plan.Candidate:
		if plan.Candidate == "" {
			return "", "no node could take over"
		}
		return plan.Candidate, ""
	case to == st.Primary:
		return "", fmt.Sprintf("%s is the primary already", to)
	}
	for _, a := range plan.Passed {
		if a.Node == to && a.Possible {
			return to, ""
		}
		if a.Node == to {
			return "", fmt.Sprintf("%s cannot be promoted, %s", to, because(a.Reason, a.Detail))
		}
	}
	return "", fmt.Sprintf("%q is no data node of cluster %s", to, st.Cluster)
}

func (e *env) printPlan(p planned) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s at epoch %d would ", p.Cluster, p.Kind, p.Epoch)
	if p.Refused != "" {
		fmt.Fprintln(&b, "be refused")
	} else {
		fmt.Fprintf(&b, "promote %s instead of %s\n", p.Promoted, orDash(string(p.Primary)))
	}
	if p.Plan.By != "" && p.Promoted == p.Plan.Candidate && p.Promoted != "" {
		fmt.Fprintf(&b, "  decided by %s\n", p.Plan.By)
	}
	if len(p.Plan.Passed) > 0 {
		fmt.Fprintln(&b)
		w := newTable(&b)
		fmt.Fprintln(w, "PASSED OVER\tWHY\tWITH --to")
		if p.Promoted != "" && p.Promoted != p.Plan.Candidate {
			fmt.Fprintf(w, "%s\tnot asked for\tyes\n", p.Plan.Candidate)
		}
		for _, a := range p.Plan.Passed {
			if a.Node == p.Promoted {
				continue
			}
			possible := "no"
			if a.Possible {
				possible = "yes"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", a.Node, because(a.Reason, a.Detail), possible)
		}
		w.Flush()
	}
	for i, wait := range p.Plan.Waits {
		if i == 0 {
			fmt.Fprintln(&b, "\nIt would wait for")
		}
		fmt.Fprintf(&b, "  %s\n", waitText(wait))
	}
	_, err := fmt.Fprint(e.out, b.String())
	return err
}
