package dbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Patience is how long a test waits for something that is sure to happen.
const Patience = 30 * time.Second

// Options say what kind of server to start. The zero value is a good one.
type Options struct {
	ID    uint32   // server_id, which must differ between servers that replicate; 0 means 1
	Netns string   // name of the network namespace to start it in; empty: this one
	Bind  string   // address to listen on; empty: 127.0.0.1
	Port  int      // 0: a free one (only in this network namespace)
	Args  []string // further options for the server

	Flavor string // MariaDB or MySQL; empty: MariaDB
}

// Server is a real server that read_only binds, as its own
// configuration says. root may log in through its socket without a password.
type Server struct {
	ID     uint32
	Dir    string // holds everything of the server
	Socket string
	Host   string
	Port   int

	options Options
	kind    kind
	mysqld  string // its program
	root    *sql.DB
	process *process // nil while it is stopped
}

// Start makes a server and starts it. It is killed and removed with the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Flavor == "" {
		o.Flavor = MariaDB
	}
	mysqld, version := Need(t, o.Flavor)
	from, err := template.of(o.Flavor, mysqld, version)
	if err != nil {
		t.Fatal(err)
	}
	// A unix socket's path has room for about a hundred bytes: t.TempDir would
	// put the test's name into it.
	dir, err := os.MkdirTemp("", "bdb-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Server{ID: o.ID, Dir: dir, Socket: filepath.Join(dir, "s.sock"), Host: o.Bind, Port: o.Port, options: o, kind: kindOf(o.Flavor), mysqld: mysqld}
	if s.ID == 0 {
		s.ID = 1
	}
	if s.Host == "" {
		s.Host = "127.0.0.1"
	}
	if err := os.CopyFS(s.data(), os.DirFS(from)); err != nil {
		t.Fatalf("copy the template: %v", err)
	}
	t.Cleanup(func() {
		if s.process != nil {
			s.process.end(syscall.SIGKILL)
		}
	})
	s.root = s.open()
	t.Cleanup(func() { s.root.Close() })
	s.Up(t)
	return s
}

func (s *Server) address() string { return net.JoinHostPort(s.Host, fmt.Sprint(s.Port)) }

func (s *Server) data() string { return filepath.Join(s.Dir, "data") }

// Up starts the stopped server and returns once it takes connections.
func (s *Server) Up(t testing.TB) {
	t.Helper()
	if s.process != nil {
		t.Fatal("the server runs already")
	}
	for try := 1; ; try++ {
		if s.options.Port == 0 {
			s.Port = freePort(t)
		}
		if err := os.WriteFile(s.optionFile(), s.optionText(), 0o644); err != nil {
			t.Fatal(err)
		}
		p, err := startProcess(s.command())
		if err == nil {
			s.process = p
			return
		}
		// Somebody else may have taken the port meanwhile.
		if s.options.Port != 0 || try == 5 || !strings.Contains(err.Error(), "Address already in use") {
			t.Fatal(err)
		}
	}
}

func (s *Server) optionFile() string { return filepath.Join(s.Dir, "my.cnf") }

func (s *Server) optionText() []byte {
	// Each has its own tmpdir: a server that starts removes the temporary
	// tables that it finds there.
	return fmt.Appendf([]byte(s.kind.settings), "server-id=%d\nport=%d\nsocket=%s\ndatadir=%s\npid-file=%s\ntmpdir=%s\n",
		s.ID, s.Port, s.Socket, s.data(), filepath.Join(s.Dir, "pid"), s.Dir)
}

func (s *Server) command() *exec.Cmd {
	args := []string{s.mysqld, "--defaults-file=" + s.optionFile()}
	if s.options.Bind != "" {
		args = append(args, "--bind-address="+s.options.Bind)
	}
	args = append(append(args, asUser()...), s.options.Args...)
	if s.options.Netns != "" {
		args = append([]string{"ip", "netns", "exec", s.options.Netns}, args...)
	}
	return exec.Command(args[0], args[1:]...)
}

