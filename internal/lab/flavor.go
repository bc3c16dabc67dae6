package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/baton-db/baton/internal/config"
)

// words are what a lab says to servers of one flavor where the flavors differ.
type words struct {
	called   string // the flavor's name for people
	settings string // of every server
	// initialise makes the data that all servers start with.
	initialise func(l *Lab, ctx context.Context, accounts string) error

	stop, start, status string // of replication
	timeout             string // variable: after how many silent seconds a replica connects anew
	changeSource        string // with source, port, user and password to fill in
	position            string // query: what the server has
	await               string // query: 0 once the server has a position, to fill in

	client, dump, binlog string // programs
	dumpArgs, loaderArgs []string
}

// words are those of the lab's flavor.
func (l *Lab) words() words {
	if l.Flavor == config.MySQL {
		return words{
			called: "MySQL", settings: mysqlSettings, initialise: (*Lab).initialiseMySQL,
			stop: "STOP REPLICA", start: "START REPLICA", status: "SHOW REPLICA STATUS", timeout: "replica_net_timeout",
			changeSource: "CHANGE REPLICATION SOURCE TO SOURCE_HOST='%s', SOURCE_PORT=%d, SOURCE_USER='%s', SOURCE_PASSWORD='%s', " +
				"SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1, SOURCE_CONNECT_RETRY=1, SOURCE_HEARTBEAT_PERIOD=0.5",
			position: "SELECT @@gtid_executed", await: "SELECT WAIT_FOR_EXECUTED_GTID_SET('%s', 1)",
			client: "mysql", dump: "mysqldump", binlog: "mysqlbinlog", dumpArgs: []string{"--set-gtid-purged=ON"},
			// A dump says SET GTID_PURGED, which super_read_only does not let in.
			loaderArgs: []string{"--skip-super-read-only"},
		}
	}
	return words{
		called: "MariaDB", settings: mariadbSettings, initialise: (*Lab).initialiseMariaDB,
		stop: "STOP SLAVE", start: "START SLAVE", status: "SHOW SLAVE STATUS", timeout: "slave_net_timeout",
		changeSource: "CHANGE MASTER TO MASTER_HOST='%s', MASTER_PORT=%d, MASTER_USER='%s', MASTER_PASSWORD='%s', " +
			"MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=0.5",
		position: "SELECT @@gtid_binlog_pos", await: "SELECT MASTER_GTID_WAIT('%s', 1)",
		client: "mariadb", dump: "mariadb-dump", binlog: "mariadb-binlog", dumpArgs: []string{"--gtid", "--master-data=1"},
	}
}

// commonSettings are small and quick, and survive a kill: what has been
// written is in the kernel's cache. They would not survive a real power cut;
// in a lab even a host without power keeps its kernel.
const commonSettings = `user=root
skip_name_resolve=ON
max_connections=200
log_bin=binlog
binlog_format=ROW
event_scheduler=ON
sync_binlog=0
innodb_flush_log_at_trx_commit=2
innodb_buffer_pool_dump_at_shutdown=OFF
innodb_buffer_pool_load_at_startup=OFF
innodb_fast_shutdown=1
key_buffer_size=1M
character_set_server=utf8mb4
`

const mariadbSettings = "[mariadbd]\n" + commonSettings + `innodb_buffer_pool_size=32M
extra_port=3307
extra_max_connections=10
read_only=ON
skip_slave_start=ON
log_slave_updates=ON
gtid_strict_mode=ON
init_rpl_role=SLAVE
innodb_log_file_size=16M
aria_pagecache_buffer_size=8M
performance_schema=OFF
`

// MySQL keeps much of a small buffer pool free and for itself.
const mysqlSettings = "[mysqld]\n" + commonSettings + `innodb_buffer_pool_size=64M
innodb_lru_scan_depth=128
mysqlx=OFF
secure_file_priv=NULL
admin_address=127.0.0.1
admin_port=3307
super_read_only=ON
skip_replica_start=ON
log_replica_updates=ON
gtid_mode=ON
enforce_gtid_consistency=ON
replicate_same_server_id=ON
relay_log_recovery=OFF
plugin_load_add=semisync_source.so
plugin_load_add=semisync_replica.so
plugin_load_add=mysql_clone.so
innodb_redo_log_capacity=32M
innodb_doublewrite=OFF
performance_schema_digests_size=0
performance_schema_error_size=0
max_digest_length=0
`

func (l *Lab) initialiseMariaDB(ctx context.Context, accounts string) error {
	cnf := l.path("template.cnf")
	settings := fmt.Sprintf("%sdatadir=%s\ntmpdir=%s\nskip_log_bin\n", mariadbSettings, l.path("template"), l.path("tmp")) // what happens here is not history
	if err := writeFile(cnf, []byte(settings), 0o640); err != nil {
		return err
	}
	return said(exec.CommandContext(ctx, "mariadb-install-db", "--defaults-file="+cnf, "--tmpdir="+l.path("tmp"), "--auth-root-authentication-method=socket",
		"--skip-test-db", "--skip-name-resolve", "--force", // a machine need not know its own name
		"--extra-file="+accounts))
}

func (l *Lab) initialiseMySQL(ctx context.Context, accounts string) error {
	err := said(exec.CommandContext(ctx, l.Program, "--no-defaults", "--initialize-insecure", "--user=root", "--skip-log-bin",
		"--datadir="+l.path("template"), "--tmpdir="+l.path("tmp"), "--secure-file-priv=NULL", "--character-set-server=utf8mb4",
		"--innodb-redo-log-capacity=32M", "--innodb-doublewrite=OFF", "--innodb-flush-log-at-trx-commit=2",
		"--init-file="+accounts))
	return errors.Join(err, l.forgetIdentity(l.path("template")))
}

// client is a program that comes with the servers'; MySQL's may be unpacked
// beside it.
func (l *Lab) client(name string) string {
	beside := filepath.Join(filepath.Dir(l.Program), name)
	if _, err := os.Stat(beside); err == nil && filepath.IsAbs(beside) {
		return beside
	}
	return name
}

// forgetIdentity lets the server of some data give itself a new UUID, which
// MySQL keeps there and MariaDB does not have.
func (l *Lab) forgetIdentity(data string) error {
	err := os.Remove(filepath.Join(data, "auto.cnf"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// said runs a program, whose words tell what went wrong.
func said(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initialise a data directory: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}
