// Package proxysqltest answers what ProxySQL's admin interface does with statements: a
// server that speaks the MySQL protocol's text part and keeps the tables of the
// documentation in a real SQLite, as ProxySQL does, in three layers.
//
// It is not ProxySQL: it sends no client anywhere and monitors nobody. The rule: a
// layer changes only by the command that the documentation gives for it, so that a
// forgotten LOAD or SAVE is seen.
package proxysqltest

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// The account that it lets in.
const (
	User     = "baton"
	Password = "s3cret"
)

// Server is one admin interface.
type Server struct {
	t      testing.TB
	tables *tables
	all    sync.WaitGroup // who takes connections, and serves them

	mu       sync.Mutex
	listener net.Listener
	asked    []string
	fails    map[string]string // beginnings of statements: what they are answered
	shut     bool
	conns    map[net.Conn]bool
	// certificate is what it shows to clients that want TLS; nil: it does not offer that.
	certificate *tls.Config
	clear       atomic.Int64 // connections that came without
}

// tablesOf are those of ProxySQL 2 that Baton reads or writes, as its documentation
// creates them.
const tablesOf = `
CREATE TABLE mysql_servers (
    hostgroup_id INT CHECK (hostgroup_id>=0) NOT NULL DEFAULT 0,
    hostname VARCHAR NOT NULL,
    port INT CHECK (port >= 0 AND port <= 65535) NOT NULL DEFAULT 3306,
    gtid_port INT CHECK ((gtid_port <> port OR gtid_port=0) AND gtid_port >= 0 AND gtid_port <= 65535) NOT NULL DEFAULT 0,
    status VARCHAR CHECK (UPPER(status) IN ('ONLINE','SHUNNED','OFFLINE_SOFT', 'OFFLINE_HARD')) NOT NULL DEFAULT 'ONLINE',
    weight INT CHECK (weight >= 0 AND weight <=10000000) NOT NULL DEFAULT 1,
    compression INT CHECK (compression IN(0,1)) NOT NULL DEFAULT 0,
    max_connections INT CHECK (max_connections >=0) NOT NULL DEFAULT 1000,
    max_replication_lag INT CHECK (max_replication_lag >= 0 AND max_replication_lag <= 126144000) NOT NULL DEFAULT 0,
    use_ssl INT CHECK (use_ssl IN(0,1)) NOT NULL DEFAULT 0,
    max_latency_ms INT UNSIGNED CHECK (max_latency_ms>=0) NOT NULL DEFAULT 0,
    comment VARCHAR NOT NULL DEFAULT '',
    PRIMARY KEY (hostgroup_id, hostname, port));
CREATE TABLE mysql_replication_hostgroups (
    writer_hostgroup INT CHECK (writer_hostgroup>=0) NOT NULL PRIMARY KEY,
    reader_hostgroup INT NOT NULL CHECK (reader_hostgroup<>writer_hostgroup AND reader_hostgroup>=0),
    check_type VARCHAR NOT NULL DEFAULT 'read_only',
    comment VARCHAR NOT NULL DEFAULT '', UNIQUE (reader_hostgroup));
CREATE TABLE runtime_mysql_servers AS SELECT * FROM mysql_servers;
CREATE TABLE disk.mysql_servers AS SELECT * FROM mysql_servers;
CREATE TABLE runtime_mysql_replication_hostgroups AS SELECT * FROM mysql_replication_hostgroups;
CREATE TABLE disk.mysql_replication_hostgroups AS SELECT * FROM mysql_replication_hostgroups;
CREATE TABLE runtime_mysql_users (username VARCHAR NOT NULL, default_hostgroup INT NOT NULL DEFAULT 0);
CREATE TABLE runtime_mysql_query_rules (rule_id INTEGER PRIMARY KEY, destination_hostgroup INT);
CREATE TABLE runtime_global_variables (variable_name VARCHAR NOT NULL PRIMARY KEY, variable_value VARCHAR NOT NULL);
CREATE TABLE stats_mysql_connection_pool (hostgroup INT, srv_host VARCHAR, srv_port INT, status VARCHAR,
    ConnUsed INT, ConnFree INT, ConnOK INT, ConnERR INT, MaxConnUsed INT, Queries INT, Queries_GTID_sync INT, Bytes_data_sent INT, Bytes_data_recv INT, Latency_us INT);
INSERT INTO runtime_global_variables VALUES ('mysql-monitor_enabled', 'true');
`

// commands are those that move both tables from one layer to another.
var commands = map[string]string{
	"LOAD MYSQL SERVERS TO RUNTIME":   moved("", "runtime_"),
	"SAVE MYSQL SERVERS TO DISK":      moved("", "disk."),
	"LOAD MYSQL SERVERS FROM DISK":    moved("disk.", ""),
	"SAVE MYSQL SERVERS FROM RUNTIME": moved("runtime_", ""),
}

