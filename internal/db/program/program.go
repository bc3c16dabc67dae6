// Package program answers which program on this machine is a database server of
// a flavor, for the labs and tests that start some.
//
// It never installs one. The one rule: MariaDB also answers to MySQL's names, so
// a program is what it says of itself, not what it is called.
package program

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// MySQLVar names the MySQL server to use, mysqld; otherwise it is searched for.
const MySQLVar = "BATON_MYSQLD"

// unpacked is where scripts/setup.sh puts MySQL, below the checkout.
const unpacked = ".cache/mysql/bin/mysqld"

// Server returns the program that is a server of a flavor, by its path or by a
// name on the PATH, and what it says of its version.
func Server(flavor string) (program, version string, err error) {
	if flavor != "mysql" {
		return ask("mariadbd", flavor)
	}
	if given := os.Getenv(MySQLVar); given != "" {
		return ask(given, flavor)
	}
	for _, at := range above() {
		if path := filepath.Join(at, unpacked); isFile(path) {
			return ask(path, flavor)
		}
	}
	return ask("mysqld", flavor)
}

// above are the directories of this process and of its program, and all those
// that they are in.
func above() (dirs []string) {
	var starts []string
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	if self, err := os.Executable(); err == nil {
		starts = append(starts, filepath.Dir(self))
	}
	for _, at := range starts {
		for {
			dirs = append(dirs, at)
			up := filepath.Dir(at)
			if up == at {
				break
			}
			at = up
		}
	}
	return dirs
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func ask(name, flavor string) (program, version string, err error) {
	if _, err := exec.LookPath(name); err != nil {
		return "", "", fmt.Errorf("no server of flavor %s on this machine (%s): %w", flavor, mend(flavor), err)
	}
	said, err := exec.Command(name, "--no-defaults", "--version").CombinedOutput()
	if err != nil {
		return "", "", fmt.Errorf("ask %s for its version: %w: %s", name, err, strings.TrimSpace(string(said)))
	}
	version = strings.TrimSpace(string(said))
	if is := strings.Contains(version, "MariaDB"); is != (flavor == "mariadb") {
		return "", "", fmt.Errorf("no server of flavor %s on this machine (%s): %s says that it is %s", flavor, mend(flavor), name, version)
	}
	return name, version, nil
}

func mend(flavor string) string {
	if flavor == "mysql" {
		return "scripts/setup.sh mysql unpacks one; " + MySQLVar + " names another"
	}
	return "Debian: apt-get install mariadb-server"
}
