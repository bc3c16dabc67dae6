package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/api"
)

// lookAgain is how often a restart is looked after.
const lookAgain = 50 * time.Millisecond

func newRestartCommand(e *env) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "restart", Short: "Replace this node's daemon in place, as after an upgrade",
		Long: `Starts the program anew in the same process, from the file that it was started
from, and with the configuration as it is now; returns when the new one takes part
again. Nothing on the host is taken down and no role moves: the lease bridges it, as
it bridges a daemon that was killed and comes back at once. So a cluster is upgraded
node by node, under load, without an outage.

Before anything happens the new program is asked whether it can read the
configuration. It is refused in the midst of a switch, and on a primary whose lease
is shorter than 1.5 s (profile fast), or whose agent announces addresses by BGP itself,
for its sessions end with the process: hand its role over first.

(Stopping or restarting the service hands a primary's role over, which takes about
0.1 s.)`,
		Example: "  apt-get install baton && baton restart     # on one node after the other",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withDaemon(cmd, func(ctx context.Context, c *api.Client) error {
				ctx, cancel := context.WithTimeout(ctx, timeout)
				defer cancel()
				return e.restart(ctx, c)
			})
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait for the new daemon")
	return cmd
}

func (e *env) restart(ctx context.Context, c *api.Client) error {
	before, err := c.Status(ctx)
	if err != nil {
		return err
	}
	if err := c.Restart(ctx); err != nil {
		return err
	}
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return fail(exitFailed, "the new daemon of %s has not joined the cluster in time: look at its log", before.Node)
		case <-tick.C:
		}
		now, err := c.Status(ctx)
		var told *api.Error
		if err != nil && errors.As(err, &told) && told.Status < 500 {
			return err
		}
		if err != nil || now.Agent == before.Agent || now.Known != before.Known || now.Store.Silent {
			continue
		}
		if e.json() {
			return e.printJSON(map[string]string{"node": string(now.Node), "build": now.Build, "agent": now.Agent})
		}
		_, err = fmt.Fprintf(e.out, "%s runs %s now; the primary is %s\n", now.Node, orDash(now.Build), orDash(string(now.Primary)))
		return err
	}
}
