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

Before it touches anything it looks at the configuration, this host and its
server, and refuses to start, with code 2 and everything that it found, where it
could do harm. A server that is down does not keep it from starting. Use
` + "`baton config check`" + ` for the whole look, warnings included.

On SIGHUP it reads the configuration anew. What can change at run time is taken
over at once; every other change is named in the log, and waits for a restart. A
file with an error in it changes nothing.

It ends on SIGTERM and SIGINT: a primary first gives its role up, and everything
that Baton put on the host is removed.`,
		Example: "  baton run\n  baton run --config ./baton.yaml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if e.wiring.Run == nil || e.wiring.CheckStart == nil {
				return errors.New("this build cannot run a daemon")
			}
			c, found := config.Load(e.config)
			if c != nil {
				found = append(found, e.wiring.CheckStart(cmd.Context(), c)...)
			}
			if len(found.Errors()) > 0 {
				return e.report(found)
			}
			return e.wiring.Run(cmd.Context(), c, func() {})
		},
	}
}
