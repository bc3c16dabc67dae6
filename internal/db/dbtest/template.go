package dbtest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// settings are those of every test server: small, quick, and not safe against
// the loss of power. A killed process loses nothing.
const settings = `[mysqld]
skip-name-resolve
bind-address=127.0.0.1
log-bin=bin
log-slave-updates=ON
gtid-strict-mode=ON
binlog-format=ROW
read-only=1
skip-slave-start
max-connections=40
performance-schema=OFF
innodb-buffer-pool-size=16M
innodb-log-file-size=4M
innodb-data-file-path=ibdata1:4M:autoextend
innodb-autoextend-increment=1
innodb-flush-log-at-trx-commit=2
innodb-doublewrite=0
innodb-fast-shutdown=2
innodb-buffer-pool-dump-at-shutdown=OFF
innodb-buffer-pool-load-at-startup=OFF
sync-binlog=0
key-buffer-size=64K
aria-pagecache-buffer-size=1M
table-open-cache=200
thread-stack=256K
`

// template returns a data directory to copy. It is made once per test binary,
// and kept between binaries where the user has a cache directory.
var template = sync.OnceValues(makeTemplate)

func makeTemplate() (string, error) {
	version, err := exec.Command("mariadbd", "--no-defaults", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask mariadbd for its version: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	key := sha256.Sum256(fmt.Appendf(version, "%s%d", settings, os.Getuid()))
	dir := filepath.Join(cache, "baton-dbtest", fmt.Sprintf("%x", key[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", fmt.Errorf("make room for the template: %w", err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "making-")
	if err != nil {
		return "", fmt.Errorf("make room for the template: %w", err)
	}
	defer os.RemoveAll(fresh)
	if err := install(fresh); err != nil {
		return "", err
	}
	// Several binaries may come here at once: whoever is first wins, and all
	// templates are alike.
	if err := os.Rename(fresh, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, gone := os.Stat(dir); gone != nil {
			return "", fmt.Errorf("put the template in place: %w", err)
		}
	}
	return dir, nil
}

func install(dir string) error {
	args := []string{
		"--no-defaults", "--datadir=" + dir, "--auth-root-authentication-method=socket", "--skip-test-db", "--force", // a machine need not know its own name
		"--innodb-log-file-size=4M", "--innodb-data-file-path=ibdata1:4M:autoextend", "--innodb-autoextend-increment=1",
	}
	out, err := exec.Command("mariadb-install-db", append(args, asUser()...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("make a data directory: %w: %s", err, out)
	}
	return nil
}

// asUser are the options that let root run a server.
func asUser() []string {
	if os.Getuid() == 0 {
		return []string{"--user=root"}
	}
	return nil
}

// needMariaDB skips a test, loudly, where there is no server to run.
func needMariaDB(t testing.TB) {
	for _, program := range []string{"mariadbd", "mariadb-install-db"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIPPED, NOTHING WAS TESTED: %s is missing (Debian: apt-get install mariadb-server): %v", program, err)
		}
	}
}
