package datadir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// begun is a place with room for a copy.
func begun(t *testing.T) (Place, Look) {
	t.Helper()
	p := Place(filepath.Join(t.TempDir(), "data"))
	if err := os.Mkdir(string(p), 0o700); err != nil {
		t.Fatal(err)
	}
	l := Look{Owner: os.Getuid(), Group: os.Getgid()}
	if err := p.Begin(l, false); err != nil {
		t.Fatal(err)
	}
	return p, l
}

// script is a program that does as a shell script says.
func script(t *testing.T, text string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mysqld")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nfor a; do case $a in --log-error=*) log=${a#*=};; --pid-file=*) pid=${a#*=};; esac; done\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return []string{path, "--defaults-file=/etc/of/the/user.cnf"}
}

func TestAServerThatCannotFetchACopySaysWhy(t *testing.T) {
	for name, tt := range map[string]struct{ does, want string }{
		"it cannot be initialised": {`echo "[ERROR] unknown variable 'innodb_typo=1'" > $log; exit 1`, "unknown variable 'innodb_typo=1'"},
		"it says nothing":          {"exit 3", "exit status 3"},
		"it ends when it is started": {`case $2 in --initialize-insecure) exit 0;; esac; echo "[ERROR] not enough memory" > $log; exit 1`,
			"has ended: [ERROR] not enough memory"},
	} {
		t.Run(name, func(t *testing.T) {
			p, l := begun(t)
			s, err := p.Seed(t.Context(), l, script(t, tt.does), (*exec.Cmd).Start)
			if err == nil {
				err = s.Ready(t.Context(), func(context.Context) error { return errors.New("nobody listens") })
				if ended := s.End(); ended != nil {
					t.Error(ended)
				}
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("it says %v, want %q", err, tt.want)
			}
		})
	}
	p, l := begun(t)
	if _, err := p.Seed(t.Context(), l, nil, (*exec.Cmd).Start); err == nil || !strings.Contains(err.Error(), "server.program") {
		t.Errorf("no program: %v", err)
	}
}

// TestAServerThatAnAgentLeftBehindIsEnded: nothing else would, and what it writes
// would be in the way of the next copy.
func TestAServerThatAnAgentLeftBehindIsEnded(t *testing.T) {
	p, l := begun(t)
	ready := filepath.Join(t.TempDir(), "ready")
	if err := exec.Command("mkfifo", ready).Run(); err != nil {
		t.Fatal(err)
	}
	does := fmt.Sprintf("case $2 in --initialize-insecure) exit 0;; esac; echo $$ > $pid; echo > %s; while :; do read x < %s; done", ready, ready)
	s, err := p.Seed(context.WithoutCancel(t.Context()), l, script(t, does), (*exec.Cmd).Start)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile(ready); err != nil { // it has begun
		t.Fatal(err)
	}
	if err := p.Clear(); err != nil { // by the next agent
		t.Fatal(err)
	}
	<-s.ended
	if s.cmd.ProcessState.Success() {
		t.Error("it ended by itself")
	}
	if _, err := os.Stat(p.staging()); err == nil {
		t.Error("its data is there still")
	}
	// Another process that has got the number since is left alone.
	if err := p.Begin(l, false); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.seedPID(), fmt.Appendf(nil, "%d\n", os.Getpid()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Clear(); err != nil {
		t.Fatal(err)
	}
}
