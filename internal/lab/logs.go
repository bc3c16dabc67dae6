package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// logFiles are what of a host is worth keeping after a failure.
var logFiles = [...]string{"agent.log", "mysqld.log", "keepalived.log", "etcd.log", "baton.yaml", "my.cnf"}

// SaveLogs copies the logs of all hosts into a directory, a new one below the
// system's temporary directory if none is named, and returns its path.
func (l *Lab) SaveLogs(dir string) (string, error) {
	if dir == "" {
		d, err := os.MkdirTemp("", "baton-lab-"+l.Name+"-")
		if err != nil {
			return "", fmt.Errorf("make a directory for the logs: %w", err)
		}
		dir = d
	}
	of := l.roadLogs()
	for _, host := range append(l.Nodes(), l.StoreHosts()...) {
		of[host] = append(of[host], logFiles[:]...)
	}
	for host, files := range of {
		if err := os.MkdirAll(filepath.Join(dir, host), 0o750); err != nil {
			return "", fmt.Errorf("save the logs: %w", err)
		}
		for _, f := range files {
			b, err := os.ReadFile(l.path(host, f))
			if os.IsNotExist(err) {
				continue
			}
			if err != nil {
				return "", fmt.Errorf("save the logs: %w", err)
			}
			if err := os.WriteFile(filepath.Join(dir, host, f), b, 0o640); err != nil {
				return "", fmt.Errorf("save the logs: %w", err)
			}
		}
	}
	return dir, nil
}

// withLogs saves the logs before the lab goes and says where they are.
func (l *Lab) withLogs(err error) error {
	dir, saveErr := l.SaveLogs("")
	if saveErr != nil {
		return errors.Join(err, saveErr)
	}
	return fmt.Errorf("%w (logs are in %s)", err, dir)
}

// Autopsy makes every agent write down what it was doing (SIGQUIT: the Go
// runtime prints all goroutines into the agent's log and ends it). The lab is
// of no use afterwards.
func (l *Lab) Autopsy(ctx context.Context) error {
	if l.Manager != ByBaton {
		return nil
	}
	for _, n := range l.Nodes() {
		p, err := l.agent(n)
		if err != nil {
			continue // it has ended, and its log says how
		}
		if err := errors.Join(p.Signal(unix.SIGQUIT), p.Signal(unix.SIGCONT)); err != nil {
			return fmt.Errorf("look into the agent of %s: %w", n, err)
		}
		if err := p.Wait(ctx); err != nil {
			return fmt.Errorf("look into the agent of %s: %w", n, err)
		}
	}
	return nil
}
