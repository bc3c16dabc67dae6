package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/timeline"
)

func newHistoryCommand(e *env) *cobra.Command {
	var svg string
	cmd := &cobra.Command{
		Use:   "history [EPOCH|last]",
		Short: "List past switches, or show where the time of one went",
		Long: `Without an argument, lists all recorded switches, newest first. With an epoch,
shows that switch step by step from all nodes: where the time went, why each
other node was passed over, and how the record changed.`,
		Example: `  baton history
  baton history 7
  baton history last --svg failover.svg
  baton history 7 -o json`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return usage("history shows one switch at a time, got %d arguments", len(args))
			case len(args) == 0 && svg != "":
				return usage("--svg draws one switch: say which, as in `baton history last --svg %s`", svg)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withDaemon(cmd, func(ctx context.Context, c *api.Client) error {
				if len(args) == 0 {
					return e.listHistory(ctx, c)
				}
				s, err := pickSwitch(ctx, c, args[0])
				if err != nil {
					return err
				}
				return e.showSwitch(s, svg)
			})
		},
	}
	cmd.Flags().StringVar(&svg, "svg", "", "draw the switch into `file` (- for standard output)")
	return cmd
}

func (e *env) listHistory(ctx context.Context, c *api.Client) error {
	all, err := c.History(ctx)
	if err != nil {
		return err
	}
	if e.json() {
		return e.printJSON(all)
	}
	return e.text().List(e.out, all)
}

func pickSwitch(ctx context.Context, c *api.Client, arg string) (timeline.Switch, error) {
	if arg == "last" {
		all, err := c.History(ctx)
		if err != nil {
			return timeline.Switch{}, err
		}
		if len(all) == 0 {
			return timeline.Switch{}, fail(exitFailed, "no switch has been recorded yet")
		}
		return all[len(all)-1], nil
	}
	epoch, err := strconv.ParseUint(arg, 10, 64)
	if err != nil {
		return timeline.Switch{}, usage("%q is not an epoch; use a number as `baton history` lists them, or last", arg)
	}
	return c.Switch(ctx, cluster.Epoch(epoch))
}

func (e *env) showSwitch(s timeline.Switch, svg string) error {
	switch {
	case svg == "-":
		return timeline.SVG(e.out, s)
	case svg != "":
		var b bytes.Buffer
		if err := timeline.SVG(&b, s); err != nil {
			return err
		}
		if err := os.WriteFile(svg, b.Bytes(), 0o644); err != nil {
			return fmt.Errorf("draw the switch: %w", err)
		}
		return nil
	case e.json():
		return e.printJSON(s)
	}
	return e.text().Waterfall(e.out, s)
}
