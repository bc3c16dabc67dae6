package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
)

func newStoreCommand(e *env) *cobra.Command {
	store := &cobra.Command{
		Use: "store", Short: "Look at the store that the nodes share, and replace its members", SuggestionsMinimumDistance: 2,
		Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	member := &cobra.Command{
		Use: "member", Short: "The members of the store: one in each agent", SuggestionsMinimumDistance: 2,
		Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	member.AddCommand(newMemberListCommand(e), newMemberReplaceCommand(e))
	store.AddCommand(member)
	return store
}

func newMemberListCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Show every member of the store and whether it answers",
		Example: "  baton store member list\n  baton store member list -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withDaemon(cmd, func(ctx context.Context, c *api.Client) error {
				all, err := c.StoreMembers(ctx)
				if err != nil {
					return err
				}
				if e.json() {
					return e.printJSON(all)
				}
				return e.printMembers(all)
			})
		},
	}
}

func (e *env) printMembers(all []api.StoreMember) error {
	w := newTable(e.out)
	fmt.Fprintln(w, "NODE\tMEMBER\tSTATE\tLEADS\tANSWERS")
	for _, m := range all {
		leads, answers := "", "yes"
		if m.Leader {
			leads = "yes"
		}
		if m.Error != "" {
			answers = "no: " + m.Error
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", orDash(string(m.Node)), m.ID, m.State, orDash(leads), printable(answers))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

func newMemberReplaceCommand(e *env) *cobra.Command {
	var yes, wait bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "replace NODE", Short: "Give the place of a member whose data is lost to a new one",
		Long: `For a node whose store directory was lost, wiped or damaged, or whose host was
made anew under the same name. Such a member must not start again as the one it
was: it has forgotten what it voted for. Run this on another node. It

  1. removes the old member for good, which must not be running, and invites a
     new one in its place;
  2. waits until baton is started on that node, with an empty store directory,
     and has copied everything (where a service manager starts it again and
     again, nothing is to be done);
  3. gives the new member its vote.

It needs a majority of the members and changes nothing without one. Interrupted,
or after its --timeout, it is run again and goes on where it stopped. Clients and
the primary do not notice.`,
		Example: `  baton store member replace db3
  baton store member replace db3 --yes --timeout 10m
  baton store member replace db3 --yes --wait=false -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("baton store member replace takes the name of one node; `baton store member list` lists them")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withDaemon(cmd, func(ctx context.Context, c *api.Client) error {
				return e.replaceMember(ctx, c, cluster.NodeName(args[0]), yes, wait, timeout)
			})
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&wait, "wait", true, "wait until the new member has its vote; --wait=false ends once it is invited")
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "how long to wait")
	return cmd
}

func (e *env) replaceMember(ctx context.Context, c *api.Client, n cluster.NodeName, yes, wait bool, timeout time.Duration) error {
	if err := e.confirm(yes, fmt.Sprintf("Replace the store's member of %s? What is left of its data will never be let in again.", n)); err != nil {
		return err
	}
	m, err := c.ReplaceMember(ctx, n)
	if err != nil {
		return err
	}
	if wait {
		if !e.json() {
			fmt.Fprintf(e.err, "%s is invited: baton must be started there now, with an empty store directory (here that is %s)\n", n, m.Directory)
		}
		waiting, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		m, err = c.AwaitMember(waiting, m)
		switch {
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			return fail(exitTimeout, "%s is invited and has no vote yet after %s (%s): see that baton runs there, with an empty store directory, then run this again", n, timeout, m.State)
		case err != nil:
			return fmt.Errorf("%s is invited and has no vote yet; run this again: %w", n, err)
		}
	}
	if e.json() {
		return e.printJSON(m)
	}
	line := fmt.Sprintf("%s is invited: start baton there, with an empty store directory (here that is %s), then run this again without --wait=false", n, m.Directory)
	if m.State == api.MemberVoter {
		line = fmt.Sprintf("%s has a new member of the store, with a vote", n)
	}
	if _, err := fmt.Fprintln(e.out, line); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}
