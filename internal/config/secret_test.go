package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestASecretDoesNotShow(t *testing.T) {
	s := NewSecret("hunter2")
	inner := struct{ hidden Secret }{s}
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "s", s, "p", Passwords{Agent: s}, "inner", inner)
	encoded, err := json.Marshal(Passwords{Agent: s})
	if err != nil {
		t.Fatal(err)
	}
	shown := []string{logged.String(), string(encoded), s.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown = append(shown, fmt.Sprintf(verb, s), fmt.Sprintf(verb, &s), fmt.Sprintf(verb, Passwords{Agent: s}), fmt.Sprintf(verb, inner), fmt.Sprintf(verb, []Secret{s}))
	}
	for _, text := range shown {
		if strings.Contains(text, "hunter2") || strings.Contains(text, fmt.Sprintf("%x", "hunter2")) {
			t.Errorf("it shows in %s", text)
		}
	}
	if s.Reveal() != "hunter2" || (Secret{}).Reveal() != "" {
		t.Error("it is not revealed")
	}
}

// in returns a good configuration whose files are in a directory.
func in(t *testing.T, node string) (*Config, string) {
	t.Helper()
	dir := t.TempDir()
	cfg, found := Parse(filepath.Join(dir, "baton.yaml"), []byte(strings.Replace(good, "node: db1", "node: "+node, 1)))
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"agent", "repl", "probe"} {
		put(t, filepath.Join(dir, name+".password"), name+" secret\n", 0o600)
	}
	return cfg, dir
}

func put(t *testing.T, file, content string, mode os.FileMode) {
	t.Helper()
	if err := os.RemoveAll(file); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
}

func TestPasswordsAreReadFromTheirFiles(t *testing.T) {
	cfg, _ := in(t, "db1")
	p, found := cfg.Passwords()
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	got := []string{p.Agent.Reveal(), p.Replication.Reveal(), p.Probe.Reveal(), p.Writer.Reveal()}
	if diff := cmp.Diff([]string{"agent secret", "repl secret", "probe secret", "probe secret"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAWitnessNeedsThePasswordOfProbesOnly(t *testing.T) {
	cfg, dir := in(t, "w1")
	for _, name := range []string{"agent", "repl"} {
		if err := os.Remove(filepath.Join(dir, name+".password")); err != nil {
			t.Fatal(err)
		}
	}
	p, found := cfg.Passwords()
	if err := found.Err(); err != nil || p.Probe.Reveal() != "probe secret" || p.Agent.Reveal() != "" {
		t.Errorf("%v %q", err, p.Probe.Reveal())
	}
}

func TestPasswordFilesThatAreRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		make func(t *testing.T, file string)
		want string
	}{
		"readable by everybody": {func(t *testing.T, f string) { put(t, f, "x\n", 0o644) },
			"everybody on this host may open FILE (mode 0644); chmod 0600 FILE"},
		"writable by everybody": {func(t *testing.T, f string) { put(t, f, "x\n", 0o602) },
			"everybody on this host may open FILE (mode 0602); chmod 0600 FILE"},
		"missing": {func(t *testing.T, f string) { mustRemove(t, f) },
			"read FILE: no such file or directory; write the password into it, on one line, with mode 0600"},
		"empty": {func(t *testing.T, f string) { put(t, f, "\n", 0o600) },
			"FILE is empty; write the password into it, on one line"},
		"two lines": {func(t *testing.T, f string) { put(t, f, "a\nb\n", 0o600) },
			"FILE holds more than one line; write the password into it, on one line"},
		"a directory": {func(t *testing.T, f string) {
			mustRemove(t, f)
			if err := os.Mkdir(f, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "FILE is no regular file; give a file that holds the password on one line"},
		"a pipe that nobody writes to": {func(t *testing.T, f string) {
			mustRemove(t, f)
			if err := syscall.Mkfifo(f, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "FILE is no regular file; give a file that holds the password on one line"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, dir := in(t, "db1")
			file := filepath.Join(dir, "repl.password")
			tt.make(t, file)
			_, found := cfg.Passwords()
			want := cfg.File + ":9: server.replication.password_file: " + strings.ReplaceAll(tt.want, "FILE", file)
			if found.String() != want {
				t.Errorf("got  %s\nwant %s", found, want)
			}
		})
	}
}

func mustRemove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}
