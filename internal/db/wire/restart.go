package wire

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/baton-db/baton/internal/db"
)

// restart finds out how a server would come up again, by asking its own program
// what the option files say (--print-defaults, which does nothing else), and
// adding its command line. The server's variables would not do: they say what
// was set since, and whoever sets them hides where they came from.
func restart(ctx context.Context, pid int, persisted []string, readOnly string) db.Restart {
	if pid == 0 {
		return db.Restart{Why: "the server's process is not known"}
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return db.Restart{Why: fmt.Sprintf("read the server's command line: %v", err)}
	}
	args := strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
	launcher, args := splitLoader(args)
	files, given := splitArgs(args[1:])
	// The program as the process sees it, be it replaced by an upgrade since.
	program := fmt.Sprintf("/proc/%d/exe", pid)
	asked := exec.CommandContext(ctx, program, slices.Concat(launcher, files, []string{"--print-defaults"})...)
	out, err := asked.Output()
	if err != nil {
		return db.Restart{Why: fmt.Sprintf("ask %s --print-defaults: %v", args[0], err)}
	}
	r := effective(slices.Concat(printedDefaults(out), given, persisted), readOnly)
	r.Known = true
	r.Why = strings.Join(append(append([]string{args[0]}, files...), "--print-defaults"), " ")
	return r
}

// splitLoader separates what a dynamic loader was told that was started by name
// in front of the server (ld.so(8)), for a server that brings its own C library.
func splitLoader(args []string) (launcher, server []string) {
	if !strings.HasPrefix(filepath.Base(args[0]), "ld-linux") {
		return nil, args
	}
	for i := 1; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--library-path", a == "--argv0", a == "--preload":
			i++ // its value
		case !strings.HasPrefix(a, "--"):
			return args[1 : i+1], args[i:]
		}
	}
	return nil, args
}

// splitArgs separates the options that choose the option files, which must come
// first on a command line, from the others.
func splitArgs(args []string) (files, others []string) {
	for _, a := range args {
		option, _, _ := strings.Cut(a, "=")
		switch option {
		case "--no-defaults", "--defaults-file", "--defaults-extra-file", "--defaults-group-suffix":
			files = append(files, a)
		default:
			others = append(others, a)
		}
	}
	return files, others
}

// printedDefaults reads the answer to --print-defaults: a sentence, and a line
// with all options. A value with a space in it is torn apart, which none of
// those that matter here has.
func printedDefaults(out []byte) []string {
	_, options, _ := bytes.Cut(out, []byte("following arguments:\n"))
	return strings.Fields(string(options))
}

// effective applies options one after the other, the last one winning, spelt in
// any of the ways that the server accepts. readOnly is the option by which it
// takes no writes, of administrators either if there is such a thing.
func effective(args []string, readOnly string) db.Restart {
	var r db.Restart
	for _, a := range args {
		option, value, hasValue := strings.Cut(a, "=")
		on := !hasValue || IsOn(value) || strings.EqualFold(value, "TRUE")
		option = strings.ReplaceAll(strings.TrimPrefix(option, "--"), "_", "-")
		option = strings.TrimPrefix(option, "loose-")
		switch option {
		case readOnly, "enable-" + readOnly:
			r.ReadOnly = on
		case "skip-" + readOnly, "disable-" + readOnly:
			r.ReadOnly = false
		case "skip-slave-start", "skip-replica-start":
			r.HoldReplication = on
		case "replicate-same-server-id":
			r.OwnAgain = on
		case "init-rpl-role":
			r.InitRole = strings.ToUpper(value)
		}
	}
	return r
}
