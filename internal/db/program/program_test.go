package program

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// says makes a program that answers so when it is asked for its version.
func says(t *testing.T, dir, name, answer string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho '"+answer+"'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAProgramIsWhatItSays(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("PATH", dir+":/bin:/usr/bin")
	t.Setenv(MySQLVar, "")

	says(t, dir, "mysqld", "mysqld  Ver 10.11.6-MariaDB for Linux")
	if _, _, err := Server("mysql"); err == nil || !strings.Contains(err.Error(), "MariaDB") || !strings.Contains(err.Error(), "scripts/setup.sh mysql") {
		t.Errorf("MariaDB under MySQL's name: %v", err)
	}
	says(t, dir, "mariadbd", "mariadbd  Ver 10.11.6-MariaDB for Linux")
	if got, version, err := Server("mariadb"); got != "mariadbd" || !strings.Contains(version, "10.11.6") || err != nil {
		t.Errorf("MariaDB under its own name: %q, %q, %v", got, version, err)
	}

	below := filepath.Join(dir, "below", "there")
	bin := filepath.Join(dir, ".cache/mysql/bin")
	for _, d := range []string{below, bin} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	unpacked := says(t, bin, "mysqld", "mysqld  Ver 9.7.4 for Linux")
	t.Chdir(below)
	if got, _, err := Server("mysql"); got != unpacked || err != nil {
		t.Errorf("one that is unpacked further up: %q, %v; want %s", got, err, unpacked)
	}

	given := says(t, dir, "mine", "mysqld  Ver 8.4.0 for Linux")
	t.Setenv(MySQLVar, given)
	if got, version, err := Server("mysql"); got != given || !strings.Contains(version, "8.4.0") || err != nil {
		t.Errorf("one that is named: %q, %q, %v", got, version, err)
	}
	t.Setenv(MySQLVar, filepath.Join(dir, "gone"))
	if _, _, err := Server("mysql"); err == nil || !strings.Contains(err.Error(), MySQLVar) {
		t.Errorf("one that is named and not there: %v", err)
	}
}
