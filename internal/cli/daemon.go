package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/api"
)

// daemon returns a client of the daemon that the command line means.
func (e *env) daemon() (*api.Client, error) {
	if e.socket != "" {
		return api.NewClient(e.socket), nil
	}
	socket, err := socketOf(e.config)
	if err != nil {
		return nil, fail(exitUsage, "find the daemon's socket: %w; or name it with --socket", err)
	}
	return api.NewClient(socket), nil
}

// withDaemon runs f with a client that is closed afterwards.
func (e *env) withDaemon(cmd *cobra.Command, f func(context.Context, *api.Client) error) error {
	c, err := e.daemon()
	if err != nil {
		return err
	}
	defer c.Close()
	return f(cmd.Context(), c)
}

// show asks the daemon for a document and prints it.
func show[T any](e *env, ask func(*api.Client, context.Context) (T, error), print func(io.Writer, T) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		return e.withDaemon(cmd, func(ctx context.Context, c *api.Client) error {
			document, err := ask(c, ctx)
			switch {
			case err != nil:
				return err
			case e.json():
				return e.printJSON(document)
			}
			return print(e.out, document)
		})
	}
}

// confirm asks a person. Without a person, yes must have been given.
func (e *env) confirm(yes bool, question string) error {
	switch {
	case yes:
		return nil
	case !e.asks:
		return usage("nobody is there to be asked %q: add --yes, or run it on a terminal", question)
	}
	fmt.Fprintf(e.err, "%s [y/N] ", question)
	var answer string
	// No answer is a no, and so is the end of the input.
	_, _ = fmt.Fscanln(e.in, &answer)
	if answer != "y" && answer != "Y" && answer != "yes" {
		return fail(exitFailed, "not confirmed; nothing was asked of the cluster")
	}
	return nil
}
