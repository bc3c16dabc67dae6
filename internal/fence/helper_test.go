package fence

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
)

// The test binary is also the agents that the tests kill: an environment
// variable says what to do instead of testing.
const helperVar = "BATON_FENCE_HELPER"

func TestMain(m *testing.M) {
	if what := os.Getenv(helperVar); what != "" {
		if err := runHelper(what); err != nil {
			fmt.Fprintln(os.Stderr, "helper:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// runHelper does what a test asked for and waits to be killed, or for the end
// of its input.
func runHelper(what string) error {
	ctx := context.Background()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if what == "unprivileged" {
		if err := syscall.Setuid(65534); err != nil {
			return err
		}
		_, err := Open(ctx, testConfig(), log)
		fmt.Println(errors.Is(err, ErrUnavailable), err)
		return nil
	}
	g, err := Open(ctx, testConfig(), log)
	if err != nil {
		return err
	}
	lease, err := time.ParseDuration(what)
	if err != nil {
		return err
	}
	go func() { // the test is gone
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	renew := time.NewTicker(min(lease/4, 50*time.Millisecond))
	for {
		end := clock.Now().Add(lease)
		fmt.Println(int64(end)) // before it is asked for: no end is unknown to the test
		if err := g.OpenUntil(ctx, end); err != nil && !errors.Is(err, ErrLate) {
			return err
		}
		<-renew.C
	}
}

// agent is a helper process in the host's namespace that renews a lease.
type agent struct {
	cmd  *exec.Cmd
	ends chan cluster.Instant // the end of each lease that it asked for
	last cluster.Instant      // the one read last
}

func startHelper(s *space, what string) (*exec.Cmd, io.Reader) {
	s.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperVar+"="+what)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	must(s.t, err)
	out, err := cmd.StdoutPipe()
	must(s.t, err)
	s.do(cmd.Start)
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	return cmd, out
}

func startAgent(s *space, lease time.Duration) *agent {
	s.t.Helper()
	cmd, out := startHelper(s, lease.String())
	a := &agent{cmd: cmd, ends: make(chan cluster.Instant, 1024)}
	go func() {
		defer close(a.ends)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			n, err := strconv.ParseInt(strings.TrimSpace(lines.Text()), 10, 64)
			if err != nil {
				return
			}
			a.ends <- cluster.Instant(n)
		}
	}()
	// The second line shows that the first lease is in force.
	for range 2 {
		end, ok := <-a.ends
		if !ok {
			s.t.Fatal("the helper process ended at once")
		}
		a.last = end
	}
	return a
}

// kill ends the agent as kill -9 does, and returns the end of the last lease
// that it can have asked for.
func (a *agent) kill(t *testing.T) cluster.Instant {
	t.Helper()
	must(t, a.cmd.Process.Kill())
	for end := range a.ends { // until its output ends with it
		a.last = end
	}
	_ = a.cmd.Wait()
	return a.last
}
