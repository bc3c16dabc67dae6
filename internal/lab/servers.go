package lab

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/lab/process"
)

// serverID is the server_id of a data node.
func (l *Lab) serverID(node string) uint32 {
	h, err := l.host(node)
	if err != nil {
		panic(err) // names come from this package
	}
	return uint32(h.Number)
}

func (l *Lab) socket(node string) string { return l.path(node, "mysqld.sock") }

// serverName is under which a node's server is recorded.
func serverName(node string) string { return node + "-server" }

// writeServerConfig writes a node's my.cnf.
func (l *Lab) writeServerConfig(node string) error {
	// A server that starts removes temporary tables of all others in its tmpdir.
	if err := os.MkdirAll(l.path(node, "tmp"), 0o750); err != nil {
		return fmt.Errorf("make the directory of %s: %w", node, err)
	}
	cnf := fmt.Sprintf("%sserver_id=%d\nport=%d\nreport_host=%s\ndatadir=%s\ntmpdir=%s\nsocket=%s\npid_file=%s\nlog_error=%s\n",
		l.words().settings, l.serverID(node), Port, l.address(node),
		l.dataDir(node), l.path(node, "tmp"), l.socket(node), l.path(node, "mysqld.pid"), l.path(node, "mysqld.log"))
	return writeFile(l.path(node, "my.cnf"), []byte(cnf), 0o640)
}

// makeTemplate initialises one data directory, from which all are copied.
func (l *Lab) makeTemplate(ctx context.Context) error {
	accounts := l.path("accounts.sql")
	if err := os.MkdirAll(l.path("tmp"), 0o750); err != nil {
		return fmt.Errorf("make a directory for temporary tables: %w", err)
	}
	sql, err := l.accountsSQL()
	if err != nil {
		return err
	}
	if err := writeFile(accounts, []byte(sql), 0o600); err != nil {
		return err
	}
	return l.words().initialise(l, ctx, accounts)
}

// freshData gives a node, whose server is not running, the data that all nodes
// start with.
func (l *Lab) freshData(ctx context.Context, node string) error {
	if err := os.RemoveAll(l.dataDir(node)); err != nil {
		return fmt.Errorf("remove the data of %s: %w", node, err)
	}
	cmd := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", l.path("template"), l.dataDir(node))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("copy the data of %s: %w: %s", node, err, bytes.TrimSpace(out))
	}
	return nil
}

// StartServer starts a node's server unless it runs, and returns once it takes
// connections. The agent beside it calls it too, as it would a service manager.
func (l *Lab) StartServer(ctx context.Context, node string) error {
	unlock, err := l.lock(node)
	if err != nil {
		return err
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	// One that was killed may take its time to die, and is no start that went wrong.
	p, _ := process.Recorded(l.Dir, serverName(node))
	started := false
	var ended error
	err = until(ctx, "the server of "+node+" takes connections", func(ctx context.Context) error {
		switch {
		case !p.Alive() && started:
			ended = fmt.Errorf("the server of %s ended, see %s: %s", node, l.path(node, "mysqld.log"), tail(l.path(node, "mysqld.log"), 400))
			return nil
		case !p.Alive():
			if p, ended = l.launchServer(node); ended != nil {
				return nil
			}
			started = true
		}
		return l.ask(ctx, node, "SELECT 1", new(int))
	})
	return errors.Join(ended, err)
}

// launchServer starts a node's server, which does not run.
func (l *Lab) launchServer(node string) (process.Process, error) {
	// MySQL takes one that is dead and not yet reaped for a living owner of the socket.
	if err := os.Remove(l.socket(node) + ".lock"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return process.Process{}, fmt.Errorf("remove what a dead server has left: %w", err)
	}
	return process.Start(process.Spec{
		Lab: l.Dir, Name: serverName(node), Namespace: l.net.Namespace(node),
		Args: []string{l.Program, "--defaults-file=" + l.path(node, "my.cnf")}, Log: l.path(node, "mysqld.log"),
	})
}

// StopServer shuts a node's server down in good order.
func (l *Lab) StopServer(ctx context.Context, node string) error {
	unlock, err := l.lock(node)
	if err != nil {
		return err
	}
	defer unlock()
	p, ok := process.Recorded(l.Dir, serverName(node))
	if !ok {
		return nil
	}
	if err := p.Stop(ctx, 20*time.Second); err != nil {
		return fmt.Errorf("stop the server of %s: %w", node, err)
	}
	return nil
}

// WipeServer kills a node's server and empties its data directory: a lost disk,
// or a host that is new.
func (l *Lab) WipeServer(ctx context.Context, node string) error {
	unlock, err := l.lock(node) // its agent must not start the server meanwhile
	if err != nil {
		return err
	}
	defer unlock()
	if p, ok := process.Recorded(l.Dir, serverName(node)); ok && p.Alive() {
		if err := errors.Join(p.Signal(unix.SIGKILL), p.Wait(ctx)); err != nil {
			return fmt.Errorf("kill the server of %s: %w", node, err)
		}
	}
	if err := os.RemoveAll(l.dataDir(node)); err != nil {
		return fmt.Errorf("remove the data of %s: %w", node, err)
	}
	if err := os.Mkdir(l.dataDir(node), 0o750); err != nil {
		return fmt.Errorf("make the data directory of %s: %w", node, err)
	}
	return nil
}

// server is the running server of a node.
func (l *Lab) server(node string) (process.Process, error) {
	p, ok := process.Recorded(l.Dir, serverName(node))
	if !ok || !p.Alive() {
		return p, fmt.Errorf("no server runs on %s", node)
	}
	return p, nil
}

// open logs in to a node's server as root, over its unix socket.
func (l *Lab) open(node string) *sql.DB { return l.openFor(node, 10*time.Second) }

// openFor is open for statements that may take so long.
func (l *Lab) openFor(node string, statement time.Duration) *sql.DB {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Net, cfg.Addr = "root", "unix", l.socket(node)
	cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout = 2*time.Second, statement, 2*time.Second
	cfg.InterpolateParams, cfg.MultiStatements = true, true
	cfg.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		panic(fmt.Sprintf("the lab's own driver settings are wrong: %v", err))
	}
	return sql.OpenDB(connector)
}

