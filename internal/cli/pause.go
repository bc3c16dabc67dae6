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
