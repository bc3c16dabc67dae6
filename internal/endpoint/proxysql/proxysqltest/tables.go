package proxysqltest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/baton-db/baton/internal/endpoint/endpointtest"
)

// tables are an SQLite in memory, in a process of its own.
type tables struct {
	cmd *exec.Cmd
	in  io.WriteCloser

	mu  sync.Mutex
	out *bufio.Reader
}

// done is what the program prints after a statement's answer.
const (
	done      = "\x1edone"
	separator = "\x1f"
)

func newTables(t testing.TB) *tables {
	t.Helper()
	s := &tables{cmd: exec.Command(endpointtest.Program(t, "sqlite3"), "-batch", ":memory:")}
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	// Both on one pipe: the program writes out all of the one before it begins with the other.
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stderr, s.out = s.cmd.Stdout, bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill(); _ = s.cmd.Wait() })
	if _, _, err := s.run(".mode list\n.separator \"\\037\"\n.headers on\nATTACH DATABASE ':memory:' AS disk;"); err != nil {
		t.Fatal(err)
	}
	return s
}

var failure = regexp.MustCompile(`^(?:Parse|Runtime) error near line \d+: (.*?)(?: \(\d+\))?$`)

// run carries out a statement. Values have no line ends.
func (s *tables) run(statement string) (columns []string, rows [][]string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := fmt.Fprintf(s.in, "%s;\n.print \"%s\"\n", statement, done); err != nil {
		return nil, nil, err
	}
	var refused error
	for {
		line, err := s.out.ReadString('\n')
		if err != nil {
			return nil, nil, fmt.Errorf("sqlite3 has ended: %w", err)
		}
		line = strings.TrimSuffix(line, "\n")
		said := failure.FindStringSubmatch(line)
		switch {
		case line == done:
			return columns, rows, refused
		case refused != nil: // it shows where
		case said != nil:
			refused = errors.New(said[1])
		case columns == nil:
			columns = strings.Split(line, separator)
		default:
			rows = append(rows, strings.Split(line, separator))
		}
	}
}
