package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/config"
)

func newConfigCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "Check the configuration, show it with all defaults, or make one of keepalived from it", Args: noArgs, SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigCheckCommand(e), newConfigShowCommand(e), newConfigKeepalivedCommand(e))
	return cmd
}

func newConfigCheckCommand(e *env) *cobra.Command {
	var fileOnly bool
	cmd := &cobra.Command{
		Use: "check", Short: "Say everything that is wrong with the configuration, and its mend",
		Long: `Reads the configuration, looks at what it names on this host and at the database
servers, and reports all findings at once, each with its line or the statement
that shows it, and what would be right. Nothing is changed. Warnings do not keep
a daemon from starting; with errors the command ends with code 2.`,
		Example: "  baton config check\n  baton config check --file-only --config ./baton.yaml -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.checkConfig(cmd.Context(), fileOnly)
		},
	}
	cmd.Flags().BoolVar(&fileOnly, "file-only", false, "judge the file alone: it is for another host")
	return cmd
}

func (e *env) checkConfig(ctx context.Context, fileOnly bool) error {
	c, found := config.Load(e.config)
	switch {
	case c == nil || fileOnly:
	case e.wiring.Check != nil:
		found = append(found, e.wiring.Check(ctx, c)...)
	default:
		found = append(found, c.CheckFiles(time.Now())...)
	}
	return e.report(found)
}

// report shows the findings, and ends the command with code 2 if any of them is
// an error.
func (e *env) report(found config.Findings) error {
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
}

func newConfigShowCommand(e *env) *cobra.Command {
	var yaml bool
	cmd := &cobra.Command{
		Use: "show", Short: "Show every key with its value, and where that comes from",
		Long: `Shows the configuration in force, with every default filled in. Passwords are in
files, of which only the names are shown.`,
		Example: "  baton config show\n  baton config show --yaml\n  baton config show -o json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			c, found := config.Load(e.config)
			if c == nil {
				return usage("%w", found.Err())
			}
			switch {
			case yaml:
				b, err := c.YAML()
				if err != nil {
					return err
				}
				_, err = e.out.Write(b)
				return err
			case e.json():
				return e.printJSON(c.Rows())
			}
			w := newTable(e.out)
			fmt.Fprintln(w, "KEY\tVALUE\tFROM")
			for _, r := range c.Rows() {
				fmt.Fprintf(w, "%s\t%s\t%s\n", r.Key, orDash(r.Value), r.Source)
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&yaml, "yaml", false, "as a file that could be used instead")
	return cmd
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