// do runs statements on a node's server.
func (l *Lab) do(ctx context.Context, node string, statements ...string) error {
	db := l.open(node)
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("log in to the server of %s: %w", node, err)
	}
	defer conn.Close()
	for _, s := range statements {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s on %s: %w", s, node, err)
		}
	}
	return nil
}

// Do runs statements on a node's server as an administrator of that host would.
func (l *Lab) Do(ctx context.Context, node string, statements ...string) error {
	return l.do(ctx, node, statements...)
}

// Ask reads one value from a node's server.
func (l *Lab) Ask(ctx context.Context, node, query string) (string, error) {
	var v sql.NullString
	err := l.ask(ctx, node, query, &v)
	return v.String, err
}

// Checksum is that of a table's rows on a node's server.
func (l *Lab) Checksum(ctx context.Context, node, table string) (string, error) {
	var name, sum string
	err := l.ask(ctx, node, "CHECKSUM TABLE "+table, &name, &sum)
	return sum, err
}

// OldData are the directories beside a node's data: what a reclone has kept, or
// has left behind.
func (l *Lab) OldData(node string) ([]string, error) { return filepath.Glob(l.dataDir(node) + ".*") }

// Keep runs a statement on a node's server, over a connection that stays open
// until release is called: for a lock.
func (l *Lab) Keep(ctx context.Context, node, statement string) (release func(), err error) {
	db := l.open(node)
	conn, err := db.Conn(ctx)
	if err == nil {
		_, err = conn.ExecContext(ctx, statement)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s on %s: %w", statement, node, err), db.Close())
	}
	return func() {
		_ = conn.Close() // a server that was killed has let go already
		_ = db.Close()
	}, nil
}

// ask reads one row from a node's server.
func (l *Lab) ask(ctx context.Context, node, query string, into ...any) error {
	db := l.open(node)
	defer db.Close()
	if err := db.QueryRowContext(ctx, query).Scan(into...); err != nil {
		return fmt.Errorf("%s on %s: %w", query, node, err)
	}
	return nil
}

// askColumns reads the named columns of a wide one-row answer, such as SHOW
// REPLICA STATUS. There may be no row. MySQL's new words stand for MariaDB's old
// ones in the names.
func (l *Lab) askColumns(ctx context.Context, node, query string) (map[string]string, error) {
	db := l.open(node)
	defer db.Close()
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("%s on %s: %w", query, node, err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, fmt.Errorf("%s on %s: %w", query, node, err)
	}
	values, into := make([]sql.NullString, len(names)), make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	if !rows.Next() {
		return nil, errors.Join(rows.Err())
	}
	if err := rows.Scan(into...); err != nil {
		return nil, fmt.Errorf("%s on %s: %w", query, node, err)
	}
	answer := map[string]string{}
	for i, n := range names {
		answer[newWords.Replace(n)] = values[i].String
	}
	return answer, nil
}

var newWords = strings.NewReplacer("Master", "Source", "Slave", "Replica")

// tail returns the last bytes of a file, on one line.
func tail(path string, n int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(string(b[max(0, len(b)-n):])), " ")
}
