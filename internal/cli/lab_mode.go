package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/lab"
)

// labMode reads a mode that a person typed.
func labMode(text string) (cluster.Mode, error) {
	switch m := cluster.Mode(text); m {
	case cluster.Active, cluster.Observe:
		return m, nil
	}
	return "", usage("mode %q: use %s or %s", text, cluster.Active, cluster.Observe)
}

func newLabModeCommand(e *env, o *lab.Options) *cobra.Command {
	return &cobra.Command{
		Use: "mode active|observe [NODE]...", Short: "Write the mode into nodes' files and restart their agents; without nodes, of all",
		Example: "  baton lab up --mode observe\n  baton lab mode active\n  baton lab mode observe db3",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			mode, err := labMode(args[0])
			if err != nil {
				return err
			}
			l, err := lab.Open(*o)
			if err != nil {
				return usage("%w", err)
			}
			nodes := args[1:]
			if len(nodes) == 0 {
				nodes = l.Nodes()
			}
			for _, n := range nodes {
				if err := l.SetMode(cmd.Context(), n, mode); err != nil {
					return err
				}
				if !e.json() {
					fmt.Fprintf(e.out, "%s: mode %s\n", n, mode)
				}
			}
			if e.json() {
				return e.printJSON(map[string]any{"mode": mode, "nodes": nodes})
			}
			return nil
		},
	}
}
