package dbtest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// templates are the data directories to copy, by flavor. Each is made once per
// test binary, and kept between binaries where the user has a cache directory.
type templates struct {
	mu   sync.Mutex
	made map[string]string
}

func (all *templates) of(flavor, mysqld, version string) (string, error) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if dir, ok := all.made[flavor]; ok {
		return dir, nil
	}
	dir, err := makeTemplate(kindOf(flavor), mysqld, version)
	if err == nil {
		all.made[flavor] = dir
	}
	return dir, err
}

var template = templates{made: map[string]string{}}

func makeTemplate(k kind, mysqld, version string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	// Before its version a server says what it was called by, path and all.
	_, number, _ := strings.Cut(version, "Ver ")
	key := sha256.Sum256(fmt.Appendf(nil, "%s %s%d", number, k.settings, os.Getuid()))
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
	if err := k.install(mysqld, fresh); err != nil {
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
