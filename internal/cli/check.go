package cli

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/api"
)

func newCheckCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "check", Short: "Ask whether clients may be led to this host, for keepalived and scripts", Args: noArgs, SuggestionsMinimumDistance: 2,
		Long: `Asks the daemon of this host, which answers from memory, and ends with code 0 if the
answer is yes and with 1 if it is no. Any other code says that there is no answer: the
daemon does not run, or not within --timeout. One line says why.

These are the questions that every node answers over HTTP (docs/http.md). With
--socket the configuration is not read, which is quicker.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCheckPrimaryCommand(e), newCheckReplicaCommand(e), newCheckHealthCommand(e))
	return cmd
}

func newCheckPrimaryCommand(e *env) *cobra.Command {
	return newQuestion(e, "primary", "May clients that write be led here?", `Yes only while this node holds the lease and its gate is open: the vrrp_script of
keepalived that makes Baton decide who has the address. See also
`+"`baton config keepalived`"+`.`, "  baton check primary\n  baton check primary --socket /run/baton/shop.sock --timeout 500ms", func() string { return "/primary" })
}

func newCheckReplicaCommand(e *env) *cobra.Command {
	var lag time.Duration
	cmd := newQuestion(e, "replica", "May clients that read be led here?", `Yes if this server follows the primary and nothing is wrong with it, with --lag only
if it is no further behind.`, "  baton check replica\n  baton check replica --lag 10s", func() string {
		if lag == 0 {
			return "/replica"
		}
		return "/replica?" + url.Values{"lag": {lag.String()}}.Encode()
	})
	cmd.Flags().DurationVar(&lag, "lag", 0, "how far it may be behind (default: no limit)")
	return cmd
}

func newCheckHealthCommand(e *env) *cobra.Command {
	return newQuestion(e, "health", "Are this node's agent and server well?", "Yes if the agent runs, the store answers it, and the server is up.", "  baton check health", func() string { return "/health" })
}

// newQuestion is a command that asks one thing.
func newQuestion(e *env, use, short, long, example string, path func() string) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Example: example, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withDaemon(cmd, func(ctx context.Context, c *api.Client) error {
				ctx, cancel := context.WithTimeout(ctx, timeout)
				defer cancel()
				said, err := c.Check(ctx, path())
				switch {
				case err != nil:
					return err
				case e.json():
					err = e.printJSON(said)
				default:
					_, err = fmt.Fprintln(e.out, printable(said.Reason))
				}
				if err == nil && !said.OK {
					err = fail(exitFailed, "no: %s", printable(said.Reason))
				}
				return err
			})
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", time.Second, "how long to wait for the daemon")
	return cmd
}
