package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/lab"
	"github.com/baton-db/baton/internal/scenario"
)

func newLabScenarioCommand(e *env, o *lab.Options) *cobra.Command {
	return &cobra.Command{
		Use: "scenario FILE", Short: "Run a script of faults and expectations on a lab that is up",
		Long:    "Runs a script: what happens, and what must follow. docs/scenarios.md describes the language.",
		Example: "  baton lab scenario internal/scenario/scripts/host-death-seen-late.scenario",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("name the file of one scenario")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := os.ReadFile(args[0])
			if err != nil {
				return usage("read the scenario: %w", err)
			}
			s, err := scenario.Parse(string(b))
			if err != nil {
				return usage("%s: %w", args[0], err)
			}
			l, err := lab.Open(*o)
			if err != nil {
				return usage("%w", err)
			}
			fmt.Fprintf(e.progress(), "%s\n", s.Complaint)
			return l.Scenario(cmd.Context(), s, func(format string, args ...any) { fmt.Fprintf(e.progress(), format+"\n", args...) })
		},
	}
}
