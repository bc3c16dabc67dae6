package dbtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/program"
)

// The flavors of servers.
const (
	MariaDB = "mariadb"
	MySQL   = "mysql"
)

// kind is what the suite has to know of a flavor that it cannot ask the driver.
type kind struct {
	settings string
	// install makes a data directory with a server's program.
	install func(mysqld, dir string) error

	stopApplier, stopReplica string // statements
	// restart are options with which a server comes up writable, readOnly the
	// statement that makes it read-only after all, and comesUp what else its
	// options say of its next start.
	restart   []string
	readOnly  string
	comesUp   db.Restart
	onReplica string // the status of an event that a replica got
	nobodys   string // a transaction that nobody has
	unbound   string // a privilege by which an account writes on a read-only server
	manyAcks  bool   // a commit can wait for more than one acknowledgement
	// stalePosition: the place in the relay log to go on from is no part of the
	// data, and a crash can leave one that is older.
	stalePosition bool
}

func kindOf(flavor string) kind {
	if flavor == MySQL {
		return mysqlKind()
	}
	return mariadbKind()
}

func mariadbKind() kind {
	return kind{
		settings: mariadbSettings, install: installMariaDB,
		stopApplier: "STOP SLAVE SQL_THREAD", stopReplica: "STOP SLAVE",
		restart: []string{"--skip-read-only", "--init-rpl-role=SLAVE"}, readOnly: "SET GLOBAL read_only = 1",
		comesUp:   db.Restart{InitRole: "SLAVE"},
		onReplica: "SLAVESIDE_DISABLED", nobodys: "0-9-99999", unbound: "READ_ONLY ADMIN",
		stalePosition: true,
	}
}

func mysqlKind() kind {
	return kind{
		settings: mysqlSettings, install: installMySQL,
		stopApplier: "STOP REPLICA SQL_THREAD", stopReplica: "STOP REPLICA",
		restart: []string{"--skip-super-read-only"}, readOnly: "SET GLOBAL super_read_only = 1",
		comesUp:   db.Restart{OwnAgain: true},
		onReplica: "REPLICA_SIDE_DISABLED", nobodys: "3e11fa47-71ca-11e1-9e33-c80aa9429562:99999", unbound: "CONNECTION_ADMIN",
		manyAcks: true,
	}
}

// settings are those of every test server: small, quick, and not safe against
// the loss of power. A killed process loses nothing.
const commonSettings = `[mysqld]
skip-name-resolve
bind-address=127.0.0.1
log-bin=bin
binlog-format=ROW
max-connections=40
innodb-buffer-pool-size=16M
innodb-flush-log-at-trx-commit=2
innodb-doublewrite=0
innodb-fast-shutdown=2
innodb-buffer-pool-dump-at-shutdown=OFF
innodb-buffer-pool-load-at-startup=OFF
sync-binlog=0
key-buffer-size=64K
table-open-cache=200
`

const mariadbSettings = commonSettings + `log-slave-updates=ON
gtid-strict-mode=ON
read-only=1
skip-slave-start
performance-schema=OFF
innodb-log-file-size=4M
innodb-data-file-path=ibdata1:4M:autoextend
innodb-autoextend-increment=1
aria-pagecache-buffer-size=1M
thread-stack=256K
`

const mysqlSettings = commonSettings + `mysqlx=OFF
secure-file-priv=NULL
log-replica-updates=ON
gtid-mode=ON
enforce-gtid-consistency=ON
super-read-only=ON
skip-replica-start=ON
replicate-same-server-id=ON
relay-log-recovery=OFF
plugin-load-add=semisync_source.so
plugin-load-add=semisync_replica.so
innodb-redo-log-capacity=8M
innodb-log-buffer-size=1M
performance-schema-digests-size=0
performance-schema-max-thread-instances=200
performance-schema-error-size=0
max-digest-length=0
`

func installMariaDB(_, dir string) error {
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

func installMySQL(mysqld, dir string) error {
	args := []string{
		"--no-defaults", "--initialize-insecure", "--datadir=" + dir, "--secure-file-priv=NULL",
		"--innodb-redo-log-capacity=8M", "--innodb-doublewrite=0", "--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0", "--skip-log-bin",
	}
	out, err := exec.Command(mysqld, append(args, asUser()...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("make a data directory: %w: %s", err, out)
	}
	// Each server makes its own, with its own UUID.
	return os.Remove(filepath.Join(dir, "auto.cnf"))
}

// asUser are the options that let root run a server.
func asUser() []string {
	if os.Getuid() == 0 {
		return []string{"--user=root"}
	}
	return nil
}

// RequireVar lists flavors, separated by spaces, whose absence fails a test
// instead of skipping it.
const RequireVar = "BATON_REQUIRE"

// Need returns the program of a server. It skips the test, loudly, where there
// is none to run.
func Need(t testing.TB, flavor string) (mysqld, version string) {
	t.Helper()
	mysqld, version, err := program.Server(flavor)
	if err == nil && flavor == MariaDB {
		_, err = exec.LookPath("mariadb-install-db")
	}
	if err == nil {
		return mysqld, version
	}
	if slices.Contains(strings.Fields(os.Getenv(RequireVar)), flavor) {
		t.Fatalf("NOTHING WAS TESTED, and %s asks for it: %v", RequireVar, err)
	}
	t.Skipf("SKIPPED, NOTHING WAS TESTED: %v", err)
	return "", ""
}
