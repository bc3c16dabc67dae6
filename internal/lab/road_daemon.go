package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/baton-db/baton/internal/db/program"
	"github.com/baton-db/baton/internal/lab/process"
)

// daemon is a program that runs on a host for a road.
type daemon struct {
	name string // of one on that host
	host string
	args []string
	// prepare writes what it reads; nil: nothing.
	prepare func(ctx context.Context) error
	// ready is asked again and again until it finds nothing wrong; nil: it is, at once.
	ready func(ctx context.Context) error
}

// recorded is the name under which the process is kept.
func (d daemon) recorded() string { return d.host + "-" + d.name }

// startRoads starts everything that runs for roads on the hosts that are wanted, unless
// it runs already, and waits until it answers.
func (l *Lab) startRoads(ctx context.Context, wanted func(host string) bool) error {
	var g errgroup.Group
	for _, r := range l.TheRoads() {
		if r.daemons == nil {
			continue
		}
		g.Go(func() error {
			for _, d := range r.daemons(l) {
				if !wanted(d.host) {
					continue
				}
				if err := l.startDaemon(ctx, d); err != nil {
					return fmt.Errorf("the road %s: %w", r.Name, err)
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// StartRoad starts what runs for a road, and does not.
func (l *Lab) StartRoad(ctx context.Context, r Road) error {
	for _, d := range r.daemons(l) {
		if err := l.startDaemon(ctx, d); err != nil {
			return fmt.Errorf("the road %s: %w", r.Name, err)
		}
	}
	return nil
}

func (l *Lab) startDaemon(ctx context.Context, d daemon) error {
	unlock, err := l.lock(d.recorded()) // an agent may be having it restarted
	if err != nil {
		return err
	}
	defer unlock()
	return l.launch(ctx, d)
}

// launch starts it unless it runs; its caller has its lock.
func (l *Lab) launch(ctx context.Context, d daemon) error {
	p, ok := process.Recorded(l.Dir, d.recorded())
	if ok && p.Alive() {
		return nil
	}
	if err := os.MkdirAll(l.path(d.host), 0o750); err != nil {
		return fmt.Errorf("make the directory of %s: %w", d.host, err)
	}
	if d.prepare != nil {
		if err := d.prepare(ctx); err != nil {
			return err
		}
	}
	log := l.path(d.host, d.name+".log")
	p, err := process.Start(process.Spec{Lab: l.Dir, Name: d.recorded(), Namespace: l.net.Namespace(d.host), Args: d.args, Log: log})
	if err != nil || d.ready == nil {
		return err
	}
	var ended error
	err = until(ctx, d.recorded()+" answers", func(ctx context.Context) error {
		if !p.Alive() {
			ended = fmt.Errorf("%s ended, see %s: %s", d.recorded(), log, tail(log, 400))
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, askRoad)
		defer cancel()
		return d.ready(ctx)
	})
	return errors.Join(ended, err)
}

// roadLogs are the logs of what runs for roads, by host.
func (l *Lab) roadLogs() map[string][]string {
	logs := map[string][]string{}
	for _, r := range l.TheRoads() {
		if r.daemons == nil {
			continue
		}
		for _, d := range r.daemons(l) {
			logs[d.host] = append(logs[d.host], d.name+".log")
		}
	}
	return logs
}

// administrators' are the directories that are not on everybody's PATH.
var administrators = [...]string{"/usr/sbin", "/sbin"}

// find is where the thing is.
func (n need) find() (string, error) {
	if filepath.IsAbs(n.file) {
		_, err := os.Stat(n.file)
		return n.file, err
	}
	path, err := exec.LookPath(n.file)
	dirs := append(administrators[:], n.dirs...)
	if err != nil && n.beside != "" {
		if server, _, none := program.Server(n.beside); none == nil {
			dirs = append(dirs, filepath.Dir(server))
		}
	}
	for _, dir := range dirs {
		if err != nil {
			path, err = exec.LookPath(filepath.Join(dir, n.file))
		}
	}
	return path, err
}

// program is where a program of a road's needs is; it was looked for when the lab was built.
func (r Road) program(name string) string {
	for _, n := range r.needs {
		if n.file == name {
			if path, err := n.find(); err == nil {
				return path
			}
		}
	}
	return name
}

// unconfined copies a program into the lab and returns where it is: Debian confines some
// name servers to their own directories (AppArmor), by the path of the program.
func (l *Lab) unconfined(ctx context.Context, host, program string) error {
	out, err := exec.CommandContext(ctx, "cp", "--remove-destination", program, l.path(host)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copy %s: %w: %s", program, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// all runs steps until one fails.
func all(steps ...func() error) error {
	for _, s := range steps {
		if err := s(); err != nil {
			return err
		}
	}
	return nil
}

// writeOnce writes a file that its owner changes afterwards.
func writeOnce(path, text string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return writeFile(path, []byte(text), 0o600)
}
