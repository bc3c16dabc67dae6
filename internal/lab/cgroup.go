package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// cgroupRoot is where the control groups of both versions are mounted.
const cgroupRoot = "/sys/fs/cgroup"

// A controlGroup limits what the processes in it may take.
type controlGroup struct {
	dir string
	two bool // of version 2
}

// cgroup returns the control group that the lab keeps for a node under one
// controller. It may not exist yet.
func (l *Lab) cgroup(controller, node string) controlGroup {
	name := "baton-" + l.Name + "-" + node + "-" + controller
	if unified(controller) {
		return controlGroup{dir: filepath.Join(cgroupRoot, name), two: true}
	}
	return controlGroup{dir: filepath.Join(cgroupRoot, controller, name)}
}

// unified reports whether the controller is one of version 2.
func unified(controller string) bool {
	b, err := os.ReadFile(filepath.Join(cgroupRoot, "cgroup.controllers"))
	return err == nil && strings.Contains(" "+strings.TrimSpace(string(b))+" ", " "+controller+" ")
}

// canCgroup says why no control group of the controller can be made here.
func canCgroup(controller string) error {
	if unified(controller) {
		return nil
	}
	if _, err := os.Stat(filepath.Join(cgroupRoot, controller, "cgroup.procs")); err != nil {
		return fmt.Errorf("it needs the %s control group: %w", controller, err)
	}
	return nil
}

// limit makes the group with its limits, each a file and what is written to it,
// and puts a process into it.
func (g controlGroup) limit(pid int, limits ...[2]string) error {
	if err := os.Mkdir(g.dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make a control group: %w", err)
	}
	for _, x := range append(limits, [2]string{"cgroup.procs", strconv.Itoa(pid)}) {
		if err := os.WriteFile(filepath.Join(g.dir, x[0]), []byte(x[1]), 0); err != nil {
			return fmt.Errorf("set a control group's %s to %s: %w", x[0], x[1], err)
		}
	}
	return nil
}

// remove lets the processes of the group out and removes it. One that does not
// exist is no error.
func (g controlGroup) remove(ctx context.Context) error {
	return until(ctx, "the control group "+g.dir+" is empty", func(context.Context) error {
		b, err := os.ReadFile(filepath.Join(g.dir, "cgroup.procs"))
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		for pid := range strings.FieldsSeq(string(b)) {
			// One that is ending cannot be moved any more; the group goes with it.
			_ = os.WriteFile(filepath.Join(filepath.Dir(g.dir), "cgroup.procs"), []byte(pid), 0)
		}
		return os.Remove(g.dir)
	})
}

// removeCgroups takes away what faults may have left.
func (l *Lab) removeCgroups(ctx context.Context) error {
	var errs []error
	for _, n := range l.DataNodes() {
		for _, c := range []string{"cpu", "memory"} {
			errs = append(errs, l.cgroup(c, n).remove(ctx))
		}
	}
	return errors.Join(errs...)
}
