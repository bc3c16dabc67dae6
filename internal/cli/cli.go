// Package cli answers what a person types: it turns command lines into calls
// of the daemon's API and of the configuration, and answers into tables.
//
// It never touches a database, a host's network or the store by itself; what
// changes a cluster goes through the daemon as a request. The rule that must
// not be broken: every command has a -o json whose form is kept, and ends with
// one of the exit codes in exit.go.
package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// Main runs a command line and returns the exit code.
func Main(args []string, stdin, stdout, stderr *os.File, w Wiring) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, args, &env{
		wiring: w,
		in:     stdin, out: stdout, err: stderr,
		asks:    term.IsTerminal(int(stdin.Fd())) && term.IsTerminal(int(stderr.Fd())),
		screen:  term.IsTerminal(int(stdout.Fd())) && os.Getenv("TERM") != "dumb",
		noColor: os.Getenv("NO_COLOR") != "",
		utf8:    utf8Locale(os.Getenv),
		width: func() int {
			width, _, err := term.GetSize(int(stdout.Fd()))
			if err != nil {
				return 0
			}
			return width
		},
	})
}

// env is the world around one command line.
type env struct {
	in       io.Reader
	out, err io.Writer
	asks     bool       // a person can be asked
	screen   bool       // out is a terminal
	noColor  bool       // https://no-color.org
	utf8     bool       // the terminal shows more than ASCII
	width    func() int // columns; 0: not known
	wiring   Wiring

	// What every command takes.
	output string // table or json
	config string
	socket string

	started bool // the command line was understood
}

func utf8Locale(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} { // the first that is set counts (locale(7))
		if v := getenv(name); v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

func run(ctx context.Context, args []string, e *env) int {
	root := newRoot(e)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	return e.finish(err)
}

func newRoot(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:   "baton",
		Short: "Moves the write role of a MySQL or MariaDB cluster, and leads clients there",
		Long: `Baton keeps one primary in a cluster of MySQL or MariaDB servers, replaces it
within a second when it dies, and moves the addresses that clients connect to.

Run ` + "`baton run`" + ` on every node. All other commands speak to the daemon on this
host through its unix socket; any node will do.`,
		Example: `  baton status
  baton switchover --to db2
  baton history 7`,
		SilenceUsage: true, SilenceErrors: true, SuggestionsMinimumDistance: 2,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(e.in)
	root.SetOut(e.out)
	root.SetErr(e.err)
	root.CompletionOptions.HiddenDefaultCmd = true
	flags := root.PersistentFlags()
	flags.StringVarP(&e.output, "output", "o", "table", "output format: table or json")
	flags.StringVar(&e.config, "config", "/etc/baton/baton.yaml", "configuration `file`")
	flags.StringVar(&e.socket, "socket", "", "unix `socket` of the daemon (default: where the configuration puts it)")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(cmd, err) })

	root.AddCommand(
		newStatusCommand(e), newExplainCommand(e), newDoctorCommand(e), newSwitchoverCommand(e), newFailoverCommand(e), newPauseCommand(e), newResumeCommand(e), newRestartCommand(e), newMaintenanceCommand(e), newRejoinCommand(e),
		newHistoryCommand(e), newLostCommand(e), newConnsCommand(e), newStoreCommand(e), newInitCommand(e), newConfigCommand(e), newCheckCommand(e), newVersionCommand(e), newExitCodesTopic(e), newNotifyCommand(e),
	)
	root.AddCommand(otherCommands(e)...)
	e.watchStart(root)
	return root
}

// watchStart makes every command check what all of them take, and note that
// the line was understood: what goes wrong from then on is no usage error.
func (e *env) watchStart(cmd *cobra.Command) {
	if inner := cmd.RunE; inner != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if !slices.Contains([]string{"table", "json"}, e.output) {
				return usage("-o %s is no output format; use table or json", e.output)
			}
			e.started = true
			return inner(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		e.watchStart(sub)
	}
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		mend := "see `" + cmd.CommandPath() + " --help`"
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			mend = "did you mean " + strings.Join(near, " or ") + "?"
		}
		return usage("%s has no command %q; %s", cmd.CommandPath(), args[0], mend)
	}
	return usage("%s takes no argument, got %q; see `%s --help`", cmd.CommandPath(), args[0], cmd.CommandPath())
}

func usageError(cmd *cobra.Command, err error) error {
	return usage("%w; see `%s --help`", err, cmd.CommandPath())
}

// interrupted reports whether a person pressed Ctrl-C or something asked the
// process to end.
func interrupted(ctx context.Context) bool { return errors.Is(ctx.Err(), context.Canceled) }
