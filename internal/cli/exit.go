package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/api"
)

// exitCode is what a command ends with. Scripts rely on the numbers.
type exitCode int

const (
	exitOK          exitCode = 0
	exitFailed      exitCode = 1
	exitUsage       exitCode = 2
	exitRefused     exitCode = 3
	exitUnreachable exitCode = 4
	exitTimeout     exitCode = 5
	exitInterrupted exitCode = 130 // as shells have it: 128 + SIGINT
)

// exitCodes is the one place that says what they mean.
var exitCodes = [...]struct {
	code exitCode
	text string
}{
	{exitOK, "done; for a switch: the wanted node is primary"},
	{exitFailed, "begun and failed, or a planned switch was rolled back; of `baton check`: no"},
	{exitUsage, "wrong command line, configuration or name; nothing was asked of the cluster"},
	{exitRefused, "the cluster turned the request down; nothing was changed"},
	{exitUnreachable, "the daemon of this host does not answer"},
	{exitTimeout, "not finished within --timeout; it may go on, see `baton status`"},
	{exitInterrupted, "interrupted; what was asked for may go on, see `baton status`"},
}

func newExitCodesTopic(*env) *cobra.Command {
	cmd := &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean"}
	// A topic, not a command: `baton help exit-codes` shows it.
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
		fmt.Fprintln(w, "CODE\tMEANING")
		for _, c := range exitCodes {
			fmt.Fprintf(w, "%d\t%s\n", c.code, c.text)
		}
		w.Flush()
	})
	return cmd
}

// failure is an error with the exit code that it leads to.
type failure struct {
	code exitCode
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func fail(code exitCode, format string, args ...any) error {
	return &failure{code, fmt.Errorf(format, args...)}
}

func usage(format string, args ...any) error { return fail(exitUsage, format, args...) }

// codeOf is the exit code of an error from any depth.
func (e *env) codeOf(err error) exitCode {
	var f *failure
	var said *api.Error
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &f):
		return f.code
	case errors.Is(err, api.ErrUnreachable):
		return exitUnreachable
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &said):
		return codeOfStatus(said.Status)
	case !e.started:
		return exitUsage // the command line itself was not understood
	}
	return exitFailed
}

func codeOfStatus(status int) exitCode {
	switch status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed:
		return exitUsage
	case http.StatusConflict:
		return exitRefused
	}
	return exitFailed
}

// finish shows an error and returns the exit code.
func (e *env) finish(err error) int {
	code := e.codeOf(err)
	switch {
	case err == nil:
	case e.output == "json":
		b, _ := json.Marshal(struct { // strings and numbers always encode
			Error string `json:"error"`
			Code  int    `json:"code"`
		}{err.Error(), int(code)})
		fmt.Fprintf(e.err, "%s\n", b)
	default:
		fmt.Fprintf(e.err, "baton: %v\n", err)
	}
	return int(code)
}
