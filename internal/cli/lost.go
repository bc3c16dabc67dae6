package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/timeline"
)

func newLostCommand(e *env) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use: "lost [NAME]", Short: "Show the transactions that this host's server had and its primary lacked",
		Long: `When a server comes back with transactions that the primary lacks, its agent
writes down what they did before anything else happens to them. Without an
argument, lists what there is on this host. With a name, shows that report; with
-o json, every transaction with its rows.

Beside the report is replay.sql, which carries the transactions out on the
primary, each only where the rows still are as they were, and the binary logs
themselves.

Whether somebody has changed the rows on the primary since is judged once, soon
after the transactions are found; --check judges it anew, as it is now.`,
		Example: "  baton lost\n  baton lost 7\n  baton lost 7 --check\n  baton lost 7 -o json | jq '.transactions[].gtid'",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage("lost shows one at a time, got %d names", len(args))
			}
			if check && len(args) == 0 {
				return usage("--check takes the name of one; `baton lost` lists them")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withDaemon(cmd, func(ctx context.Context, c *api.Client) error {
				if check {
					one, err := c.LostCheck(ctx, args[0])
					if err != nil {
						return err
					}
					if e.json() {
						return e.printJSON(one)
					}
					return e.printLost([]api.Lost{one})
				}
				if len(args) == 1 {
					return c.LostFile(ctx, args[0], e.json(), e.out)
				}
				all, err := c.Lost(ctx)
				if err != nil {
					return err
				}
				if e.json() {
					return e.printJSON(all)
				}
				return e.printLost(all)
			})
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "compare its rows with the primary's as they are now")
	return cmd
}

func (e *env) printLost(all []api.Lost) error {
	if len(all) == 0 {
		fmt.Fprintln(e.out, "nothing: this host's server never had transactions that its primary lacked")
		return nil
	}
	w := newTable(e.out)
	fmt.Fprintln(w, "NAME\tFOUND\tLACKED BY\tWHAT\tACKNOWLEDGED\tCHANGED SINCE\tREWIND\tDIRECTORY")
	for _, l := range all {
		rewind := "possible"
		if l.InTheWay != "" {
			rewind = "no: " + l.InTheWay
		}
		changed := "?"
		if l.Since != nil {
			changed = fmt.Sprintf("%d rows (at %s)", l.Since.Changed, timeline.Moment(l.Since.At))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Name, timeline.Moment(l.At), orDash(string(l.Primary)), l.Headline, l.Acknowledged, changed, printable(rewind), printable(l.Directory))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}