// PID is the number of the server's process.
func (s *Server) PID() int { return s.process.pid }

// Kill ends the server as kill -9 does.
func (s *Server) Kill(t testing.TB) { s.down(t, syscall.SIGKILL) }

// Stop shuts the server down in good order.
func (s *Server) Stop(t testing.TB) { s.down(t, syscall.SIGTERM) }

func (s *Server) down(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if s.process == nil {
		t.Fatal("the server is stopped already")
	}
	s.process.end(sig)
	s.process = nil
}

// Freeze stops the server's process from running any further, and returns once
// each of its threads stands still.
func (s *Server) Freeze(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGSTOP)
	Until(t, func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.process.pid))
		for _, stat := range threads {
			text, gone := os.ReadFile(stat)
			// proc(5): the state follows the name in parentheses.
			_, state, _ := strings.Cut(string(text), ") ")
			if gone == nil && !strings.HasPrefix(state, "T") {
				return false
			}
		}
		return err == nil && len(threads) > 0
	}, func() string { return "a thread of the server still runs" })
}

// Thaw lets it go on.
func (s *Server) Thaw(t testing.TB) { s.signal(t, syscall.SIGCONT) }

func (s *Server) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(s.process.pid, sig); err != nil {
		t.Fatalf("signal the server: %v", err)
	}
}

// Exec runs statements as root, each of them on its own.
func (s *Server) Exec(t testing.TB, statements ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	for _, q := range statements {
		if _, err := s.root.ExecContext(ctx, q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// Unlogged runs statements as root without a trace in the binary log.
func (s *Server) Unlogged(t testing.TB, statements ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	c, err := s.root.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	statements = append(append([]string{"SET sql_log_bin=0"}, statements...), "SET sql_log_bin=1")
	if s.options.Flavor == MySQL && s.Value(t, "SELECT @@global.super_read_only") == "1" {
		// It binds root too.
		statements = append(append([]string{"SET GLOBAL super_read_only=OFF"}, statements...), "SET GLOBAL super_read_only=ON")
	}
	for _, q := range statements {
		if _, err := c.ExecContext(ctx, q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// Value returns the only value that a query yields, as text; "NULL" for none.
func (s *Server) Value(t testing.TB, query string, args ...any) string {
	t.Helper()
	v, err := s.value(query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

func (s *Server) value(query string, args ...any) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	var v sql.NullString
	if err := s.root.QueryRowContext(ctx, query, args...).Scan(&v); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			return "NULL", nil
		}
		return "", err
	}
	if !v.Valid {
		return "NULL", nil
	}
	return v.String, nil
}

// Await returns once the query yields want.
func (s *Server) Await(t testing.TB, want, query string, args ...any) {
	t.Helper()
	var last string
	Until(t, func() bool {
		v, err := s.value(query, args...)
		if err != nil {
			v = err.Error()
		}
		last = v
		return v == want
	}, func() string { return fmt.Sprintf("%s yields %s, want %s", query, last, want) })
}

// Until returns once the condition holds. It fails the test, with what why
// says, if that takes longer than Patience.
func Until(t testing.TB, holds func() bool, why func() string) {
	t.Helper()
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-deadline.C:
			t.Fatalf("waited for %v in vain: %s", Patience, why())
		}
	}
}

// Client connects over TCP as somebody with an account. It must be able to
// reach the server from this network namespace.
func (s *Server) Client(t testing.TB, user, password string) *sql.DB {
	t.Helper()
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net = user, password, "tcp"
	c.Addr = s.address()
	c.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return db
}

func (s *Server) open() *sql.DB {
	c := mysql.NewConfig()
	c.User, c.Net, c.Addr = "root", "unix", s.Socket
	c.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		panic(err) // of constants
	}
	return sql.OpenDB(connector)
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
