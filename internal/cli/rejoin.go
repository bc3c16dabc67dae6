package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
)

// rejoinFlags are what a person may say of a rejoin.
type rejoinFlags struct {
	rewind, reclone, hold bool
	from                  string
	drop, force, yes      bool
	dryRun, wait          bool
	timeout               time.Duration
	why                   string
}

func newRejoinCommand(e *env) *cobra.Command {
	var f rejoinFlags
	cmd := &cobra.Command{
		Use: "rejoin NODE", Short: "Give a node back to the cluster that cannot simply follow",
		Long: `Brings a node back whose server has transactions that the primary does not have,
or whose data is lost, or that is new:

  --rewind    undo what only this server has, then follow (MariaDB)
  --reclone   copy another server's data in place of its own, then follow; the
              data directory may be empty, or the server broken
  --hold      leave it as it is, and call off what is under way

Without any of them the configuration says how (rejoin.*). A reclone never touches
the primary, takes its data from a replica if there is one, leaves the old data as
it was until the copy is whole, and keeps it beside the new one unless --drop-old
is given.`,
		Example: `  baton rejoin db1 --dry-run --reclone
  baton rejoin db1 --rewind
  baton rejoin db4 --reclone --from db3 --yes
  baton rejoin db1 --hold`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("%s takes one node; see `%s --help`", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ask, err := f.ask(cluster.NodeName(args[0]))
			if err != nil {
				return err
			}
			return e.withDaemon(cmd, func(ctx context.Context, c *api.Client) error { return e.rejoin(ctx, c, ask, f) })
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.rewind, "rewind", false, "undo what only this server has")
	flags.BoolVar(&f.reclone, "reclone", false, "copy another server's data in place of its own")
	flags.BoolVar(&f.hold, "hold", false, "leave it as it is")
	flags.StringVar(&f.from, "from", "", "reclone: the `node` whose data it gets (default: the best one)")
	flags.BoolVar(&f.drop, "drop-old", false, "reclone: remove the old data once the copy is in its place")
	flags.BoolVar(&f.force, "force", false, "although nobody else acknowledges meanwhile")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only show what would be done")
	flags.BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	flags.BoolVar(&f.wait, "wait", true, "wait until it is done; --wait=false returns the request's id")
	flags.DurationVar(&f.timeout, "timeout", 24*time.Hour, "how long to wait")
	flags.StringVar(&f.why, "why", "", "`text` for the log")
	return cmd
}

func (f rejoinFlags) ask(node cluster.NodeName) (api.Ask, error) {
	a := api.Ask{Kind: cluster.RequestRejoin, Node: node, To: cluster.NodeName(f.from), Force: f.force, Drop: f.drop, Why: f.why}
	n := 0
	for m, is := range map[cluster.RejoinMethod]bool{cluster.Rewind: f.rewind, cluster.Reclone: f.reclone, cluster.Hold: f.hold} {
		if is {
			a.Method = m
			n++
		}
	}
	switch {
	case n > 1:
		return a, usage("one of --rewind, --reclone and --hold at a time")
	case (f.from != "" || f.drop) && !f.reclone:
		return a, usage("--from and --drop-old are for --reclone")
	}
	return a, nil
}

func (e *env) rejoin(ctx context.Context, c *api.Client, a api.Ask, f rejoinFlags) error {
	if a.Method != cluster.Hold || f.dryRun {
		p, err := c.PlanRejoin(ctx, a)
		if err != nil {
			return err
		}
		if f.dryRun && e.json() {
			if err := e.printJSON(p); err != nil {
				return err
			}
		} else if f.dryRun || p.Refused == "" && !e.json() {
			if _, err := fmt.Fprint(e.out, rejoinText(p, f.drop)); err != nil {
				return err
			}
		}
		switch {
		case p.Refused != "":
			return fail(exitRefused, "the cluster would refuse the rejoin: %s", printable(p.Refused))
		case f.dryRun:
			return nil
		}
		a.Method, a.To = p.Method, p.Donor // what was shown is what is asked for
		if err := e.confirm(f.yes || p.Method == cluster.Hold, rejoinQuestion(p)); err != nil {
			return err
		}
	}
	return e.ask(ctx, c, a, f.wait, f.timeout)
}

func rejoinQuestion(p api.RejoinPlan) string {
	if p.Method == cluster.Rewind {
		return fmt.Sprintf("Undo on %s what only its server has", p.Node) + "?"
	}
	return fmt.Sprintf("Replace all data of %s by a copy of %s's?", p.Node, p.Donor)
}

// rejoinText says what would be done.
func rejoinText(p api.RejoinPlan, drop bool) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintln(&b, printable(fmt.Sprintf(format, args...))) }
	if p.Refused != "" {
		say("rejoin of %s: would be refused: %s", p.Node, p.Refused)
		if p.Look != nil {
			for _, l := range p.Look.Lacks {
				say("  in the way: %s", l)
			}
		}
		return b.String()
	}
	switch p.Method {
	case cluster.Hold:
		say("rejoin of %s: it would be left as it is", p.Node)
	case cluster.Rewind:
		say("rejoin of %s: rewind", p.Node)
		say("  what only its server has would be undone, then it would follow")
	case cluster.Reclone:
		say("rejoin of %s: reclone from %s (%s)", p.Node, p.Donor, p.DonorWhy)
		if l := p.Look; l != nil {
			say("  about %s would be copied into %s, where %s are free", size(l.Bytes), cmp.Or(l.DataDir, "its data directory"), size(l.Free))
			say("  its server would be stopped, its data replaced (%s), its server started", oldText(*l, drop))
		}
	}
	for _, w := range p.Warnings {
		say("  note: %s", w)
	}
	return b.String()
}

func oldText(l api.RejoinLook, drop bool) string {
	switch {
	case l.Old == 0:
		return "there is none"
	case drop:
		return fmt.Sprintf("%s would be deleted", size(l.Old))
	}
	return fmt.Sprintf("%s would be kept as %s.before-reclone-…", size(l.Old), l.DataDir)
}

// size is a number of bytes for people.
func size(n int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d %s", n, units[0])
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}