func moved(from, to string) (statements string) {
	for _, table := range []string{"mysql_servers", "mysql_replication_hostgroups"} {
		statements += fmt.Sprintf("DELETE FROM %[2]s%[3]s; INSERT INTO %[2]s%[3]s SELECT * FROM %[1]s%[3]s; ", from, to, table)
	}
	return statements
}

// Start runs one with these statements done, loaded and saved. It ends with the test.
func Start(t testing.TB, statements ...string) *Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return StartOn(t, listener, statements...)
}

// StartOn is Start for an admin interface at a certain place.
func StartOn(t testing.TB, listener net.Listener, statements ...string) *Server {
	t.Helper()
	s := &Server{t: t, tables: newTables(t), fails: map[string]string{}, conns: map[net.Conn]bool{}}
	s.Do(tablesOf)
	s.Do(append(statements, "LOAD MYSQL SERVERS TO RUNTIME", "SAVE MYSQL SERVERS TO DISK")...)
	s.Serve(listener)
	t.Cleanup(func() {
		s.Close()
		_ = s.tables.cmd.Process.Kill() // it may stand still
		s.all.Wait()
	})
	return s
}

// Serve takes connections from now on, also if it was closed before.
func (s *Server) Serve(listener net.Listener) {
	s.mu.Lock()
	s.listener, s.shut = listener, false
	s.mu.Unlock()
	s.all.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			s.all.Go(func() { s.serve(c) })
		}
	})
}

// At is where its admin interface is.
func (s *Server) At() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listener.Addr().String()
}

// Close ends its admin interface with its connections. What it knows stays.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.listener.Close()
	s.shut = true
	for c := range s.conns {
		_ = c.Close()
	}
}

// Encrypt has it offer TLS, as with mysql-have_ssl.
func (s *Server) Encrypt(certificate tls.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.certificate = &tls.Config{Certificates: []tls.Certificate{certificate}}
}

// InClear is how many clients have logged in without TLS.
func (s *Server) InClear() int { return int(s.clear.Load()) }

// Do carries statements out behind the interface's back, whatever they are.
func (s *Server) Do(statements ...string) {
	s.t.Helper()
	for _, statement := range statements {
		if _, _, err := s.run(statement); err != nil {
			s.t.Fatalf("%s: %v", statement, err)
		}
	}
}

// Servers are rows of a layer's table, each as hostgroup, hostname:port, status.
func (s *Server) Servers(table string) (lines []string) {
	s.t.Helper()
	return s.Ask("SELECT hostgroup_id, hostname || ':' || port, status FROM " + table + " ORDER BY 1, 2")
}

// Ask returns the rows that a query answers with, a line each.
func (s *Server) Ask(query string) (lines []string) {
	s.t.Helper()
	_, rows, err := s.run(query)
	if err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
	for _, row := range rows {
		lines = append(lines, strings.Join(row, " "))
	}
	return lines
}

// Restart has it begin anew, with what is on its disk.
func (s *Server) Restart() {
	s.t.Helper()
	s.Do("LOAD MYSQL SERVERS FROM DISK", "LOAD MYSQL SERVERS TO RUNTIME")
}

// Freeze stops its engine: connections are taken, and nothing is answered.
func (s *Server) Freeze() {
	if err := s.tables.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		s.t.Fatal(err)
	}
}

// Fail answers statements that begin so with an error from now on; none: not any more.
func (s *Server) Fail(beginning, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails[beginning] = text
}

// Asked are the statements that have come over the wire, without those that only read.
func (s *Server) Asked() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.asked {
		if !strings.HasPrefix(a, "SELECT ") {
			all = append(all, a)
		}
	}
	s.asked = nil
	return all
}

func (s *Server) run(statement string) (columns []string, rows [][]string, err error) {
	if does, ok := commands[statement]; ok {
		statement = does
	}
	return s.tables.run(statement)
}

// answer carries out a statement of a client's.
func (s *Server) answer(statement string) (columns []string, rows [][]string, err error) {
	s.mu.Lock()
	s.asked = append(s.asked, statement)
	for beginning, text := range s.fails {
		if text != "" && strings.HasPrefix(statement, beginning) {
			s.mu.Unlock()
			return nil, nil, fmt.Errorf("ProxySQL Admin Error: %s", text)
		}
	}
	s.mu.Unlock()
	if writes := !strings.HasPrefix(statement, "SELECT "); writes && (strings.Contains(statement, "runtime_") || strings.Contains(statement, "disk.")) {
		return nil, nil, fmt.Errorf("ProxySQL Admin Error: no client may write into another layer than main: %s", statement)
	}
	if columns, rows, err = s.run(statement); err != nil {
		err = fmt.Errorf("ProxySQL Admin Error: %w", err)
	}
	return columns, rows, err
}
