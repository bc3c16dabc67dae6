package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
)

func newPauseCommand(e *env) *cobra.Command {
	var why string
	cmd := e.simple(cluster.RequestPause, &why)
	cmd.Short = "Stop all automatic changes, for maintenance"
	cmd.Long = `Asks the cluster to do nothing by itself until resume. The primary keeps its
lease and serves on. What a person asks for is still done.`
	cmd.Example = "  baton pause --why 'kernel upgrade on db1'\n  baton resume"
	cmd.Flags().StringVar(&why, "why", "", "`text` that status shows to everybody")
	return cmd
}

func newResumeCommand(e *env) *cobra.Command {
	cmd := e.simple(cluster.RequestResume, new(string))
	cmd.Short = "End a pause"
	cmd.Example = "  baton resume"
	return cmd
}

// simple is a command that is nothing but its request.
func (e *env) simple(kind cluster.RequestKind, why *string) *cobra.Command {
	var wait bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: string(kind), Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withDaemon(cmd, func(ctx context.Context, c *api.Client) error {
				return e.ask(ctx, c, api.Ask{Kind: kind, Why: *why}, wait, timeout)
			})
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", true, "wait until it is so")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait")
	return cmd
}

func newMaintenanceCommand(e *env) *cobra.Command {
	var why string
	var wait bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "maintenance NODE on|off", Short: "Say that somebody works on one node, or is done",
		Long: `A node in maintenance is not promoted, however much it is needed. Its server is
not started and its replication not set going by Baton, and what is out of order
there is no alarm. Clients are kept from writing there as ever, its promise still
counts in an election, and it leaves the ack set when it falls silent.

The primary cannot be in maintenance: hand its role over first.`,
		Example: "  baton maintenance db3 on --why 'new disk'\n  baton maintenance db3 off",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 || args[1] != "on" && args[1] != "off" {
				return usage("%s takes a node and on or off; see `%s --help`", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			kind := cluster.RequestMaintenance
			if args[1] == "off" {
				kind = cluster.RequestMaintenanceEnd
			}
			return e.withDaemon(cmd, func(ctx context.Context, c *api.Client) error {
				return e.ask(ctx, c, api.Ask{Kind: kind, Node: cluster.NodeName(args[0]), Why: why}, wait, timeout)
			})
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "`text` that status shows to everybody")
	cmd.Flags().BoolVar(&wait, "wait", true, "wait until it is so")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait")
	return cmd
}
