package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/api"
)

func newConnsCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "conns", Short: "Show which clients are connected to the primary, as this node knows it",
		Long: `Lists the ledger of the clients' connections with the virtual addresses. The
primary's agent looks at them about once a second and tells the other data nodes.
If the primary's host dies, the one that takes over from it has every client in its
ledger get a reset, so that idle connections end now and not at their next use.

KNOWN FOR is how long a connection has been in the ledger, which is no longer than
the agent of its node has been running. A connection younger than the ledger's age
may be missing.`,
		Example: "  baton conns\n  baton conns -o json | jq '.connections | length'",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withDaemon(cmd, func(ctx context.Context, c *api.Client) error {
				l, err := c.Ledger(ctx)
				if err != nil {
					return err
				}
				if e.json() {
					return e.printJSON(l)
				}
				return e.printLedger(l)
			})
		},
	}
}

func (e *env) printLedger(l api.Ledger) error {
	if len(l.Connections) > 0 {
		w := newTable(e.out)
		fmt.Fprintln(w, "CLIENT\tADDRESS\tNODE\tKNOWN FOR")
		for _, c := range l.Connections {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", printable(c.Client), printable(c.Address), l.Node, c.Known.D().Round(time.Second))
		}
		if err := w.Flush(); err != nil {
			return fmt.Errorf("write the answer: %w", err)
		}
		fmt.Fprintln(e.out)
	}
	switch {
	case l.Node == "":
		fmt.Fprintln(e.out, "no connections are known here")
	default:
		fmt.Fprintf(e.out, "%d connections on %s, as of %s ago\n", len(l.Connections), l.Node, l.Age.D().Round(100*time.Millisecond))
	}
	if l.Beyond > 0 {
		fmt.Fprintf(e.out, "%d more are left out: connections.limit is %d\n", l.Beyond, l.Limit)
	}
	if l.Why != "" {
		fmt.Fprintln(e.out, "not kept up: "+printable(l.Why))
	}
	return nil
}
