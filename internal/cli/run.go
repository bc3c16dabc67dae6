package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/config"
)

func newRunCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "run", Short: "Run this host's daemon",
		Long: `Runs the daemon of this host: it watches the cluster, takes part in every
decision, and carries out what its host has to do. It needs root, or the
capabilities NET_ADMIN, NET_RAW, SYS_NICE, IPC_LOCK, KILL and SYS_PTRACE.

It ends on SIGTERM and SIGINT: a primary first gives its role up, and everything
that Baton put on the host is removed.`,
		Example: "  baton run\n  baton run --config ./baton.yaml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, found := config.Load(e.config)
			if err := found.Err(); err != nil {
				e.printFindings(found)
				return usage("%s: %s", e.config, count(len(found.Errors()), "error"))
			}
			if e.wiring.Run == nil {
				return errors.New("this build cannot run a daemon")
			}
			return e.wiring.Run(cmd.Context(), c, func() {})
		},
	}
}
