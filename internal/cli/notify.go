package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/config"
)

// Told is what came of telling one target of notify.targets.
type Told struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	Error string `json:"error,omitempty"`
}

func newNotifyCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "notify", Short: "Try whether people are told", Args: noArgs, SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use: "test [target]", Short: "Send a test message to one target of notify.targets, or to all",
		Long: `Sends one message to each target, from this host and at once, as the daemon would, and
says what came of it. No daemon need run. Try it on every host: any of them may be the
one that tells. A target that could not be told ends the command with code 1.`,
		Example: "  baton notify test\n  baton notify test dba-chat",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.tryNotify(cmd.Context(), strings.Join(args, ""))
		},
	})
	return cmd
}

func (e *env) tryNotify(ctx context.Context, only string) error {
	c, found := config.Load(e.config)
	if c == nil {
		return usage("%w", found.Err())
	}
	var names []string
	for _, t := range c.Notify.Targets {
		names = append(names, t.Name)
	}
	switch {
	case e.wiring.Notify == nil:
		return fail(exitFailed, "this build cannot tell anybody")
	case len(names) == 0:
		return usage("%s has no notify.targets: nobody is told", e.config)
	}
	told, err := e.wiring.Notify(ctx, c, only)
	if err != nil {
		return usage("%w", err)
	}
	if len(told) == 0 {
		return usage("there is no target %q; there are %s", only, strings.Join(names, ", "))
	}
	return e.printTold(told)
}

func (e *env) printTold(told []Told) error {
	failed := 0
	for _, t := range told {
		if t.Error != "" {
			failed++
		}
	}
	if e.json() {
		if err := e.printJSON(told); err != nil {
			return err
		}
	} else {
		w := newTable(e.out)
		fmt.Fprintln(w, "TARGET\tKIND\tRESULT")
		for _, t := range told {
			result := "told"
			if t.Error != "" {
				result = printable(t.Error)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", t.Name, t.Kind, result)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fail(exitFailed, "%s could not be told", count(failed, "target"))
	}
	return nil
}
