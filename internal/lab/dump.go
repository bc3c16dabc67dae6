package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/baton-db/baton/internal/lab/process"
)

// dumpInto gives a node what a dump of the primary holds. The node's server runs
// out of everybody's sight while it takes the dump: its agent would have it
// follow with half of the data.
func (l *Lab) dumpInto(ctx context.Context, node string) error {
	primary, err := l.Primary(ctx)
	if err != nil {
		return err
	}
	if primary == node {
		return fmt.Errorf("%s is the primary, and nobody else has its data", node)
	}
	unlock, err := l.lock(node) // its agent must not start the server meanwhile
	if err != nil {
		return err
	}
	defer unlock()
	if p, ok := process.Recorded(l.Dir, serverName(node)); ok && p.Alive() {
		if err := p.Stop(ctx, time.Minute); err != nil {
			return fmt.Errorf("stop the server of %s: %w", node, err)
		}
	}
	if err := l.freshData(ctx, node); err != nil {
		return err
	}
	file := l.path(node, "dump.sql")
	if err := l.dump(ctx, primary, file); err != nil {
		return err
	}
	return errors.Join(l.load(ctx, node, file), os.Remove(file))
}

// dump writes all databases of a server but its own accounts, which are alike
// everywhere, and the GTID position that they are of.
func (l *Lab) dump(ctx context.Context, node, file string) error {
	var names string
	if err := l.ask(ctx, node, "SELECT GROUP_CONCAT(schema_name SEPARATOR '/') FROM information_schema.schemata "+
		"WHERE schema_name NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')", &names); err != nil {
		return err
	}
	args := []string{"--no-defaults", "--socket=" + l.socket(node), "--user=root", "--single-transaction",
		"--events", "--routines", "--result-file=" + file}
	args = append(append(args, l.words().dumpArgs...), "--databases")
	for _, n := range bytes.Split([]byte(names), []byte("/")) {
		args = append(args, string(n))
	}
	if out, err := exec.CommandContext(ctx, l.client(l.words().dump), args...).CombinedOutput(); err != nil {
		return fmt.Errorf("dump the server of %s: %w: %s", node, err, bytes.TrimSpace(out))
	}
	return nil
}

// load has a node's server, which does not run, take a dump.
func (l *Lab) load(ctx context.Context, node, file string) error {
	socket := l.path(node, "load.sock")
	p, err := process.Start(process.Spec{
		Lab: l.Dir, Name: node + "-loader", Namespace: l.net.Namespace(node), Log: l.path(node, "mysqld.log"),
		Args: append([]string{l.Program, "--defaults-file=" + l.path(node, "my.cnf"), "--socket=" + socket, "--skip-networking", "--event-scheduler=OFF"},
			l.words().loaderArgs...),
	})
	if err != nil {
		return err
	}
	run := func(ctx context.Context, stdin *os.File, args ...string) error {
		cmd := exec.CommandContext(ctx, l.client(l.words().client), append([]string{"--no-defaults", "--socket=" + socket, "--user=root"}, args...)...)
		cmd.Stdin = stdin
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("load a dump into the server of %s: %w: %s", node, err, bytes.TrimSpace(out))
		}
		return nil
	}
	f, err := os.Open(file)
	if err == nil {
		defer f.Close()
		err = until(ctx, "the server of "+node+" is up", func(ctx context.Context) error { return run(ctx, nil, "-e", "SELECT 1") })
	}
	if err == nil {
		// It is no history of this server's own.
		err = run(ctx, f, "--init-command=SET SESSION sql_log_bin = 0")
	}
	return errors.Join(err, p.Stop(ctx, time.Minute))
}
