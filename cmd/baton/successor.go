package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/agent"
)

// replacement is the program file that this process was started from, as it will be
// when it is needed: a package manager may have put another one there.
type replacement struct{ program, config string }

// successor returns nil if the program's file is not known.
func successor(config string) agent.Successor {
	program, err := exec.LookPath(os.Args[0])
	if err == nil {
		program, err = filepath.Abs(program)
	}
	if err != nil {
		return nil
	}
	return replacement{program, config}
}

// checkLimit bounds how long the program may take to read its configuration.
const checkLimit = 10 * time.Second

// Check has the program read the configuration.
func (r replacement) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, r.program, "config", "show", "--config", r.config).CombinedOutput()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		return fmt.Errorf("%s config show: %s", r.program, strings.TrimSpace(string(out)))
	}
	return err
}

// Exec replaces this process by the program, with the same arguments.
func (r replacement) Exec() error {
	return fmt.Errorf("start %s anew: %w", r.program, unix.Exec(r.program, os.Args, os.Environ()))
}
