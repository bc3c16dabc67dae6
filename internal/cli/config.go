package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/config"
)

func newConfigCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "Check the configuration, or show it with all defaults", Args: noArgs, SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigCheckCommand(e))
	return cmd
}

func newConfigCheckCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Say everything that is wrong with the configuration, and its mend",
		Long: `Reads the configuration and reports all findings at once, each with its line
and what would be right. Nothing is changed. Warnings do not keep a daemon from
starting; with errors the command ends with code 2.`,
		Example: "  baton config check\n  baton config check --config ./baton.yaml -o json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, found := config.Load(e.config)
			if e.json() {
				if found == nil {
					found = config.Findings{}
				}
				if err := e.printJSON(found); err != nil {
					return err
				}
			} else {
				e.printFindings(found)
			}
			if bad := len(found.Errors()); bad > 0 {
				return usage("%s: %s", e.config, count(bad, "error"))
			}
			return nil
		},
	}
}

func (e *env) printFindings(found config.Findings) {
	for _, f := range found {
		color := red
		if f.Severity == config.Warning {
			color = yellow
		}
		fmt.Fprintln(e.out, e.paint(color, printable(f.String())))
	}
	if len(found) == 0 {
		fmt.Fprintf(e.out, "%s: nothing is wrong\n", e.config)
	}
}

// socketOf is where the daemon listens that a configuration file describes.
func socketOf(file string) (string, error) {
	c, found := config.Load(file)
	if err := found.Err(); err != nil {
		return "", err
	}
	return c.Socket(), nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
